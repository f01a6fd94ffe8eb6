"""What every verb that opens a run or a model does first, before its keys are checked and before torch is imported."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from luoxia.recipes import own
from luoxia.runs.folder import require_model


def opening(path: str | PathLike[str], settings: Mapping[str, Any]) -> None:
    """Check that a run or a model lies at ``path``, then run the file that the person names with ``use=``.

    ``UsageError`` where nothing is there or the file cannot be used.
    """
    require_model(Path(path))
    using(settings)


def using(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without ``use``, the file of recipes that is run."""
    file = settings.get("use")
    if file not in (None, "none"):
        own.use(file)
    return {key: value for key, value in settings.items() if key != "use"}
