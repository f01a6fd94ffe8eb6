"""How the command line prints what its verbs return."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from luoxia.core import streams

LONGEST = 500
"""Characters of a value in a label that are printed."""
SHOWN = 10
"""Skipped files that ``luoxia data`` lists; ``--json`` has all."""


def say(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Print at once on standard output, or on standard error."""
    print(text, file=sys.stderr if err else sys.stdout, end=end, flush=True)


def print_json(value: Any) -> None:
    """One JSON object in a line; a terminal that is not UTF-8 gets it in ASCII."""
    narrow = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf").lower()
    say(json.dumps(value, ensure_ascii=narrow, default=str))


def error_as_json(sentence: str) -> str:
    """An error with the first key that it names; null where it names none."""
    named = re.search(r"unknown key '([^']+)'|(?<!\S)([a-z_][\w.]*)=", sentence)
    return json.dumps({"error": sentence, "key": named and (named[1] or named[2])})


def outcome(run: Any) -> dict[str, Any]:
    """What a training left: its folder, its newest picture, its report, its scores."""
    scores = [record["scores"] for record in run.records("score") if record.get("final")]
    grids = sorted(file for file in (run.path / "samples").glob("step_*") if file.suffix != ".json")
    return {
        "run": str(run.path),
        "samples": str(grids[-1]) if grids else None,
        "report": str(run.path / "report.html"),
        "scores": scores[-1] if scores else [],
    }


def print_run(run: Any) -> None:
    """The scores of a finished training, and where everything lies."""
    from luoxia.metrics.score import Score

    facts = outcome(run)
    for score in facts["scores"]:
        say(f"  {Score.from_dict(score)}")
    say(f"run:     {facts['run']}\nsamples: {facts['samples']}\nreport:  {facts['report']}")


def print_result(made: Any) -> None:
    """What a verb made: a path, a text, texts, rows, or facts, of which the files that were skipped come first."""
    if isinstance(made, str | Path):
        say(made)
    elif isinstance(made, dict):
        _print_skipped(made.get("skipped", ()))
        print_pairs({key: value for key, value in made.items() if key != "skipped"})
    elif _are_rows(made):
        for row in made:
            say("\t".join(_answers(row)))
    else:
        _print_texts(made)


def _are_rows(made: Any) -> bool:
    return isinstance(made, list) and all(isinstance(row, dict) for row in made)


def _answers(row: dict[str, Any]) -> list[str]:
    """The answers in a row, after what they are about, its first field, and without what they are made up of."""
    _, *others = row.values()
    answers = [value for value in others if not isinstance(value, dict | list)]
    return [f"{value:.4f}" if isinstance(value, float) else str(value) for value in answers]


def _print_texts(pieces: Iterable[str]) -> None:
    """A text as it is written; of several, all with an empty line between."""
    for piece in ["\n\n".join(pieces)] if isinstance(pieces, list) else pieces:
        say(piece, end="")
        if streams.reader_left():
            return
    say()


def _print_skipped(skipped: Sequence[dict[str, str]]) -> None:
    for one in skipped[:SHOWN]:
        say(f"skipped {one['name']}: {one['reason']}", err=True)
    if len(skipped) > SHOWN:
        say(f"skipped {len(skipped) - SHOWN:,} more", err=True)


def result_as_json(made: Any) -> dict[str, Any]:
    """One object: ``out`` and ``label`` of what was written, beside other facts; ``items``; texts and their label."""
    if isinstance(made, Path):
        return _written(made)
    if isinstance(made, dict):
        return made | (_written(Path(made["out"])) if "out" in made else {})
    if _are_rows(made):
        return {"items": made}
    texts = made if isinstance(made, list) else ["".join(made)]
    label = getattr(made, "label", None)
    text = {} if isinstance(made, list) else {"text": texts[0]}
    return {**text, "texts": texts, "label": None if label is None else label.as_dict()}


def _written(out: Path) -> dict[str, Any]:
    """The files that were written at a path, and the label that they carry, which in a folder is that of all."""
    from luoxia.formats import registry, sidecar

    found = sorted(file for file in out.rglob("*") if file.is_file()) if out.is_dir() else [out]
    files = [file for file in found if not file.name.endswith(sidecar.SUFFIX)]
    label = next((label for file in files if (label := registry.read_label(file))), None)
    if label is not None and out.is_dir():
        label = replace(label, index=None, sha256="")
    return {"out": list(map(str, files)), "label": None if label is None else label.as_dict()}


def print_scores(measurement: Any) -> None:
    """A table of scores with what makes them comparable."""
    rows = [
        (
            s.heading,
            s.name,
            _short(s.value),
            f"{_short(s.low)} … {_short(s.high)}" if s.low is not None else "",
            _short(s.reference),
        )
        for s in measurement.scores
    ]
    trivial = all("reference" in s.signature for s in measurement.scores)  # chance, or always the same answer
    reference = "reference" if trivial else "real against real"
    print_table(("heading", "score", "value", "95% interval", reference), rows)
    signature = dict(measurement.scores[0].signature)
    say("signature: " + ", ".join(f"{key} {value}" for key, value in signature.items()))


def print_plan(planned: dict[str, Any]) -> None:
    """What a training would do and cost."""
    from luoxia.core.sections import flatten
    from luoxia.runs.display import clock

    print_pairs(flatten(planned["config"]))
    say(f"data:       {planned['data']['description']}")
    if planned["data"]["skipped"]:
        say(f"skipped:    {planned['data']['skipped']}")
    say(f"parameters: {_parameters(planned)}")
    for stage in planned.get("stages", ()):
        limits = [f"{stage['steps']:,} steps"] if stage["steps"] is not None else []
        limits += [f"{clock(stage['budget'])} of the budget"] if stage["budget"] is not None else []
        each = stage["seconds_per_step"]
        pace = "" if each is None else f", {each * 1000:,.1f} ms a step here"
        say(f"stage:      {stage['stage']}: {' or '.join(limits)}{pace}; {_parameters(stage)}")
    for name, facts in planned.get("origin", {}).get("networks", {}).items():
        carried = f"{facts['tensors']} of {facts['of_tensors']} tensors of the {name}"
        say(f"carried:    {carried} ({facts['values'] / facts['of_values']:.1%} of the numbers)")
    measured, each = planned["plan"] == "measured", planned["seconds_per_step"]
    if planned["memory_bytes"] is not None:
        counted = (
            "at the peak of a few steps" if measured else "for weights and optimizer; activations come on top"
        )
        say(f"memory:     {planned['memory_bytes'] / 2**20:,.0f} MiB {counted}")
    if each is None:
        budget = planned["seconds"]
        known = "not measured" if budget is None else f"{clock(budget)} for training at most"
        say(f"time:       {known}; plan=measured tries a few steps")
        return
    pace = "" if "stages" in planned else f" ({each * 1000:,.1f} ms a step here)"
    say(f"time:       {clock(planned['seconds'])} for training{pace}")


def _parameters(planned: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in planned["parameters"].items())


def recipes_as_json(found: Any) -> dict[str, Any]:
    """The menu, or the JSON schema of one recipe."""
    if isinstance(found, dict):
        return {name: {"title": recipe.title, "source": recipe.source} for name, recipe in found.items()}
    schema: dict[str, Any] = found.model_json_schema()
    return schema


def print_inspection(found: Any) -> None:
    """The label of one file; a table of several; the facts of a run or a model folder."""
    if not found.path.is_dir():
        _print_label(found.items[0])
        return
    _print_facts(found.facts)
    head = ("file", "SHA-256") if found.facts else ("file", "label", "recipe", "run", "step", "seed", "index")
    rows = [
        (item.file, item.problem or item.status, *(getattr(item.label, name, None) for name in head[2:]))
        for item in found.items
    ]
    if not rows and not found.facts:
        say(f"no files in {found.path}", err=True)
    if rows:
        print_table(head, [tuple("" if cell is None else _brief(cell) for cell in row) for row in rows])


def _print_label(item: Any) -> None:
    record = {} if item.label is None else item.label.as_dict()
    names = [f"{parent['name']} {parent.get('sha256', '')}".strip() for parent in record.get("parents", [])]
    state = {"file": item.file, "label": item.problem or item.status}
    _print_facts(state | record | ({"parents": "; ".join(names)} if names else {}))


def _print_facts(facts: dict[str, Any]) -> None:
    from luoxia.core.sections import flatten

    shown = {
        key: json.dumps(value) if isinstance(value, list | dict) else spelled(value)
        for key, value in flatten(facts).items()
    }
    print_pairs({_brief(key): _brief(value) for key, value in shown.items()})


def _brief(value: object) -> str:
    """What a file says, for a terminal: control characters escaped, cut where it is long; ``--json`` has all."""
    from luoxia.core.names import printable

    text = str(value)
    return printable(text[:LONGEST]) + (" …" if len(text) > LONGEST else "")


def print_pairs(pairs: dict[str, Any]) -> None:
    """A key and its value a line."""
    width = max(map(len, pairs), default=0)
    for key, value in pairs.items():
        say(f"{key:{width}}  {spelled(value)}")


def print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Rows under headings, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def spelled(value: Any) -> str:
    """A value of a setting, for a table."""
    if value is None or value in ([], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and isinstance(value[0], dict):  # files that were skipped
        shown = [" ".join(["\n   ", f"{v['name']}:", v["reason"]]) for v in value[:SHOWN]]
        return f"{len(value):,}" + "".join(shown) + ("\n    …" if len(value) > SHOWN else "")
    if isinstance(value, list) and any(" " in str(part) for part in value):  # sentences
        return "".join(f"\n    {part}" for part in value)
    if isinstance(value, list):
        return ",".join(map(spelled, value))
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
