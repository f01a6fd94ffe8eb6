"""What the report of a synthesizer has: grids over time, and the captions that they were drawn by."""

from __future__ import annotations

from luoxia.core.html import escape
from luoxia.media.image.page import viewer
from luoxia.runs.report_source import RunRecord, items, mapping

ACROSS = 2
"""Captions in a row of a sample grid."""


def samples(record: RunRecord) -> str:
    """Grids of the same seeds and conditions over time; below, what each row was asked for."""
    fixed = "The seeds and what is asked for are fixed: each cell is the same request at every step."
    return viewer(record, fixed) + _captions(record)


def _captions(record: RunRecord) -> str:
    prompts = [str(text) for text in items(mapping(record.facts.get("data")).get("prompts"))]
    if not prompts:
        return ""
    rows = [prompts[first : first + ACROSS] for first in range(0, len(prompts), ACROSS)]
    listed = "".join(f"<li>{' · '.join(f'<q>{escape(text)}</q>' for text in row)}</li>" for row in rows)
    return (
        "<details open><summary>Captions, row by row, from left to right</summary>"
        f'<ol class="captions">{listed}</ol></details>'
        "<p>They are captions of held-out images where enough images were held out: no caption of these was trained on "
        "with its image.</p>"
    )
