"""Sequences of unequal lengths, loaded one by one; worker processes import this, and no torch with it."""

from __future__ import annotations

import os
import signal

import numpy as np

COUNT = 23


class Ramps:
    """Sequence i rises over i + 2 steps."""

    source, fingerprint, spec, skipped = "ramps", "f3a9", {"longest": COUNT + 1}, ()
    names = tuple(f"ramp-{i}.txt" for i in range(COUNT))

    def __init__(self, pool="threads"):
        self.pool = pool

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return np.linspace(0, 1 + index / COUNT, index + 2, dtype=np.float32)


class Broken(Ramps):
    """One sample that cannot be read."""

    def __getitem__(self, index):
        if index == 11:
            raise ValueError("cut short\nand more")
        return super().__getitem__(index)


class Dying(Ramps):
    """One sample ends its process."""

    def __getitem__(self, index):
        if index == 11:
            os._exit(3)
        return super().__getitem__(index)


class Killing(Ramps):
    """From the 60th sample on, the process is killed while it loads."""

    loaded = 0

    def __getitem__(self, index):
        self.loaded += 1
        if self.loaded == 60:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)
