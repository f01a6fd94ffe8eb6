"""Every recipe and verb through a few steps on a CUDA device: as on a CPU, equal twice, resumed to the bit.

``pytest -m gpu`` runs it; ``LUOXIA_TEST_DEVICE=cpu pytest -m gpu`` proves the suite itself where no GPU is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import luoxia
from compatibility.make_runs import weights_digest, write_data
from luoxia.media.text.tokens import Windows
from luoxia.nn.torch_private import attends_packed
from luoxia.nn.transformer import Decoder, TransformerConfig
from luoxia.training.distributed import World
from luoxia.training.flops import device_peak
from luoxia.verbs.ask import ask
from training.ramps import Denoiser, make_batches, make_trainer, weights

DEVICE = os.environ.get("LUOXIA_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
FEW, MORE = 4, 8
COMMON: dict[str, Any] = {
    "seed": 7, "device": DEVICE, "precision": "fp32", "deterministic": "on", "checkpoint_every": FEW, "log_every": 2,
    "sample_every": 0, "score_every": 0, "score_samples": 32, "schedule.name": "constant", "quiet": True,
}  # fmt: skip
GAN: dict[str, Any] = {
    "data": "a.npz",
    "size": 16,
    "width": 8,
    "latent": 8,
    "batch": 4,
    "extractor": "effnet-lite0",
}
TWO_SIDES: dict[str, Any] = {
    "data": "a.npz",
    "against": "b.npz",
    "width": 4,
    "d_width": 4,
    "blocks": 1,
    "batch": 2,
}
TEXT: dict[str, Any] = {"layers": 1, "heads": 2, "width": 16, "vocabulary": 270, "batch": 64}
RECIPES: dict[str, dict[str, Any]] = {
    "gan": {**GAN, "width": 16},
    "cgan": {**GAN, "data": None, "width": 16},
    "dcgan": GAN,
    "wgan": GAN,
    "wgan-gp": GAN,
    "stylegan2": {**GAN, "max_channels": 16, "styles": 8, "augment": "ada"},
    "r3gan": {**GAN, "width": 16},
    "transformer-gan": {**GAN, "width": 16},
    "cyclegan": TWO_SIDES,
    "cut": TWO_SIDES,
    "gpt": {"data": "novel.txt", **TEXT, "batch": 4, "context": 16},
    "translate": {"data": "lines.en", "against": "lines.fr", **TEXT},
    "classify-text": {"data": "reviews.jsonl", "label": "stars", **TEXT},
    "embed-text": {"data": "lines.en", "against": "lines.fr", **TEXT, "batch": 8},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "data"
    write_data(folder)
    return folder


def settings(name: str, data: Path, **more: Any) -> dict[str, Any]:
    own = {k: str(data / v) if k in ("data", "against") and v else v for k, v in RECIPES[name].items()}
    return {**COMMON, **own, **more}


@pytest.fixture(scope="module", params=RECIPES)
def run(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp(request.param) / "run"
    given = settings(request.param, data, out=str(out), steps=MORE)
    return request.param, luoxia.train(request.param, **given).path


def answer(name: str, path: Path, device: str, data: Path) -> Any:
    """What a model gives, as numbers."""
    model = luoxia.load(path, device=device)
    if name in ("cyclegan", "cut"):
        return model.translate(np.load(data / "a.npz")["images"][:2], "a2b").astype(float)
    if name == "gpt":
        return model.logits([[1, 2, 3]]).float().cpu().numpy()
    if name == "translate":
        return np.array([len(line) for line in model.translate(["the cat sleeps here."], beams=1)])
    if name == "classify-text":
        return model.probabilities(["the cat sleeps here."])
    if name == "embed-text":
        return model.embed(["the cat sleeps here."])
    return model.sample(4, seed=3).astype(float)


def test_it_gives_what_a_cpu_gives(run: tuple[str, Path], data: Path) -> None:
    name, path = run
    here, there = (answer(name, path, device, data) for device in (DEVICE, "cpu"))
    whole = here.max() > 2  # pixels
    np.testing.assert_allclose(here, there, atol=2 if whole else 1e-3)


def test_two_equal_runs_are_equal_and_one_resumed_too(
    run: tuple[str, Path], data: Path, tmp_path: Path
) -> None:
    name, path = run
    unscored = {"extractor": "none"} if "extractor" in RECIPES[name] else {}
    again = luoxia.train(
        name, **settings(name, data, out=str(tmp_path / "again"), steps=FEW, **unscored)
    ).path
    luoxia.resume(again, steps=MORE, quiet=True)
    assert weights_digest(again) == weights_digest(path)


def test_it_is_measured_there(run: tuple[str, Path]) -> None:
    assert luoxia.measure(run[1], device=DEVICE, quiet=True).scores


@pytest.mark.parametrize("name", ["dcgan", "stylegan2", "gpt"])
def test_it_is_fine_tuned_there(name: str, data: Path, tmp_path: Path) -> None:
    given = settings(name, data, out=str(tmp_path / "origin"), steps=FEW)
    origin = luoxia.train(name, **given).path
    source = {"data": str(data / ("novel.txt" if name == "gpt" else "b.npz"))}
    common = {"device": DEVICE, "steps": 2, "quiet": True, "out": str(tmp_path / "tuned")}
    tuned = luoxia.finetune(origin, **source, **common)
    assert (tuned.path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("qk_norm", [False, True])
def test_packed_documents_are_attended_to_as_under_a_mask(qk_norm: bool) -> None:
    device = torch.device(DEVICE)
    if not attends_packed(device):
        pytest.skip("needs the kernel of a newer GPU")
    torch.manual_seed(0)
    config = TransformerConfig(300, width=64, layers=2, heads=4, kv_heads=2, context=64, qk_norm=qk_norm)
    network = Decoder(config).to(device)
    segments = np.stack([np.arange(64) // 13, np.zeros(64), np.arange(64) // 40]).astype(np.int32)
    bounds = torch.from_numpy(Windows(segments, segments, segments).bounds()).to(device)
    ids, numbers = torch.randint(0, 300, (3, 64), device=device), torch.from_numpy(segments).to(device)
    found = []
    for given in ({}, {"bounds": bounds}):
        with torch.autocast(DEVICE, torch.bfloat16):
            logits = network(ids, segments=numbers, **given)
        (gradient,) = torch.autograd.grad(logits.float().square().mean(), network.embedding.tokens.weight)
        found.append((logits.float(), gradient))
    for masked, packed in zip(*found, strict=True):
        assert (masked - packed).norm() < 0.02 * masked.norm()


def test_a_compiled_language_model_learns_as_one_that_is_written(data: Path, tmp_path: Path) -> None:
    losses = []
    for compiled in ("off", "on"):
        given = settings(
            "gpt", data, out=str(tmp_path / compiled), steps=FEW, compile=compiled, score_samples=0
        )
        records = luoxia.train("gpt", **given).records("log")
        losses.append([record["losses"]["prediction"]["nll"] for record in records])
    assert len(losses[0]) == FEW // 2
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.fixture(scope="module")
def styles(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("styles") / "run"
    return luoxia.train(
        "stylegan2", **settings("stylegan2", data, out=str(out), steps=2, extractor="none")
    ).path


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        ("sample", {"n": 4, "out": "grid.png"}),
        ("interpolate", {"seeds": (1, 2), "frames": 3, "out": "walk.gif"}),
        ("mix", {"rows": (1,), "columns": (2, 3), "out": "mix.png"}),
        ("directions", {"n": 2, "out": "directions.npz"}),
    ],
)
def test_its_latents_are_explored_there(
    verb: str, given: dict[str, Any], styles: Path, tmp_path: Path
) -> None:
    out = tmp_path / given["out"]
    ask(verb, str(styles), **{**given, "out": str(out)}, device=DEVICE)
    assert out.stat().st_size > 0


def test_an_image_is_projected_there(styles: Path, data: Path, tmp_path: Path) -> None:
    Image.fromarray(np.load(data / "a.npz")["images"][0]).save(tmp_path / "photo.png")
    out = tmp_path / "latent.npz"
    asked = {"steps": 3, "extractor": "pixels", "out": str(out), "device": DEVICE}
    ask("project", str(styles), str(tmp_path / "photo.png"), **asked)
    assert np.load(out).files


# ---------------------------------------------------------------------- data that is loaded, and what a line costs


def ramps_after(steps: int, device: str, workers: int, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a toy that trains on sequences of unequal lengths."""
    trainer = make_trainer(folder, workers, device=device)
    for _ in range(steps):
        trainer.step()
    trainer.batches.close()  # type: ignore[attr-defined]
    return {key: value.cpu() for key, value in weights(trainer).items()}


def test_batches_that_are_prefetched_there_are_those_of_a_cpu(tmp_path: Path) -> None:
    """Copied on a stream of their own, while the device works: no value is read before it has arrived."""
    phase, side = next(iter(Denoiser().phases())), 512 if DEVICE == "cuda" else 8
    expected = [make_batches(0)(phase, index) for index in range(40)]
    with make_batches(3, world=World(0, 1, torch.device(DEVICE))) as batches:
        for index, other in enumerate(expected):
            batch = batches(phase, index)
            busy = torch.ones(side, side, device=DEVICE)
            for _ in range(20):
                busy = busy @ busy * 1e-3
            assert batch.values.device.type == DEVICE and batch.weight == other.weight
            assert torch.equal(batch.values.cpu(), other.values)
    one, other = (ramps_after(FEW, DEVICE, workers, tmp_path) for workers in (0, 3))
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_line_tells_what_it_cost(data: Path, tmp_path: Path) -> None:
    run = luoxia.train("gpt", **settings("gpt", data, out=str(tmp_path / "run"), steps=FEW))
    for line in run.records("log"):
        assert line["step_seconds"] > 0 and line["memory_bytes"] > 0
        if DEVICE == "cuda":
            assert line["memory_reserved_bytes"] >= line["memory_bytes"]
            known = device_peak(torch.device("cuda"), torch.float32) is not None
            assert 0 < line["flops_share"] < 1 if known else line["flops_share"] is None
