"""Image generators that begin with the weights of a run: what is carried over, what is frozen, what is reported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from safetensors.torch import load_file

import luoxia
from luoxia.tasks.finetuning import INHERITED, per_run
from luoxia.tasks.image_generation.recipes.gan import DCGAN
from luoxia.tasks.shared.image_recipe import ImageRecipe
from luoxia.training.checkpoint import load_latest

Command = Callable[..., Result]
Refusal = Callable[..., str]
FEW = ("extractor=none", "device=cpu", "steps=3", "log_every=1")


def weights(run: Path, name: str) -> dict[str, torch.Tensor]:
    return load_latest(run / "checkpoints").tensors[name]


def test_frozen_blocks_are_those_of_the_run(luoxia_command: Command, photos: Path, run: Path) -> None:
    result = luoxia_command("finetune", run, f"data={photos}", *FEW, "freeze_d=2", "out=tuned")
    assert result.exit_code == 0, result.stderr
    before, after = weights(run, "discriminator"), weights(Path("tuned"), "discriminator")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {"layers.0.weight", "layers.0.bias", "layers.3.weight", "layers.3.bias"}
    manifest = json.loads(Path("tuned/run.json").read_text())
    assert manifest["origin"]["step"] == 20
    assert manifest["origin"]["networks"]["generator"]["fresh"] == []
    assert manifest["config"]["lr"] == json.loads((run / "run.json").read_text())["config"]["lr"] / 2
    assert "generator: 8 of 8 tensors (100.0% of the numbers) carried over from run, step 20" in result.stderr
    assert 'id="origin"' in Path("tuned/report.html").read_text()


@pytest.mark.parametrize(
    ("words", "asked", "kept"),
    [
        (
            ("optimizer=sgd", "optimizer.momentum=0.5"),
            ("optimizer.grad_clip=1",),
            {"name": "sgd", "momentum": 0.5, "grad_clip": 1},
        ),
        # what every optimizer has by default, and this recipe has not
        (("optimizer.betas=0.5,0.999",), ("optimizer.grad_clip=1",), {"betas": [0.5, 0.999], "grad_clip": 1}),
        (("optimizer.betas=0.5,0.999",), (), {"betas": [0.5, 0.999], "grad_clip": 0}),
        (("optimizer.betas=0.5,0.9",), ("optimizer=adamw",), {"name": "adamw", "betas": [0.5, 0.9]}),
    ],
)
def test_the_optimizer_of_the_run_is_kept_beside_what_is_asked(
    luoxia_command: Command,
    photos: Path,
    tiny: tuple[str, ...],
    words: tuple[str, ...],
    asked: tuple[str, ...],
    kept: dict[str, object],
) -> None:
    first = luoxia_command("train", "dcgan", f"data={photos}", *tiny, *words, "steps=1", "out=first")
    assert first.exit_code == 0, first.stderr
    tuned = luoxia_command("finetune", "first", f"data={photos}", *FEW, *asked, "out=tuned")
    assert tuned.exit_code == 0, tuned.stderr
    optimizer = json.loads(Path("tuned/run.json").read_text())["config"]["optimizer"]
    assert optimizer == optimizer | kept


def test_the_generator_begins_as_the_average(photos: Path, run: Path) -> None:
    tuned = luoxia.finetune(
        run, data=str(photos), steps=1, lr=1e-12, extractor="none", device="cpu", quiet=True
    )
    before, after = (
        load_file(run / "model/model.safetensors"),
        load_file(tuned.path / "model/model.safetensors"),
    )
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-7)


def test_other_channels_and_sizes(luoxia_command: Command, photos: Path, run: Path) -> None:
    result = luoxia_command("finetune", run, f"data={photos}", *FEW, "channels=1", "size=6x8", "out=tuned")
    assert result.exit_code == 0, result.stderr
    networks = json.loads(Path("tuned/run.json").read_text())["origin"]["networks"]
    assert networks["generator"]["fresh"] == ["layers.9.weight", "layers.9.bias"]
    assert networks["discriminator"]["fresh"] == ["layers.0.weight"]
    assert "initialized from scratch: layers.9.weight, layers.9.bias" in result.stderr
    assert luoxia.load("tuned").sample(2).shape == (2, 6, 8, 1)


def test_keys_of_a_run_are_not_inherited() -> None:
    """Of the keys that recipes of images share only the shape of the images is, and how a model was trained."""
    own = per_run(DCGAN)
    assert set(ImageRecipe.model_fields) - own == INHERITED | {"size", "channels"}
    assert {"data", "out", "steps", "seed", "device", "extractor", "init", "freeze_d"} <= own
    assert not {"width", "loss", "penalty", "gamma", "condition", "augment"} & own


def test_classes_are_carried_over_by_name(
    luoxia_command: Command, here: Path, tiny: tuple[str, ...], photographed: Callable[..., Path]
) -> None:
    for folder, names in (("old", ("cat", "dog")), ("new", ("ape", "dog"))):
        for name in names:
            photographed(here / folder / name, 4)
    words = ("condition=concat", "holdout=0")
    first = luoxia_command("train", "dcgan", "data=old", *tiny, *words, "steps=1", "out=first")
    assert first.exit_code == 0, first.stderr
    tuned = luoxia_command(
        "finetune", "first", "data=new", *FEW, "lr=1e-12", "seed=7", "holdout=0", "out=tuned"
    )
    assert tuned.exit_code == 0, tuned.stderr
    assert "classes: carried over by name dog; new ape; left out cat" in tuned.stderr
    told = json.loads(Path("tuned/run.json").read_text())["origin"]["classes"]
    assert told == {"carried": ["dog"], "fresh": ["ape"], "left": ["cat"]}
    before, after = (load_file(f"{run}/model/model.safetensors") for run in ("first", "tuned"))
    (key,) = [name for name in before if name.endswith("embedding.weight")]
    torch.testing.assert_close(after[key][1], before[key][1], rtol=1e-5, atol=1e-7)
    assert (after[key][0] - before[key][0]).abs().max() > 1e-3, "no ape was a cat"
    assert "Classes new" in Path("tuned/report.html").read_text(encoding="utf-8")


def test_new_classes(
    luoxia_command: Command, here: Path, run: Path, photographed: Callable[..., Path]
) -> None:
    for name in ("cat", "dog", "owl"):
        photographed(here / "animals" / name, 4)
    words = ("finetune", run, "data=animals", *FEW, "condition=projection", "out=tuned", "holdout=0")
    assert luoxia_command(*words).exit_code == 0
    networks = json.loads(Path("tuned/run.json").read_text())["origin"]["networks"]
    assert networks["discriminator"]["fresh"] == ["critic.projection.weight"]
    assert luoxia_command("sample", "tuned", "label=owl", "n=2", "out=owl.png").exit_code == 0


def test_resuming_needs_no_origin_and_is_bit_for_bit(
    luoxia_command: Command, photos: Path, run: Path
) -> None:
    words = ("finetune", run, f"data={photos}", "extractor=none", "device=cpu", "freeze_d=1")
    assert luoxia_command(*words, "steps=6", "out=whole").exit_code == 0
    assert luoxia_command(*words, "steps=3", "out=parts").exit_code == 0
    shutil.rmtree(run)
    resumed = luoxia_command("resume", "parts", "steps=6")
    assert resumed.exit_code == 0, resumed.stderr
    for name in ("generator", "discriminator", "ema_generator", "optimizer_discriminator"):
        whole, parts = weights(Path("whole"), name), weights(Path("parts"), name)
        assert all(torch.equal(value, parts[key]) for key, value in whole.items())
    assert json.loads(Path("parts/run.json").read_text())["origin"]["run"] == "run"


def test_a_model_folder_alone_has_no_discriminator(luoxia_command: Command, photos: Path, run: Path) -> None:
    result = luoxia_command("finetune", run / "model", f"data={photos}", *FEW, "out=tuned")
    assert result.exit_code == 0, result.stderr
    assert "discriminator: run has no weights for it; it is initialized from scratch" in result.stderr


def test_a_dry_run_tells_what_would_be_carried_over(luoxia_command: Command, photos: Path, run: Path) -> None:
    words = ("finetune", run, f"data={photos}", "channels=1", "--dry-run")
    shown = luoxia_command(*words)
    assert shown.exit_code == 0, shown.stderr
    assert "carried:    6 of 8 tensors of the generator (" in shown.stdout
    planned = json.loads(luoxia_command(*words, "--json").stdout)
    assert planned["config"]["steps"] == 5  # a quarter of the run's
    assert planned["origin"]["networks"]["generator"]["tensors"] == 6


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("finetune", "nowhere", "data=photos"),
            "nowhere is not there: give the folder of a run or of a model",
        ),
        (("finetune", "run"), "finetune needs data to learn from: luoxia finetune run data=PATH"),
        (("finetune", "run", "data=photos", "freeze_d=9"), "freeze_d=9: this discriminator has 3 blocks"),
        (("finetune", "run", "data=photos", "freezed=1"), "unknown key 'freezed'; did you mean freeze_d"),
        (("finetune", "run", "data=photos", "network=resnet"), "no weight of the generator at"),
        (
            ("train", "gan", "data=photos", "freeze_d=1"),
            "freeze_d= keeps trained blocks: name the run as init=",
        ),
        (("train", "gan", "data=photos", "init=nowhere"), "nowhere is not there"),
        (("finetune", "run", "data=photos", "condition=concat"), "condition=concat needs labeled data"),
    ],
)
def test_bad_requests(refused: Refusal, photos: Path, run: Path, words: tuple[str, ...], told: str) -> None:
    assert told in refused(2, *words)
    assert not Path("runs").exists() or not any(Path("runs").iterdir())


def test_a_damaged_model(refused: Refusal, photos: Path, run: Path) -> None:
    (run / "model/model.safetensors").write_bytes(b"nonsense")
    assert "holds no usable model" in refused(1, "finetune", "run", "data=photos")
