"""Translation without pairs, measured by pairs that were hidden: ``cyclegan`` and ``cut`` on emoji and on two fonts.

Emoji (``--a``, ``--b``): two zips with the same file names, Noto's and Twemoji's. Fonts (``--kai``, ``--ming``): the
same characters in two files, rendered here. A tenth of the names is set aside with both sides; of the rest one half is
side A and the other half side B, so that no image has its partner in training, and files are numbered anew. After
``--minutes`` of training the mean absolute difference of translations from their hidden partners is taken, in levels
of 255. Floors: the source itself, and side B's mean image for each.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from common import arguments, header, progress, table

SIDE = 64


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--a", help="a zip of emoji")
    parser.add_argument("--b", help="another, with the same file names")
    parser.add_argument("--kai", help="a font file: ukai.ttc of Debian's fonts-arphic-ukai")
    parser.add_argument("--ming", help="another: uming.ttc of fonts-arphic-uming")
    parser.add_argument("--characters", type=int, default=2000, help="rendered")
    parser.add_argument("--minutes", type=float, default=10, help="of training, for each recipe")
    parser.add_argument("--out", help="keep the runs, and pictures of translations, in this folder")
    parser.add_argument("settings", nargs="*", help="of luoxia train, as in width=64")
    asked = parser.parse_args()
    if not (asked.a and asked.b) and not (asked.kai and asked.ming):
        parser.error("give --a and --b, or --kai and --ming, or all four")
    header("Unpaired translation against hidden pairs", asked.quick)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(asked.out or scratch)
        if asked.a and asked.b:
            examine("emoji", read_emoji(asked.a, asked.b), asked, folder)
        if asked.kai and asked.ming:
            characters = 100 if asked.quick else asked.characters
            examine("fonts", render(asked.kai, asked.ming, characters), asked, folder)


def examine(name: str, pairs: tuple[list[str], Any, Any], asked: Any, folder: Path) -> None:
    """Train both recipes on one task and print its table."""
    import numpy as np

    import luoxia
    from luoxia.core.settings import parse_settings

    names, a, b = pairs
    order = sorted(range(len(names)), key=lambda i: hashlib.sha256(names[i].encode()).hexdigest())
    hidden, rest = order[: len(order) // 10], order[len(order) // 10 :]
    sides = {"a": (a, rest[::2]), "b": (b, rest[1::2])}
    for side, (images, chosen) in sides.items():
        write_side(folder / name / side, images[chosen])
    tests = {"a2b": (a[hidden], b[hidden]), "b2a": (b[hidden], a[hidden])}
    common = {"data": str(folder / name / "a"), "against": str(folder / name / "b"), "extractor": "none"}
    limit = {"steps": 4, "width": 8, "d_width": 8} if asked.quick else {"budget": f"{asked.minutes}m"}
    rows = []
    for way, (source, target) in tests.items():
        mean = sides[way[-1]][0][sides[way[-1]][1]].mean(0)
        floors = (("identity", source.astype(float)), ("mean image", np.broadcast_to(mean, target.shape)))
        rows += [(f"{floor}, {way}", None, error(made, target)) for floor, made in floors]
    for recipe in ("cyclegan", "cut"):
        progress(f"{name}: {recipe}")
        settings = {**common, **limit, "out": str(folder / name / recipe), **parse_settings(asked.settings)}
        run = luoxia.train(recipe, quiet=True, **settings)
        model = luoxia.load(run.path)
        for way in model.directions:
            source, target = tests[way]
            made = model.translate(source, direction=way)
            rows.append((f"{recipe}, {way}", model.details.step, error(made, target)))
            picture(folder / name / f"{recipe}-{way}.png", source, made, target)
    print(f"{name}: {len(rest[::2])} against {len(rest[1::2])} images, {len(hidden)} hidden pairs.\n")
    table(("", "steps", "error against the hidden partner (of 255)"), rows)


def error(made: Any, target: Any) -> float:
    """The mean absolute difference."""
    import numpy as np

    return float(np.abs(np.asarray(made, float) - target).mean())


def picture(path: Path, *columns: Any) -> None:
    """Rows of source, translation, hidden partner."""
    import numpy as np

    from luoxia.media.image.writer import write_grid
    from luoxia.provenance.label import Label

    rows = np.stack([column[:12] for column in columns], axis=1)
    write_grid(path, rows.reshape(-1, *rows.shape[2:]), Label(), columns=3 * 4)


def write_side(folder: Path, images: Any) -> None:
    """Numbered files."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05}.png")


def read_emoji(one: str, other: str) -> tuple[list[str], Any, Any]:
    """The images whose names are in both."""
    import numpy as np

    from luoxia.media.image.images import open_images

    sets = [open_images(path, SIDE, channels=3) for path in (one, other)]
    places = [{Path(name).name: i for i, name in enumerate(images.names)} for images in sets]
    names = sorted(places[0].keys() & places[1].keys())
    first, second = (
        np.asarray(images.images[[at[name] for name in names]])
        for images, at in zip(sets, places, strict=True)
    )
    return names, first, second


def render(one: str, other: str, count: int) -> tuple[list[str], Any, Any]:
    """Characters that both fonts have, black on white, in the order of their code points."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    fonts = [ImageFont.truetype(path, SIDE - 8) for path in (one, other)]
    missing = [bytes(font.getmask("\uffff")) for font in fonts]

    def draw(font: Any, character: str) -> Any:
        image = Image.new("RGB", (SIDE, SIDE), "white")
        ImageDraw.Draw(image).text((SIDE / 2, SIDE / 2), character, "black", font, anchor="mm")
        return np.asarray(image)

    names = []
    for code in range(0x4E00, 0x9FA6, max(1, (0x9FA6 - 0x4E00) // (2 * count))):
        masks = [bytes(font.getmask(chr(code))) for font in fonts]
        if len(names) < count and all(
            mask and mask != blank for mask, blank in zip(masks, missing, strict=True)
        ):
            names.append(chr(code))
    first, second = (np.stack([draw(font, name) for name in names]) for font in fonts)
    return names, first, second


if __name__ == "__main__":
    main()
