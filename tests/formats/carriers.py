"""Each format with a small content, for the tests of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from luoxia.formats import csv, flac, gif, jsonl, md, mp3, mp4, npy, npz, ogg, png, tok, txt, wav
from luoxia.provenance.label import Label

IMAGE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
WAVE = np.sin(np.arange(4000) / 5)[:, None].astype(np.float32) * [0.5, 0.25]
TOKENS = np.arange(12).reshape(3, 4, 1)
FRAMES = np.zeros((2, 16, 16, 3), np.uint8)

WRITE: dict[str, Callable[[Label, Path], Path]] = {
    "a.png": lambda label, path: png.write(IMAGE, label, path),
    "a.gif": lambda label, path: gif.write(FRAMES, label, path),
    "a.mp4": lambda label, path: mp4.write(FRAMES, label, path),
    "a.wav": lambda label, path: wav.write(WAVE, label, path, 8000),
    "a.flac": lambda label, path: flac.write(WAVE, label, path, 8000),
    "a.ogg": lambda label, path: ogg.write(WAVE, label, path, 8000),
    "a.mp3": lambda label, path: mp3.write(WAVE, label, path, 8000),
    "a.npz": lambda label, path: npz.write({"z": np.zeros(3)}, label, path),
    "a.tok": lambda label, path: tok.write(tok.TokenGrid(TOKENS, (0, 0)), 16, "ab" * 16, label, path),
    "a.npy": lambda label, path: npy.write(np.zeros(3), label, path),
    "a.txt": lambda label, path: txt.write("one\ntwo\n", label, path),
    "no ending": lambda label, path: txt.write("one\ntwo", label, path, inline=True),
    "a.csv": lambda label, path: csv.write([["text"], ["one, two"]], label, path),
    "a.jsonl": lambda label, path: jsonl.write([{"text": "one"}, {"text": "二 \udcc9"}], label, path),
    "a.md": lambda label, path: md.write("# One\n\nTwo\n", label, path),
}
"""File name → what writes a file of that name."""
