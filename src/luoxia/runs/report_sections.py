"""The sections of a report, each a function from the run's record to HTML."""

import json
import math
from collections.abc import Iterable
from itertools import groupby

from luoxia.core.errors import LuoxiaError
from luoxia.core.html import escape
from luoxia.runs.report_scores import tiles
from luoxia.runs.report_source import Line, RunRecord, flatten, items, mapping, number, spaced
from luoxia.runs.report_words import count, duration, spell
from luoxia.runs.reported import PATIENCE, YOUNG

_SAMPLES = 8
_SHOWN_SKIPPED = 200
_STATES = {"finished": "Finished", "stopped": "Stopped early"}


def state(record: RunRecord) -> str:
    """How the run ended, as far as its events tell."""
    events = [str(line.get("event")) for line in record.events]
    last = next((event for event in reversed(events) if event in (*_STATES, "started", "resumed")), "")
    return _STATES.get(last, "Unfinished")


def summary(record: RunRecord) -> str:
    """One sentence: what was trained on what, for how long, on which hardware."""
    data, hardware = mapping(record.facts.get("data")), mapping(record.facts.get("hardware"))
    parts = [f"<b>{escape(record.facts.get('recipe') or 'A model')}</b> trained"]
    if data.get("source"):
        parts.append(f" on <b>{escape(data['source'])}</b>")
    if duration(record.seconds):
        parts.append(f" for <b>{duration(record.seconds)}</b>")
    parts.append(f": {count(record.end, 'step')}")
    last = record.logs[-1] if record.logs else {}
    seen = number(last.get("seen", last.get("images")))  # as 0.1.0 called it
    if math.isfinite(seen):
        parts.append(f", {seen:,.0f} {escape(record.unit)} seen")
        if (size := number(data.get("count"))) > 0 and record.task.items == record.unit:
            parts.append(f" ({spell(seen / size, 3)} passes over {size:,.0f})")
    if machine := hardware.get("name") or hardware.get("device"):
        parts.append(f", on {escape(machine)}")
    if hardware.get("precision"):
        parts.append(f", in {escape(hardware['precision'])}")
    return f"{''.join(parts)}."


def verdict(record: RunRecord) -> str:
    """The key scores and the doctor's state, side by side."""
    shown = tiles(record) or (
        '<div class="tile"><p class="label">Scores</p><p class="big">none yet</p>'
        f"<p>Measure with <code>luoxia measure {escape(record.folder)}</code></p></div>"
    )
    return f'<div class="tiles">{shown}{_doctor_tile(record)}</div>'


def samples(record: RunRecord) -> str:
    """What the model made, always of the same seeds or inputs: the newest, and earlier ones folded away."""
    shown: list[str] = []
    for sample in reversed(spaced(record.samples, _SAMPLES)):
        try:
            body = record.task.html(sample.file)
        except (LuoxiaError, OSError, ValueError):
            continue
        opened = "" if shown else " open"
        title = record.step_of(sample._asdict()).capitalize()
        shown.append(f"<details{opened}><summary>{escape(title)}</summary>{body}</details>")
    nothing = "No sample yet. The first one comes after <code>sample_every</code> steps."
    return f"<p>{record.task.sample_note}</p>{''.join(shown)}" if shown else empty(nothing)


def findings(record: RunRecord) -> str:
    """What the doctor found: the evidence, the advice, and the key to change."""
    if not record.findings and not record.logs:
        return empty("Nothing to examine yet.")
    if not record.findings:
        if not _examined(record):
            return empty(f"Too early: the doctor needs {PATIENCE} log lines in a row, from step {YOUNG} on.")
        return (
            '<p class="calm">The doctor has no findings: no sign of collapse, overfitting or divergence.</p>'
        )
    named: dict[str, list[Line]] = {}
    for line in record.findings:
        named.setdefault(str(line.get("name") or "finding"), []).append(line)
    return "".join(_finding(name, lines, record) for name, lines in named.items())


def _examined(record: RunRecord) -> bool:
    """Whether the doctor has had enough log lines to make a finding."""
    return sum(number(line.get("step")) >= YOUNG for line in record.logs) >= PATIENCE


def data_card(record: RunRecord) -> str:
    """Where the data came from, how many there are, and which could not be used."""
    data = mapping(record.facts.get("data"))
    if not data and not record.skipped:
        return empty("This run has no record of its data.")
    classes = items(data.get("classes")) or ("unlabeled" if data.get("labeled") is False else None)
    size = number(data.get("count"))
    unused = max(len(record.skipped), int(max(0.0, min(1e15, number(data.get("skipped")) or 0))))
    rows: list[tuple[str, object]] = [
        ("Source", data.get("source")),
        ("Path", data.get("path")),
        ("Against", data.get("against")),
        (record.task.items.capitalize(), f"{size:,.0f}" if math.isfinite(size) else data.get("count")),
        *record.task.data_rows(data),
        (
            "Classes",
            f"{len(classes)}: {', '.join(map(str, classes))}" if isinstance(classes, list) else classes,
        ),
        ("Fingerprint", data.get("fingerprint")),
        ("Skipped", unused),
    ]
    return pairs((key, value) for key, value in rows if value not in (None, "")) + _skipped(record.skipped)


def config(record: RunRecord) -> str:
    """The resolved configuration, folded away."""
    leaves = list(flatten(record.facts.get("config")))
    if not leaves:
        return empty("This run has no record of its configuration.")
    return f"<details><summary>{count(len(leaves), 'key')}</summary>{pairs(leaves)}</details>"


def setting(record: RunRecord) -> str:
    """Versions, hardware and sizes of the networks."""
    facts = record.facts
    rows = [("started", facts.get("started")), ("seed", facts.get("seed")), ("luoxia", facts.get("luoxia"))]
    rows += flatten(facts.get("versions"))
    rows += [(f"hardware: {key}", value) for key, value in flatten(facts.get("hardware"))]
    for network, size in flatten(facts.get("parameters")):
        spelled = f"{number(size):,.0f}" if math.isfinite(number(size)) else size
        rows.append((f"parameters: {network}", spelled))
    known = [(key, value) for key, value in rows if value not in (None, "")]
    return pairs(known) if known else empty("This run has no record of its versions and hardware.")


def command(record: RunRecord) -> str:
    """The command that reproduces the run, ready to copy."""
    command_line = record.facts.get("command")
    command_line = " ".join(map(str, command_line)) if isinstance(command_line, list) else command_line
    if not command_line:
        return empty("This run has no record of its command.")
    return (
        f'<div class="command"><pre><code id="command">{escape(command_line)}</code></pre>'
        '<button type="button" id="copy">Copy</button></div>'
    )


def timeline(record: RunRecord) -> str:
    """What happened when; runs of checkpoints are one entry."""
    if not record.events:
        return empty("No events yet.")
    groups = groupby(record.events, key=lambda line: (str(line.get("event")), _stretch(line)))
    return f'<ol class="timeline">{"".join(_event(name, list(lines), record) for (name, _), lines in groups)}</ol>'


def pairs(rows: Iterable[tuple[str, object]]) -> str:
    """A table of keys and values."""
    body = "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(_plain(v))}</td></tr>' for k, v in rows)
    return f'<table class="pairs"><tbody>{body}</tbody></table>'


def _plain(value: object) -> str:
    """Text as it is, anything else as JSON spells it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def empty(sentence: str) -> str:
    """A sentence in the place of what is not there yet."""
    return f'<p class="empty">{sentence}</p>'


def _doctor_tile(record: RunRecord) -> str:
    names: dict[str, str] = {}
    for line in record.findings:
        name = str(line.get("name") or "finding")
        names[name] = "error" if "error" in (names.get(name), line.get("severity")) else "warning"
    if not names and not _examined(record):
        return '<div class="tile"><p class="label">Doctor</p><p class="big">too early</p></div>'
    if not names:
        return '<div class="tile good"><p class="label">Doctor</p><p class="big">no findings</p></div>'
    worst = "error" if "error" in names.values() else "warning"
    listed, found = ", ".join(escape(name) for name in names), count(len(names), "finding")
    return (
        f'<div class="tile {worst}"><p class="label">Doctor</p><p class="big">{found}</p>'
        f'<p>{listed}</p><p><a href="#doctor">Evidence and advice</a></p></div>'
    )


def _finding(name: str, lines: list[Line], record: RunRecord) -> str:
    last = lines[-1]
    severity = "error" if any(line.get("severity") == "error" for line in lines) else "warning"
    when = record.step_of(last)
    if len(lines) > 1:
        when = f"{len(lines)} times, {record.step_of(lines[0])} to {record.step_of(last)}"
    entries = [("Evidence", last.get("evidence")), ("Advice", last.get("advice"))]
    rows = "".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in entries if text)
    key = last.get("key")
    change = f"<dt>Key to change</dt><dd><code>{escape(key)}</code></dd>" if key else ""
    return (
        f'<article class="finding {severity}"><h3>{escape(name)}</h3>'
        f'<p class="quiet">{severity.capitalize()} · {escape(when)}</p><dl>{rows}{change}</dl></article>'
    )


def _skipped(lines: list[str]) -> str:
    if not lines:
        return ""
    shown = "\n".join(lines[:_SHOWN_SKIPPED])
    more = (
        f"\n… and {len(lines) - _SHOWN_SKIPPED:,} more in skipped.txt" if len(lines) > _SHOWN_SKIPPED else ""
    )
    return f"<details><summary>{len(lines):,} skipped</summary><pre>{escape(shown)}{more}</pre></details>"


def _stretch(line: Line) -> object:
    """Equal for neighboring checkpoints of a stage, different for all other events."""
    return line["stage"] if line.get("event") == "checkpoint" else id(line)


def _event(name: str, lines: list[Line], record: RunRecord) -> str:
    first, last = lines[0], lines[-1]
    at = duration(number(last.get("seconds")))
    where = record.step_of(last)
    if len(lines) > 1:
        where = f"{record.step_of(first)} to {where}"
        name = f"{len(lines)} {name}s"
    detail = last.get("detail") if len(lines) == 1 else ""
    note = f"<p>{escape(detail)}</p>" if detail else ""
    kind = escape(str(first.get("event")).replace(" ", "-"))
    return (
        f'<li data-event="{kind}"><b>{escape(name.capitalize())}</b> <span class="quiet">{escape(where)}'
        f"{f' · {at}' if at else ''}</span>{note}</li>"
    )
