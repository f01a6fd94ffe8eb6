"""Generated sounds leave through here, as they are made, each with its label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from luoxia.core.errors import UsageError
from luoxia.formats import flac, mp3, ogg, wav
from luoxia.formats.pcm import Wave, Waves
from luoxia.formats.registry import read_label
from luoxia.provenance.label import Label

WRITERS = {".wav": wav.write, ".flac": flac.write, ".ogg": ogg.write, ".mp3": mp3.write}
"""Ending → what writes a file of it."""
ENDINGS = tuple(WRITERS)


def write_sound(path: Path, waves: Waves, rate: int, label: Label) -> Path:
    """Write one sound, in the format that the ending names.

    Args:
        path: FILE.wav, .flac, .ogg or .mp3.
        waves: floats in [−1, 1] or int16, (samples, channels), all at once or in pieces as they are made.
        rate: Hz.
        label: what made it.

    Raises:
        UsageError: another ending, or a rate that the format cannot hold.
        MissingExtraError: soundfile is not installed, for anything but WAV.
    """
    write = WRITERS.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"out={path}: must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    return write(waves, label, path, rate)


def write_folder(path: Path, sounds: Iterable[Wave], rate: int, label: Label, ending: str = ".wav") -> Path:
    """Write each sound as NUMBER.wav in a folder, with that number as its label's ``index``.

    Sounds of an earlier and longer writing are removed: those whose own label has a higher number.
    """
    written = 0
    for wave in sounds:
        write_sound(path / f"{written:06d}{ending}", wave, rate, replace(label, index=written))
        written += 1
    for old in path.glob(f"*{ending}"):
        index = getattr(read_label(old), "index", None)
        if index is not None and index >= written and old.name == f"{index:06d}{ending}":
            old.unlink()
    return path
