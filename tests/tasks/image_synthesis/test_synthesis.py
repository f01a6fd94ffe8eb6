"""A synthesizer draws what is asked for, the same at every batch size, and paints what a mask shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import luoxia
from colored_shapes import COLORS, SIDE, drawn
from luoxia.core.errors import UsageError
from luoxia.formats.registry import read_label
from luoxia.tasks.image_synthesis.edit import read_canvas
from luoxia.tasks.image_synthesis.model import ImageSynthesizer, windows
from luoxia.verbs.ask import ask

MIDDLE = SIDE // 2


def sample(model: Path, **settings: Any) -> Path:
    return written(ask("sample", model, **settings))


def edit(model: Path, file: str, **settings: Any) -> Path:
    return written(ask("edit", model, file, **settings))


def written(made: Any) -> Path:
    return Path(made)


@pytest.fixture(scope="module")
def model(painter: Path) -> ImageSynthesizer:
    found: ImageSynthesizer = luoxia.load(painter)
    return found


def nearest_color(pixel: Any) -> str:
    return min(
        COLORS, key=lambda name: sum((int(a) - b) ** 2 for a, b in zip(pixel, COLORS[name], strict=True))
    )


def as_file(path: Path, image: Image.Image, **options: Any) -> str:
    image.save(path, **options)
    return str(path)


def mask_file(path: Path, left: int = MIDDLE, size: tuple[int, int] = (SIDE, SIDE)) -> str:
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[:, left:] = 255
    return as_file(path, Image.fromarray(pixels))


# ------------------------------------------------------------------ what is drawn


def test_it_draws_what_a_text_says(model: ImageSynthesizer) -> None:
    for color in COLORS:
        for shape in ("square", "circle"):
            images = model.sample(3, text=f"a {color} {shape}")
            assert [nearest_color(image[MIDDLE, MIDDLE]) for image in images] == [color] * 3


def test_an_image_is_the_same_however_many_are_drawn(model: ImageSynthesizer) -> None:
    asked = {"seed": 5, "text": ["a red circle", "a blue square"], "style": "bold", "guidance": 2.0}
    whole = model.sample(70, **asked)
    assert np.array_equal(whole[:7], model.sample(7, **asked)) and np.array_equal(
        whole[:1], model.sample(1, **asked)
    )
    assert np.array_equal(whole, np.concatenate(list(model.stream(70, **asked))))
    assert len({image.tobytes() for image in whole}) == 70


def test_guidance_goes_from_no_condition_or_from_the_negative_one(model: ImageSynthesizer) -> None:
    def of(**asked: Any) -> Any:
        return model.sample(4, text="a red circle", temperature=1e-3, **asked).astype(float)

    def check(guided: Any, one: Any, other: Any) -> None:
        inside = np.logical_and.reduce([(image > 1) & (image < 254) for image in (guided, one, other)])
        assert inside.mean() > 0.1
        assert np.abs(guided - (2 * one - other))[inside].max() <= 2.5  # rounding of three images

    one, none = of(guidance=1.0), model.sample(4, temperature=1e-3).astype(float)
    check(of(guidance=2.0), one, none)
    blue = model.sample(4, text="a blue circle", temperature=1e-3).astype(float)
    check(of(guidance=2.0, negative="a blue circle"), one, blue)


def test_unknown_words_are_named_once(model: ImageSynthesizer) -> None:
    with pytest.warns(UserWarning, match="left out: purple, dragon") as told:
        model.sample(2, text="a purple red dragon circle, purple")
    assert len(told) == 1


@pytest.mark.filterwarnings("ignore:no caption")
def test_the_command_line_names_unknown_words(
    painter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample(painter, text="a purple circle", n=1, out=str(tmp_path / "out.png"))
    assert capsys.readouterr().err.count("left out: purple") == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"label": "cat"}, "label= needs a model that learned classes"),
        ({"style": "boldd"}, "style=boldd is not a value that this model learned; did you mean bold"),
        ({"stile": "bold"}, "unknown key 'stile'; did you mean style"),
        ({"negative": "?"}, "negative= has no words"),
        ({"guidance": -1}, "guidance=-1: must be 0 or more"),
        ({"guidance_low": 0.8, "guidance_high": 0.5}, "guidance_low=0.8 is above guidance_high=0.5"),
        ({"n": 0}, "n=0: must be 1 or more"),
    ],
)
def test_a_wrong_request_is_one_sentence(painter: Path, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        luoxia.load(painter).sample(**{"n": 2, **asked})
    with pytest.raises(UsageError, match=told):
        sample(painter, out="never.png", **asked)


def test_classes_take_turns_and_a_text_is_refused(class_painter: Path) -> None:
    model = luoxia.load(class_painter)
    assert model.labels(5).tolist() == [0, 1, 0, 1, 0] and model.labels(2, label="square").tolist() == [1, 1]
    turns, squares = model.sample(4, seed=1), model.sample(4, seed=1, label="square")
    assert np.array_equal(turns[1::2], squares[1::2]) and not np.array_equal(turns[0], squares[0])
    with pytest.raises(
        UsageError, match=r"text= needs a model that learned captions: put a \.txt beside each image"
    ):
        model.sample(1, text="a square")


def test_what_is_written_says_what_was_asked(painter: Path, tmp_path: Path) -> None:
    asked = {"text": "a red circle", "style": "bold", "guidance": 1.5, "n": 3, "seed": 4}
    grid = sample(painter, out=str(tmp_path / "grid.png"), **asked)
    label = read_label(grid)
    assert label is not None and label.seed == 4 and label.model
    assert label.controls == {"text": "a red circle", "style": "bold", "guidance": 1.5, "n": 3, "ema": True}
    arrays = np.load(sample(painter, out=str(tmp_path / "a.npz"), **asked))
    assert np.array_equal(arrays["images"], luoxia.load(painter).sample(**asked))
    folder = sample(painter, out=f"{tmp_path / 'many'}/", **asked)
    assert sorted(file.name for file in folder.iterdir()) == ["000000.png", "000001.png", "000002.png"]


# ------------------------------------------------------------------ what is painted


def test_known_pixels_come_back_as_they_were(painter: Path, tmp_path: Path) -> None:
    source = drawn("red", "circle", seed=9)
    file, mask = as_file(tmp_path / "in.png", source), mask_file(tmp_path / "mask.png")
    out = edit(painter, file, mask=mask, text="a blue circle", seed=3, out=str(tmp_path / "out.png"))
    before, after = np.asarray(source), np.asarray(Image.open(out))
    assert np.array_equal(before[:, :MIDDLE], after[:, :MIDDLE])
    assert (
        nearest_color(after[MIDDLE, MIDDLE]) == "blue" and nearest_color(after[MIDDLE, MIDDLE - 1]) == "red"
    )
    label = read_label(out)
    assert label is not None and label.controls["text"] == "a blue circle" and label.seed == 3
    assert [parent.name for parent in label.parents] == ["in.png", "mask.png"] and all(
        p.sha256 for p in label.parents
    )


def test_transparent_parts_are_painted_without_a_mask(painter: Path, tmp_path: Path) -> None:
    source = drawn("green", "square", seed=9).convert("RGBA")
    pixels = np.array(source)
    pixels[:3, :, 3] = 0
    file = as_file(tmp_path / "in.png", Image.fromarray(pixels))
    after = np.asarray(Image.open(edit(painter, file, out=str(tmp_path / "out.png"))))
    assert np.array_equal(after[3:], pixels[3:, :, :3]) and not np.array_equal(after[:3], pixels[:3, :, :3])


def test_a_transparent_mask_is_painted_as_a_white_one(tmp_path: Path) -> None:
    file = as_file(tmp_path / "in.png", drawn("red", "circle"))
    clear = np.zeros((SIDE, SIDE, 4), np.uint8)
    clear[:, :MIDDLE, 3] = 255
    found = read_canvas(file, as_file(tmp_path / "m.png", Image.fromarray(clear)), 3)[1]
    assert found is not None and found[:, MIDDLE:].all() and not found[:, :MIDDLE].any()


def test_a_larger_canvas_is_painted_window_by_window(painter: Path, tmp_path: Path) -> None:
    source = drawn("red", "circle", seed=9)
    file = as_file(tmp_path / "in.png", source)
    out = edit(painter, file, outpaint="0,4,15,0", seed=1, n=3, out=f"{tmp_path / 'out'}/")
    images = [np.asarray(Image.open(one)) for one in sorted(out.iterdir())]
    assert [image.shape for image in images] == [(SIDE + 4, SIDE + 15, 3)] * 3
    assert all(np.array_equal(image[4:, :SIDE], np.asarray(source)) for image in images)
    assert len({image.tobytes() for image in images}) == 3


def test_windows_paint_everything_and_begin_beside_what_is_known() -> None:
    painted = np.ones((20, 30), np.bool_)
    painted[4:16, :12] = False
    firsts = []
    for top, left in windows(painted, 12, 12):
        firsts.append((top, left))
        painted[top : top + 12, left : left + 12] = False
    assert not painted.any() and len(firsts) == len(set(firsts)) <= 12
    assert firsts[0][1] < 12  # a window that holds known pixels


def test_one_number_is_the_seed_of_a_variation(painter: Path, tmp_path: Path) -> None:
    file = as_file(tmp_path / "in.png", drawn("red", "circle"))
    images = {
        seed: np.asarray(
            Image.open(edit(painter, file, strength=0.5, seed=seed, out=str(tmp_path / f"{seed}.png")))
        )
        for seed in (1, 2)
    }
    again = edit(painter, file, strength=0.5, seed=1, out=str(tmp_path / "again.png"))
    assert np.array_equal(np.asarray(Image.open(again)), images[1]) and not np.array_equal(
        images[1], images[2]
    )


def test_a_model_that_cannot_edit_says_so_in_one_sentence(raster: Path, tmp_path: Path) -> None:
    file = as_file(tmp_path / "in.png", drawn("red", "circle"))
    with pytest.raises(
        UsageError, match=r"order=raster.* cannot edit: train one with order=random, or a flow"
    ):
        edit(raster, file, mask=mask_file(tmp_path / "mask.png"), out=str(tmp_path / "out.png"))
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"mask": "small.png"},
            r"small\.png has 5 × 12 pixels and .*in\.png has 12 × 12: give a mask of the same size",
        ),
        ({"mask": "black.png"}, "has nothing white or transparent, so that nothing would be painted"),
        ({"mask": "text.png"}, "text.png cannot be used"),
        ({"mask": "gone.png"}, "gone.png cannot be read"),
        ({"outpaint": "1,2"}, "outpaint=1,2: must be one number, or four"),
        ({"strength": 0}, "strength=0: must be more than 0"),
        ({"text": ""}, "text="),
    ],
)
def test_what_cannot_be_edited_is_one_sentence(
    painter: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    file = as_file(tmp_path / "in.png", drawn("red", "circle"))
    mask_file(tmp_path / "small.png", 2, (5, 12))
    mask_file(tmp_path / "black.png", SIDE)
    (tmp_path / "text.png").write_text("no picture")
    if "mask" in options:
        options = {**options, "mask": str(tmp_path / options["mask"])}
    with pytest.raises(UsageError, match=told):
        edit(painter, file, **{"out": str(tmp_path / "out.png"), **options})


def test_a_picture_smaller_than_the_model_is_refused(painter: Path, tmp_path: Path) -> None:
    file = as_file(tmp_path / "in.png", drawn("red", "circle").resize((6, 20)))
    with pytest.raises(UsageError, match=r"edit needs an image of 12 × 12 pixels or larger"):
        edit(painter, file, out=str(tmp_path / "out.png"))


def odd_files(folder: Path) -> dict[str, str]:
    """A picture of every odd kind."""
    rgb = drawn("red", "circle")
    gray16 = Image.fromarray(np.full((SIDE, SIDE), 40_000, np.uint16))
    frames = [drawn("red", "circle"), drawn("blue", "square")]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    (folder / "animated.gif").write_bytes(animated.getvalue())
    return {
        "CMYK": as_file(folder / "cmyk.jpg", rgb.convert("CMYK"), quality=95),
        "16 bits": as_file(folder / "deep.png", gray16),
        "animated": str(folder / "animated.gif"),
        "palette": as_file(folder / "palette.png", rgb.convert("P")),
    }


@pytest.mark.parametrize("kind", ["CMYK", "16 bits", "animated", "palette"])
def test_odd_pictures_are_read_as_pictures_of_training_are(kind: str, tmp_path: Path) -> None:
    image, mask = read_canvas(odd_files(tmp_path)[kind], None, 3)
    assert image.shape == (SIDE, SIDE, 3) and mask is None
    red = image[MIDDLE, MIDDLE].astype(int)
    assert (red[0] > 150 > red[1]) if kind != "16 bits" else (np.abs(red - 40_000 / 257) <= 1).all()
