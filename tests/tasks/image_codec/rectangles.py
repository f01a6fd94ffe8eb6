"""Small pictures that a codec learns within seconds."""

import numpy as np
from PIL import Image

SETTINGS = {
    "width": 8, "d_width": 4, "batch": 16, "factor": 4, "levels": (8, 5, 5), "extractor": "none", "device": "cpu",
    "ramp": 320, "shift": 1, "quiet": True,
}  # fmt: skip


def rectangles(n, height=16, width=16, channels=3, seed=0):
    """Colored rectangles on colored ground, uint8 (n, height, width, channels)."""
    rng = np.random.default_rng(seed)
    images = np.empty((n, height, width, channels), np.uint8)
    for image in images:
        image[:] = rng.integers(256, size=channels)
        top, left = rng.integers(height // 2), rng.integers(width // 2)
        image[top : top + height // 2, left : left + width // 2] = rng.integers(256, size=channels)
    return images


def write(folder, images):
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(folder / f"{number:03d}.png")
    return folder
