"""What a dataset is: an indexed, fingerprinted source of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeVar

from luoxia.core.errors import LuoxiaError
from luoxia.core.skips import Skipped

Sample = TypeVar("Sample", covariant=True)


class Dataset(Protocol[Sample]):
    """Samples by number. They need not fit in memory, nor be equal in shape: a sample may be anything.

        >>> import numpy as np
        >>> class Ramps:
        ...     source, fingerprint, spec, skipped = "ramps", "f3a9", {"longest": 5}, ()
        ...     def __len__(self):
        ...         return 5
        ...     def __getitem__(self, index):
        ...         return np.arange(index + 1)
        >>> data: Dataset = Ramps()
        >>> [len(data[i]) for i in range(len(data))]
        [1, 2, 3, 4, 5]

    ``data[i]`` is a pure function of ``i``. It is called from several threads at once: it draws nothing from generators
    that others use, and opens its files itself, or reads them at given offsets. What is random in a batch belongs into
    ``collate`` (``luoxia.training.batches``).

    Two attributes may be added. ``names``: a sequence with the name of each sample, for error messages. ``pool``:
    "threads" (the default) or "processes", for samples whose decoding holds the interpreter's lock; such a dataset is
    pickled once for each process, so that it should hold paths rather than arrays.
    """

    @property
    def spec(self) -> Any:
        """All that a recipe may know of the data, such as sizes and the number of classes."""
        ...

    @property
    def source(self) -> str:
        """Where the samples come from, for a person."""
        ...

    @property
    def fingerprint(self) -> str:
        """A digest of the content and of how it is read: a run resumes on no other."""
        ...

    @property
    def skipped(self) -> Sequence[Skipped]:
        """The files or rows that could not be used."""
        ...

    def __len__(self) -> int:
        """The number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Sample:
        """Sample ``index``, 0 … len − 1."""
        ...


def pool_of(dataset: Dataset[Any]) -> Literal["threads", "processes"]:
    """What loads the samples of ``dataset``, as it chooses itself."""
    return "processes" if getattr(dataset, "pool", "threads") == "processes" else "threads"


def load(dataset: Dataset[Sample], index: int) -> Sample:
    """Sample ``index``; a ``LuoxiaError`` that names the sample where it cannot be loaded."""
    try:
        return dataset[index]
    except Exception as error:
        raise LuoxiaError(
            f"cannot load sample {index:,}{_named(dataset, index)} of {dataset.source}: {reason(error)}; "
            "repair or remove it, and start again"
        ) from error


def reason(error: Exception) -> str:
    """An error in a few words: its first line, after its type unless the user can act on it."""
    first = (str(error).splitlines() or [""])[0].rstrip(".")
    if isinstance(error, LuoxiaError):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _named(dataset: Dataset[Any], index: int) -> str:
    try:
        return f" ({dataset.names[index]})"  # type: ignore[attr-defined]
    except Exception:  # no names, or too few
        return ""
