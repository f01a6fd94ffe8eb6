"""Which curves a report draws, and how to read each of them."""

import math
from collections.abc import Iterable
from dataclasses import replace

from luoxia.runs.charts import Chart, Mark, Point, Series, draw
from luoxia.runs.report_scores import REAL, ReadScore, comparable
from luoxia.runs.report_source import Line, RunRecord, mapping, number

TIMES = {"steps": "step_seconds", "waiting for data": "data_seconds", "maintenance": "maintenance_seconds"}
"""The parts of a log line's time, and the keys that they lie under."""
_LEGEND = (
    '<p class="quiet">Solid lines are smoothed, faint ones show the logged values. Vertical lines mark '
    "resumes, rollbacks and findings. Hover, or focus a chart and use the arrow keys, to read values.</p>"
)
_EMPTY = '<p class="empty">No values yet. The first ones come after <code>log_every</code> steps.</p>'


def curves(record: RunRecord) -> str:
    """All figures of the run's curves, those without any value left out."""
    scores = [_score_chart(name, scores) for name, scores in comparable(record).items() if len(scores) > 1]
    groups = {
        "Losses": _losses(record),
        "Inside the networks": _networks(record),
        "Scores over time": scores,
        "Machine": _machinery(record),
    }
    drawn = "".join(_group(title, charts, record) for title, charts in groups.items())
    return _LEGEND + drawn if drawn else _EMPTY


def collect(logs: Iterable[Line], key: str) -> dict[str, list[Point]]:
    """The values under ``key`` of each log line, by name; null is a value that was not measured."""
    found: dict[str, list[Point]] = {}
    for line in logs:
        for name, value in mapping(line.get(key)).items():
            if value is not None:
                found.setdefault(name, []).append((line["at"], number(value)))
    return found


def _group(title: str, charts: list[Chart], record: RunRecord) -> str:
    marks = _marks(record)
    drawn = [figure for chart in charts if (figure := draw(replace(chart, marks=marks), record.end))]
    dense = " dense" if len(drawn) == 3 or len(drawn) > 4 else ""
    return f'<h3 class="group">{title}</h3><div class="charts{dense}">{"".join(drawn)}</div>' if drawn else ""


def _losses(record: RunRecord) -> list[Chart]:
    """A chart a phase, and a stage where there are several."""
    phases = dict.fromkeys(
        (line["stage"], phase) for line in record.logs for phase in mapping(line.get("losses"))
    )
    charts = []
    for stage, phase in phases:
        lines = [
            {"at": line["at"], phase: mapping(line.get("losses")).get(phase)}
            for line in record.logs
            if line["stage"] == stage
        ]
        series = [Series(name, points) for name, points in collect(lines, phase).items()]
        aid = record.task.aids.get(phase, "Good: falling, then level, without jumps.")
        title = phase.capitalize() + (f" · {stage}" if len(record.stages) > 1 else "")
        charts.append(Chart(title, series, aid, log=_spans_decades(series)))
    return charts


def _networks(record: RunRecord) -> list[Chart]:
    """Gradient norms, what the task draws together, and every other statistic by itself."""
    norms = [Series(phase, points) for phase, points in collect(record.logs, "gradients").items()]
    aid = "Good: within a factor of ten, without a trend. Spikes precede NaN."
    return [Chart("Gradient norms", norms, aid, log=True), *_statistics(record)]


def _statistics(record: RunRecord) -> list[Chart]:
    found, figures, aids = collect(record.logs, "statistics"), record.task.figures, record.task.aids
    charts = [
        Chart(
            figure.title,
            [Series(label, found[name]) for name, label in figure.series.items() if name in found],
            figure.aid,
        )
        for figure in figures
    ]
    drawn = {name for figure in figures for name in (*figure.series, *figure.instead_of)}
    return charts + [
        Chart(name.replace("_", " ").capitalize(), [Series(name, points)], aids.get(name, "Good: no jumps."))
        for name, points in found.items()
        if name not in drawn
    ]


def _score_chart(name: str, scores: list[ReadScore]) -> Chart:
    series = Series(
        name,
        [(score.at, score.value) for score in scores],
        [(score.at, score.low, score.high) for score in scores],
        scores[-1].reference,
        scores[-1].reference_name,
    )
    aims = {"lower": "falling towards", "higher": "rising towards", "": "near"}
    if scores[-1].reference_name != REAL:  # a trivial model's
        aims["higher"] = "rising far above"
    aim = aims.get(scores[-1].better, "near")
    return Chart(name, [series], f"Good: {aim} the dashed line. The band is the 95% interval.")


def _machinery(record: RunRecord) -> list[Chart]:
    return [*_speed(record), *_costs(record.logs)]


def _speed(record: RunRecord) -> list[Chart]:
    rate = [(line["at"], number(line["rate"])) for line in record.logs if line.get("rate") is not None]
    rates = [Series(network, points) for network, points in collect(record.logs, "lr").items()]
    return [
        Chart(
            f"{record.unit.capitalize()} per second",
            [Series(f"{record.unit.capitalize()} per second", rate)],
            "Good: level. Dips come from scoring, saving or a busy machine.",
            from_zero=True,
        ),
        Chart(
            "Learning rate", rates, "Follows the schedule; a sudden drop marks a rollback.", from_zero=True
        ),
    ]


def _costs(logs: Iterable[Line]) -> list[Chart]:
    """Where time and memory went; lines of older versions do not tell."""
    shares: dict[str, list[Point]] = {name: [] for name in TIMES}
    memory: dict[str, list[Point]] = {"in use": [], "reserved": []}
    used: list[Point] = []
    for line in logs:
        step = line["at"]
        seconds = {name: number(line.get(key)) for name, key in TIMES.items()}
        if (total := sum(seconds.values())) > 0:
            for name, value in seconds.items():
                shares[name].append((step, value / total))
        for name, key in (("in use", "memory_bytes"), ("reserved", "memory_reserved_bytes")):
            memory[name].append((step, number(line.get(key)) / 2**30))
        used.append((step, number(line.get("flops_share"))))
    return [
        Chart(
            "Share of the time",
            [Series(name, points) for name, points in shares.items()],
            "Good: nearly all in steps. If data waits grow, raise workers; if maintenance, log, sample, score and "
            "save less often.",
            from_zero=True,
        ),
        Chart(
            "Memory, GiB",
            [Series(name, points) for name, points in memory.items() if _known(points)],
            "Peak so far, of the GPU; without one, of the whole process. Good: level.",
            from_zero=True,
        ),
        Chart(
            "Share of the device's FLOPs",
            [Series("Share of the device's FLOPs", used)] if _known(used) else [],
            "Share of the datasheet's peak for dense matrices, maintenance left out. Good: level.",
            from_zero=True,
        ),
    ]


def _known(points: list[Point]) -> bool:
    return any(math.isfinite(value) for _, value in points)


def _spans_decades(series: list[Series]) -> bool:
    """Whether one spike would flatten everything else on a linear axis."""
    values = sorted(value for one in series for _, value in one.points if abs(value) < 1e100)
    return bool(values) and values[0] > 0 and values[-1] > 1000 * values[len(values) // 2]


def _marks(record: RunRecord) -> list[Mark]:
    marks = [
        Mark(line["at"], f"{line['event']} at {record.step_of(line)}")
        for line in record.events
        if line.get("event") in ("resumed", "rolled back")
    ]
    first = {str(line.get("name")): line["at"] for line in reversed(record.findings)}
    return [
        *(Mark(at, f"stage {stage} begins") for at, stage in record.seams),
        *marks[:20],
        *(Mark(step, f"doctor: {name}", "finding") for name, step in list(first.items())[:20]),
    ]
