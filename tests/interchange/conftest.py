"""Folders of tiny random models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Save a fresh model of a name; gives its folder."""

    from tiny_models import make

    def save(name: str, **changes: Any) -> Path:
        folder = tmp_path / "model"
        make(name, **changes).save_pretrained(folder)
        return folder

    return save
