"""A translator of images as a user meets it: trained on two sides, resumed, asked for files of every kind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import luoxia
from luoxia.formats.registry import read_label

SMALL = ("width=4", "d_width=4", "blocks=1", "batch=2", "sample_every=0", "score_every=0", "device=cpu")
SIDES = ("data=dark", "against=bright")
CHEAP = ("extractor=none", "precision=fp32")


def square(rng, size=16):
    """A bright square on a dark ground."""
    image = np.full((size, size, 3), 25, np.uint8)
    top, left = rng.integers(1, size - 7, 2)
    image[top : top + 6, left : left + 6] = rng.integers(140, 230, 3)
    return image


@pytest.fixture
def sides(here):
    """Bright squares on a dark ground, and negatives of others."""
    rng = np.random.default_rng(0)
    for name in ("dark", "bright"):
        (here / name).mkdir()
        for i in range(30):
            image = square(rng) if name == "dark" else 255 - square(rng)
            Image.fromarray(image).save(here / name / f"{i:02}.png")
    return here


def records(run, kind):
    lines = map(json.loads, Path(run, "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line["kind"] == kind]


@pytest.fixture
def trained(sides, luoxia_command):
    def train(recipe, *words):
        result = luoxia_command("train", recipe, *SIDES, *SMALL, *words)
        assert result.exit_code == 0, result.stderr
        return result

    return train


def test_it_learns_to_invert_what_it_never_saw_inverted(trained):
    words = (
        "steps=130",
        "width=8",
        "d_width=8",
        "lr=5e-3",
        "schedule=constant",
        "identity=0",
        "ema.half_life=20",
    )
    trained("cyclegan", *words, *CHEAP, "out=run")
    rng, model = np.random.default_rng(7), luoxia.load("run")
    dark = np.stack([square(rng) for _ in range(8)])
    for source, direction in ((dark, "a2b"), (255 - dark, "b2a")):
        made = model.translate(source, direction).astype(int)
        error, floor = (np.abs(side.astype(int) - (255 - source)).mean() for side in (made, source))
        assert error < 0.2 * floor, (error, floor)


@pytest.mark.parametrize("recipe", ["cyclegan", "cut"])
def test_a_run_resumes_bit_for_bit_and_is_measured_again(trained, luoxia_command, refused, recipe):
    for out, steps in (("whole", 6), ("parts", 3)):
        trained(
            recipe,
            f"steps={steps}",
            "schedule=constant",
            "mirror=true",
            "size=12",
            "load_size=16",
            f"out={out}",
        )
    assert luoxia_command("resume", "parts", "steps=6").exit_code == 0
    whole, parts = (luoxia.load(out).networks.state_dict() for out in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[name], parts[name]) for name in whole)
    manifest = json.loads(Path("whole/run.json").read_text(encoding="utf-8"))
    assert manifest["data"]["counts"] == {"a": 30, "b": 30} and manifest["config"]["size"] == "12"
    assert Path(manifest["config"]["against"]).is_absolute()
    assert "AI-generated images" in Path("whole/report.html").read_text(encoding="utf-8")
    assert Path("whole/samples/step_000006.png").is_file() and Path("whole/scores/neighbors.png").is_file()
    measured = luoxia_command("measure", "parts", "--json")
    assert measured.exit_code == 0, measured.stderr
    first, again = [record["scores"] for record in records("parts", "score") if record["final"]][-2:]
    assert first == again
    names = {score["name"] for score in first}
    assert {"FD-self", "KID-self"} <= names
    assert ({"FD-self b2a", "cycle error a2b", "cycle error b2a"} <= names) == (recipe == "cyclegan")
    other = luoxia_command("measure", "parts", "data=bright", "against=dark", "n=5", "--json")
    assert json.loads(other.stdout)["scores"][0]["signature"]["fakes"] == 5
    assert "give data=IMAGES_OF_A against=IMAGES_OF_B" in refused(2, "measure", "parts", "data=bright")


def test_epochs_are_steps(trained):
    trained("cut", "epochs=2", "holdout=0.1", *CHEAP, "out=run")
    assert json.loads(Path("run/run.json").read_text(encoding="utf-8"))["config"]["steps"] == 27


# ---------------------------------------------------------------------- translate


@pytest.fixture
def run(trained):
    trained("cut", "steps=2", *CHEAP, "out=run")
    return Path("run")


@pytest.fixture
def mixed(here):
    """All sizes and modes, a broken file, a text, two files of one stem."""
    folder = here / "mixed"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(1)

    def noise(*shape):
        return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))

    noise(20, 33).save(folder / "gray.png")
    noise(17, 9, 4).save(folder / "clear.png")
    noise(40, 24, 3).save(folder / "more" / "photo.jpg")
    noise(5, 5, 3).save(folder / "tiny.webp", lossless=True)
    noise(8, 12, 3).save(folder / "twin.png")
    noise(9, 13, 3).save(folder / "twin.jpg")
    (folder / "broken.png").write_bytes((folder / "gray.png").read_bytes()[:90])
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_a_folder_of_everything(run, mixed, luoxia_command):
    result = luoxia_command("translate", run, mixed, "out=made", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert len(told["out"]) == told["translated"] == 6 and told["label"]["run"] == Path(run).name
    assert [skip["name"] for skip in told["skipped"]] == ["broken.png"]
    written = {str(path.relative_to("made")) for path in Path("made").rglob("*.png")}
    assert written == {"gray.png", "clear.png", "more/photo.png", "tiny.png", "twin.png.png", "twin.jpg.png"}
    sizes = {
        name: Image.open(Path("made", name)).size for name in ("gray.png", "clear.png", "more/photo.png")
    }
    assert sizes == {"gray.png": (33, 20), "clear.png": (9, 17), "more/photo.png": (24, 40)}
    label = read_label(Path("made/more/photo.png"))
    assert (label.recipe, label.run, label.step) == ("cut", "run", 2)
    assert (label.controls["direction"], label.parents[0].name) == ("a2b", "more/photo.jpg")
    assert len(label.parents[0].sha256) == len(label.model) == 64
    said = luoxia_command("translate", run, mixed, "out=again")
    assert (
        said.stdout.split() == ["out", "again", "translated", "6"] and "skipped broken.png: " in said.stderr
    )
    for name in written:
        assert np.array_equal(Image.open(Path("made", name)), Image.open(Path("again", name)))


def test_one_image_is_what_python_makes_of_it(run, mixed, luoxia_command):
    result = luoxia_command("translate", run, mixed / "twin.png", "out=one.png")
    assert result.exit_code == 0, result.stderr
    pixels = np.asarray(Image.open(mixed / "twin.png"))
    assert np.array_equal(Image.open("one.png"), luoxia.load("run").translate(pixels))
    assert luoxia_command("translate", run, mixed / "twin.png", "out=folder/").exit_code == 0
    assert Path("folder/twin.png").is_file()


def test_what_cannot_be_translated_is_one_sentence(run, mixed, refused, sides):
    assert "this model translates a2b only" in refused(2, "translate", run, mixed, "out=x", "direction=b2a")
    assert "direction" in refused(2, "translate", run, mixed, "out=x", "direction=sideways")
    assert "needs out=FOLDER" in refused(2, "translate", run, mixed)
    assert "there is nothing at nowhere" in refused(2, "translate", run, "nowhere", "out=x")
    assert "must be FOLDER/" in refused(2, "translate", run, mixed, "out=x.png")
    assert "none of the images" in refused(1, "translate", run, mixed / "broken.png", "out=x.png")
    assert "tile=70 is too small" in refused(2, "translate", run, mixed, "out=x", "tile=70")
    Path("empty").mkdir()
    assert "holds no image" in refused(1, "translate", run, "empty", "out=x")
    Path("full").mkdir()
    Path("full/x.png").touch()
    assert "already exists" in refused(2, "translate", run, mixed, "out=full")
    assert "and cannot sample; use luoxia translate" in refused(2, "sample", run)
    assert not Path("x").exists() and not Path("x.png").exists()


def test_bad_settings_are_one_sentence(sides, refused):
    def told(*words):
        return refused(2, "train", "cyclegan", *words, "out=new")

    assert "needs two sides" in told("data=dark")
    assert "nothing at" in told("data=dark", "against=light")
    assert "load" in told(*SIDES, "size=16", "load_size=12")
    assert "epochs=3 beside steps=5" in told(*SIDES, "epochs=3", "steps=5")
    assert "size=16 is too small for patch=70, which needs 24 pixels" in told(*SIDES, "patch=70")
    assert "patch=50: must be one of 16, 34, 70" in told(*SIDES, "patch=50")
    assert "loss" in told(*SIDES, "loss=hinge")
    assert not Path("new").exists()


def test_a_translator_is_exported_one_direction_to_a_file(run, luoxia_command):
    onnxruntime = pytest.importorskip("onnxruntime")
    assert luoxia_command("export", run, "out=a2b.onnx").stdout == "a2b.onnx\n"
    (value,) = onnxruntime.InferenceSession("a2b.onnx").get_inputs()
    assert value.name == "source" and value.shape[1] == luoxia.load(run).channels


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("direction=b2a", "out=t.onnx"), "direction=b2a: this model translates a2b only"),
        (("direction=up", "out=t.onnx"), "direction=up"),
        (("format=tensorflow", "out=t"), "format=tensorflow: must be onnx"),
        (("dtype=float16", "out=t.onnx"), "unknown key 'dtype'"),
    ],
)
def test_what_a_translator_cannot_be_exported_as(run, refused, words, told):
    assert told in refused(2, "export", run, *words)
