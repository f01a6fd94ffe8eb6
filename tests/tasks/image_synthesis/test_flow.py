"""``flow`` from training to samples: it learns, a seed is an image, known pixels stay, a resumed run is the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import luoxia
from luoxia.core.errors import UsageError
from luoxia.tasks.image_synthesis.flow import Flow
from luoxia.training.checkpoint import load_latest

QUIET = {"sample_every": 0, "score_every": 0, "extractor": "none", "device": "cpu", "quiet": True}
TINY = {"width": 32, "layers": 2, "heads": 2, "patch": 2, "batch": 16, "holdout": 0.25, **QUIET}
FAST = {"batch": 32, "lr": 0.04, "optimizer.adam_lr": 8e-3, "steps": 250, "log_every": 10}
SMALL, LARGE = 16 / 64, 36 / 64
"""Shares of white in the two classes."""


def squares(path: Path, n: int = 128, side: int = 8, channels: int = 1, width: int | None = None) -> Path:
    """White squares of two sizes, one class each, on black: noise and a blank are far from them."""
    rng = np.random.default_rng(0)
    images = np.zeros((n, side, width or side, channels), np.uint8)
    for i in range(n):
        size = 4 + 2 * (i % 2)
        top, left = 2 * rng.integers(0, (side - size) // 2 + 1, 2)
        images[i, top : top + size, left : left + size] = 255
    np.savez(path, images=images, labels=np.arange(n) % 2)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares(tmp_path_factory.mktemp("squares") / "squares.npz")


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    return Path(luoxia.train("flow", data=str(data), out=str(data.parent / "run"), **{**TINY, **FAST}).path)


@pytest.fixture(scope="module")
def model(run: Path):
    return luoxia.load(run)


def statistics(run: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["statistics"][name] for line in lines if line["kind"] == "log"]


def test_it_learns_squares_of_the_class_asked_for(model, data: Path) -> None:
    real = np.load(data)["images"].astype(float)
    for label, share in enumerate((SMALL, LARGE)):
        images = model.sample(32, 1, label=label, guidance=1.0)
        white = (images > 127).mean((1, 2, 3))
        assert np.median(white) == pytest.approx(share, abs=0.04)
        distances = np.abs(images[:, None] - real[None]).mean((2, 3, 4)).min(1)
        assert np.median(distances) < 20, "gray values from the nearest square; a blank is 64 or 143 away"
        assert len(np.unique(images > 127, axis=0)) >= 4, "at all places"


def test_the_loss_on_held_out_images_falls(run: Path) -> None:
    losses = statistics(run, "heldout_loss")
    assert len(losses) == 25 and losses[-1] < 0.6 * losses[0]


def test_the_final_loss_on_held_out_images_is_below_what_pixels_alone_tell(run: Path) -> None:
    (record,) = (r for r in luoxia.Run.open(run).records("score") if r["final"])
    (score,) = record["scores"]
    assert score["name"] == "held-out loss" and score["heading"] == "authenticity"
    assert score["low"] < score["value"] < score["high"] < 0.7 * score["reference"]


def test_the_same_image_for_a_seed_at_every_batch(model) -> None:
    asked = {"label": 1, "steps": 4, "guidance": 2.0}
    many = model.sample(64, 5, **asked)
    assert (model.sample(1, 5, **asked) == many[:1]).all()
    assert (model.sample(7, 5, **asked) == many[:7]).all()
    assert len(np.unique(many, axis=0)) > 4
    assert (model.sample(16, 6, **asked) != many[:16]).any()


def test_guidance_of_one_asks_the_network_once_and_more_only_in_its_interval(model, monkeypatch) -> None:
    rows: list[int] = []
    network = model.generator.network
    estimate = network.estimate
    monkeypatch.setattr(network, "estimate", lambda z, t, c: rows.append(len(z)) or estimate(z, t, c))

    def passes(**asked) -> list[int]:
        rows.clear()
        model.sample(1, label=0, steps=4, **asked)
        return [size // once for size in rows]

    once = 1
    once = passes(guidance=1.0)[0]
    assert passes(guidance=1.0) == [1] * 7
    assert passes(guidance=2.0, guidance_low=0.0) == [2] * 7
    assert passes(guidance=2.0, guidance_low=0.3, guidance_high=0.6)[0] == 1
    assert max(passes(guidance=2.0, guidance_low=0.3, guidance_high=0.6)) == 2


def test_known_pixels_stay_and_the_rest_fits_them(model) -> None:
    image = model.sample(1, 3, label=1)[0]
    mask = np.zeros((8, 8), bool)
    mask[:, 4:] = True
    edited = model.edit(image, mask, n=16, label=1)
    assert (edited[:, :, :4] == image[:, :4]).all()
    assert len(np.unique(edited, axis=0)) > 1
    white = (edited > 127).mean((1, 2, 3))
    assert np.median(white) == pytest.approx(LARGE, abs=0.08)


def test_a_variation_is_the_nearer_the_less_strength_it_has(model) -> None:
    image = model.sample(1, 3, label=1)[0]
    far = [
        np.abs(model.edit(image, n=16, strength=s, label=1) - image.astype(float)).mean()
        for s in (0.1, 0.5, 1.0)
    ]
    assert max(far[:2]) < 10 < far[2]


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(8, 12, 3), (12, 7, 1), (9, 9, 4), (8, 8, 2), (5, 16, 3)]
)
def test_rectangles_of_one_to_four_channels(tmp_path: Path, height: int, width: int, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, height, width, channels), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images)
    run = luoxia.train(
        "flow",
        data=str(tmp_path / "data.npz"),
        out=str(tmp_path / "run"),
        steps=2,
        channels=channels,
        **{**TINY, "patch": 3},
    )
    model = luoxia.load(run)
    drawn = model.sample(2, steps=2)
    assert drawn.shape == (2, height, width, channels) and drawn.dtype == np.uint8
    mask = np.zeros((height, width), bool)
    mask[0] = True
    assert (model.edit(images[0], mask, steps=2)[0, 1:] == images[0, 1:]).all()


def test_resuming_is_bit_for_bit(tmp_path: Path, data: Path) -> None:
    settings = {"data": str(data), "checkpoint_every": 3, "schedule": "constant", "dropout": 0.1, **TINY}
    whole = luoxia.train("flow", out=str(tmp_path / "whole"), steps=8, **settings)
    luoxia.train("flow", out=str(tmp_path / "parts"), steps=5, **settings)
    parts = luoxia.resume(str(tmp_path / "parts"), steps=8, quiet=True)
    a, b = (load_latest(Path(run.path) / "checkpoints").tensors for run in (whole, parts))
    assert a.keys() == b.keys() == {"flow", "ema_flow", "optimizer_flow"}
    for name, tensors in a.items():
        assert tensors.keys() == b[name].keys()
        assert [key for key, value in tensors.items() if not torch.equal(value, b[name][key])] == []


@pytest.mark.parametrize("lora", [0, 2])
def test_finetuning_all_weights_or_adapters(tmp_path: Path, run: Path, lora: int) -> None:
    rng = np.random.default_rng(1)
    images = np.where(rng.random((32, 8, 8, 1)) < 0.5, 0, 255).astype(np.uint8)
    np.savez(tmp_path / "other.npz", images=images, labels=np.arange(32) % 3)
    settings = {"steps": 6, "data": str(tmp_path / "other.npz"), "holdout": 0.25, "extractor": "none"}
    tuned = luoxia.finetune(run, out=str(tmp_path / "tuned"), lora=lora, device="cpu", quiet=True, **settings)
    before, after = (load_file(Path(path) / "model" / "model.safetensors") for path in (run, tuned.path))
    assert before.keys() == after.keys()
    changed = {
        name
        for name in before
        if before[name].shape == after[name].shape and (before[name] != after[name]).any()
    }
    attention = "transformer.encoder.stack.layers.0.attention.qkv.weight"
    assert attention in changed
    assert ("transformer.encoder.embedding.tokens.places" in changed) == (not lora)
    assert luoxia.load(tuned).sample(2, label="2", steps=2).shape == (2, 8, 8, 1)
    saved = load_latest(Path(tuned.path) / "checkpoints").tensors["flow"]
    assert any(name.endswith(".a") for name in saved) == bool(lora)
    whole = torch.linalg.matrix_rank(after[attention] - before[attention], atol=1e-5)
    assert not lora or whole <= lora
    again = luoxia.resume(tuned.path, steps=8, quiet=True)
    assert luoxia.load(again, ema=False).sample(1, label="2", steps=2).shape == (1, 8, 8, 1)


def test_large_images_are_refused_in_one_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=np.zeros((8, 80, 80, 1), np.uint8))
    with pytest.raises(UsageError, match=r"up to 64 pixels, not 80 × 80: set size=64"):
        luoxia.train("flow", data=str(tmp_path / "data.npz"), steps=1, **QUIET)


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="width=100 is not a multiple of twice heads=8"):
        Flow.from_settings({"width": 100, "heads": 8})
