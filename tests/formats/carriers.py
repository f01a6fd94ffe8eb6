"""Each format with a small content, for the tests of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from luoxia.formats import csv, gif, jsonl, md, mp4, npy, npz, png, txt
from luoxia.provenance.label import Label

IMAGE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
FRAMES = np.zeros((2, 16, 16, 3), np.uint8)

WRITE: dict[str, Callable[[Label, Path], Path]] = {
    "a.png": lambda label, path: png.write(IMAGE, label, path),
    "a.gif": lambda label, path: gif.write(FRAMES, label, path),
    "a.mp4": lambda label, path: mp4.write(FRAMES, label, path),
    "a.npz": lambda label, path: npz.write({"z": np.zeros(3)}, label, path),
    "a.npy": lambda label, path: npy.write(np.zeros(3), label, path),
    "a.txt": lambda label, path: txt.write("one\ntwo\n", label, path),
    "no ending": lambda label, path: txt.write("one\ntwo", label, path, inline=True),
    "a.csv": lambda label, path: csv.write([["text"], ["one, two"]], label, path),
    "a.jsonl": lambda label, path: jsonl.write([{"text": "one"}, {"text": "二 \udcc9"}], label, path),
    "a.md": lambda label, path: md.write("# One\n\nTwo\n", label, path),
}
"""File name → what writes a file of that name."""
