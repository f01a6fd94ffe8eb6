"""The scores of a report: the key ones as tiles, all of them in tables."""

import math
from dataclasses import dataclass

from luoxia.core.html import escape
from luoxia.metrics.old_scores import old_meaning
from luoxia.metrics.score import HEADINGS, RENAMED
from luoxia.runs.charts import sparkline
from luoxia.runs.report_source import Line, RunRecord, flatten, items, mapping, number
from luoxia.runs.report_words import spell

REAL = "real against real"
"""What the reference is, unless the score's signature says otherwise."""


@dataclass(frozen=True)
class ReadScore:
    """A score as it stands in ``metrics.jsonl``; numbers that are missing there are NaN."""

    name: str
    at: float
    when: str
    value: float
    low: float
    high: float
    reference: float
    heading: str
    signature: object
    meaning: str
    better: str

    @property
    def reference_name(self) -> str:
        """What the reference is: "real against real", "chance", "constant answer"."""
        signature = mapping(self.signature)
        name = signature.get("reference", signature.get("floor"))  # as 0.1.0 called it
        return name if isinstance(name, str) and name else REAL


def history(record: RunRecord) -> dict[str, list[ReadScore]]:
    """The scores over time by name, in the order in which the names first appear."""
    found: dict[str, list[ReadScore]] = {}
    for line in record.scores:
        for raw in map(mapping, items(line.get("scores"))):
            if raw.get("name"):
                score = _read(raw, line["at"], record.step_of(line))
                found.setdefault(score.name, []).append(score)
    return found


def comparable(record: RunRecord) -> dict[str, list[ReadScore]]:
    """The scores over time by name: of each, the longest series with one signature."""
    found = {}
    for name, scores in history(record).items():
        alike: dict[str, list[ReadScore]] = {}
        for score in scores:
            alike.setdefault(repr(score.signature), []).append(score)
        found[name] = max(alike.values(), key=len)
    return found


def _read(raw: Line, at: float, when: str) -> ReadScore:
    raw = {RENAMED.get(key, key): value for key, value in raw.items()}
    value, low, high, reference = (number(raw.get(key)) for key in ("value", "low", "high", "reference"))
    name, heading = str(raw["name"]), str(raw.get("heading") or "other")
    name = RENAMED.get(name, name)
    old = old_meaning(name)
    meaning, better = str(raw.get("meaning", old.sentence)), str(raw.get("better", old.better))
    return ReadScore(
        name, at, when, value, low, high, reference, heading, raw.get("signature"), meaning, better
    )


def tiles(record: RunRecord, most: int = 4) -> str:
    """The key scores as tiles: one of each family, those that matter most first."""
    past, keys = history(record), record.task.key_scores
    families = {name: next((key for key in keys if _is_of(name, key)), name) for name in past}
    rank = {key: place for place, key in enumerate(keys)}
    chosen: dict[str, list[ReadScore]] = {}
    for name in sorted(past, key=lambda name: rank.get(families[name], len(rank))):
        chosen.setdefault(families[name], past[name])
    course = comparable(record)
    return "".join(_tile(scores[-1], course[scores[-1].name]) for scores in list(chosen.values())[:most])


def tables(record: RunRecord) -> str:
    """The newest value of every score, under the headings of what they tell."""
    latest = [scores[-1] for scores in history(record).values()]
    headings = dict.fromkeys([*HEADINGS, *(score.heading for score in latest)])
    by_heading = {heading: [s for s in latest if s.heading == heading] for heading in headings}
    drawn = "".join(_table(heading, scores, record) for heading, scores in by_heading.items())
    return drawn or (
        '<p class="empty">No scores yet. Compute them with '
        f"<code>luoxia measure {escape(record.folder)}</code></p>"
    )


def interval(score: ReadScore) -> str:
    """``31.2 – 34.8``, or a dash where no interval was computed."""
    if math.isnan(score.low) or math.isnan(score.high):
        return "–"
    width = abs(score.high - score.low)
    if not 1e-6 < width < 1e6:
        return f"{spell(score.low, 3)} – {spell(score.high, 3)}"
    decimals = max(0, 1 - math.floor(math.log10(width)))  # two digits of the width: the rest is noise
    return f"{score.low:,.{decimals}f} – {score.high:,.{decimals}f}".replace("-", "−")


def _is_of(name: str, key: str) -> bool:
    """Whether a score is the key score, or a variant of it: FD-self of FD, BLEU of long sentences of BLEU."""
    return name == key or name.startswith((f"{key}-", f"{key} "))


def _tile(score: ReadScore, course: list[ReadScore]) -> str:
    notes = []
    if interval(score) != "–":
        notes.append(f"95%: {interval(score)}")
    if math.isfinite(score.reference):
        notes.append(f"{escape(score.reference_name)}: {spell(score.reference, 3)}")
    better = escape(score.better)
    return (
        f'<div class="tile"><p class="label">{escape(score.name)}</p><p class="big">{spell(score.value, 3)}'
        f"{sparkline([(s.at, s.value) for s in course])}</p>"
        f"<p>{'<br>'.join(notes)}</p>{f'<p class=quiet>{better} is better</p>' if better else ''}</div>"
    )


def _table(heading: str, scores: list[ReadScore], record: RunRecord) -> str:
    if not scores:
        return ""
    rows = "".join(_row(score, record.end) for score in scores)
    question = HEADINGS.get(heading, "")
    reference = REAL.capitalize() if any(score.reference_name == REAL for score in scores) else "Reference"
    return (
        f"<h3>{escape(heading.capitalize())}</h3><p class=quiet>{question}</p>"
        '<table class="scores"><thead><tr><th scope="col">Score</th><th scope="col">Value</th>'
        f'<th scope="col">95% interval</th><th scope="col">{reference}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(score: ReadScore, end: float) -> str:
    better = f" <em>{escape(score.better.capitalize())} is better.</em>" if score.better else ""
    when = f" Measured at {escape(score.when)}." if score.at != end else ""
    reference = "–" if math.isnan(score.reference) else spell(score.reference)
    if score.reference_name != REAL:
        reference += f" <p class=quiet>{escape(score.reference_name)}</p>"
    label = REAL.capitalize() if score.reference_name == REAL else "Reference"
    value = "–" if math.isnan(score.value) else spell(score.value)
    note = f"<p>{escape(score.meaning)}{better}{when}</p>{_signature(score)}"
    return (
        f'<tr><th scope="row">{escape(score.name)}{note}</th>'
        f'<td data-label="Value"><b>{value}</b></td><td data-label="95% interval">{interval(score)}</td>'
        f'<td data-label="{label}">{reference}</td></tr>'
    )


def _signature(score: ReadScore) -> str:
    """What must be equal for two values to be comparable, folded away."""
    if not score.signature:
        return ""
    pairs = list(flatten(score.signature)) or [("signature", score.signature)]
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs)
    return f"<details><summary>Signature</summary><dl>{rows}</dl></details>"
