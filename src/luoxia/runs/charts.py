"""Line charts as inline SVG and HTML that keep their text sharp at any width and follow the page's colors.

The lines live in an SVG that stretches with the page; labels are HTML, placed in percent, so that they keep
their size on a phone. ``report.js`` adds the reading under the pointer from the ``data-`` attributes.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from luoxia.core.html import escape
from luoxia.runs.report_words import compact, count, power_of_ten, spell

Point = tuple[float, float]
POINTS = 600  # of a line, at most
_SMOOTH_FROM = 80  # points: below this a smoothed line says nothing that the raw one does not
_COLORS = 6


@dataclass(frozen=True)
class Series:
    """A line: ``points`` are (step, value), ``band`` holds (step, low, high) ``reference`` is a level with a name."""

    name: str
    points: Sequence[Point]
    band: Sequence[tuple[float, float, float]] = ()
    reference: float = math.nan
    reference_name: str = "real against real"


@dataclass(frozen=True)
class Mark:
    """A vertical line at an event."""

    step: float
    label: str
    kind: str = "event"  # or "finding"


@dataclass(frozen=True)
class Chart:
    """Some series over the steps of a run, with one line on how to read them."""

    title: str
    series: Sequence[Series]
    aid: str
    log: bool = False
    from_zero: bool = False
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Axis:
    """A range of values and its way onto 0 … 1."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Where ``value`` lies between the ends, as a fraction; in the middle of a range of one value."""
        if self.low == self.high:
            return 0.5
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Round values within the range and their labels."""
        return _log_ticks(self.low, self.high, most) if self.log else _linear_ticks(self.low, self.high, most)


def draw(chart: Chart, last_step: float) -> str:
    """``chart`` as an HTML figure; the empty string when it has no value to draw."""
    series = [s for s in chart.series if drawable(s.points, chart.log)]
    if not series:
        return ""
    x = Axis(0.0, max(last_step, max(s.points[-1][0] for s in series), 1.0))
    y = _value_axis(series, chart)
    lines = "".join(_line(s, color % _COLORS, x, y) for color, s in enumerate(series))
    missing = [step for s in series for step, value in s.points if not _fits(value, chart.log)]
    ends = f'data-x="{x.low!r} {x.high!r}" data-y="{y.low!r} {y.high!r}" data-log="{int(y.log)}"'
    title = f"{escape(chart.title)}{' <small>log scale</small>' if chart.log else ''}"
    return (
        f'<figure class="chart" {ends}><figcaption><h4>{title}</h4>{_legend(chart, series)}</figcaption>'
        f'<div class="plot" style="--label:{_widest(y)}" tabindex="0" role="group" '
        f'aria-label="{_summary(chart, series)}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f"{_grid(y)}{_marks(chart.marks, x)}{_misses(missing, x)}{lines}</svg>{_labels(x, y)}</div>"
        f'<p class="aid">{escape(chart.aid)}{_missing_note(missing, chart.log)}</p></figure>'
    )


def sparkline(points: Sequence[Point]) -> str:
    """A small line without axes; the empty string for fewer than three finite points."""
    points = drawable(points, log=False)
    if len(points) < 3:
        return ""
    x = Axis(points[0][0], points[-1][0])
    low, high = min(v for _, v in points), max(v for _, v in points)
    path = _path(thin(points, 60), x, Axis(low, high))
    return (
        '<svg class="spark" viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}"/></svg>'
    )


def drawable(points: Iterable[Point], log: bool) -> list[Point]:
    """The points with a finite value that the axis can show."""
    return [(step, value) for step, value in points if _fits(value, log)]


def thin(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most ``most`` points: the lowest and the highest of each bin, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    bins = most // 2
    edges = [i * len(points) // bins for i in range(bins + 1)]
    kept: list[Point] = []
    for start, end in pairwise(edges):
        part = points[start:end]
        kept += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return kept


def smooth(points: Sequence[Point], log: bool = False) -> list[Point]:
    """A centered running mean, twice (so that a spike leaves no box), of logarithms on a log axis."""
    values = [math.log10(v) if log else v for _, v in points]
    half = max(2, len(values) // 80)
    means = _running_mean(_running_mean(values, half), half)
    line = [(step, 10**mean if log else mean) for (step, _), mean in zip(points, means, strict=True)]
    stride = max(1, len(line) // (POINTS // 2))
    return [*line[:-1:stride], line[-1]]


def _running_mean(values: Sequence[float], half: int) -> list[float]:
    total = [0.0, *accumulate(values)]
    spans = ((max(0, i - half), min(len(values), i + half + 1)) for i in range(len(values)))
    return [(total[end] - total[start]) / (end - start) for start, end in spans]


def _fits(value: float, log: bool) -> bool:
    return math.isfinite(value) and abs(value) < 1e100 and (value > 1e-100 or not log)


def _value_axis(series: Sequence[Series], chart: Chart) -> Axis:
    values = [v for s in series for _, v in drawable(s.points, chart.log)]
    values += [v for s in series for _, *ends in s.band for v in ends if _fits(v, chart.log)]
    values += [s.reference for s in series if _fits(s.reference, chart.log)]
    low, high = min(values), max(values)
    if chart.log:
        room = max(1.3, math.sqrt(10 * low / high) if high < 10 * low else 0)  # a decade at least
        return Axis(low / room, high * room, log=True)
    low = min(low, 0.0) if chart.from_zero else low
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Axis(low if chart.from_zero and low == 0 else low - room, high + room)


def _line(series: Series, color: int, x: Axis, y: Axis) -> str:
    """The band, the reference, the raw line and, where there are many points, a smoothed one."""
    points = drawable(series.points, y.log)
    gaps = sorted(step for step, value in series.points if not _fits(value, y.log))
    shown = thin(points)
    steps = " ".join(f"{step:.12g}" for step, _ in shown)
    values = " ".join(f"{value:.5g}" for _, value in shown)
    rough = len(points) >= _SMOOTH_FROM
    parts = [_band(series.band, color, x, y)]
    if _fits(series.reference, y.log):
        height = _at(1 - y.place(series.reference))
        parts.append(f'<path class="reference" d="M0 {height}H1000"/>')
    parts.append(
        f'<path class="line s{color}{" raw" if rough else ""}" data-name="{escape(series.name)}" '
        f'data-steps="{steps}" data-values="{values}" d="{_path(shown, x, y, gaps)}"/>'
    )
    if rough:
        parts.append(f'<path class="line s{color}" d="{_path(smooth(points, y.log), x, y, gaps)}"/>')
    elif len(points) <= 40:
        dots = "".join(f"M{_at(x.place(step))} {_at(1 - y.place(value))}h0" for step, value in points)
        parts.append(f'<path class="dots s{color}" d="{dots}"/>')
    return "".join(parts)


def _band(band: Sequence[tuple[float, float, float]], color: int, x: Axis, y: Axis) -> str:
    ends = [(s, low, high) for s, low, high in band if _fits(low, y.log) and _fits(high, y.log)]
    if not ends:
        return ""
    if len(ends) == 1:
        step, low, high = ends[0]
        reach = f"{_at(1 - y.place(low))}V{_at(1 - y.place(high))}"
        return f'<path class="whisker s{color}" d="M{_at(x.place(step))} {reach}"/>'
    outline = [(s, high) for s, _, high in ends] + [(s, low) for s, low, _ in reversed(ends)]
    return f'<path class="band s{color}" d="{_path(outline, x, y)}Z"/>'


def _path(points: Sequence[Point], x: Axis, y: Axis, gaps: Sequence[float] = ()) -> str:
    """An SVG path that is broken wherever a step in ``gaps`` (sorted) lies between two points."""
    parts = []
    before = None
    for step, value in points:
        passed = bisect_right(gaps, step)
        parts.append(f"{'L' if passed == before else 'M'}{_at(x.place(step))} {_at(1 - y.place(value))}")
        before = passed
    return "".join(parts)


def _at(fraction: float) -> str:
    return f"{fraction * 1000:.1f}".removesuffix(".0")


def _grid(y: Axis) -> str:
    lines = "".join(f"M0 {_at(1 - y.place(value))}H1000" for value, _ in y.ticks())
    return f'<path class="grid" d="{lines}"/>'


def _marks(marks: Sequence[Mark], x: Axis) -> str:
    return "".join(
        f'<path class="mark {mark.kind}" data-at="{mark.step:.12g}" data-label="{escape(mark.label)}" '
        f'd="M{_at(x.place(mark.step))} 0V1000"/>'
        for mark in marks
    )


def _misses(steps: Sequence[float], x: Axis) -> str:
    ticks = "".join(f"M{_at(x.place(step))} 940V1000" for step in sorted(set(steps))[:300])
    return f'<path class="miss" d="{ticks}"/>' if ticks else ""


def _missing_note(steps: Sequence[float], log: bool) -> str:
    if not steps:
        return ""
    what = "not finite or not positive" if log else "not finite"
    note = f"{count(len(steps), 'value')} {what} (red ticks), first at step {min(steps):,.0f}."
    return f' <strong class="missed">{note}</strong>'


def _labels(x: Axis, y: Axis) -> str:
    rows = "".join(
        f'<span class="tick y" style="top:{100 * (1 - y.place(value)):.2f}%">{label}</span>'
        for value, label in y.ticks()
    )
    columns = "".join(
        f'<span class="tick x" style="left:{100 * x.place(value):.2f}%">{label}</span>'
        for value, label in x.ticks()
    )
    return f'<div class="ticks" aria-hidden="true">{rows}{columns}</div>'


def _widest(y: Axis) -> int:
    """Characters of the longest label, for which the style sheet leaves room."""
    return max(len(label) for _, label in y.ticks())


def _legend(chart: Chart, series: Sequence[Series]) -> str:
    entries = []
    for index, one in enumerate(series):
        last = drawable(one.points, chart.log)[-1][1]
        name = "latest" if one.name.lower() == chart.title.lower() else one.name
        reference = ""
        if math.isfinite(one.reference):
            level = f"{escape(one.reference_name)} <b>{spell(one.reference, 3)}</b>"
            reference = f'<li><i class="swatch reference"></i>{level}</li>'
        swatch = f'<i class="swatch s{index % _COLORS}"></i>'
        entries.append(f"<li>{swatch}{escape(name)} <b>{spell(last, 3)}</b></li>{reference}")
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _summary(chart: Chart, series: Sequence[Series]) -> str:
    """What the picture shows, for those who cannot see it."""
    parts = []
    for one in series:
        points = drawable(one.points, chart.log)
        parts.append(f"{one.name} goes from {spell(points[0][1], 3)} to {spell(points[-1][1], 3)}")
    return escape(f"{chart.title} over steps: {'; '.join(parts)}. Read values with the arrow keys.")


def _linear_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    gap = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first, last = math.ceil(low / gap), math.floor(high / gap)
    if last - first > 2 * most:  # the range is too small for floating point
        return [(low, compact(low))]
    decimals = max(0, -math.floor(math.log10(gap) + 1e-9))
    even = 0 < decimals <= 5  # then all labels get the same number of decimals
    values = [float(f"{i * gap:.10g}") for i in range(first, last + 1)]
    return [(v, f"{v:.{decimals}f}".replace("-", "−") if even and v else compact(v)) for v in values]


def _log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    if last - first >= 2:
        stride = math.ceil((last - first + 1) / most)
        return [(10.0**power, power_of_ten(power)) for power in range(first, last + 1, stride)]
    powers = range(first - 1, last + 1)
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    ticks = [(value, compact(value)) for value in fine if low <= value <= high]
    return ticks or [(low, compact(low)), (high, compact(high))]
