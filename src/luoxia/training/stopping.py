"""SIGINT, SIGTERM and SIGHUP: finish the step, save, and say how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequested(Exception):  # noqa: N818  (a request, not an error)
    """Raised where work can be dropped at once: sampling and scoring, never within a step."""


HANG_UP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""A terminal was closed; not on Windows."""


class SignalHandler:
    """Turns the first signal into a request and leaves the second its usual force.

    A hang-up never insists: a terminal that closes may send several. ``nohup``, which ignores it, keeps its way.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        self._interruptible = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[SignalHandler]:
        """Install the handlers; put the old ones back afterwards. Outside the main thread it does nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if HANG_UP is not None and signal.getsignal(HANG_UP) is not signal.SIG_IGN:
            numbers.append(HANG_UP)
        old = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Work that changes no training state: a signal ends it at once."""
        self._interruptible = True
        try:
            if self.signal:
                raise StopRequested(self.signal)
            yield
        finally:
            self._interruptible = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == HANG_UP:
            return
        if self.signal is not None:  # the second time: no more patience
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.signal = signal.Signals(number).name
        if self._interruptible:
            raise StopRequested(self.signal)
