"""The scores of a report: the key ones as tiles, all of them in tables."""

import math
from dataclasses import dataclass

from luoxia.metrics.score import RENAMED
from luoxia.runs.charts import sparkline
from luoxia.runs.report_source import Line, RunRecord, flatten, items, mapping, number
from luoxia.runs.report_words import HEADINGS, KEY_SCORES, TEXT_HEADINGS, escape, family, meaning, spell

REAL = "real against real"
"""What the floor is, unless the score's signature says otherwise."""


@dataclass(frozen=True)
class ReadScore:
    """A score as it stands in ``metrics.jsonl``; numbers that are missing there are NaN."""

    name: str
    step: float
    value: float
    low: float
    high: float
    floor: float
    heading: str
    signature: object

    @property
    def floor_name(self) -> str:
        """What the floor is: "real against real", "chance", "constant answer"."""
        signature = mapping(self.signature)
        told = signature.get("reference", signature.get("floor"))  # as 0.1.0 called it
        return told if isinstance(told, str) and told else REAL


def history(record: RunRecord) -> dict[str, list[ReadScore]]:
    """The scores over time by name, in the order in which the names first appear."""
    found: dict[str, list[ReadScore]] = {}
    for line in record.scores:
        for raw in map(mapping, items(line.get("scores"))):
            if raw.get("name"):
                score = _read(raw, line["step"])
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


def _read(raw: Line, step: float) -> ReadScore:
    raw = {RENAMED.get(key, key): value for key, value in raw.items()}
    value, low, high, floor = (number(raw.get(key)) for key in ("value", "low", "high", "reference"))
    heading = str(raw.get("heading") or "other")
    return ReadScore(str(raw["name"]), step, value, low, high, floor, heading, raw.get("signature"))


def tiles(record: RunRecord, most: int = 4) -> str:
    """The key scores as tiles: one of each family, those that matter most first."""
    past = history(record)
    ranked = sorted(past.items(), key=lambda entry: _rank(entry[0]))
    chosen: dict[str, list[ReadScore]] = {}
    for name, scores in ranked:
        chosen.setdefault(family(name) or name, scores)
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


def _rank(name: str) -> int:
    return KEY_SCORES.index(family(name)) if family(name) in KEY_SCORES else len(KEY_SCORES)


def _tile(score: ReadScore, course: list[ReadScore]) -> str:
    notes = []
    if interval(score) != "–":
        notes.append(f"95%: {interval(score)}")
    if math.isfinite(score.floor):
        notes.append(f"{escape(score.floor_name)}: {spell(score.floor, 3)}")
    better = meaning(score.name).better
    return (
        f'<div class="tile"><p class="label">{escape(score.name)}</p><p class="big">{spell(score.value, 3)}'
        f"{sparkline([(s.step, s.value) for s in course])}</p>"
        f"<p>{'<br>'.join(notes)}</p>{f'<p class=quiet>{better} is better</p>' if better else ''}</div>"
    )


def _table(heading: str, scores: list[ReadScore], record: RunRecord) -> str:
    if not scores:
        return ""
    rows = "".join(_row(score, record.last_step) for score in scores)
    question = (TEXT_HEADINGS if record.is_text else HEADINGS).get(heading, "")
    floor = REAL.capitalize() if any(score.floor_name == REAL for score in scores) else "Floor"
    return (
        f"<h3>{escape(heading.capitalize())}</h3><p class=quiet>{question}</p>"
        '<table class="scores"><thead><tr><th scope="col">Score</th><th scope="col">Value</th>'
        f'<th scope="col">95% interval</th><th scope="col">{floor}</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(score: ReadScore, last_step: float) -> str:
    told = meaning(score.name)
    better = f" <em>{told.better.capitalize()} is better.</em>" if told.better else ""
    when = f" Measured at step {score.step:,.0f}." if score.step != last_step else ""
    floor = "–" if math.isnan(score.floor) else spell(score.floor)
    if score.floor_name != REAL:
        floor += f" <p class=quiet>{escape(score.floor_name)}</p>"
    label = REAL.capitalize() if score.floor_name == REAL else "Floor"
    value = "–" if math.isnan(score.value) else spell(score.value)
    note = f"<p>{told.sentence}{better}{when}</p>{_signature(score)}"
    return (
        f'<tr><th scope="row">{escape(score.name)}{note}</th>'
        f'<td data-label="Value"><b>{value}</b></td><td data-label="95% interval">{interval(score)}</td>'
        f'<td data-label="{label}">{floor}</td></tr>'
    )


def _signature(score: ReadScore) -> str:
    """What must be equal for two values to be comparable, folded away."""
    if not score.signature:
        return ""
    pairs = list(flatten(score.signature)) or [("signature", score.signature)]
    rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in pairs)
    return f"<details><summary>Signature</summary><dl>{rows}</dl></details>"
