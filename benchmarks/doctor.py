"""The doctor on deliberately broken configurations, each with its cause known, and on the default recipes.

A broken configuration counts as named when the expected finding is made; a default recipe must stay quiet.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import common
import luoxia

BROKEN: list[tuple[str, str, dict[str, Any], set[str]]] = [
    (
        "the saturating loss against a D that learns 100 × faster",
        "gan",
        {"loss": "minimax", "penalty": "none", "lr": 2e-5, "d_lr": 2e-3, "steps": 1500},
        {"vanishing gradients", "strong discriminator"},
    ),
    (
        "200 images, no penalty, no augmentation",
        "dcgan",
        {"data": "few", "penalty": "none", "holdout": 0.25, "steps": 1500},
        {"overfitting"},
    ),
    (
        "a G that learns far too fast",
        "gan",
        {"penalty": "none", "lr": 2e-2, "d_lr": 2e-4, "steps": 1500},
        {"mode collapse", "missing classes"},
    ),
]
DEFAULTS = ("gan", "cgan", "dcgan", "wgan", "wgan-gp")


def trained(recipe: str, settings: dict[str, Any], folder: Path) -> luoxia.Run:
    """A new run of the recipe."""
    options = {"sample_every": 0, **settings}
    return luoxia.train(recipe, out=str(folder / f"run-{len(list(folder.iterdir()))}"), quiet=True, **options)


def findings(run: luoxia.Run) -> list[tuple[int, str]]:
    """(step, name) of what the doctor found."""
    return [(record["step"], record["name"]) for record in run.records("finding")]


def outcome(run: luoxia.Run) -> tuple[Any, ...]:
    """Steps, seconds of training, and the final scores that say most."""
    last = [record for record in run.records("score") if record["final"]][-1]
    scores = {score["name"]: score["value"] for score in last["scores"]}
    return (
        f"{last['step']:,}",
        f"{last['seconds']:.0f}",
        *(f"{scores[name]:.3g}" for name in ("FD-self", "confidence", "classes", "copy rate")),
    )


def few_images(folder: Path) -> str:
    """An .npz of 200 of the embedded digits."""
    digits = luoxia.open_images()
    path = folder / "few.npz"
    rows = np.random.default_rng(0).permutation(len(digits))[:200]
    labels = np.asarray(digits.labels)[rows]
    np.savez(path, images=digits.images[rows], labels=labels)
    return str(path)


def main() -> None:
    """Print both tables."""
    parser = common.arguments(__doc__)
    parser.add_argument(
        "--steps", type=int, default=None, help="steps of the default recipes; theirs if left out"
    )
    parser.add_argument("--only", choices=("broken", "defaults"), default=None)
    chosen = parser.parse_args()
    common.header("The doctor", chosen.quick)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few = few_images(folder)
        if chosen.only != "defaults":
            rows = []
            missed = "too short to tell" if chosen.quick else "**missed**"
            for what, recipe, settings, expected in BROKEN:
                settings = {k: few if v == "few" else v for k, v in settings.items()}
                if chosen.quick:
                    settings["steps"] = 60
                settings |= {"score_samples": 1000, "score_every": 250}
                found = findings(trained(recipe, settings, folder))
                hit = [f"{n} (step {s})" for s, n in found if n in expected]
                other = [n for _, n in found if n not in expected]
                rows.append(
                    (
                        what,
                        recipe,
                        ", ".join(dict.fromkeys(hit)) or missed,
                        ", ".join(dict.fromkeys(other)) or "–",
                    )
                )
            common.table(("broken by", "recipe", "named", "other findings"), rows)
        if chosen.only != "broken":
            rows = []
            for recipe in DEFAULTS:
                settings = {"steps": 60} if chosen.quick else {"steps": chosen.steps} if chosen.steps else {}
                run = trained(recipe, settings, folder)
                named = ", ".join(f"{n} (step {s})" for s, n in findings(run)) or "quiet"
                rows.append((recipe, named, *outcome(run)))
                common.progress(" ".join(map(str, rows[-1])))
            head = ("default recipe, embedded digits", "findings", "steps", "seconds")
            common.table((*head, "FD-self", "confidence", "classes", "copy rate"), rows)


if __name__ == "__main__":
    main()
