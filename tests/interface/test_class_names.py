"""Classes with the names of reserved words and numbers, asked for on the command line; the precision of a model."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import luoxia
from luoxia.formats.registry import read_label

Command = Callable[..., Result]
Refusal = Callable[..., str]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classes are called 1, none and some, in this order."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("named")
    rng = np.random.default_rng(0)
    for name in ("1", "none", "some"):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(
                folder / "data" / name / f"{i}.png"
            )
    keys = {"width": 4, "latent": 4, "size": 8, "extractor": "none", "device": "cpu", "sample_every": 0}
    settings = {**keys, "batch": 4, "steps": 2, "condition": "concat", "quiet": True, "holdout": 0}
    return luoxia.train("dcgan", data=str(folder / "data"), out=str(folder / "run"), **settings).path


def sampled(luoxia_command: Command, run: Path, *words: str) -> tuple[np.ndarray, object]:
    result = luoxia_command("sample", run, "n=3", "out=a.npz", "overwrite=true", *words)
    assert result.exit_code == 0, result.stderr
    with np.load("a.npz") as file:
        return file["labels"], json.loads(str(file["header"]))["luoxia"]["controls"]["label"]


def test_the_class_none_can_be_asked_for(luoxia_command: Command, refused: Refusal, named: Path) -> None:
    for words, labels, told in (
        (("label=none",), [1, 1, 1], "none"),
        (("label=1",), [0, 0, 0], "1"),
        (("label=2",), [2, 2, 2], "2"),
        ((), [0, 1, 2], None),
    ):
        found, label = sampled(luoxia_command, named, *words)
        assert (found.tolist(), label) == (labels, told)
    assert "label=: is empty" in refused(2, "sample", named, "label=", "out=b.npz")
    assert "label=x is not a class" in refused(2, "sample", named, "label=x", "out=b.npz")


def test_where_classes_are_numbers_a_number_is_a_name(named: Path) -> None:
    model = luoxia.load(named, device="cpu")
    model.classes = ("1", "2", "10")
    assert [model.labels(1, label).tolist() for label in ("1", 2, np.int64(10))] == [[0], [1], [2]]
    with pytest.raises(luoxia.UsageError, match="label=0 is not a class of this model; classes are 1, 2, 10"):
        model.labels(1, 0)


def test_the_class_none_is_that_of_every_verb(luoxia_command: Command, named: Path) -> None:
    words = ("seeds=1,2", "frames=2", "label=none", "out=walk.gif")
    assert luoxia_command("interpolate", named, *words).exit_code == 0
    assert read_label(Path("walk.gif")).controls["label"] == "none"
    photo = next((named.parent / "data" / "some").iterdir())
    words = ("steps=1", "extractor=pixels", "label=none", "out=found.npz")
    assert luoxia_command("project", named, photo, *words).exit_code == 0
    with np.load("found.npz") as file:
        assert file["labels"].tolist() == [1]


def test_the_word_none_unsets_where_no_class_has_that_name(luoxia_command: Command, finished: Path) -> None:
    result = luoxia_command("sample", finished, "n=2", "label=none", "out=a.png")
    assert result.exit_code == 0, result.stderr
    assert read_label(Path("a.png")).controls["label"] is None


def test_precision_is_given_when_a_model_is_loaded(named: Path) -> None:
    whole, half = luoxia.load(named, device="cpu"), luoxia.load(named, device="cpu", dtype="bfloat16")
    images, short = whole.sample(4), half.sample(4)
    assert np.abs(images.astype(int) - short).max() < 16
    assert np.array_equal(whole.sample(4, dtype=half.dtype), short)
    for settings, told in (
        ({"dtype": "float16"}, "dtype=float16: must be float32 or bfloat16"),
        ({"quantize": "int4"}, "quantize=int4: must be int8"),
        ({"quantize": "int8"}, "quantize=int8 is not for an image generator"),
    ):
        with pytest.raises(luoxia.UsageError, match=told):
            luoxia.load(named, **settings)
