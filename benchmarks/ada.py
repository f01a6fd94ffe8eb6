"""How far D overfits a small set of photographs, with and without adaptive augmentation (ADA).

--recipe on --images images of --data, half of which it is shown while the others are held out: 1,000 of 2,000 by
default; each of --sides with the same seed, for the same time, or with --set steps= for as many steps. D's mean
logit of images it is trained on and of images it never saw come apart as it learns them by heart; the share of that
gap in D's sense of real and generated says how far
((D_train − D_heldout) / (D_train − D_generated): 0, as good as new; 1, what it never saw is as false as what G makes;
Karras et al. 2020, arXiv:2006.06676, eq. 1).
"""

from __future__ import annotations

import itertools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from common import arguments, header, progress, table

SIDES = {"without": (), "ADA": ("ada",)}
PARTS = 6
"""Rows of a run."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder, zip or npz of images")
    parser.add_argument(
        "--recipe", default="dcgan", help="its loss should anchor the logits: not relativistic"
    )
    parser.add_argument("--images", type=int, default=2000, help="taken of it, those held out included")
    parser.add_argument("--holdout", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=10, help="training of each side at most")
    parser.add_argument("--kimg", type=float, default=50, help="ada_kimg: a short run needs a quick p")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--out", type=Path, help="a folder for the runs; a temporary one if unset")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")
    asked = parser.parse_args()
    header("ADA on few images", asked.quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.out or Path(temporary)
        data = taken(asked.data, asked.images, asked.size, Path(temporary) / "few.npz")
        cells = [row for name in asked.sides for row in trained(name, data, folder / name, asked)]
    columns = ("", "step", "p", "D(train)", "D(held out)", "D(generated)", "gap", "newly found", "FD")
    table(columns, cells)


def taken(data: Path, count: int, size: int, out: Path) -> Path:
    """The first images in an order of their own, decoded, as an .npz."""
    import numpy as np

    from luoxia.media.image.images import open_images

    images = open_images(str(data), str(size), "center", None).images
    chosen = np.sort(np.random.default_rng(0).permutation(len(images))[:count])
    np.savez(out, images=np.asarray(images[chosen]))
    return out


def trained(name: str, data: Path, out: Path, asked: Any) -> list[tuple[Any, ...]]:
    """One side, trained; its rows."""
    import luoxia
    from luoxia.core.settings import parse_settings

    settings: dict[str, Any] = {"budget": f"{60 * asked.minutes:g}s"}
    if asked.quick:
        settings = {"steps": 8, "width": 4, "batch": 4, "log_every": 2, "extractor": "none"}
    settings |= {"data": str(data), "out": str(out), "holdout": asked.holdout, "augment": SIDES[name]}
    settings |= {"ada_kimg": asked.kimg} if SIDES[name] else {}
    progress(f"{name}: {settings}")
    luoxia.train(asked.recipe, **settings, **parse_settings(asked.set))
    return rows(name, out)


def rows(name: str, run: Path) -> list[tuple[Any, ...]]:
    """A run's rows: the means of each sixth of its log, for a single line is one batch of D's logits."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logs = [record for record in records if record["kind"] == "log"]
    ends = [len(logs) * part // PARTS for part in range(PARTS + 1)]
    return [row(name, logs[a:b], records) for a, b in itertools.pairwise(ends) if b > a]


def row(name: str, logs: list[dict[str, Any]], records: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Some log lines as a row; with it what the doctor found then, and the last score until then."""
    began, step = logs[0]["step"], logs[-1]["step"]
    train, heldout, fake, p = (
        sum(log["statistics"].get(key, float("nan")) for log in logs) / len(logs)
        for key in ("train_logit", "heldout_logit", "fake_logit", "augment_p")
    )
    gap = (train - heldout) / (train - fake) if train > fake else None
    named = {r["name"] for r in records if r["kind"] == "finding" and began <= r["step"] <= step}
    found = ", ".join(sorted(named)) or "none"
    distances = [
        score["value"]
        for record in records
        if record["kind"] == "score" and record["step"] <= step
        for score in record["scores"]
        if score["name"].startswith(("FD", "FID"))
    ]
    distance = distances[-1] if distances else None
    return name, step, None if math.isnan(p) else p, train, heldout, fake, gap, found, distance


if __name__ == "__main__":
    main()
