"""The run's report: one self-contained page that explains a run folder to a person."""

import hashlib
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from string import Template

from luoxia.core.errors import LuoxiaError
from luoxia.core.files import write_file
from luoxia.core.html import Html, escape
from luoxia.runs import report_sections as sections
from luoxia.runs.report_curves import curves
from luoxia.runs.report_origin import origin
from luoxia.runs.report_scores import tables
from luoxia.runs.report_source import RunRecord, read_run
from luoxia.runs.report_words import count
from luoxia.runs.reported import Reported, Section

FRAME = (
    Section("samples", "Samples", sections.samples),
    Section("curves", "Curves", curves),
    Section("scores", "Scores", tables),
    Section("doctor", "Doctor", sections.findings),
    Section("data", "Data", sections.data_card),
    Section("origin", "Origin", origin),
    Section("config", "Configuration", sections.config),
    Section("setting", "Versions and hardware", sections.setting),
    Section("reproduce", "Reproduce", sections.command),
    Section("events", "Events", sections.timeline),
)
"""What every report has, whatever was trained."""


def write_report(run_folder: Path, task: Reported | None = None) -> Path:
    """Write ``report.html`` into ``run_folder`` from what the folder holds, and return its path.

    ``task`` shows the samples and adds its own sections; it is looked up in run.json where it is not given. The page
    needs nothing but itself: styles, scripts and samples are inside. Whatever is missing or broken in the folder is
    left out or named on the page. A reader never sees half a page: it is written beside and then renamed.
    """
    folder = Path(run_folder)
    return write_file(
        folder / "report.html", render(read_run(folder, task)).encode("utf-8", errors="replace")
    )


def render(record: RunRecord) -> str:
    """The whole page as HTML."""
    parts = _parts(record)
    script = _resource("report.js")
    return Template(_resource("report.html")).substitute(
        name=escape(record.name),
        recipe=escape(record.facts.get("recipe") or "unknown"),
        state=sections.state(record),
        summary=sections.summary(record),
        verdict=sections.verdict(record),
        links="".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _ in parts),
        body="".join(
            f'<section id="{key}" aria-labelledby="h-{key}"><h2 id="h-{key}">{title}</h2>{content}</section>'
            for key, title, content in parts
        ),
        remarks=_remarks(record),
        style=_resource("report.css"),
        script=script,
        # Only this script may run, whatever a file of the run managed to put on the page.
        digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def brief(run_folder: Path, task: Reported | None = None) -> Html:
    """The report in short, for a notebook: how the run ended, its scores, its newest sample."""
    record = read_run(Path(run_folder), task)
    newest = record.samples[-1:]
    shown = [
        f"<p>{escape(record.step_of(one._asdict()).capitalize())}</p>{_shown(record, one.file)}"
        for one in newest
    ]
    title = f"<h4>{escape(record.name)} <small>{sections.state(record)}</small></h4>"
    return Html(f"<div>{title}<p>{sections.summary(record)}</p>{tables(record)}{''.join(shown)}</div>")


def _shown(record: RunRecord, file: Path) -> str:
    try:
        return record.task.html(file)
    except (LuoxiaError, OSError, ValueError):
        return ""


def _parts(record: RunRecord) -> list[tuple[str, str, str]]:
    """The sections in their order, the task's among the frame's: (anchor, title, content)."""
    own = {section.anchor: section for section in record.task.sections}
    order = [own.pop(section.anchor, section) for section in FRAME]
    for section in own.values():
        anchors = [one.anchor for one in order]
        place = anchors.index(section.after) + 1 if section.after in anchors else len(order)
        order.insert(place, section)
    drawn = ((section.anchor, escape(section.title), section(record)) for section in order)
    return [part for part in drawn if part[2]]


def _remarks(record: RunRecord) -> str:
    """What this page leaves out, so that nothing is dropped silently."""
    remarks = []
    if not record.facts:
        remarks.append("run.json is missing or unreadable.")
    if record.unreadable:
        remarks.append(f"{count(record.unreadable, 'line')} of metrics.jsonl could not be read.")
    if record.abandoned:
        remarks.append(f"{count(record.abandoned, 'log line')} from before a rollback or a resume not drawn.")
    return " ".join(remarks)


def _resource(name: str) -> str:
    return files("luoxia.runs").joinpath(name).read_text("utf-8")
