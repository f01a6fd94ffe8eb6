"""Drawn scenes of two shapes with captions, some combinations held out, and a reader that knows every drawing.

"a big red circle above a small blue star": two sizes, four colors, four shapes, above or left of. A caption may also be
turned around ("a small blue star below a big red circle"). The reader compares each half of a picture with all drawings
that can be there, so that it reads every clean scene rightly.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIDE = 32
SIZES, SHAPES, RELATIONS = ("big", "small"), ("circle", "square", "triangle", "star"), ("above", "left of")
COLORS = {"red": (214, 40, 40), "green": (42, 157, 80), "blue": (38, 84, 200), "yellow": (236, 180, 20)}
TURNED = {"above": "below", "left of": "right of"}
RADIUS = {"big": 7.0, "small": 4.0}
JITTER = (-1, 0, 1)
FINE = 8  # drawn so many times larger, for smooth edges


@dataclass(frozen=True, order=True)
class Thing:
    """A drawn shape."""

    size: str
    color: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.size} {self.color} {self.shape}"


@dataclass(frozen=True, order=True)
class Scene:
    """One thing above another, or left of it."""

    first: Thing
    relation: str
    second: Thing

    def captions(self) -> tuple[str, str]:
        """Both ways to say it."""
        return (
            f"{self.first} {self.relation} {self.second}",
            f"{self.second} {TURNED[self.relation]} {self.first}",
        )


THINGS = tuple(Thing(*parts) for parts in product(SIZES, COLORS, SHAPES))


def scenes() -> tuple[Scene, ...]:
    """All 1,984: of two unlike things."""
    return tuple(Scene(a, how, b) for a, how, b in product(THINGS, RELATIONS, THINGS) if a != b)


def split(share: float = 1 / 3, seed: int = 0) -> tuple[list[Scene], list[Scene]]:
    """(Those that may be seen, those held out), the same for a seed."""
    every = scenes()
    order = np.random.default_rng(seed).permutation(len(every))
    out = round(share * len(every))
    return sorted(every[i] for i in order[out:]), sorted(every[i] for i in order[:out])


def centers(relation: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the first and the second stand: (x, y)."""
    near, far, middle = SIDE // 4, SIDE * 3 // 4, SIDE // 2
    return ((middle, near), (middle, far)) if relation == "above" else ((near, middle), (far, middle))


@cache
def drawing(thing: Thing, x: int, y: int) -> np.ndarray:
    """The thing alone on white, uint8 (SIDE, SIDE, 3)."""
    fine = Image.new("RGB", (SIDE * FINE, SIDE * FINE), "white")
    draw, r = ImageDraw.Draw(fine), RADIUS[thing.size] * FINE
    cx, cy, color = x * FINE, y * FINE, COLORS[thing.color]
    if thing.shape == "circle":
        draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=color)
    elif thing.shape == "square":
        draw.rectangle((cx - 0.85 * r, cy - 0.85 * r, cx + 0.85 * r, cy + 0.85 * r), fill=color)
    else:
        points = 3 if thing.shape == "triangle" else 10
        radii = [r if points == 3 or i % 2 == 0 else 0.45 * r for i in range(points)]
        turns = [2 * np.pi * i / points - np.pi / 2 for i in range(points)]
        draw.polygon(
            [(cx + s * np.cos(a), cy + s * np.sin(a)) for s, a in zip(radii, turns, strict=True)], color
        )
    return np.asarray(fine.resize((SIDE, SIDE), Image.Resampling.BOX))


def picture(scene: Scene, generator: np.random.Generator) -> np.ndarray:
    """The scene, each thing moved by up to a pixel: uint8 (SIDE, SIDE, 3)."""
    parts = []
    for thing, (x, y) in zip((scene.first, scene.second), centers(scene.relation), strict=True):
        dx, dy = generator.choice(JITTER, 2)
        parts.append(drawing(thing, x + int(dx), y + int(dy)))
    return np.minimum(*parts)


def write(folder: Path, seen: Sequence[Scene], each: int, seed: int = 0) -> Path:
    """``each`` pictures of each scene, with metadata.csv, both captions of a picture as rows of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file_name", "text"))
        for number, (scene, copy) in enumerate(product(seen, range(each))):
            name = f"{number:05d}-{copy}.png"
            Image.fromarray(picture(scene, generator)).save(folder / name)
            table.writerows((name, caption) for caption in scene.captions())
    return folder


# ------------------------------------------------------------------ the reader


def candidates(relation: str, place: int) -> Iterator[tuple[Thing, np.ndarray]]:
    """What may stand at a place of a relation."""
    x, y = centers(relation)[place]
    for thing, dx, dy in product(THINGS, JITTER, JITTER):
        yield thing, drawing(thing, x + dx, y + dy)


@cache
def templates(relation: str, place: int) -> tuple[list[Thing], np.ndarray]:
    """The things, and their drawings flat: (candidates, pixels) of that half of the picture."""
    things, drawings = zip(*candidates(relation, place), strict=True)
    return list(things), half(np.stack(drawings), relation, place).astype(np.float32)


def half(pictures: np.ndarray, relation: str, place: int) -> np.ndarray:
    """The half of pictures (n, SIDE, SIDE, 3) in which a place lies, flat."""
    part = slice(None, SIDE // 2) if place == 0 else slice(SIDE // 2, None)
    cut = pictures[:, part] if relation == "above" else pictures[:, :, part]
    return cut.reshape(len(pictures), -1)


def read(pictures: Any) -> list[Scene]:
    """The scene that each picture (n, SIDE, SIDE, 3) is nearest to."""
    pictures = np.asarray(pictures, np.float32)
    best: list[tuple[float, Scene]] = [(np.inf, scenes()[0])] * len(pictures)
    for relation in RELATIONS:
        found = []
        for place in (0, 1):
            things, known = templates(relation, place)
            own = half(pictures, relation, place)
            errors = (own**2).sum(1)[:, None] - 2 * own @ known.T + (known**2).sum(1)
            nearest = errors.argmin(1)
            found.append((errors.min(1), [things[i] for i in nearest]))
        for i in range(len(pictures)):
            error = float(found[0][0][i] + found[1][0][i])
            if error < best[i][0]:
                best[i] = error, Scene(found[0][1][i], relation, found[1][1][i])
    return [scene for _, scene in best]


def accuracy(pictures: Any, asked: Sequence[Scene]) -> float:
    """The share of pictures that show exactly what was asked for."""
    return float(np.mean([ours == theirs for ours, theirs in zip(read(pictures), asked, strict=True)]))
