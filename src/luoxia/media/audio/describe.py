"""What a source of sounds holds, and what is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from luoxia.core.names import many
from luoxia.core.skips import Skipped
from luoxia.media.audio.convert import Conversion
from luoxia.media.audio.data import cached, fingerprint_of, plan
from luoxia.media.audio.keys import DataSettings
from luoxia.media.audio.looks import Header, wrong_with
from luoxia.media.audio.pattern import suggested
from luoxia.media.audio.sources import Clip, Source, open_source
from luoxia.media.labels import class_names

FEW_VALUES = 40
"""Values of a field that are counted one by one."""


@dataclass(frozen=True)
class Description:
    """What ``luoxia data PATH`` shows of sounds."""

    source: str
    kind: str  # "folder", "zip" or "file"
    layout: str  # "sounds", "class folders" or "metadata.csv"
    count: int
    seconds: float
    length: str  # the shortest, the median and the longest, in seconds
    rates: dict[str, int]  # "44100 Hz": sounds, the most common first
    channels: dict[str, int]  # "mono", "stereo", "6 channels": sounds
    loudness_found: str  # the softest, the median and the loudest, in LUFS
    classes: dict[str, int]  # name: sounds; {} when unlabeled
    fields: dict[str, str]  # speaker: how many values there are, and which
    texts: int  # sounds with a text
    sample_rate: int  # that they are read at
    mono: bool
    loudness: float | None
    issues: dict[str, int]  # what is wrong: sounds
    wrong: list[Skipped]  # what is read, and should be looked at
    skipped: list[Skipped]
    ignored: int  # files that are not sounds
    other_files: dict[str, int]  # their endings: files
    notes: list[str]  # what a person should know of how they are read
    fingerprint: str
    cached: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def describe(path: str | os.PathLike[str], keys: DataSettings) -> Description:
    """Describe the sounds at ``path``, and how ``open_audio`` with the same keys reads them; raises what that does."""
    with closing(open_source(path, keys.pattern)) as source:
        return _described(source, plan(source, keys), keys)


def _described(source: Source, to: Conversion, keys: DataSettings) -> Description:
    known = cached(source, to)
    bad = [Skipped(clip.item.name, clip.header) for clip in source.clips if isinstance(clip.header, str)]
    skipped = known.skipped if known else [*source.skipped, *source.unread, *bad]
    pairs = [(clip, clip.header) for clip in source.clips if isinstance(clip.header, Header)]
    headers = [header for _, header in pairs]
    wrong = _wrong(pairs, to.rate)
    labels = Counter(clip.item.label for clip, _ in pairs)
    return Description(
        source=source.title,
        kind=source.kind,
        layout=source.layout,
        count=len(known) if known else len(pairs),
        seconds=round(sum(header.seconds for header in headers), 2),
        length=_spread([header.seconds for header in headers], ".2f"),
        rates=dict(Counter(f"{header.rate} Hz" for header in headers).most_common()),
        channels=dict(Counter(_sides(header.channels) for header in headers).most_common()),
        loudness_found=_spread([header.loudness for header in headers], ".1f"),
        classes={name: labels[name] for name in class_names(list(labels))},
        fields=_fields([clip for clip, _ in pairs]),
        texts=sum(bool(clip.item.text) for clip, _ in pairs),
        sample_rate=to.rate,
        mono=to.channels == 1,
        loudness=to.loudness,
        issues=dict(Counter(one.reason.partition(":")[0] for one in wrong).most_common()),
        wrong=wrong,
        skipped=sorted(skipped, key=lambda skip: skip.name),
        ignored=source.others.total(),
        other_files=dict(source.others.most_common()),
        notes=[*source.notes, *_advice(source, pairs, keys)],
        fingerprint=fingerprint_of(source, to),
        cached=known is not None,
    )


def _sides(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def _spread(values: list[float], form: str) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{low:{form}} … {middle:{form}} … {high:{form}}"


def _fields(clips: list[Clip]) -> dict[str, str]:
    summary: dict[str, str] = {}
    for key in sorted({key for clip in clips for key in clip.fields}):
        values = Counter(clip.fields[key] for clip in clips if key in clip.fields)
        names = class_names(list(values))
        some = f" ({', '.join(names)})" if len(names) <= FEW_VALUES else ""
        summary[key] = many(len(values), "value") + some
    return summary


def _wrong(pairs: list[tuple[Clip, Header]], rate: int) -> list[Skipped]:
    """What is wrong with each sound that is read: with itself, and beside the others."""
    first: dict[str, str] = {}
    listed = []
    for clip, header in pairs:
        name, reasons = clip.item.name, list(wrong_with(header))
        if header.rate < rate and header.highest >= header.rate / 4:
            reasons.append(f"low rate: {header.rate:,} Hz, and it is read at {rate:,} Hz")
        if header.content in first:
            reasons.append(f"duplicate: the same sound as {first[header.content]}")
        first.setdefault(header.content, name)
        listed += [Skipped(name, reason) for reason in reasons]
    return listed


def _advice(source: Source, pairs: list[tuple[Clip, Header]], keys: DataSettings) -> list[str]:
    """What could be read better with other keys, or from other files."""
    notes = []
    if keys.pattern is None and not any(clip.item.label or clip.fields for clip, _ in pairs):
        pattern = suggested([clip.item.name for clip, _ in pairs])
        if pattern is not None:
            notes.append(f"the names of the files seem to tell classes: pattern='{pattern}' reads them")
    other = [clip.item.name for clip, header in pairs if header.format != _format(clip.item.name)]
    if other:
        notes.append(f"{many(len(other), 'file')} of another format than the name says, such as {other[0]}")
    return notes


def _format(name: str) -> str:
    """The format that an ending stands for."""
    from luoxia.media.kinds import ending_of

    ending = ending_of(name)
    same = {
        ".oga": ".ogg",
        ".opus": ".ogg",
        ".aif": ".aiff",
        ".aifc": ".aiff",
        ".wave": ".wav",
        ".rf64": ".wav",
    }
    same |= {".snd": ".au", ".m4b": ".m4a", ".weba": ".mka", ".eac3": ".ac3"}
    return same.get(ending, ending)
