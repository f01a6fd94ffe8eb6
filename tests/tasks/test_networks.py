"""A model folder is declarative: its network is built from config.json, without the recipe that trained it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import luoxia
from luoxia import registry
from luoxia.core.errors import LuoxiaError
from luoxia.tasks.base import imported
from luoxia.tasks.menu import RECIPES
from luoxia.tasks.networks import spec_of

IMAGES = {"size": 8, "batch": 4, "extractor": "none", "score_samples": 20}
GANS: dict[str, dict[str, Any]] = {
    "gan": {"width": 2, "latent": 4},
    "cgan": {"width": 2, "latent": 4},
    "dcgan": {"width": 4, "latent": 4},
    "wgan-gp": {"network": "resnet", "width": 4, "latent": 4},
    "r3gan": {"width": 4, "max_channels": 8, "latent": 4},
    "stylegan2": {"width": 4, "max_channels": 8, "latent": 4, "styles": 4},
    "transformer-gan": {"width": 8, "layers": 1, "heads": 2, "latent": 4},
}
TEXTS = {"layers": 1, "heads": 2, "width": 8, "vocabulary": 300, "score_samples": 0}


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """The run of a recipe, after a step."""
    monkeypatch.chdir(tmp_path)
    here = tmp_path
    name: str = request.param
    settings: dict[str, Any]
    if name in GANS:
        settings = {"data": classes(here / "data"), **IMAGES, **GANS[name]}
    elif name in ("cyclegan", "cut"):
        sides = {"data": photos(here / "a"), "against": photos(here / "b")}
        small = {"width": 4, "d_width": 4, "blocks": 1, "patch": 16}
        settings = {**sides, **small, **IMAGES, "size": 16, "batch": 1}
    elif name == "gpt":
        (here / "a.txt").write_text("The cat sat on the mat. " * 100)
        settings = {"data": "a.txt", "context": 16, "batch": 2, **TEXTS}
    elif name == "classify-text":
        rows = "".join(f"day {i},{('bad', 'good')[i % 2]}\n" for i in range(40))
        (here / "days.csv").write_text("text,label\n" + rows)
        settings = {"data": "days.csv", "label": "label", **TEXTS}
    else:
        for file, word in (("a.txt", "day"), ("b.txt", "Tag")):
            (here / file).write_text("".join(f"{word} {i}\n" for i in range(40)))
        settings = {"data": "a.txt", "against": "b.txt", **TEXTS}
        settings["batch"] = 64 if name == "translate" else 4
    quiet = {"sample_every": 0, "score_every": 0, "device": "cpu", "quiet": True}
    return luoxia.train(name, steps=1, **settings, **quiet).path.resolve()


def photos(folder: Path, n: int = 6) -> str:
    folder.mkdir(parents=True)
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return str(folder)


def classes(folder: Path) -> str:
    for name in ("cat", "dog"):
        photos(folder / name)
    return str(folder)


@pytest.mark.parametrize(
    "trained",
    [*GANS, "cyclegan", "cut", "gpt", "classify-text", "embed-text", "translate"],
    indirect=True,
)
def test_a_model_is_loaded_without_its_recipe(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = luoxia.load(trained)
    record = json.loads((trained / "model" / "config.json").read_text())
    monkeypatch.delitem(RECIPES, record["recipe"])  # as if a later version had it no more
    after = luoxia.load(trained / "model")
    assert after.details == before.details
    one, other = (getattr(model, "networks", None) or model.network for model in (before, after))
    assert one.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    assert str(one) == str(other)


@pytest.mark.parametrize("task", registry.TASKS)
def test_every_network_of_a_table_takes_sizes_that_json_keeps(task: str) -> None:
    from dataclasses import fields, is_dataclass
    from typing import get_type_hints

    for place in registry.task(task).networks.values():
        sizes = get_type_hints(imported(place).__init__)["config"]
        assert is_dataclass(sizes) and fields(sizes)
        assert sizes.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_what_is_no_size_is_a_sentence() -> None:
    from luoxia.nn.transformer_config import TransformerConfig

    good = {"vocabulary": 9, "width": 8, "heads": 2, "grid": [2, 3]}
    assert spec_of(TransformerConfig, good).grid == (2, 3)
    for wrong, words in (
        ({"heads": 3}, "is not a multiple of heads=3"),
        ({"heads": "2"}, "heads: input should be a valid integer"),
        ({"grid": [2, 10**20]}, "sizes that no network has"),
        ({"evil": 1}, "evil is not a size of this network"),
        ({"norm": "os.system"}, "norm: input should be"),
    ):
        with pytest.raises(ValueError, match=words):
            spec_of(TransformerConfig, {**good, **wrong})


@pytest.mark.parametrize("trained", ["stylegan2"], indirect=True)
@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"shape": [3, 2**22, 2**22]}, "larger than the weights|another network|cannot be built"),
        ({"shape": [3, 16, 16]}, "another network|holds no usable model"),
        ({"mapping_layers": 2**22}, "larger than the weights"),
        ({"latent": 2**22}, "larger than the weights|another network"),
        ({"width": 0}, "cannot be built|another network"),
        ({"styles": -1}, "cannot be built"),
    ],
)
def test_sizes_that_are_not_those_of_the_weights(trained: Path, sizes: dict[str, Any], words: str) -> None:
    path = trained / "model" / "config.json"
    told = json.loads(path.read_text())
    told["network"]["sizes"] |= sizes
    path.write_text(json.dumps(told))
    with pytest.raises(LuoxiaError, match=words):
        luoxia.load(trained)
