"""``image-gpt``: images from captions and classes by a codec and a Transformer; its bits, further training and pace.

    python benchmarks/image_gpt.py scenes                                    # two drawn shapes, combinations held out
    python benchmarks/image_gpt.py emoji --noto noto.zip --twemoji twemoji.zip      # hidden pictures found again
    python benchmarks/image_gpt.py photos --data photos.zip                         # by class, beside dcgan
    python benchmarks/image_gpt.py finetune --noto noto.zip --twemoji twemoji.zip   # 200 pictures of the other style
    python benchmarks/image_gpt.py speed --peer LlamaGen                            # images a second beside the peer's

Each trains in ``--minutes``, codec and prior together. What stands beside a figure: *scenes*, pictures drawn for other
captions, and what the codec makes of real drawings; *emoji*, the twin in the other style as the query, and other
captions; *photos*, the judge's accuracy on real photos and ``dcgan`` of the same time; *finetune*, from scratch in the
same time. LlamaGen's networks are of the same width, layers, heads and vocabulary, with one class vector before the
tokens, without dropout; both train under bfloat16 autocast and draw in float32.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

import scenes
from common import arguments, header, progress, ratio, table

TINY = {"width": 32, "layers": 1, "heads": 2, "codec_width": 8, "batch": 8}
SKIN, JOINERS = {f"1f3f{digit}" for digit in "bcdef"}, {"200d", "fe0f", "2640", "2642", "27a1"}
PEOPLE = {"1f468", "1f469", "1f9d1"}


def train(given: argparse.Namespace, data: Path | str, out: Path, **settings: Any) -> Any:
    """A run of image-gpt in the minutes that are given; seconds of steps with ``--quick``."""
    import luoxia

    progress(f"training {out.name}")
    end: dict[str, Any] = (
        {"steps": 6, "codec_steps": 6, **TINY} if given.quick else {"budget": f"{given.minutes}m"}
    )
    quiet = {"extractor": "none", "sample_every": 0, "score_every": 0, "quiet": True, "device": given.device}
    return luoxia.train(
        "image-gpt", data=str(data), out=str(out), seed=given.seed, **{**end, **quiet, **settings}
    )


def held_out(run: Any) -> tuple[float, float, float]:
    """(Bits an image of the prior, of the histogram of tokens, of that at each place)."""
    found = [score for record in run.records("score") for score in record["scores"]]
    score = [score for score in found if score["name"] == "held-out bits"][-1]
    return score["value"], score["reference"], score["signature"]["histogram at each place"]


def show_bits(named: Sequence[tuple[str, Any]]) -> None:
    """Held-out bits of runs, beside histograms."""
    rows = [
        (name, *bits, f"{bits[0] / bits[1]:.0%}")
        for name, bits in ((name, held_out(run)) for name, run in named)
    ]
    table(("held-out bits an image", "prior", "histogram", "histogram at each place", "share"), rows)


# ------------------------------------------------------------------ drawn scenes


def run_scenes(given: argparse.Namespace, folder: Path) -> None:
    """Scenes of two shapes: asked for in words, read by who has drawn them."""
    import luoxia

    seen, unseen = scenes.split(seed=given.seed)
    data = scenes.write(folder / "scenes", seen[:: 40 if given.quick else 1], each=3, seed=given.seed)
    run = train(given, data, folder / "run", size=32, factor=4, views=2, shift=2)
    model, rng, n = (
        luoxia.load(run, device=given.device),
        np.random.default_rng(given.seed),
        8 if given.quick else 256,
    )
    rows = []
    for name, group in (("seen", seen), ("held out", unseen)):
        asked = [group[i] for i in rng.choice(len(group), n, replace=False)]
        captions = [scene.captions()[i % 2] for i, scene in enumerate(asked)]
        real = model.generator.codec.reconstruct(np.stack([scenes.picture(scene, rng) for scene in asked]))
        cells = [scenes.accuracy(real, asked)]
        for guidance in (1.0, 2.0, 4.0):
            images = model.sample(n, seed=given.seed, text=captions, guidance=guidance)
            cells.append(scenes.accuracy(images, asked))
            keep(given, f"scenes-{name}-{guidance:g}", images[:32])
        cells.append(scenes.accuracy(images, asked[1:] + asked[:1]))
        rows.append((name, *(f"{cell:.1%}" for cell in cells)))
    columns = ("combinations", "real, by the codec", "guidance 1", "2", "4", "other captions")
    table((columns[0], *columns[1:]), rows)
    show_bits([("scenes", run)])


# ------------------------------------------------------------------ emoji in two styles


def read_emoji(path: Path) -> tuple[list[dict[str, str]], dict[str, bytes]]:
    """Rows of metadata.csv, and the pictures by name."""
    with zipfile.ZipFile(path) as archive:
        listed = io.StringIO(archive.read("metadata.csv").decode())
        rows = list(csv.DictReader(listed))
        return rows, {row["file_name"]: archive.read(row["file_name"]) for row in rows}


def family(row: dict[str, str]) -> str:
    """What an emoji is without skin tones and genders; all flags are one family."""
    if row["category"] == "Flags":
        return "flags"
    parts = [part for part in row["file_name"].split(".")[0].split("-") if part not in SKIN | JOINERS]
    kept = [part for part in parts if part not in PEOPLE] or ["person"]
    return "-".join(kept)


def hidden_rows(rows: Sequence[dict[str, str]], share: float, seed: int) -> set[str]:
    """Names of about that share, by whole families, none of which is larger than half of it."""
    families: dict[str, list[str]] = {}
    for row in rows:
        families.setdefault(family(row), []).append(row["file_name"])
    order = np.random.default_rng(seed).permutation(sorted(families))
    hidden: set[str] = set()
    for name in order:
        if len(families[name]) < share * len(rows) / 2 and len(hidden) < share * len(rows):
            hidden.update(families[name])
    return hidden


def write_emoji(
    folder: Path, sides: dict[str, tuple[list[dict[str, str]], dict[str, bytes]]], keep_out: set[str]
) -> Path:
    """Both styles in one folder, with a column of the style; what is hidden of Twemoji is not there."""
    folder.mkdir()
    with (folder / "metadata.csv").open("w", newline="") as file:
        listed = csv.writer(file)
        listed.writerow(("file_name", "text", "keywords", "category", "style"))
        for style, (rows, pictures) in sides.items():
            for row in rows:
                if style == "twemoji" and row["file_name"] in keep_out:
                    continue
                name = f"{style}-{row['file_name']}"
                (folder / name).write_bytes(pictures[row["file_name"]])
                listed.writerow((name, row["text"], row["keywords"], row["category"], style))
    return folder


def run_emoji(given: argparse.Namespace, folder: Path) -> None:
    """The caption of a hidden picture, asked for in its style: is the picture found among a hundred?"""
    import luoxia

    sides = {"noto": read_emoji(given.noto), "twemoji": read_emoji(given.twemoji)}
    rows = sides["twemoji"][0]
    hidden = [row for row in rows if row["file_name"] in hidden_rows(rows, 0.1, given.seed)]
    if given.quick:
        sides = {style: (rows[:60], pictures) for style, (rows, pictures) in sides.items()}
    data = write_emoji(folder / "emoji", sides, {row["file_name"] for row in hidden})
    run = train(given, data, folder / "run", size=64)
    model, embed = luoxia.load(run, device=given.device), embedder()
    queries = hidden[: 12 if given.quick else 100]
    pictures = {
        style: [decoded(side[1][row["file_name"]]) for row in queries] for style, side in sides.items()
    }
    real, twins = (embed(np.stack(pictures[style])) for style in ("twemoji", "noto"))
    found = []
    for guidance in (1.0, 1.5, 3.0):
        texts = [row["text"] for row in queries for _ in range(4)]
        images = model.sample(len(texts), seed=given.seed, text=texts, style="twemoji", guidance=guidance)
        keep(given, f"emoji-{guidance:g}", images[:64])
        made = embed(images).reshape(len(queries), 4, -1).mean(1)
        found.append((f"guidance {guidance:g}", *recalls(made, real)))
    found.append(("other captions", *recalls(np.roll(made, 1, axis=0), real)))
    found.append(("the Noto twin", *recalls(twins, real)))
    table(
        (f"hidden picture among {len(queries)}", "R@1", "R@10"),
        [(n, f"{a:.0%}", f"{b:.0%}") for n, a, b in found],
    )
    show_bits([("emoji", run)])


def recalls(queries: Any, real: Any) -> tuple[float, float]:
    """The share whose own picture is the nearest, and among the ten nearest."""
    near = np.linalg.norm(queries[:, None] - real[None], axis=2).argsort(1)
    ranks = (near == np.arange(len(real))[:, None]).argmax(1)
    return float((ranks < 1).mean()), float((ranks < 10).mean())


def decoded(content: bytes) -> Any:
    """A picture as uint8 (64, 64, 3)."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB").resize((64, 64)))


def embedder() -> Callable[[Any], Any]:
    """Features of EfficientNet-Lite0, which no loss of these runs has used."""
    from luoxia.media.image.extractors.effnet import EffNetLite0

    extractor = EffNetLite0(side=64)
    return lambda images: np.asarray(extractor.features(images))


# ------------------------------------------------------------------ photos by class


def run_photos(given: argparse.Namespace, folder: Path) -> None:
    """Photos of a class: does a judge of real ones see it, and can a classifier learn from samples alone?"""
    import luoxia

    data = luoxia.open_images(str(given.data), 32)
    images, labels = np.asarray(data.images), np.asarray(data.labels)
    order = np.random.default_rng(given.seed).permutation(len(images))
    test, learned = order[: len(order) // 5], order[len(order) // 5 :]
    np.savez(folder / "photos.npz", images=images[learned], labels=labels[learned])
    run = train(given, folder / "photos.npz", folder / "run", size=32, factor=4, mirror=True)
    progress("training dcgan")
    end: dict[str, Any] = {"steps": 5} if given.quick else {"budget": f"{given.minutes}m"}
    gan = luoxia.train(
        "dcgan", data=str(folder / "photos.npz"), condition="projection", out=str(folder / "gan"), seed=given.seed,
        device=given.device, extractor="none", sample_every=0, quiet=True, **end,
    )  # fmt: skip
    epochs, n = (1, 100) if given.quick else (30, len(learned))
    judge = classifier(images[learned], labels[learned], epochs, given.seed)
    asked = np.arange(n) % len(data.classes)
    rows = [
        ("real photos", share(judge, images[test], labels[test]), share(judge, images[test], labels[test]))
    ]
    models = {f"image-gpt, guidance {g:g}": (run, {"guidance": g}) for g in (1.0, 1.5)} | {"dcgan": (gan, {})}
    for name, (of, more) in models.items():
        made = luoxia.load(of, device=given.device).sample(n, seed=given.seed, **more)
        keep(given, f"photos-{name.split()[-1]}", made[:80])
        student = classifier(made, asked, epochs, given.seed)
        rows.append((name, share(judge, made, asked), share(student, images[test], labels[test])))
    columns = ("photos by class", "class accuracy by the judge", "classifier of samples on real photos (CAS)")
    table(columns, [(name, f"{a:.1%}", f"{b:.1%}") for name, a, b in rows])
    show_bits([("photos", run)])


def classifier(images: Any, labels: Any, epochs: int, seed: int) -> Any:
    """A small convolutional network that learned these images, mirrored and shifted at random."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.manual_seed(seed)
    widths, layers = (3, 32, 64, 128), []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(
        *layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(128 * 16, int(labels.max()) + 1)
    )
    x, y = scaled(images), torch.from_numpy(np.asarray(labels, np.int64))
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
    steps = epochs * max(1, len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        part = x[rows].flip(3) if torch.rand(()) < 0.5 else x[rows]
        dy, dx = (int(v) for v in torch.randint(-3, 4, (2,)))
        loss = F.cross_entropy(network(part.roll((dy, dx), (2, 3))), y[rows], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def scaled(images: Any) -> Any:
    """uint8 (n, h, w, c) → float32 (n, c, h, w) in [−1, 1]."""
    import torch

    return torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def share(network: Any, images: Any, labels: Any) -> float:
    """The share of images whose class the network sees."""
    import torch

    with torch.inference_mode():
        found = torch.cat([network(part).argmax(1) for part in scaled(images).split(500)])
    return float((found.numpy() == labels).mean())


# ------------------------------------------------------------------ trained further


def run_finetune(given: argparse.Namespace, folder: Path) -> None:
    """A prior of Noto, trained further on 200 of Twemoji in ``--tune`` minutes, beside one from scratch on them."""
    import luoxia

    sides = {"noto": read_emoji(given.noto), "twemoji": read_emoji(given.twemoji)}
    few = np.random.default_rng(given.seed).permutation(len(sides["twemoji"][0]))[
        : 60 if given.quick else 250
    ]
    some = ([sides["twemoji"][0][i] for i in few], sides["twemoji"][1])
    base_data = write_emoji(folder / "noto", {"noto": sides["noto"]}, set())
    tuned_data = write_emoji(folder / "few", {"twemoji": some}, set())
    base = train(given, base_data, folder / "base", size=64)
    end: dict[str, Any] = {"steps": 3} if given.quick else {"budget": f"{given.tune}m"}
    common = {
        "data": str(tuned_data), "holdout": 0.2, "extractor": "none", "sample_every": 0, "score_every": 0,
        "quiet": True, "device": given.device, "seed": given.seed, **end,
    }  # fmt: skip
    runs = [("from scratch, the same codec", None), ("all weights", {}), ("LoRA of rank 8", {"lora": 8})]
    named = []
    for name, more in runs:
        progress(name)
        out = str(folder / name.replace(" ", "-").replace(",", ""))
        if more is None:
            own = TINY if given.quick else {}
            tuned = luoxia.train("image-gpt", codec=str(base.path), size=64, out=out, **common, **own)
        else:
            tuned = luoxia.finetune(base, out=out, **common, **more)
        named.append((name, tuned))
    show_bits(named)


# ------------------------------------------------------------------ pace


def run_speed(given: argparse.Namespace, folder: Path) -> None:
    """Images a second, in training and drawing, in alternation with the peer's networks."""
    import torch

    width, layers, heads, vocabulary, side = (32, 1, 2, 50, 4) if given.quick else (192, 6, 6, 1000, 8)
    ours, theirs = own_network(width, layers, heads, vocabulary, side), None
    rounds = 1 if given.quick else given.rounds
    rows = []
    if given.peer:
        theirs = peer_network(given.peer, width, layers, heads, vocabulary, side)
    for name, work in (
        ("training", pace_of_training),
        ("drawing", pace_of_drawing),
        ("drawing, guided", pace_guided),
    ):
        pace: dict[str, list[float]] = {"ours": [], "theirs": []}
        for _ in range(rounds):
            pace["ours"].append(work(ours, vocabulary, side))
            if theirs is not None:
                pace["theirs"].append(work(theirs, vocabulary, side))
        quotient = ratio(pace["ours"], pace["theirs"]) if theirs is not None else "—"
        medians = [float(np.median(values)) if values else None for values in pace.values()]
        rows.append((name, *medians, quotient))
    sizes = [sum(p.numel() for p in network.parameters()) for network, _ in (ours, theirs or ours)]
    table((f"images a second, {side * side} tokens", "image-gpt", "LlamaGen", "ratio"), rows)
    print(f"{sizes[0]:,} and {sizes[1]:,} weights; {torch.get_num_threads()} threads\n")


Made = tuple[Any, Callable[[Any, Any], Any]]


def own_network(width: int, layers: int, heads: int, vocabulary: int, side: int) -> Made:
    """Our prior with one class vector, and how it draws."""
    from luoxia.decoding.grid import Guidance, draw_grids
    from luoxia.decoding.loop import Decoding
    from luoxia.tasks.image_synthesis.conditions import request
    from luoxia.tasks.image_synthesis.networks.prior import Prior
    from luoxia.tasks.image_synthesis.spec import ConditionSpec

    spec = ConditionSpec(classes=tuple(map(str, range(10))))
    prior = Prior(spec, (side, side), vocabulary, width=width, layers=layers, heads=heads)

    def draw(n: int, guidance: float) -> Any:
        prefix, none = prior.conditioner(request(spec, n)), prior.conditioner.none(n)
        return draw_grids(
            prior.decoder, range(n), Decoding(), prefix=prefix, against=none, guidance=Guidance(guidance)
        )

    return prior, draw


def peer_network(peer: Path, width: int, layers: int, heads: int, vocabulary: int, side: int) -> Made:
    """LlamaGen's Transformer of the same sizes, and how it draws."""
    import torch

    sys.path.insert(0, str(peer))
    from autoregressive.models.generate import generate  # type: ignore[import-not-found]
    from autoregressive.models.gpt import ModelArgs, Transformer  # type: ignore[import-not-found]

    sizes = {
        "dim": width,
        "n_layer": layers,
        "n_head": heads,
        "vocab_size": vocabulary,
        "block_size": side * side,
    }
    network = Transformer(
        ModelArgs(num_classes=10, token_dropout_p=0.0, resid_dropout_p=0.0, ffn_dropout_p=0.0, **sizes)
    )

    def draw(n: int, guidance: float) -> Any:
        return generate(network, torch.arange(n) % 10, side * side, cfg_scale=guidance)

    return network, draw


def pace_of_training(made: Made, vocabulary: int, side: int, batch: int = 32) -> float:
    """Images a second forward and backward, by AdamW in both, so that networks alone are compared."""
    import torch
    import torch.nn.functional as F

    network, _ = made
    own = hasattr(network, "conditioner")
    network.train()
    if not own:
        for layer in network.layers:
            layer.attention.kv_cache = None
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=True)
    tokens, labels = torch.randint(vocabulary, (batch, side * side)), torch.arange(batch) % 10
    steps = 5
    for step in range(steps + 2):
        if step == 2:
            began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            if own:
                from luoxia.tasks.image_synthesis.conditions import request

                order = torch.rand(batch, side * side).argsort(1)
                logits = network(tokens[..., None], order, request(network.conditioner.spec, batch))
                loss = F.cross_entropy(logits.flatten(0, 2).float(), tokens.flatten())
            else:
                loss = network(tokens[:, :-1], labels, targets=tokens)[1]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return batch * steps / (time.perf_counter() - began)


def pace_of_drawing(made: Made, vocabulary: int, side: int, guidance: float = 1.0, n: int = 64) -> float:
    """Images a second of tokens drawn."""
    import torch

    network, draw = made
    network.eval()
    with torch.inference_mode():
        began = time.perf_counter()
        draw(n, guidance)
    return n / (time.perf_counter() - began)


def pace_guided(made: Made, vocabulary: int, side: int) -> float:
    """The same under guidance."""
    return pace_of_drawing(made, vocabulary, side, 1.5)


# ------------------------------------------------------------------


def keep(given: argparse.Namespace, name: str, images: Any) -> None:
    """Write a grid to ``--out``, where it is given."""
    if given.out is None:
        return
    from luoxia.media.image.writer import write_grid
    from luoxia.provenance.label import Label

    write_grid(Path(given.out) / f"{name.replace(' ', '-')}.png", images, Label(), 8)


def main() -> None:
    parser = arguments(__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("scenes", "emoji", "photos", "finetune", "speed"))
    parser.add_argument("--minutes", type=float, default=15, help="of codec and prior together")
    parser.add_argument("--tune", type=float, default=3, help="finetune: minutes of each way")
    parser.add_argument("--rounds", type=int, default=5, help="speed: alternations")
    for name in ("--noto", "--twemoji", "--data", "--peer"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="a folder for grids of samples")
    given = parser.parse_args()
    header(f"image-gpt: {given.what}", given.quick)
    with tempfile.TemporaryDirectory() as folder:
        globals()[f"run_{given.what}"](given, Path(folder))


if __name__ == "__main__":
    main()
