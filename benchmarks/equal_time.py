"""Recipes side by side on one data set after equal time: what each generates, by the run's own final scores.

Every recipe trains through ``luoxia.train`` with its defaults, quick scores and sample grids switched off; the scores
at the end take the same extractor, samples and real images for all. The doctor's findings are counted: a training that
was not stable is named there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from common import arguments, header, progress, table

SHOWN = ("FD", "KID", "precision", "recall", "copy rate")


def trained(name: str, asked: Any, folder: Path) -> list[Any]:
    """A row: steps, images seen, the final scores, the findings."""
    import luoxia
    from luoxia.media.image.writer import write_grid
    from luoxia.provenance.label import Label

    run = luoxia.train(
        name, quiet=True, data=asked.data, out=str(folder / name), budget=asked.budget, seed=asked.seed,
        score_samples=asked.samples, sample_every=0, score_every=0, checkpoint_every=10**9, **settings(asked, name),
    )  # fmt: skip
    scores = next(record["scores"] for record in run.records("score") if record["final"])
    values = {score["name"]: score["value"] for score in scores}
    log = list(run.records("log"))[-1]
    findings = sorted({record["name"] for record in run.records("finding")})
    write_grid(folder / f"{name}.png", luoxia.load(run.path).sample(64, seed=1), Label())
    cells = [next((values[key] for key in values if key.startswith(score)), None) for score in SHOWN]
    row = [name, log["step"], log["seen"], *cells, ", ".join(findings) or "none"]
    progress(str(row))
    return row


def settings(asked: Any, name: str) -> dict[str, str]:
    """``r3gan.width=32`` among ``--set`` is width=32 for r3gan; ``size=32`` is for all."""
    found = {}
    for word in asked.set:
        key, _, value = word.partition("=")
        owner, dot, own = key.partition(".")
        if dot and owner == name:
            found[own] = value
        elif not dot:
            found[key] = value
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", help="images as luoxia train takes them; the embedded digits if not given")
    parser.add_argument("--recipes", nargs="+", default=["r3gan", "transformer-gan"])
    parser.add_argument("--budget", type=float, default=300, help="seconds of training of each")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder to keep runs and grids in")
    parser.add_argument("--set", nargs="+", default=[], metavar="[RECIPE.]KEY=VALUE")
    asked = parser.parse_args()
    if asked.quick:
        asked.budget, asked.samples = 4, 100
    header(
        f"Equal time: {asked.budget:g} s each on {Path(asked.data).name if asked.data else 'digits'}",
        asked.quick,
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = [trained(name, asked, folder) for name in asked.recipes]
    table(["recipe", "steps", "images seen", *SHOWN, "the doctor found"], rows)


if __name__ == "__main__":
    main()
