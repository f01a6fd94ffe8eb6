"""One training's folder: its manifest, its records and where everything in it lies."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from luoxia.core.errors import LuoxiaError, UsageError
from luoxia.core.files import parse_object, read_object, write_file
from luoxia.core.names import printable, readable
from luoxia.core.regular import open_regular
from luoxia.runs.records import is_line, is_record, problem
from luoxia.runs.trackers import Write, scalars

FORMAT = 2
"""The version of the folder's layout; a run of a newer one is refused."""
_PLACES = (
    "metrics.jsonl", ".lock", "model", "checkpoints", "stages", "base", "samples", "scores", "generated",
    "tensorboard", "wandb", "mlruns",
)  # fmt: skip
"""What is written into, and must lie in the run's own folder."""
_BEFORE, _FOLDERS_BEFORE = (
    ("run.json", "metrics.jsonl", "skipped.txt", "sweep.json", ".lock"),
    ("checkpoints", "stages", "base"),
)
"""What a training writes before its first checkpoint."""


class Run:
    """A run folder. ``Run.create`` makes one, ``Run.open`` reads one."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.tracker: Write | None = None
        self.stage = ""
        self._before, self.steps_before = 0.0, 0

    def enter(self, stage: str, seconds: float, steps: int) -> None:
        """Records are from now on those of a stage, before which others took so many seconds and steps."""
        self.stage, self._before, self.steps_before = stage, seconds, steps

    def __fspath__(self) -> str:
        """The folder: a run may be given wherever a path may."""
        return str(self.path)

    def _repr_html_(self) -> str:
        from luoxia.runs.report import brief

        return brief(self.path)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is anything to continue from, in whatever stage."""
        return any(self.checkpoints.glob("step_*")) or any(self.path.glob("stages/*/checkpoints/step_*"))

    @property
    def seconds_before_last(self) -> float:
        """Seconds that the stages before the last took, as far as they recorded it."""
        total = 0.0
        for file in self.path.glob("stages/*/left/manifest.json"):
            with contextlib.suppress(OSError, ValueError):
                seconds = read_object(file).get("seconds")
                total += seconds if isinstance(seconds, int | float) and 0 <= seconds < 2**63 else 0.0
        return total

    @property
    def model(self) -> Path:
        """Where the trained generator lies."""
        return self.path / "model"

    @property
    def base(self) -> Path:
        """What stages to come need of the model at ``init``, until the last one ends."""
        return self.path / "base"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @classmethod
    def check_free(cls, out: str | None) -> None:
        """``UsageError`` when ``out`` is a file or holds files: said before any work."""
        if out is None:
            return
        path = Path(out)
        if printable(out) != out:  # safetensors opens only paths that are text
            raise UsageError(f"out={printable(out)}: the name is not valid text; choose another")
        if path.exists() and not path.is_dir():
            raise UsageError(f"out={out} is a file; choose a folder")
        if path.is_dir() and any(path.iterdir()) and not cls(path, {}).is_unbegun:
            again = f", or: luoxia resume {out}" if cls(path, {}).has_checkpoints else ""
            raise UsageError(f"out={out} already holds files; choose another folder{again}")

    @classmethod
    def create(cls, out: str | None, recipe: str) -> Run:
        """A new folder: ``out``, or the first free of runs/RECIPE-1, -2 …; a folder with content is never reused."""
        try:
            if out is None:
                return cls(_first_free(Path("runs"), recipe), {})
            cls.check_free(out)
            path = Path(out)
            if (left := cls(path, {})).is_unbegun:
                with left.held():
                    left.discard_unbegun()
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"out={out} is a file, or lies in one; choose a folder") from error
        except OSError as error:
            raise LuoxiaError(
                f"cannot make the run folder {out or 'runs'}: {error.strerror}; set out="
            ) from error
        return cls(path, {})

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in a folder; ``UsageError`` when there is none, or one that a newer Luoxia wrote."""
        path = Path(path)
        if not path.exists():
            raise UsageError(f"run {path} is not there")
        try:
            manifest = read_object(path / "run.json")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{path} is not a run folder (no run.json)") from error
        except (OSError, ValueError) as error:
            raise LuoxiaError(f"{path}/run.json cannot be read: {error}") from error
        if isinstance(manifest.get("format"), int) and manifest["format"] > FORMAT:
            raise UsageError(
                f"{path} was written by Luoxia {readable(manifest.get('luoxia'))}, newer than this one; upgrade luoxia"
            )
        if wrong := problem("run.json", manifest):
            raise LuoxiaError(f"{path}/run.json is not a run's manifest: {wrong}")
        return cls(path, manifest)

    def refuse_links(self) -> None:
        """``UsageError`` where a link would lead what is written, or removed, out of the run."""
        for name in _PLACES:
            refuse_link(self.path / name)
        for place in (*self.path.glob("stages/*"), *self.path.glob("stages/*/*")):
            refuse_link(place)

    @property
    def is_unbegun(self) -> bool:
        """Whether the folder holds nothing but what a training left that ended before its first checkpoint."""
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return "run.json" in names and names <= {*_BEFORE, *_FOLDERS_BEFORE} and not self.has_checkpoints

    def discard_unbegun(self) -> None:
        """Remove the folder of a training that ended before its first checkpoint: there is nothing to go on from."""
        with contextlib.suppress(OSError):
            if not self.path.name or self.has_checkpoints:
                return
            for name in _BEFORE:
                (self.path / name).unlink(missing_ok=True)
            for name in _FOLDERS_BEFORE:  # perhaps with half a checkpoint
                if (self.path / name).is_dir() and not (self.path / name).is_symlink():
                    shutil.rmtree(self.path / name)
            self.path.rmdir()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training this run at the same time (where the system has file locks)."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        # which never empties what a link there leads to, and reads as well: a pipe there is not waited for
        with (self.path / ".lock").open("a+b", buffering=0) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"{self.path} is being trained by another process; wait for it, or stop it"
                ) from error
            except OSError:  # a file system without locks
                pass
            yield

    def write_manifest(self, **changes: Any) -> None:
        """Update run.json."""
        self.manifest = {"format": FORMAT, **self.manifest, **changes}
        write_file(self.path / "run.json", json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n")

    def append(self, kind: str, step: int, seconds: float, **content: Any) -> None:
        """Add a line to metrics.jsonl: of a step of the present stage, after so many seconds of it."""
        stage = {"stage": self.stage} if self.stage else {}
        record = {"kind": kind, "step": step, "seconds": round(self._before + seconds, 3), **stage, **content}
        line = json.dumps(_strict(record), ensure_ascii=False, allow_nan=False)
        path = self.path / "metrics.jsonl"
        refuse_link(path)
        try:
            with path.open("a+b") as file:
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":  # a line that a crash cut short stays alone
                        file.write(b"\n")
                file.write(f"{line}\n".encode("utf-8", "backslashreplace"))  # names that are no text
        except OSError as error:
            raise LuoxiaError(f"cannot write {path}: {error.strerror}") from error

        self._track(record)

    def _track(self, record: dict[str, Any]) -> None:
        """Hand the numbers of a record to the tracker; one that fails is dropped, and training continues."""
        values = scalars(record) if self.tracker else {}
        if self.tracker is None or not values:
            return
        try:
            self.tracker(values, self.steps_before + record["step"])
        except Exception as error:  # a full disk, a lost server, a fault of the tool's own
            self.tracker = None
            self.append(
                "event", record["step"], record["seconds"], event="log stopped", detail=f"{error}"[:300]
            )

    def records(self, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl, all or of one kind; one that is cut short or broken is passed over."""
        for _, record in self._lines():
            if record is not None and kind in (None, record["kind"]) and is_record(record):
                yield record

    def rewind(self, step: int) -> None:
        """Drop the present stage's records after ``step``: training continues there and writes them again."""
        kept = [
            line
            for line, record in self._lines()
            if record is not None
            and (record.get("stage", self.stage) != self.stage or record["step"] <= step)
        ]
        write_file(self.path / "metrics.jsonl", b"".join(line.rstrip(b"\n") + b"\n" for line in kept))

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
        """Each line of metrics.jsonl, and the record that it is, None where it is none."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return
        with open_regular(path) as file:
            for line in file:
                try:
                    record = parse_object(line.decode("utf-8", "replace"))
                except ValueError:
                    yield line, None
                else:
                    yield line, record if is_line(record) else None


def refuse_link(path: Path) -> None:
    """``UsageError`` where ``path``, in a run, is a link."""
    if path.is_symlink():
        raise UsageError(
            f"{path} is a link, and a run writes nothing through one: put what it leads to in its place"
        )


def _strict(value: Any) -> Any:
    """The value with null for every NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_nan(value: Any) -> Any:
    """A record of numbers with NaN again where the file has null."""
    if isinstance(value, dict):
        return {key: with_nan(inner) for key, inner in value.items()}
    return math.nan if value is None else value


def _first_free(parent: Path, recipe: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / f"{recipe}-{number}"
        try:
            path.mkdir()  # fails if it exists: two processes never share a folder
        except FileExistsError:
            number += 1
        else:
            return path
