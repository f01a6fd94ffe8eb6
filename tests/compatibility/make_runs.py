"""Made the runs beside this file, once, with Luoxia 0.1.0 as of 27 November 2026; kept to say how they came about.

Usage: python make_runs.py OUT. Later versions must load, sample, measure and resume the runs, so they are never made
again; a change of the format gets runs of its own beside these.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

import luoxia

STEPS, MORE = 20, 24
COMMON: dict[str, Any] = {
    "steps": STEPS, "seed": 7, "precision": "fp32", "device": "cpu", "checkpoint_every": 10, "keep": 1, "log_every": 10,
    "sample_every": 0, "score_every": 0, "score_samples": 64,
}  # fmt: skip
GAN: dict[str, Any] = {"size": 16, "width": 4, "latent": 8, "batch": 8}
TEXT: dict[str, Any] = {"layers": 1, "heads": 2, "width": 16, "vocabulary": 270, "batch": 64}
RECIPES: dict[str, dict[str, Any]] = {
    "dcgan": GAN,
    "stylegan2": dict(**GAN, widest=8, styles=8, condition="projection"),
    "cyclegan": {
        "data": "a.npz",
        "against": "b.npz",
        "width": 2,
        "d_width": 2,
        "blocks": 1,
        "batch": 2,
        "pool": 4,
    },
    "gpt": dict(data="novel.txt", **{**TEXT, "batch": 4}, context=16),
    "translate": dict(
        data="lines.en",
        against="lines.fr",
        **{**TEXT, "batch": 128, "lr": 0.06, "ema.halflife": 100},
        tokeniser="character",
    ),
    "classify-text": dict(data="reviews.jsonl", label="stars", **TEXT),
}


def write_data(folder: Path) -> None:
    """Small data of each kind: two sides of pictures, a novel, pairs of lines, reviews."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for side, tint in (("a", (200, 80, 40)), ("b", (40, 90, 210))):
        coarse = draw.integers(0, 56, (16, 4, 4, 3)) + np.array(tint) - 28
        np.savez_compressed(
            folder / f"{side}.npz", images=coarse.repeat(4, 1).repeat(4, 2).clip(0, 255).astype(np.uint8)
        )
    who, does, where = (
        ["the cat", "a dog", "my aunt"],
        ["sleeps", "sings", "waits"],
        ["here", "there", "at home"],
    )
    qui, fait, lieu = (
        ["le chat", "un chien", "ma tante"],
        ["dort", "chante", "attend"],
        ["ici", "là", "chez nous"],
    )
    triples = [tuple(int(i) for i in draw.integers(0, 3, 3)) for _ in range(120)]
    english = [f"{who[i]} {does[j]} {where[k]}." for i, j, k in triples]
    french = [f"{qui[i]} {fait[j]} {lieu[k]}." for i, j, k in triples]
    (folder / "lines.en").write_text("\n".join(english) + "\n", encoding="utf-8")
    (folder / "lines.fr").write_text("\n".join(french) + "\n", encoding="utf-8")
    (folder / "novel.txt").write_text(" ".join(english + english[::-1]) + "\n", encoding="utf-8")
    rows = ({"text": text, "stars": 1 + triple[1]} for text, triple in zip(english, triples, strict=True))
    (folder / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def answers(name: str, run: Path, data: Path) -> Any:
    """What a model says to questions that stay the same."""
    model = luoxia.load(run, device="cpu")
    if name in ("dcgan", "stylegan2"):
        return model.sample(4, seed=3).tolist()
    if name == "cyclegan":
        image = np.load(data / "a.npz")["images"][0]
        return {way: model.translate(image, way).tolist() for way in ("a2b", "b2a")}
    if name == "gpt":
        return [text[:60] for text in model.sample(2, seed=3, prompt="the cat")]
    if name == "translate":
        return list(model.translate(["the cat sleeps here.", "my aunt waits."]))
    return [row.tolist() for row in model.probabilities(["the cat sleeps here.", "my aunt waits."])]


def weights_digest(run: Path) -> str:
    """SHA-256 of the exported weights, in the order of their names."""
    tensors = load_file(run / "model" / "model.safetensors")
    return hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()


def expected(name: str, run: Path, data: Path) -> dict[str, Any]:
    """The answers, the scores, and the answers and weights after four steps more."""
    found: dict[str, Any] = {"answers": answers(name, run, data)}
    found["scores"] = {score.name: score.value for score in luoxia.measure(run, quiet=True).scores}
    copy = run.parent / f"{run.name}-resumed"
    shutil.copytree(run, copy)
    luoxia.resume(copy, steps=MORE, quiet=True)
    found |= {"resumed": answers(name, copy, data), "weights": weights_digest(copy)}
    shutil.rmtree(copy)
    return found


def processor() -> str:
    """What decides the last bit of a product, as far as a program can tell."""
    about = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    vendor = next((line.split(": ")[1] for line in about.splitlines() if line.startswith("vendor_id")), "")
    kinds = [flag for flag in ("avx512_bf16", "amx_tile") if flag in about]
    return " ".join([torch.backends.cpu.get_cpu_capability(), vendor, *kinds])


def main(out: Path) -> None:
    """Train every run, ask it, and keep what is needed to load, measure and resume it."""
    torch.set_num_threads(1)
    data = out / "data"
    write_data(data)
    known: dict[str, Any] = {
        "torch": torch.__version__,
        "processor": processor(),
        "luoxia": luoxia.__version__,
    }
    for name, settings in RECIPES.items():
        named = {
            key: str(data / value) if key in ("data", "against") else value for key, value in settings.items()
        }
        run = luoxia.train(name, out=str(out / name), quiet=True, **{**COMMON, **named}).path
        known[name] = expected(name, run, data)
        for part in ("report.html", "samples", "scores", ".lock"):
            path = run / part
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (out / "expected.json").write_text(
        json.dumps(known, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
