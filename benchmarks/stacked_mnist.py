"""StackedMNIST: modes found and their divergence, by recipe, at equal time.

Three random digits become the channels of one image, so that there are 1,000 modes and it is known which of them a
sample belongs to (Metz et al. 2017, arXiv:1611.02163). A classifier of digits, examined on digits it has not seen,
names the three digits of each of 25,600 samples. ``modes`` counts those named at least once; ``KL`` is the relative
entropy of the samples' modes to those of real stacks, in nats, which for 25,600 real stacks is about 0.02 and not 0.
Every recipe trains through ``luoxia.train`` with its defaults for as long as every other, scores and samples off.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from common import Judge, arguments, header, progress, read_digits, table

RECIPES = ("dcgan", "wgan-gp", "stylegan2", "r3gan")
DIGITS, STACKED = 10, 3
LITERATURE = (
    ("DCGAN", 99, 3.40),
    ("WGAN-GP", 959, 0.73),
    ("PacGAN", 1000, 0.06),
    ("StyleGAN2", 940, 0.42),
    ("R3GAN", 1000, 0.029),
)


def stack(images: Any, labels: Any, count: int, seed: int) -> tuple[Any, Any]:
    """Images uint8 (count, 28, 28, 3) of three random digits each, and the digits (count, 3)."""
    import numpy as np

    rows = np.random.default_rng(seed).integers(0, len(images), (count, STACKED))
    return np.ascontiguousarray(images[rows].transpose(0, 2, 3, 1)), labels[rows]


def expected(labels: Any) -> Any:
    """How often each mode comes up in 10⁹ stacks of digits drawn from ``labels``: (1,000,)."""
    import numpy as np

    shares = np.bincount(labels, minlength=DIGITS) / len(labels)
    return 1e9 * np.einsum("a,b,c->abc", shares, shares, shares).ravel()


def judge_modes(judge: Judge, samples: Any, real: Any) -> tuple[int, float, float]:
    """Modes found, KL to ``real``, and the judge's mean confidence, of samples uint8 (n, 28, 28, 3)."""
    import numpy as np

    from luoxia.metrics import classes

    digits, confidence = [], []
    for channel in range(STACKED):
        probabilities = judge.probabilities(np.ascontiguousarray(samples[..., channel : channel + 1]))
        digits.append(probabilities.argmax(1).numpy())
        confidence.append(probabilities.max(1).values.mean().item())
    counts = classes.histogram(classes.joint(np.stack(digits, 1), DIGITS), DIGITS**STACKED)
    return classes.covered(counts, at_least=0), classes.divergence(counts, real), sum(confidence) / STACKED


def train(name: str, data: Path, out: Path, asked: Any, settings: dict[str, str]) -> tuple[Any, int, float]:
    """A generator of this recipe after the budget, the steps it took and the seconds."""
    import luoxia
    from luoxia.training.checkpoint import load_latest

    began = time.perf_counter()
    run = luoxia.train(
        name,
        quiet=True,
        data=str(data),
        out=str(out / name),
        budget=asked.budget,
        extractor="none",
        holdout=0,
        seed=asked.seed,
        device=asked.device,
        sample_every=0,
        score_every=0,
        checkpoint_every=10**9,
        **settings,
    )
    saved = load_latest(run.checkpoints)
    progress(f"{name}: {saved.step:,} steps in {time.perf_counter() - began:.0f} s")
    return luoxia.load(run.path), saved.step * run.manifest["config"]["batch"], saved.state["seconds"]


def chosen(words: list[str]) -> dict[str, dict[str, str]]:
    """``r3gan.width=32`` → {"r3gan": {"width": "32"}}."""
    settings: dict[str, dict[str, str]] = {}
    for word in words:
        name, _, setting = word.partition(".")
        key, _, value = setting.partition("=")
        settings.setdefault(name, {})[key] = value
    return settings


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", required=True, help="MNIST's 60,000 digits: .npz with images and labels")
    parser.add_argument("--budget", type=float, default=600, help="seconds of training of each recipe")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--samples", type=int, default=25_600, help="samples that are judged")
    parser.add_argument("--stacks", type=int, default=60_000, help="images to learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="a folder to keep runs and grids in")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="RECIPE.KEY=VALUE", help="settings, such as r3gan.width=32"
    )
    asked = parser.parse_args()
    if asked.quick:
        asked.budget, asked.samples, asked.stacks = 5, 1280, 2000
    header("StackedMNIST", asked.quick)
    compare(asked, chosen(asked.set))


def compare(asked: Any, settings: dict[str, dict[str, str]]) -> None:
    """Print the table: real stacks, then each recipe, then the literature."""
    import numpy as np

    from luoxia.media.image.writer import write_grid
    from luoxia.provenance.label import Label
    from luoxia.tasks.menu import RECIPES as MENU

    judge = Judge.open(asked.data, asked.quick)
    images, labels = read_digits(asked.data)
    real = expected(labels)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = Path(temporary) / "stacks.npz"
        np.savez(data, images=stack(images, labels, asked.stacks, seed=0)[0])
        fresh = stack(images, labels, asked.samples, seed=1)[0]
        rows.append(["real stacks", None, None, *judge_modes(judge, fresh, real)])
        for name in (name for name in asked.recipes if name in MENU):
            generator, seen, seconds = train(name, data, folder, asked, settings.get(name, {}))
            samples = generator.sample(asked.samples, seed=1)
            write_grid(folder / f"{name}.png", samples[:64], Label())
            rows.append([name, round(seconds), seen, *judge_modes(judge, samples, real)])
            progress(str(rows[-1]))
    table(["", "seconds", "images seen", "modes of 1,000", "KL", "judge's confidence"], rows)
    table(["literature", "modes", "KL"], LITERATURE)


if __name__ == "__main__":
    main()
