"""``stylegan2`` from data to samples on a tiny set: bright squares in one of four corners, a class each."""

import json

import numpy as np
import pytest

import luoxia
from luoxia.formats.registry import read_label
from luoxia.verbs.ask import ask

CORNERS = [
    (slice(1, 4), slice(1, 4)),
    (slice(1, 4), slice(-4, -1)),
    (slice(-4, -1), slice(1, 4)),
    (slice(-4, -1), slice(-4, -1)),
]


def squares(n=400, size=10):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 4
    images = rng.integers(0, 40, (n, size, size), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[CORNERS[label]] = rng.integers(200, 256)
    return images, labels


def told_apart(images, labels):
    """The share of images whose corner, and no other, is bright: 100% of real ones, few of what has not learned."""
    values = np.stack([images[(slice(None), *corner, 0)].astype(float).mean((1, 2)) for corner in CORNERS], 1)
    own = values[np.arange(len(labels)), labels]
    values[np.arange(len(labels)), labels] = 0
    return ((own > 150) & (values.max(1) < 110)).mean()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stylegan2")
    images, labels = squares()
    assert told_apart(images[..., None], labels) == 1
    np.savez(folder / "squares.npz", images=images, labels=labels)
    return luoxia.train(
        "stylegan2", data=str(folder / "squares.npz"), out=str(folder / "run"), quiet=True, device="cpu",
        precision="fp32", steps=240, batch=16, width=8, max_channels=16, latent=8, styles=16, condition="projection",
        mixing=0.5, gamma=0.5, lr=5e-3, extractor="none", sample_every=0, log_every=80, **{"ema.half_life": 200},
    )  # fmt: skip


def test_it_learns(learned):
    generator = luoxia.load(learned.path)
    labels = np.arange(200) % 4
    images = generator.sample(200, seed=1)
    assert told_apart(images, labels) > 0.7
    assert told_apart(images, (labels + 1) % 4) < 0.1, "and the class decides"


def test_the_run_tells_what_was_settled(learned):
    config = json.loads((learned.path / "run.json").read_text())["config"]
    assert config["minibatch_std_group"] == 4 and config["width"] == 8 and config["size"] == "10"
    assert config["path_weight"] == 0 and config["mixing"] == 0.5


def test_the_terminal_knows_the_styles(learned, tmp_path):
    plain = ask("sample", str(learned.path), n=4, out=str(tmp_path / "plain.png"))
    mixed = ask(
        "sample",
        str(learned.path),
        n=4,
        mix=3,
        mix_layers="2-",
        noise="random",
        truncation=0.7,
        out=str(tmp_path / "m.png"),
    )
    assert plain.read_bytes() != mixed.read_bytes()
    told = read_label(mixed).controls
    assert (told["mix"], told["mix_layers"], told["noise"], told["truncation"]) == (3, "2-", "random", 0.7)
    assert "mix" not in read_label(plain).controls


def test_it_is_fine_tuned_with_frozen_blocks(learned, tmp_path):
    images, labels = squares(40)
    np.savez(tmp_path / "few.npz", images=images, labels=labels)
    run = luoxia.finetune(
        str(learned.path), data=str(tmp_path / "few.npz"), out=str(tmp_path / "tuned"), steps=2, freeze_d=2, quiet=True,
        extractor="none", device="cpu",
    )  # fmt: skip
    assert told_apart(luoxia.load(run.path).sample(40, seed=1), np.arange(40) % 4) > 0.6
