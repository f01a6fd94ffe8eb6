"""The run's report: one self-contained page that explains a run folder to a person."""

import hashlib
from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from string import Template

from luoxia.core.files import write_file
from luoxia.runs import report_sections as sections
from luoxia.runs.report_confusion import confusion_matrix
from luoxia.runs.report_curves import curves
from luoxia.runs.report_origin import origin
from luoxia.runs.report_scores import tables
from luoxia.runs.report_source import RunRecord, read_run
from luoxia.runs.report_words import count, escape


def write_report(run_folder: Path) -> Path:
    """Write ``report.html`` into ``run_folder`` from what the folder holds, and return its path.

    The page needs nothing but itself: styles, scripts and pictures are inside. Whatever is missing or broken
    in the folder is left out or named on the page. A reader never sees half a page: it is written beside and
    then renamed.
    """
    folder = Path(run_folder)
    return write_file(folder / "report.html", render(read_run(folder)).encode("utf-8", errors="replace"))


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


def _parts(record: RunRecord) -> list[tuple[str, str, str]]:
    """The sections in their order: (anchor, title, content)."""
    drawn = confusion_matrix(record)
    confusion = (("confusion", "Confusion", drawn),) if drawn else ()
    went_on = origin(record)
    beginning = (("origin", "Origin", went_on),) if went_on else ()
    neighbors = (
        () if record.is_text else (("neighbors", "Nearest training images", sections.neighbors(record)),)
    )
    return [
        ("samples", "Samples", sections.samples(record)),
        ("curves", "Curves", curves(record)),
        ("scores", "Scores", tables(record)),
        *confusion,
        ("doctor", "Doctor", sections.findings(record)),
        *neighbors,
        ("data", "Data", sections.data_card(record)),
        *beginning,
        ("config", "Configuration", sections.config(record)),
        ("setting", "Versions and hardware", sections.setting(record)),
        ("reproduce", "Reproduce", sections.command(record)),
        ("events", "Events", sections.timeline(record)),
    ]


def _remarks(record: RunRecord) -> str:
    """What this page leaves out, so that nothing is dropped silently."""
    told = []
    if not record.facts:
        told.append("run.json is missing or unreadable.")
    if record.unreadable:
        told.append(f"{count(record.unreadable, 'line')} of metrics.jsonl could not be read.")
    if record.abandoned:
        told.append(f"{count(record.abandoned, 'log line')} from before a rollback or a resume not drawn.")
    return " ".join(told)


def _resource(name: str) -> str:
    return files("luoxia.runs").joinpath(name).read_text("utf-8")
