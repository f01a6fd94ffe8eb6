"""What a task and its medium add to the frame of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from luoxia.core.html import Html, escape
from luoxia.core.regular import text_of

if TYPE_CHECKING:
    from luoxia.runs.report_source import RunRecord

CHARACTERS = 8000
"""Of a sample that is text, shown at most."""
PATIENCE = 4
"""Log lines in a row that must agree before the doctor makes a finding."""
YOUNG = 150
"""Steps in which nothing but a non-finite gradient is an illness."""


@dataclass(frozen=True)
class Section:
    """A part of the page that a task draws.

    ``draw`` makes its HTML, "" where there is nothing to show: a function, or MODULE:NAME of one. A section of the
    frame with the same ``anchor`` gives way to it; else it follows the one that ``after`` names.
    """

    anchor: str
    title: str
    draw: str | Callable[[RunRecord], str]
    after: str = "scores"

    def __call__(self, record: RunRecord) -> str:
        """The section of a run."""
        draw = resolve_name(self.draw) if isinstance(self.draw, str) else self.draw
        drawn: str = draw(record)
        return drawn


@dataclass(frozen=True)
class Figure:
    """Statistics of the log in one chart: ``series`` has the name of each for the legend.

    ``aid`` tells how it is read. Those in ``instead_of`` are not drawn.
    """

    title: str
    series: Mapping[str, str]
    aid: str
    instead_of: tuple[str, ...] = ()


class Reported(Protocol):
    """What the report asks of a task; ``luoxia.tasks.base.Task`` is one."""

    unit: ClassVar[str]
    items: ClassVar[str]
    sample_note: ClassVar[str]
    key_scores: ClassVar[tuple[str, ...]]
    sections: ClassVar[tuple[Section, ...]]
    figures: ClassVar[tuple[Figure, ...]]
    aids: ClassVar[Mapping[str, str]]

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """What the data card says besides what it says of all data: (title, value)."""
        ...

    def html(self, file: Path) -> Html:
        """How a file with samples is shown."""
        ...


class Unknown:
    """A task that nobody knows any more, such as that of a recipe of one's own."""

    unit: ClassVar[str] = "samples"
    items: ClassVar[str] = "samples"
    sample_note: ClassVar[str] = "Samples, always of the same seeds or inputs."
    key_scores: ClassVar[tuple[str, ...]] = ()
    sections: ClassVar[tuple[Section, ...]] = ()
    figures: ClassVar[tuple[Figure, ...]] = ()
    aids: ClassVar[Mapping[str, str]] = {}

    def data_rows(self, data: Mapping[str, Any]) -> list[tuple[str, object]]:
        """Nothing."""
        return []

    def html(self, file: Path) -> Html:
        """Its name."""
        return Html(f"<p><code>{escape(file.name)}</code></p>")


def preformatted(file: Path) -> Html:
    """The beginning of a text file, as it is; OSError where it cannot be read."""
    return Html(f'<pre class="text">{escape(text_of(file, "replace")[:CHARACTERS])}</pre>')
