import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import luoxia
from luoxia.cli.main import app
from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.formats.registry import read_label
from luoxia.tasks.image_generation.spaces import slerp


def sample(*words: object) -> Path:
    result = CliRunner().invoke(app, ["sample", *map(str, words), "--json"])
    assert result.exit_code == 0, result.stderr
    files = [Path(file) for file in json.loads(result.stdout)["out"]]
    return files[0] if len(files) == 1 else files[0].parent


# ------------------------------------------------------------------ the same seed, the same image


@pytest.mark.parametrize("n", [1, 7, 64, 65])
def test_an_image_does_not_depend_on_how_many_are_asked_for(plain: Path, classy: Path, n: int) -> None:
    for run in (plain, classy):
        generator = luoxia.load(run)
        all_of_them = generator.sample(200, seed=5)
        assert all_of_them.shape == (200, 8, 8, 1)
        assert all_of_them.dtype == np.uint8
        assert generator.sample(n, seed=5).tobytes() == all_of_them[:n].tobytes()


def test_nor_on_what_was_sampled_before(plain: Path) -> None:
    generator = luoxia.load(plain)
    first = generator.sample(4, seed=1)
    torch.manual_seed(99)
    generator.sample(3, seed=2)
    assert (generator.sample(4, seed=1) == first).all()
    assert (luoxia.load(plain).sample(4, seed=1) == first).all()


def test_seeds_and_images_differ(plain: Path) -> None:
    generator = luoxia.load(plain)
    images = np.concatenate([generator.sample(8, seed=0), generator.sample(8, seed=1)])
    assert len({image.tobytes() for image in images}) == 16


def test_latents_are_standard_normal(plain: Path) -> None:
    z = luoxia.load(plain).latents(4000, seed=0)
    assert z.dtype == torch.float32
    assert abs(z.mean().item()) < 0.02
    assert abs(z.std().item() - 1) < 0.02


def test_the_model_folder_alone_is_enough(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for file in (plain / "model").iterdir():
        (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    assert (luoxia.load(tmp_path / "model").sample(4) == luoxia.load(plain).sample(4)).all()
    with pytest.raises(UsageError, match=r"^ema=false needs a run's folder"):
        luoxia.load(tmp_path / "model", ema=False)


# ------------------------------------------------------------------ controls


def test_classes_by_name_number_and_in_turn(classy: Path) -> None:
    generator = luoxia.load(classy)
    sevens = generator.sample(10, label="7")
    assert (generator.sample(10, label=7) == sevens).all()
    assert (generator.sample(10, label="3") != sevens).any()
    in_turn = generator.sample(10)
    assert (in_turn[7] == sevens[7]).all()
    assert generator.labels(12).tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize("label", ["seven", "10", "-1", ""])
def test_a_class_that_is_none(classy: Path, label: str) -> None:
    with pytest.raises(
        UsageError, match=rf"^label={label} is not a class of this model; classes are 0, 1, 2"
    ):
        luoxia.load(classy).sample(1, label=label)


def test_a_class_asked_of_a_model_without(plain: Path) -> None:
    with pytest.raises(UsageError, match=r"^label= needs a conditional model; train with condition="):
        luoxia.load(plain).sample(1, label=3)


def test_truncation_makes_images_alike(plain: Path) -> None:
    generator = luoxia.load(plain)
    spread = [generator.sample(64, truncation=t).astype(float).std(0).mean() for t in (1.0, 0.5, 1e-6)]
    assert spread[0] > spread[1] > spread[2]
    assert spread[2] < 0.1


def test_the_last_weights_differ_from_their_average(plain: Path) -> None:
    averaged, last = luoxia.load(plain).sample(8), luoxia.load(plain, ema=False).sample(8)
    assert (averaged != last).any()


def test_a_walk_passes_its_keys_and_closes(plain: Path) -> None:
    generator = luoxia.load(plain)
    walk = generator.interpolate(keys=3, frames=16, seed=2)
    assert walk.shape == (48, 8, 8, 1)
    keys = generator.sample(3, seed=2).astype(int)
    assert abs(walk[::16].astype(int) - keys).max() <= 1  # computed beside others: a rounding apart
    steps = abs(np.diff(np.concatenate([walk, walk[:1]]).astype(float), axis=0)).mean((1, 2, 3))
    assert steps[-1] < 3 * np.median(steps)  # the last frame leads to the first


def test_a_walk_of_a_conditional_model_keeps_to_one_class(classy: Path) -> None:
    generator = luoxia.load(classy)
    assert (generator.interpolate(2, 4) == generator.interpolate(2, 4, label=0)).all()
    assert (generator.interpolate(2, 4) != generator.interpolate(2, 4, label=5)).any()


def test_slerp_stays_on_the_sphere() -> None:
    a, b = torch.eye(2)
    points = slerp(a, b, torch.linspace(0, 1, 5)[:, None])
    assert torch.allclose(points.norm(dim=1), torch.ones(5))
    assert torch.allclose(points[[0, -1]], torch.eye(2), atol=1e-6)
    assert torch.allclose(slerp(a, a, torch.tensor([[0.5]])), a[None])


# ------------------------------------------------------------------ files


def test_a_sheet_says_where_it_comes_from(plain: Path, tmp_path: Path) -> None:
    path = sample(plain, "n=6", "seed=3", "columns=3", f"out={tmp_path}/a.png")
    label = read_label(path)
    assert label is not None
    assert (label.recipe, label.run, label.step, label.seed) == ("gan", "plain", 30, 3)
    assert label.controls == {"label": None, "n": 6, "truncation": 1.0, "ema": True}
    manifest = json.loads((plain / "run.json").read_text())
    assert label.data == manifest["data"]["fingerprint"]
    weights = (plain / "model" / "model.safetensors").read_bytes()
    assert label.model == hashlib.sha256(weights).hexdigest()
    with Image.open(path) as image:
        assert image.size == (3 * 58 + 2, 2 * 58 + 2)


def test_the_runs_own_sheets_say_so_too(plain: Path) -> None:
    label = read_label(plain / "samples" / "step_000030.png")
    assert label is not None
    assert (label.recipe, label.run, label.step, label.seed) == ("gan", "plain", 30, 0)


def test_a_folder_of_images(classy: Path, tmp_path: Path) -> None:
    folder = sample(classy, "n=3", "label=4", f"out={tmp_path}/many/")
    images = luoxia.load(classy).sample(3, label="4")
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    for index, file in enumerate(files):
        label = read_label(file)
        assert label is not None and (label.index, label.controls["label"]) == (index, "4")
        with Image.open(file) as image:
            assert (np.asarray(image) == images[index, ..., 0]).all()


def test_an_array_file_equals_the_python_call(plain: Path, classy: Path, tmp_path: Path) -> None:
    with np.load(sample(classy, "n=70", "seed=2", "truncation=0.7", f"out={tmp_path}/a.npz")) as file:
        assert sorted(file) == ["header", "images", "labels"]
        assert file["images"].dtype == np.uint8
        assert file["images"].shape == (70, 8, 8, 1)
        assert (file["images"] == luoxia.load(classy).sample(70, 2, truncation=0.7)).all()
        assert file["labels"].tolist() == [i % 10 for i in range(70)]
        assert json.loads(str(file["header"]))["luoxia"]["controls"]["truncation"] == 0.7
    with np.load(sample(plain, "n=2", f"out={tmp_path}/b.npz")) as file:
        assert sorted(file) == ["header", "images"]


def test_an_animation_has_frames_times_keys(plain: Path, tmp_path: Path) -> None:
    path = sample(plain, "n=3", "interpolate=5", f"out={tmp_path}/a.gif")
    with Image.open(path) as image:
        assert image.n_frames == 15
    label = read_label(path)
    assert label is not None and label.controls["interpolate"] == 5


@pytest.mark.parametrize(
    ("out", "folder"), [("A.PNG", False), ("B.Npz", False), ("v1.2/", True), ("plain", True)]
)
def test_the_ending_decides_what_is_written(plain: Path, tmp_path: Path, out: str, folder: bool) -> None:
    assert sample(plain, "n=2", f"out={tmp_path}/{out}").is_dir() == folder


def test_without_out_nothing_is_overwritten(plain: Path) -> None:
    paths = [sample(plain, "n=1"), sample(plain, "n=2"), sample(plain, "n=1", "interpolate=2")]
    assert len(set(paths)) == 3
    assert all(path.parent == plain / "generated" for path in paths)
    assert paths[2].suffix == ".gif"


# ------------------------------------------------------------------ damage


def copied(run: Path, to: Path) -> Path:
    for file in (run / "model").iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.safetensors", b""),
        ("model.safetensors", b"\0" * 100),
        ("model.safetensors", None),
        ("config.json", b"{"),
        ("config.json", b"{}"),
        ("config.json", b"[]"),
    ],
)
def test_a_damaged_model(plain: Path, tmp_path: Path, file: str, content: bytes | None) -> None:
    model = copied(plain, tmp_path)
    (model / file).unlink() if content is None else (model / file).write_bytes(content)
    with pytest.raises(LuoxiaError, match=rf"^{model} (holds no usable model|is damaged): "):
        luoxia.load(model)


def test_weights_of_another_network(plain: Path, classy: Path, tmp_path: Path) -> None:
    model = copied(plain, tmp_path)
    (model / "model.safetensors").write_bytes((classy / "model" / "model.safetensors").read_bytes())
    with pytest.raises(LuoxiaError, match="holds no usable model") as caught:
        luoxia.load(model)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_model_of_a_newer_version(plain: Path, tmp_path: Path) -> None:
    model = copied(plain, tmp_path)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "format": 99, "luoxia": "9.9"}))
    with pytest.raises(UsageError, match=r"was written by Luoxia 9\.9, newer than this one; upgrade luoxia$"):
        luoxia.load(model)
