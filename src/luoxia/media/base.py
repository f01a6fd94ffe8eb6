"""The contract of a medium: how samples of one kind are read, described and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from luoxia.core.config import Config
from luoxia.core.errors import UsageError
from luoxia.core.html import Html, escape


class Medium:
    """One kind of samples. A subclass says how they are read; one instance stands in ``luoxia.registry.MEDIA``.

    A medium imports torch and its decoders only in its methods.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    """What one sample is called: image, text."""
    keys: ClassVar[type[Config]] = Config
    """How files are read: the keys of ``luoxia data``."""

    def accepts(self, source: Any) -> bool:
        """Whether this medium reads what lies at a path; ``source`` may be samples themselves, or None."""
        raise NotImplementedError

    def describe(self, path: str | None, **settings: Any) -> dict[str, Any]:
        """What there is at a path, without decoding it."""
        raise NotImplementedError

    def html(self, file: Path) -> Html:
        """How a file with samples is shown on a page; by its name, unless a medium can do better.

        LuoxiaError, OSError or ValueError where the file cannot be read.
        """
        return Html(f"<p><code>{escape(file.name)}</code></p>")

    def compare(self, data: Any, against: Any, **settings: Any) -> Any:
        """Scores of the samples at ``data`` against those at ``against``."""
        raise UsageError(f"measure data= against= is not for {self.name}: give the run of a model")
