"""``image-codec`` on emoji: likeness against principal components, book use, the discriminator's entry, and pace.

``--data`` is a zip or a folder of emoji, brought to 64 pixels. Quality: a run of ``--minutes`` for 64 and for 256
tokens of 1,000 codes, and one with a learned book of 1,024; each beside principal components with as many bits (four
for each component, and each bit where it helps most) and the nearest training image, all on the tenth of the images
that no training has seen. Entry: held-out PSNR while the discriminator enters, ``--seeds`` runs with the default ramp
and as many without one: the longest stretch of steps at 0.5 dB or more below the best so far. Pace: images a second
of training (autoencoder and its losses without a discriminator), encoding and decoding, of our networks and of
LlamaGen's (``--peer``, a checkout of github.com/FoundationVision/LlamaGen), both with 64 tokens of 1,024 codes of 8
channels, in turns; its network once as narrow as it allows, 32 channels, and once as published; ours once by default,
and once with as many parameters as the narrow one.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from common import arguments, header, median, progress, ratio, table

BELOW = 0.5
"""Decibels below the best so far that count as a fall."""
SIDE, BATCH = 64, 24


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help="a zip or a folder of emoji; without it there is only the pace")
    parser.add_argument("--peer", help="a checkout of LlamaGen; without it the pace is ours alone")
    parser.add_argument("--minutes", type=float, default=8, help="of training, each run of the first table")
    parser.add_argument("--entry", type=float, default=3, help="minutes of each run of the second table")
    parser.add_argument("--seeds", type=int, default=5, help="runs with and without a ramp")
    parser.add_argument("--rounds", type=int, default=7, help="turns of the pace")
    parser.add_argument("--out", help="keep the runs in this folder")
    parser.add_argument("settings", nargs="*", help="of luoxia train image-codec, as in width=64")
    asked = parser.parse_args()
    if asked.quick:
        asked.minutes = asked.entry = 0.15
        asked.seeds = asked.rounds = 1
    header("A codec of images", asked.quick)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(asked.out or scratch)
        if asked.data:
            quality(asked, folder)
            entry(asked, folder)
    pace(asked)


def trained(asked: Any, out: Path, minutes: float, **settings: Any) -> Any:
    """A run of so many minutes."""
    import luoxia
    from luoxia.core.settings import parse_settings

    progress(f"{out.name}: {minutes:g} minutes")
    given = {"size": SIDE, "device": "cpu", "quiet": True, "sample_every": 0, "score_every": 0}
    settings = given | settings | parse_settings(asked.settings)
    return luoxia.train("image-codec", data=asked.data, out=out, budget=f"{60 * minutes:g}s", **settings)


def quality(asked: Any, folder: Path) -> None:
    """Likeness and book use after equal time."""
    kinds: dict[str, dict[str, Any]] = {
        "fsq, 64 tokens of 1,000": {"factor": 8},
        "fsq, 256 tokens of 1,000": {"factor": 4},
        "vq, 64 tokens of 1,024": {"factor": 8, "quantizer": "vq"},
    }
    rows = []
    for number, (name, settings) in enumerate(kinds.items()):
        run = trained(asked, folder / f"quality-{number}", asked.minutes, **settings)
        (final,) = [line["scores"] for line in run.records("score") if line.get("final")]
        scores = {score["name"]: score for score in final}
        likeness, principal = scores["PSNR"]["value"], scores["PSNR"]["reference"]
        nearest = likeness - scores["PSNR over nearest"]["value"]
        plain = four_bits_each(run, scores["PSNR"]["signature"]["bits"])
        distances = [scores[key]["value"] for key in ("rFD", "pFD")]
        steps = list(run.records("log"))[-1]["step"]
        use = f"{scores['book use']['value']:.1%}"
        rows.append(
            (
                name,
                steps,
                f"{likeness:.2f}",
                f"{plain:.2f}",
                f"{principal:.2f}",
                f"{nearest:.2f}",
                use,
                *distances,
            )
        )
    print(f"Held-out images after {asked.minutes:g} minutes of training, decibels.\n")
    columns = (
        "codec",
        "steps",
        "PSNR",
        "components, 4 bits each",
        "best bits",
        "nearest image",
        "book used",
        "rFD",
        "pFD",
    )
    table(columns, rows)


def four_bits_each(run: Any, bits: int) -> float:
    """Decibels of the first ``bits`` / 4 principal components, each rounded to one of 16 levels over its range."""
    import numpy as np

    from luoxia.core.order import holdout_split
    from luoxia.metrics.reconstruction import psnr
    from luoxia.tasks.record import ModelRecord, trained_config

    config = trained_config(run)
    images = ModelRecord.open(run.path).task.open(config).images
    train, unseen = (
        images[i].reshape(len(i), -1) for i in holdout_split(len(images), config.holdout, config.seed)
    )
    mean = train.mean(0, dtype=np.float32)
    basis = np.linalg.svd(train - mean, full_matrices=False)[2][: bits // 4]
    low, high = (extreme((train - mean) @ basis.T, 0) for extreme in (np.min, np.max))
    step = (high - low) / 15
    levels = np.clip(np.rint(((unseen - mean) @ basis.T - low) / step), 0, 15)
    made = np.clip((levels * step + low) @ basis + mean, 0, 255)
    return float(psnr(made, unseen).mean())


def entry(asked: Any, folder: Path) -> None:
    """Falls of held-out PSNR while the discriminator enters."""
    rows = []
    for name, settings in (("default", {}), ("none", {"ramp": 0})):
        falls, last = [], []
        for seed in range(asked.seeds):
            out = folder / f"entry-{name}-{seed}"
            run = trained(asked, out, asked.entry, seed=seed, log_every=10, extractor="none", **settings)
            logs = list(run.records("log"))
            falls.append(longest_fall([(log["step"], log["statistics"]["heldout_psnr"]) for log in logs]))
            last.append(logs[-1]["statistics"]["heldout_psnr"])
        spread = f"{min(last):.2f} – {max(last):.2f}"
        rows.append((name, len(falls), ", ".join(map(str, falls)), f"{median(last):.2f}", spread))
    print(f"Steps in a row at {BELOW} dB or more below the best so far, {asked.entry:g} minutes a run.\n")
    table(("ramp", "seeds", "longest fall of each, steps", "last PSNR", "range"), rows)


def longest_fall(likeness: list[tuple[int, float]]) -> int:
    """Steps of the longest stretch of log lines that lie ``BELOW`` the best so far.

    >>> longest_fall([(10, 20.0), (20, 19.4), (30, 19.3), (40, 20.1)])
    20
    """
    best, fallen, before = float("-inf"), [], 0
    for step, value in likeness:
        best = max(best, value)
        fallen.append((value <= best - BELOW, step - before))
        before = step
    stretches = [sum(steps for _, steps in run) for down, run in groupby(fallen, lambda f: f[0]) if down]
    return max(stretches, default=0)


# ------------------------------------------------------------------ pace


def pace(asked: Any) -> None:
    """Images a second, in turns."""
    import torch

    torch.manual_seed(0)
    networks: dict[str, Any] = {}
    if asked.peer:
        code = peer_code(Path(asked.peer))
        networks |= {f"LlamaGen, {ch} channels": peer_network(code, ch) for ch in (32, 128)}
    networks |= {f"Luoxia, width {width}": our_network(width) for width in (48, 72)}
    x = torch.rand(BATCH, 3, SIDE, SIDE) * 2 - 1
    works = {name: (steps_of(network), coding_of(network)) for name, network in networks.items()}
    rates: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in works}
    for round in range(asked.rounds + 1):
        progress(f"pace: turn {round} of {asked.rounds}")
        for name, both in works.items():
            for work, found in zip(both, rates[name], strict=True):
                began = time.perf_counter()
                work(x)
                if round or asked.rounds == 1:  # the first turn warms up
                    found.append(BATCH / (time.perf_counter() - began))
    rows, first = [], next(iter(rates.values()))
    for name, (training, coding) in rates.items():
        ratios = [ratio(own, other) for own, other in zip((training, coding), first, strict=True)]
        size = sum(p.numel() for p in networks[name].parameters()) / 1e6
        rows.append((name, f"{size:.1f} M", median(training), ratios[0], median(coding), ratios[1]))
    print(f"{SIDE} × {SIDE} × 3, batch {BATCH}, 64 tokens of 1,024 codes; × is against the first row.\n")
    columns = ("networks", "parameters", "trained a second", "×", "encoded and decoded a second", "×")
    table(columns, rows)


def our_network(width: int) -> Any:
    """The recipe's, with a learned book of the peer's size."""
    from luoxia.media.image.images import ImageSpec
    from luoxia.tasks.image_codec.recipes import ImageCodecRecipe

    recipe = ImageCodecRecipe(quantizer="vq", codes=1024, code_width=8, width=width)
    return recipe.build_autoencoder(ImageSpec(SIDE, SIDE, 3))


def peer_code(checkout: Path) -> Any:
    """LlamaGen's module of the tokenizer's networks, by itself."""
    place = checkout / "tokenizer" / "tokenizer_image" / "vq_model.py"
    found = importlib.util.spec_from_file_location("vq_model", place)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def peer_network(code: Any, channels: int) -> Any:
    """VQ-8 of LlamaGen with so many channels: three halvings, a book of 1,024 × 8."""
    sizes = {"encoder_ch_mult": [1, 2, 2, 4], "decoder_ch_mult": [1, 2, 2, 4]}
    network = code.VQModel(code.ModelArgs(codebook_size=1024, codebook_show_usage=False, **sizes))
    if channels != 128:
        wide = {"ch": channels, "ch_mult": (1, 2, 2, 4), "z_channels": 256}
        network.encoder, network.decoder = code.Encoder(**wide), code.Decoder(**wide)
    return network


def steps_of(network: Any) -> Callable[[Any], None]:
    """A training step on pixels alone: forward, backward, AdamW; in bfloat16 where training would be."""
    import torch
    import torch.nn.functional as F

    from luoxia.training.hardware import autocast, choose_precision

    device = torch.device("cpu")
    dtype = choose_precision("auto", device)
    theirs = hasattr(network, "quant_conv")
    if not theirs:
        network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    generator = torch.Generator().manual_seed(0)

    def step(x: Any) -> None:
        network.train()
        with autocast(device, dtype):
            if theirs:
                made, (book, commitment, *_) = network(x)
                extra = book + commitment
            else:
                made, tokens, latents, commitment = network(x)
                extra = 0.25 * commitment
        (F.l1_loss(made.float(), x) + F.mse_loss(made.float(), x) + extra).backward()
        optimizer.step()
        optimizer.zero_grad()
        if not theirs:
            network.quantizer.learn(latents.detach(), tokens, generator)

    return step


def coding_of(network: Any) -> Callable[[Any], None]:
    """Images into tokens and back, in float32 as both are used."""
    import torch

    theirs = hasattr(network, "quant_conv")

    @torch.inference_mode()
    def code(x: Any) -> None:
        network.eval()
        if theirs:
            tokens = network.encode(x)[2][2]
            network.decode_code(tokens, (len(x), 8, SIDE // 8, SIDE // 8))
        else:
            network.decode(network.encode(x))

    return code


if __name__ == "__main__":
    main()
