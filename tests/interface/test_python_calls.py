"""What Python may hand over: paths, runs, NumPy's numbers and devices, refused and accepted as on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result

import luoxia
from luoxia.cli.table import VERBS
from luoxia.media.image.extractors import base
from luoxia.metrics.score import Score, Scores
from luoxia.runs.run import Run
from luoxia.tasks.image_generation.settings import InterpolateSettings
from luoxia.tasks.menu import RECIPES, configure
from luoxia.tasks.shared import image_measuring as measuring
from luoxia.tasks.shared import image_stage as pictures
from luoxia.training.hardware import choose_device
from luoxia.verbs.train import plan_finetune

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def generator(finished: Path) -> Any:
    return luoxia.load(finished)


def refusal(call: Callable[..., Any], *args: Any, **keywords: Any) -> str:
    with pytest.raises(luoxia.UsageError) as caught:
        call(*args, **keywords)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------ accepted


def test_a_run_is_its_folder(finished: Path, photos: Path, here: Path) -> None:
    run = Run.open(finished)
    assert np.array_equal(luoxia.load(run).sample(2), luoxia.load(str(finished)).sample(2))
    by_run = luoxia.measure(run, data=photos, n=np.int64(10))
    by_path = luoxia.measure(finished, data=str(photos), n=10, device=torch.device("cpu"))
    assert by_run["FD-self"] == by_path["FD-self"]
    planned = plan_finetune(run, data=photos, steps=np.int32(3), device=torch.device("cpu"))
    assert (planned["config"]["steps"], planned["config"]["data"]) == (3, str(photos.resolve()))


def test_values_of_other_libraries_are_what_they_hold() -> None:
    given = {
        "size": np.int64(64), "steps": np.float64(20), "lr": torch.tensor(0.5), "spectral_norm": np.True_,
        "device": torch.device("cpu"), "data": Path("photos"), "loss": np.str_("hinge"),
        "optimizer": {"betas": np.array([0.0, 0.9])},
    }  # fmt: skip
    made = configure("gan", given)
    assert (made.size, made.steps, made.lr, made.spectral_norm) == ((64, 64), 20, 0.5, True)
    assert (made.device, made.data, made.loss, made.optimizer.betas) == ("cpu", "photos", "hinge", (0.0, 0.9))
    assert InterpolateSettings.from_settings({"seeds": range(3)}).seeds == (0, 1, 2)


def test_a_generator_takes_numpys_numbers(generator: Any) -> None:
    assert np.array_equal(generator.sample(np.int64(2), np.uint8(3)), generator.sample(2, 3))
    assert np.array_equal(
        generator.sample(2, truncation=np.float32(0.5)), generator.sample(2, truncation=0.5)
    )


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"n": True}, "n=true: must be a whole number"),
        ({"n": np.True_}, "n=true: must be a whole number"),
        ({"n": 1.5}, "n=1.5: must be a whole number"),
        ({"n": 0}, "n=0: must be 1 or more"),
        ({"seed": 1.5}, "seed=1.5: must be a whole number"),
        ({"seed": -1}, "seed=-1: must be 0 or more"),
        ({"truncation": float("nan")}, "truncation=nan: must be a finite number"),
        ({"truncation": True}, "truncation=true: must be a number"),
        ({"truncation": 2}, "truncation=2: must be 1 or less"),
    ],
)
def test_a_generator_refuses_what_the_command_line_does(
    generator: Any, refused: Callable[..., str], finished: Path, keywords: dict[str, Any], told: str
) -> None:
    assert refusal(generator.sample, **keywords) == told
    ((key, value),) = keywords.items()
    word = f"{key}={str(value).lower()}"
    assert refused(2, "sample", finished, word) == told


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda run: luoxia.load(run, ema="maybe"), "ema=maybe: must be true or false"),
        (lambda run: luoxia.load(run, device=3), "device=3: must be text, such as a name or a path"),
        (lambda run: luoxia.load(3), "load needs the path of a run or of a model, not 3"),
        (lambda run: luoxia.load(""), "load needs the path of a run or of a model, not "),
        (lambda run: luoxia.measure(run, seed=1.5), "seed=1.5: must be a whole number"),
        (lambda run: luoxia.measure(run, n=True), "n=true: must be a whole number"),
        (
            lambda run: luoxia.measure(run, foo=1),
            "unknown key 'foo'; known are run, data, against, extractor",
        ),
        (lambda run: luoxia.measure(run, dat="x"), "unknown key 'dat'; did you mean data"),
        (lambda run: luoxia.load(run, devices="cpu"), "unknown key 'devices'; did you mean device"),
        (lambda run: luoxia.export(run, "x", fromat="onnx"), "unknown key 'fromat'; did you mean format"),
        (lambda run: luoxia.measure(3), "measure needs the path of a run or of a model, not 3"),
        (lambda run: luoxia.resume(None), "resume needs the path of a run or of a model, not None"),
        (lambda run: luoxia.export(run, 3), "out=3: must be text, such as a name or a path"),
        (
            lambda run: luoxia.export(run, "x", format="pickle"),
            "format=pickle: must be one of onnx or tensorflow",
        ),
        (lambda run: luoxia.train("gan", lr=True), "lr=true: must be a number"),
        (lambda run: luoxia.train("gan", batch=True), "batch=true: must be a whole number"),
        (lambda run: luoxia.train("gan", size=6.5), "size=6.5: must be a number of pixels such as 64, "),
        (
            lambda run: luoxia.train("gan", data=np.zeros((4, 8, 8, 3), np.uint8)),
            "data=an array of uint8 (4, 8, 8, 3): must be text, such as a name or a path",
        ),
        (lambda run: luoxia.train(3), "a recipe is a name such as dcgan, or a Recipe, not 3"),
    ],
)
def test_functions_refuse_in_one_sentence(finished: Path, call: Callable[[Path], Any], told: str) -> None:
    assert refusal(call, finished).startswith(told)


def test_a_score_that_is_not_there() -> None:
    class Some(Scores):
        scores = [Score(name, 1.0, None, None, None, "authenticity") for name in ("precision", "recall")]  # noqa: RUF012

    some = Some()
    assert some["recall"].name == "recall"
    with pytest.raises(KeyError) as caught:
        some["nope"]
    assert isinstance(caught.value, luoxia.UsageError)
    assert str(caught.value) == "no score is called 'nope'; there are precision, recall"
    with pytest.raises(KeyError, match=r"^no score is called 'recal'; did you mean recall"):
        some["recal"]


# ------------------------------------------------------------------ devices


def test_every_verb_takes_the_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    models = [keys for verb in VERBS if verb.keys for keys in verb.key_classes()]
    with_device = [model for model in [*models, *RECIPES.values()] if "device" in model.model_fields]
    assert len(with_device) > 20
    assert {model().device for model in with_device} == {"auto"}
    assert inspect.signature(luoxia.load).parameters["device"].default == "auto"
    assert inspect.signature(luoxia.measure).parameters["device"].default == "auto"
    assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == torch.device("cuda")


def test_scores_are_worked_out_on_the_device_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):  # noqa: N818
        pass

    def opened(*_: Any, device: torch.device, **__: Any) -> None:
        raise Asked(device)

    monkeypatch.setattr(pictures, "open_extractor", opened)
    data = SimpleNamespace(images=None, labels=None, fingerprint="")
    session = SimpleNamespace(
        recipe=SimpleNamespace(extractor="self", score_samples=2),
        real=(data, [], []),
        score_seed=0,
        world=SimpleNamespace(device=torch.device("meta")),
    )
    with pytest.raises(Asked, match="meta"):
        pictures.ImageStage.reference.func(session)  # type: ignore[attr-defined]


@pytest.mark.parametrize("device", ["cpu", "cuda:7"])
def test_measure_takes_a_device(
    luoxia_command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    seen = []
    monkeypatch.setattr("luoxia.core.devices._may_have_cuda", lambda: True)
    monkeypatch.setattr(measuring, "choose_device", lambda name: seen.append(name) or torch.device("cpu"))
    result = luoxia_command(
        "measure", finished, f"device={device}", "n=5", f"data={finished.parent / 'photos'}"
    )
    assert result.exit_code == 0, result.stderr
    assert seen == [device]


def test_an_extractor_is_opened_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from luoxia.media.image.extractors.selftaught import SelfTaught

    monkeypatch.setattr(SelfTaught, "open", lambda *_, device, **__: device)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    assert base.open_extractor("self", images, device="cuda:1") == torch.device("cuda:1")
    assert base.open_extractor("self", images, device="mps") == torch.device("cpu")  # which lacks the resizer
