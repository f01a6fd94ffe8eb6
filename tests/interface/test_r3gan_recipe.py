"""``r3gan`` and ``transformer-gan`` from outside: γ by rule and by trial, models that load and that have learned."""

import json

import numpy as np
import pytest

import luoxia
from luoxia.core.errors import UsageError
from luoxia.core.values import Annealed
from luoxia.media.image.images import ImageSpec
from luoxia.tasks.image_generation.recipes.r3gan import R3GAN, gamma_for

QUIET = {"latent": 8, "batch": 16, "log_every": 50, "sample_every": 0, "score_every": 0}
TINY = {"width": 4, "max_channels": 8, "group": 4, **QUIET}


def squares(folder, n=64, side=8):
    """White squares of two sizes, one class each, on black: noise and a blank are far from them."""
    rng = np.random.default_rng(0)
    images = np.zeros((n, side, side, 1), np.uint8)
    for i in range(n):
        size = 3 + 3 * (i % 2)
        top, left = rng.integers(0, side - size + 1, 2)
        images[i, top : top + size, left : left + size] = 255
    np.savez(folder / "squares.npz", images=images, labels=np.arange(n) % 2)
    return folder / "squares.npz"


@pytest.mark.parametrize(
    ("side", "batch", "published"),
    [(32, 512, 0.05), (32, 4096, 0.5), (64, 256, 2), (64, 4096, 1), (256, 256, 150)],
)
def test_gamma_by_rule_is_near_the_published(side, batch, published):
    assert 1 / 3.3 < gamma_for(side, side, batch) / published < 3.3


def test_gamma_grows_with_size_and_with_small_batches():
    values = [gamma_for(side, side, 64) for side in (28, 32, 64, 128)]
    assert values == sorted(values) and gamma_for(32, 128, 64) == pytest.approx(gamma_for(64, 64, 64))
    assert gamma_for(64, 64, 64) == pytest.approx(2 * gamma_for(64, 64, 256))
    assert gamma_for(28, 28, 64) == 2 and gamma_for(32, 32, 512) < 1


def test_gamma_that_is_set_stays():
    spec = ImageSpec(32, 32, 3, 0)
    assert R3GAN(gamma=3).settled(spec) == {} and R3GAN(gamma=3).build(spec).penalties[0][1].weight == 3
    (gamma,) = R3GAN().settled(spec).values()
    assert gamma == Annealed(2.0, 0.2) and R3GAN().build(spec).penalties[0][1].weight == 2.0


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("r3gan", {"lr": 5e-3, **TINY}),
        ("transformer-gan", {"lr": 1e-3, "width": 16, "layers": 2, "heads": 2, "patch": 2, **QUIET}),
    ],
)
def test_it_learns_squares_of_the_class_asked_for(tmp_path, monkeypatch, recipe, settings):
    monkeypatch.chdir(tmp_path)
    run = luoxia.train(
        recipe, quiet=True, data=str(squares(tmp_path)), steps=100, out="run", extractor="none", holdout=0,
        condition="projection", gamma=0.1, **{"schedule.samples": 2560, "ema.half_life": "0..200"}, **settings,
    )  # fmt: skip
    assert run.manifest["config"]["gamma"] == 0.1
    model = luoxia.load(run.path)
    white = []
    for label in (0, 1):
        samples = model.sample(64, seed=1, label=label)[..., 0].astype(float) / 255
        assert samples.std(0).mean() > 0.1, "each sample is another"
        white.append(64 * samples.mean())
    assert 4 < white[0] < 22 and 26 < white[1] < 46, "9 and 36 pixels, the squares' own"


def test_a_sweep_tries_picks_and_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = luoxia.train(
        "r3gan", quiet=True, data=str(squares(tmp_path)), gamma="sweep", sweep_steps=4, steps=6, out="run",
        score_samples=64, extractor="self", **TINY,
    )  # fmt: skip
    table = json.loads((run.path / "sweep.json").read_text())
    distances = {row["gamma"]: row["distance"] for row in table["trials"]}
    assert len(distances) == 5 and table["steps"] == 4
    assert distances[table["chosen"]] == min(distances.values())
    assert run.manifest["config"]["gamma"] == table["chosen"], "the run resumes with it"
    assert "gamma=sweep" in run.manifest["command"], "and starts again with a sweep"


def test_a_sweep_without_scores_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="gamma=sweep picks by score: set extractor=self"):
        luoxia.train(
            "r3gan", quiet=True, data=str(squares(tmp_path)), gamma="sweep", extractor="none", out="run"
        )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"condition": "concat"}, "condition=concat: must be one of none"),
        ({"gamma": "-1"}, "gamma=-1: must be 0 or more"),
        ({"gamma": "swep"}, "gamma=swep: must be a number"),
        ({"schedule.samples": 0}, "needs schedule.samples="),
    ],
)
def test_bad_settings(settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        luoxia.train("r3gan", quiet=True, **settings)


def test_bad_heads():
    with pytest.raises(UsageError, match="heads=5 does not divide width=64; change one of them"):
        luoxia.train("transformer-gan", quiet=True, heads=5)
