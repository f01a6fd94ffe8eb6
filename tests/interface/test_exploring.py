"""project, interpolate, mix, directions, export of images: as verbs, and what is wrong with what they are given."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

import luoxia
from luoxia.core.errors import OldNameWarning
from luoxia.formats.registry import read_label

Command = Callable[..., Result]
Refusal = Callable[..., str]


def told(result: Result) -> dict:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_projected_image_is_walked_from(luoxia_command: Command, photos: Path, run: Path) -> None:
    words = ("project", run, photos / "003.png", "steps=8", "extractor=pixels", "out=three.npz")
    first = told(luoxia_command(*words, "--json"))
    with np.load("three.npz") as file:
        assert file["z"].shape == (1, 4)
        assert file["image"].shape == (1, 8, 8, 3)
        assert json.loads(str(file["header"]))["luoxia"]["parents"][0]["name"] == "003.png"
    assert first["picture"] == "three.png"
    label = read_label(Path("three.png"))
    assert label.note.startswith(f"distance {first['distance']:.6g}") and first["pixels"] > 0
    assert label.parents[0].sha256 == hashlib.sha256((photos / "003.png").read_bytes()).hexdigest()
    again = told(luoxia_command("project", run, photos / "004.png", "steps=2", "extractor=self", "--json"))
    assert again["out"] == [str(run / "generated" / "001.npz")] and again["label"]["run"] == run.name
    assert again["extractor"] == "self"
    way = (
        "interpolate",
        run,
        f"latents=three.npz,{again['out'][0]}",
        "frames=3",
        "closed=false",
        "out=walk.gif",
    )
    assert luoxia_command(*way).exit_code == 0
    with Image.open("walk.gif") as gif:
        assert gif.n_frames == 4


def test_a_walk_as_video(luoxia_command: Command, run: Path) -> None:
    av = pytest.importorskip("av")
    result = luoxia_command("interpolate", run, "seeds=1,2", "frames=6", "fps=12", "out=walk.mp4")
    assert (result.exit_code, result.stdout) == (0, "walk.mp4\n")
    frames = luoxia.load(run).walk(luoxia.load(run).latents(1, 1).repeat(2, 1), 1)
    with av.open("walk.mp4") as video:
        stream = video.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
        assert (len(pictures), stream.average_rate) == (12, 12)
        assert json.loads(video.metadata["luoxia"])["controls"]["seeds"] == [1, 2]
    assert pictures[0].shape == (256, 256, 3)
    small = pictures[0].reshape(8, 32, 8, 32, 3).mean((1, 3))
    assert np.abs(small - frames[0]).mean() < 12  # H.264 halves the color's resolution


def test_directions_and_samples_along_them(luoxia_command: Command, run: Path) -> None:
    found = told(luoxia_command("directions", run, "n=3", "out=d.npz", "--json"))
    with np.load("d.npz") as file:
        assert file["directions"].shape == (3, 4)
        np.testing.assert_allclose(file["eigenvalues"], found["eigenvalues"], rtol=1e-5)
        assert str(file["space"]) == "z"
    assert Path(found["picture"]).name == "d.png"
    with pytest.warns(
        OldNameWarning, match="the verb directions: luoxia directions RUN direction=0; the key"
    ):
        assert luoxia_command("sample", run, "n=2", "direction=1", "strength=2", "out=a.npz").exit_code == 0
    with np.load("a.npz") as file:
        assert np.array_equal(file["images"], luoxia.load(run).along(1, 2.0, 2))
        assert json.loads(str(file["header"]))["luoxia"]["controls"]["direction"] == 1
        before = file["images"]
    moved = luoxia_command("directions", run, "direction=1", "strength=2", "n=2", "out=b.npz")
    assert moved.exit_code == 0, moved.stderr
    with np.load("b.npz") as file:
        assert np.array_equal(file["images"], before)
    assert (
        luoxia_command("directions", run, "direction=0", "strength=-2", "n=4", "out=grid.png").exit_code == 0
    )
    assert Path("grid.png").is_file()


def test_the_help_of_a_run_lists_its_keys(luoxia_command: Command, run: Path) -> None:
    tuned, resumed = (luoxia_command(verb, run, "--help", "--all").stdout for verb in ("finetune", "resume"))
    assert "freeze_d" in tuned and "gamma" in tuned
    assert "checkpoint_every" in resumed and "gamma" not in resumed
    assert "is not there" in luoxia_command("resume", "nowhere", "--help").stdout


def test_samples_in_bfloat16_differ_by_rounding_and_say_so(luoxia_command: Command, run: Path) -> None:
    assert luoxia_command("sample", run, "n=3", "precision=bf16", "out=half.npz").exit_code == 0
    with np.load("half.npz") as file:
        apart = np.abs(file["images"].astype(float) - luoxia.load(run).sample(3))
        assert json.loads(str(file["header"]))["luoxia"]["controls"]["precision"] == "bf16"
    assert 0 < apart.mean() < 2


def test_a_generator_for_onnxruntime(luoxia_command: Command, run: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    assert luoxia_command("export", run, "out=g.onnx").stdout == "g.onnx\n"
    z = luoxia.load(run).latents(5, 2).numpy()
    (images,) = onnxruntime.InferenceSession("g.onnx").run(None, {"z": z})
    found = np.rint((images.transpose(0, 2, 3, 1) + 1) * 127.5)
    assert np.abs(found - luoxia.load(run).sample(5, 2)).max() <= 1


BAD = [
    (("project", "run", "nowhere.png"), "image nowhere.png cannot be read"),
    (("project", "run", "photos"), "image photos cannot be read"),
    (("project", "run", "broken.png"), "image broken.png cannot be used: not an image"),
    (("project", "run", "cut.png"), "image cut.png cannot be used: cannot be decoded"),
    (("project", "run", "photos/000.png", "label=3"), "label= needs a conditional model"),
    (
        ("project", "run/model", "photos/000.png", "extractor=self"),
        "run/model is a model alone: give extractor=pixels",
    ),
    (("project", "run", "photos/000.png", "steps=0"), "steps=0: must be 1 or more"),
    (("project", "run", "photos/000.png", "out=a.png"), "out=a.png: must be FILE.npz"),
    (("interpolate", "run", "seeds=1"), "interpolate needs two latents or more"),
    (("interpolate", "run", "seeds=1,x"), "seeds=x: must be a whole number"),
    (("interpolate", "run", "seeds=-1,2"), "seeds=-1: must be 0 or more"),
    (("interpolate", "run", "out=walk.avi"), "out=walk.avi: must be FILE.mp4 or FILE.gif"),
    (("interpolate", "run", "latents=broken.png"), "latents=broken.png cannot be read"),
    (("interpolate", "run", "latents=none.npz"), "latents=none.npz cannot be read: No such file"),
    (
        ("interpolate", "run", "latents=other.npz"),
        "holds no latents of this model: they are an array z of n × 4",
    ),
    (("interpolate", "run", "label=seven"), "label= needs a conditional model"),
    (("mix", "run"), "mix needs a model with styles"),
    (("mix", "run", "rows=none"), "rows="),
    (("directions", "nowhere"), "nowhere is not there: give the folder of a run or of a model"),
    (("sample", "run", "direction=4"), "direction=4: this model has the directions 0 to 3"),
    (("export", "run"), "export needs out="),
    (("export", "run", "out=g.pt"), "out=g.pt: must be FILE.onnx"),
    (
        ("export", "run", "format=huggingface", "out=g"),
        "format=huggingface: must be one of onnx or tensorflow",
    ),
    (("export", "run", "direction=a2b", "out=g.onnx"), "unknown key 'direction'"),
    (("export", "run", "dtype=bfloat16", "out=g.onnx"), "unknown key 'dtype'"),
    (("export", "run", "out=photos/000.onnx"), "already exists"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_requests(refused: Refusal, photos: Path, run: Path, words: tuple[str, ...], said: str) -> None:
    Path("broken.png").write_bytes(b"nonsense")
    Path("cut.png").write_bytes((photos / "000.png").read_bytes()[:60])
    (photos / "000.onnx").touch()
    np.savez("other.npz", z=np.zeros((2, 7), np.float32))
    assert said in refused(2, *words)
    assert not (run / "generated").exists()


def test_without_the_packages_of_an_extra(
    refused: Refusal, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("av", "onnx", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "needs the extra 'video'" in refused(1, "interpolate", run, "out=walk.mp4")
    assert "needs the extra 'onnx'" in refused(1, "export", run, "out=g.onnx")
    assert "needs the extra 'tensorflow'" in refused(1, "export", run, "format=tensorflow", "out=g")


# ------------------------------------------------------------------ scores of arrays


def test_scores_of_any_frameworks_images(here: Path, photos: Path) -> None:
    rng = np.random.default_rng(1)
    fakes, reals = rng.integers(0, 256, (2, 30, 8, 8, 3), dtype=np.uint8)
    found = luoxia.measure(data=fakes, against=reals, n=30)
    np.savez("fakes.npz", images=fakes)
    np.savez("reals.npz", images=reals)
    same = luoxia.measure(data="fakes.npz", against="reals.npz", n=30)
    assert found["FD-self"].signature["fakes"] == 30
    assert found["precision"].value == same["precision"].value
    assert luoxia.measure(data=fakes, against=luoxia.open_images(photos))["recall"].signature["reals"] == 12


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8, 3)), np.zeros((1, 8, 8, 3), np.uint8)]
)
def test_arrays_that_are_no_images(bad: np.ndarray, run: Path) -> None:
    good = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(luoxia.UsageError, match=r"data= is .*: give a path, or two images or more as uint8"):
        luoxia.measure(data=bad, against=good)
    with pytest.raises(luoxia.UsageError, match="against= is"):
        luoxia.measure(data=good, against=bad)
    with pytest.raises(luoxia.UsageError, match="without a run"):
        luoxia.measure(run, data=good)
