"""The contract of a medium: how samples of one kind are read, described and compared."""

from __future__ import annotations

from typing import Any, ClassVar

from luoxia.core.config import Config
from luoxia.core.errors import UsageError


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

    def compare(self, data: Any, against: Any, **settings: Any) -> Any:
        """Scores of the samples at ``data`` against those at ``against``."""
        raise UsageError(f"measure data= against= is not for {self.name}: give the run of a model")
