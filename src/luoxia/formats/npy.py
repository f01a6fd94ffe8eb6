"""NPY, one array: the label lies beside it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luoxia.formats import sidecar
from luoxia.provenance.label import Label

read_label = sidecar.read_label
is_intact = sidecar.is_intact


def write(array: NDArray[Any], label: Label, path: Path) -> Path:
    """Write an array."""
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return sidecar.write(content.getvalue(), label, path)
