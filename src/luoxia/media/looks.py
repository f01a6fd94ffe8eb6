"""One look at each file: its digest, its header, and whether Luoxia made it; remembered as long as it is untouched."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from luoxia.core.cache import cache_folder, mark
from luoxia.core.parallel import in_order
from luoxia.media.files import Files, Stamp

CHUNK = 32
FRESH_NANOSECONDS = 2 * 10**9
"""A file that changed so shortly before it was looked at may change again within one tick of its clock."""
UNREADABLE = "unreadable"
"""The digest of a file that cannot be read, which is looked at again the next time."""
Header = TypeVar("Header")


@dataclass(frozen=True)
class Look(Generic[Header]):
    """What one look tells; ``header`` is a reason where there is none."""

    digest: str
    header: Header | str
    made: str | None = None  # why it is not data, where Luoxia made it


@dataclass(frozen=True)
class Looking(Generic[Header]):
    """How a medium looks at a file."""

    memory: str
    """What looks are remembered as: a name of the medium's own."""
    version: str
    """Looks of other versions are forgotten: raise it when a header or a reason changes."""
    look: Callable[[Files, str], Look[Header]]
    """Reads one file."""
    revive: Callable[[Any], Header]
    """A header, a dataclass, from the JSON list of its fields."""

    def at_all(self, files: Files) -> dict[str, Look[Header]]:
        """Look at every sample: read it, unless that was done before and its size, times and place are the same."""
        place = hashlib.sha256(os.fsencode(os.path.realpath(files.path))).hexdigest()[:32]
        entry = cache_folder() / "looks" / place
        stamps = {name: files.stamp(name) for name in files.samples}
        looks = self._remembered(entry, stamps, {name: files.called(name) for name in files.samples})
        new = [name for name in files.samples if name not in looks]
        now = time.time_ns()
        looks |= self._read_all(files, new)
        if new:
            settled = {name: look for name, look in looks.items() if _is_settled(stamps[name], now)}
            self._remember(
                entry, {files.called(name): (stamps[name], look) for name, look in settled.items()}
            )
        return looks

    def _read_all(self, files: Files, names: Sequence[str]) -> dict[str, Look[Header]]:
        # Threads hide the latency of a folder's many files; the entries of a zip share one file and one lock.
        workers = 1 if files.kind == "zip" else None

        def look(indices: Sequence[int]) -> list[Look[Header]]:
            return [self.look(files, names[index]) for index in indices]

        runs = in_order(look, len(names), CHUNK, workers)
        return dict(zip(names, (one for run in runs for one in run), strict=True))

    def _remembered(
        self, entry: Path, stamps: dict[str, Stamp | None], called: dict[str, str]
    ) -> dict[str, Look[Header]]:
        """What is known of the files that have not changed since; {} where nothing is, or it is damaged."""
        try:
            known = json.loads((entry / self.memory).read_text("utf-8"))
            if known["version"] != self.version:
                return {}
            files: dict[str, Any] = known["files"]
            return {
                name: self._look(files[called[name]][1])
                for name, stamp in stamps.items()
                if stamp is not None and called[name] in files and files[called[name]][0] == list(stamp)
            }
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return {}

    def _look(self, kept: Any) -> Look[Header]:
        digest, header, made = kept
        return Look(digest, header if isinstance(header, str) else self.revive(header), made)

    def _remember(self, entry: Path, looks: dict[str, tuple[Stamp | None, Look[Header]]]) -> None:
        """Keep them for later; where that is not possible, files are read again."""
        kept = {
            called: [stamp, astuple(look)]
            for called, (stamp, look) in looks.items()
            if look.digest != UNREADABLE
        }
        with contextlib.suppress(OSError):
            entry.mkdir(parents=True, exist_ok=True)
            mark(entry)
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=entry, delete=False) as file:
                json.dump({"version": self.version, "files": kept}, file)
            Path(file.name).replace(entry / self.memory)


def _is_settled(stamp: Stamp | None, now: int) -> bool:
    return stamp is not None and now - max(stamp[1:3]) > FRESH_NANOSECONDS
