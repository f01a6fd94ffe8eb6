"""Squares and circles in three colors, with what is said of them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}
SHAPES = ("square", "circle")
SIDE = 12


def drawn(color: str, shape: str, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 12, (SIDE, SIDE, 3))
    pixels = np.full((SIDE, SIDE, 3), 240 - noise, np.uint8)
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    inside = (np.abs(rows) < 4) & (np.abs(columns) < 4) if shape == "square" else rows**2 + columns**2 < 12
    pixels[inside] = COLORS[color]
    return Image.fromarray(pixels)


def rows_of_shapes(n: int) -> list[dict[str, object]]:
    kinds = [(color, shape) for color in COLORS for shape in SHAPES]
    return [
        {
            "file_name": f"{number:03d}.png",
            "text": [f"a {color} {shape}", f"one {shape}, {color}"],
            "keywords": [color, shape, "shape"],
            "category": shape,
            "style": "bold" if number % 4 < 2 else "plain",
        }
        for number, (color, shape) in ((number, kinds[number % len(kinds)]) for number in range(n))
    ]


def write_shapes(folder: Path, n: int = 60) -> Path:
    """Images in a folder with several captions each, keywords, a category and a style in metadata.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = rows_of_shapes(n)
    for number, row in enumerate(rows):
        _, color, shape = row["text"][0].split()  # type: ignore[index]
        drawn(color, shape, number).save(folder / str(row["file_name"]))
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
