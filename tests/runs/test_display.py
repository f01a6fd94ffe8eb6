"""What a person sees of a training: a bar in a terminal and in a notebook, lines elsewhere."""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any, ClassVar

import pytest
from rich.console import Console

from luoxia.runs import display as module
from luoxia.runs.display import Display, costs

LOG = {
    "step": 20,
    "seconds": 2.0,
    "rate": 640.0,
    "losses": {"generator": {"adversarial": 0.5, "penalty": 0.25}},
    "data_seconds": 0.2,
    "step_seconds": 1.5,
    "maintenance_seconds": 0.3,
    "memory_bytes": 3 * 2**29,
    "flops_share": 0.41,
}
OLD = {key: LOG[key] for key in ("step", "seconds", "rate", "losses")}
LINE = "20%  step 20  640 images/s  0:08 left  generator 0.75"
COSTS = "data 10%  maintenance 15%  1.5 GiB  41% of peak FLOPs"


def shown(console: Console, *records: dict[str, Any]) -> Display:
    """Log lines of a training, shown on a console."""
    display = Display()
    display.console = console
    with display.training(100, None, 0, "images"):
        for record in records:
            display.log(record)
    return display


def test_lines_where_there_is_no_terminal() -> None:
    output = io.StringIO()
    shown(Console(file=output, width=80), LOG, OLD)
    lines = output.getvalue().splitlines()
    assert [line.strip() for line in lines] == [f"{LINE}  {COSTS}", LINE]


def test_a_bar_in_a_terminal() -> None:
    output = io.StringIO()
    shown(Console(file=output, width=160, force_terminal=True), LOG)
    assert f"{LINE[5:]}  {COSTS}" in output.getvalue()


def test_what_is_not_known_is_not_shown() -> None:
    assert costs(OLD) == ""
    assert costs({**LOG, "flops_share": None, "memory_bytes": None}) == "data 10%  maintenance 15%"
    assert costs({"data_seconds": 0.0, "step_seconds": 0.0, "maintenance_seconds": 0.0}) == ""


class Output:
    """ipywidgets' widget, as far as Rich calls it."""

    entered: ClassVar[list[Output]] = []

    def __enter__(self) -> None:
        self.entered.append(self)

    def __exit__(self, *error: object) -> None: ...

    def clear_output(self, wait: bool) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What IPython would display, as text."""
    lines: list[str] = []
    package, inner = ModuleType("IPython"), ModuleType("IPython.display")
    inner.display = lambda item: lines.append(getattr(item, "text", type(item).__name__))  # type: ignore[attr-defined]
    for name, fake in (("IPython", package), ("IPython.display", inner)):
        monkeypatch.setitem(sys.modules, name, fake)
    return lines


def test_a_bar_in_a_notebook(notebook: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    widgets = ModuleType("ipywidgets")
    widgets.Output = Output  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
    monkeypatch.setattr(module, "find_spec", lambda name: True)
    monkeypatch.setattr(Output, "entered", [])
    shown(Console(force_jupyter=True, color_system=None, width=160, file=io.StringIO()), LOG)
    assert len(set(Output.entered)) == 1, "one widget, changed in place"
    assert notebook[0] == "Output" and f"{LINE[5:]}  {COSTS}" in "".join(notebook)


def test_lines_in_a_notebook_without_widgets(notebook: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    shown(Console(force_jupyter=True, color_system=None, file=io.StringIO()), LOG, OLD)
    assert [line.strip() for line in notebook] == [f"{LINE}  {COSTS}", LINE]


def test_quiet_shows_nothing_in_a_notebook(notebook: list[str]) -> None:
    shown(Console(force_jupyter=True, color_system=None, quiet=True, file=io.StringIO()), LOG)
    assert notebook == []
