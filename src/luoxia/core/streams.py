"""Standard output and standard error that may fail without ending any work: a reader that left, a full disk, a terminal
that was closed."""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, Any


class Patient:
    """A text stream that swallows what can no longer be written, and remembers why in ``lost``."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.lost: Exception | None = None

    def write(self, text: str) -> int:
        """Write, or pass over what cannot be written; characters that the encoding lacks become question marks."""
        if self.lost is None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                return self.write(text.encode(error.encoding, "replace").decode(error.encoding))
            except (OSError, ValueError) as error:  # ValueError: it was closed
                self.lost = error
        return len(text)

    def flush(self) -> None:
        """Flush, where that is still possible."""
        if self.lost is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self.lost = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def patient(stream: IO[str] | None) -> Any:
    """The stream, made ``Patient``; None where there is none."""
    return stream if stream is None or isinstance(stream, Patient) else Patient(stream)


def guard() -> None:
    """Make this process's standard streams patient, and give it those that were closed before it began.

    A closed descriptor would be taken by the next file that is opened, and what a library prints would land in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free: this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without ≤ shows a question mark, and no error
            stream.reconfigure(errors="replace")
    sys.stdout, sys.stderr = (patient(s or open(os.devnull, "w")) for s in (sys.stdout, sys.stderr))  # noqa: SIM115, PTH123


def output_lost() -> str | None:
    """Why results did not all reach standard output; None where they did, or where their reader chose to leave."""
    lost = getattr(sys.stdout, "lost", None)
    if not isinstance(lost, OSError) or lost.errno == errno.EPIPE:
        return None
    return lost.strerror or str(lost)


def reader_left() -> bool:
    """Whether standard output can no longer be written: what is made for it alone need not be made."""
    return getattr(sys.stdout, "lost", None) is not None
