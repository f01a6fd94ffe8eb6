from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import luoxia
from luoxia.tasks.image_generation.recipes.gan import GAN

TINY = {"width": 2, "latent": 4, "extractor": "none", "size": 8, "device": "cpu", "quiet": True}


def test_everything_public_is_there() -> None:
    for name in luoxia.__all__:
        assert getattr(luoxia, name) is not None
    with pytest.raises(AttributeError, match="module 'luoxia' has no attribute 'tain'"):
        luoxia.tain  # noqa: B018


def test_from_training_to_scores(photos: Path, here: Path) -> None:
    run = luoxia.train("gan", data=photos, steps=4, out="new", **TINY)
    assert isinstance(run, luoxia.Run)
    assert run.path == Path("new")
    assert run.manifest["config"]["steps"] == 4
    images = luoxia.load(run.path).sample(3, seed=1)
    assert (images.shape, images.dtype) == ((3, 8, 8, 3), np.uint8)
    more = luoxia.resume(run, steps=6, quiet=True)
    assert [event["event"] for event in more.records("event")][-1] == "finished"
    assert luoxia.resume(str(run.path), steps=8, quiet=True).manifest["config"]["steps"] == 8
    measurement = luoxia.measure(run.path, n=10, quiet=True)
    assert {score.name for score in measurement.scores} >= {"FD-self", "precision", "recall"}
    assert (run.path / "scores" / "neighbors.png").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"ema": {"half_life": 500}, "optimizer": "sgd", "size": (8, 8), "budget": "1h"},
        {"ema.half_life": 500, "optimizer.name": "sgd", "size": "8x8", "budget": 3600},
        {"ema": {"half_life": "500"}, "optimizer": {"name": "sgd"}, "size": 8, "budget": 3600.0},
    ],
)
def test_keys_are_those_of_the_command_line(photos: Path, here: Path, settings: dict) -> None:
    run = luoxia.train("gan", data=str(photos), steps="1", out="new", **{**TINY, **settings})
    config = run.manifest["config"]
    assert config["ema"]["half_life"] == 500
    assert config["optimizer"]["name"] == "sgd"
    assert (config["size"], config["budget"], config["steps"]) == ("8", 3600.0, 1)


def test_a_recipe_may_be_an_object(photos: Path, here: Path) -> None:
    recipe = GAN(data=str(photos), width=2, latent=5, extractor="none", steps=2)
    run = luoxia.train(recipe, steps=3, out="new", quiet=True)
    config = run.manifest["config"]
    assert (config["latent"], config["steps"]) == (5, 3)
    assert "latent=5" in run.manifest["command"]
    assert luoxia.load(run.path).latent == 5


def test_quiet_says_nothing(photos: Path, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    luoxia.train("gan", data=str(photos), steps=2, log_every=1, out="new", **TINY)
    assert capfd.readouterr() == ("", "")
    luoxia.train("gan", data=str(photos), steps=2, log_every=1, out="loud", **{**TINY, "quiet": False})
    out, err = capfd.readouterr()
    assert out == ""
    assert "step 1 " in err


def test_errors_are_exceptions(photos: Path, here: Path) -> None:
    with pytest.raises(luoxia.UsageError, match=r"^unknown key 'stepz'; did you mean steps"):
        luoxia.train("gan", stepz=1)
    with pytest.raises(luoxia.UsageError, match=r"^there is nothing at nowhere"):
        luoxia.train("gan", data="nowhere")
    assert issubclass(luoxia.UsageError, luoxia.LuoxiaError)
    assert [path.name for path in here.iterdir()] == ["photos"]


def test_a_plan_is_what_training_would_do(photos: Path, here: Path) -> None:
    planned = luoxia.plan(
        "gan", data=str(photos), steps=7, width=2, latent=4, extractor="none", plan="measured"
    )
    assert [path.name for path in here.iterdir()] == ["photos"]
    run = luoxia.train("gan", data=str(photos), steps=7, width=2, latent=4, extractor="none", quiet=True)
    assert planned["config"] == run.manifest["config"]
    assert planned["parameters"] == run.manifest["parameters"]
    assert planned["data"]["fingerprint"] == run.manifest["data"]["fingerprint"]
    assert planned["seconds"] == pytest.approx(7 * planned["seconds_per_step"])


def test_planning_does_not_change_what_is_trained(photos: Path, here: Path, records: Callable) -> None:
    settings = {**TINY, "data": str(photos), "steps": 2}
    first = luoxia.train("gan", **settings)
    luoxia.plan("gan", plan="measured", **{key: value for key, value in settings.items() if key != "quiet"})
    second = luoxia.train("gan", **settings)
    weights = [(run.model / "model.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]


def test_the_plan_of_lazy_phases_counts_each_by_its_own_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes 1 s, a phase of every 4th step 2 s more, one of every 16th 8 s more: 1 + 2/4 + 8/16."""
    from types import SimpleNamespace

    from luoxia.verbs import planning

    def seconds(trainer: Any, number: int, steps: int) -> float:
        return steps * (1 + 2 * (number % 4 == 0) + 8 * (number % 16 == 0))

    monkeypatch.setattr(planning, "_seconds", seconds)
    phases = [SimpleNamespace(every=every) for every in (1, 1, 16, 4)]
    assert planning.seconds_per_step(SimpleNamespace(phases=phases)) == 2  # type: ignore[arg-type]
