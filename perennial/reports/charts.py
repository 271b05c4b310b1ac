"""Line charts as small SVG paths: geometry only, in a plot that stretches to any width.

A plot is ``WIDTH x HEIGHT`` units and is drawn with ``preserveAspectRatio="none"``; labels are HTML placed in
percent of it, so that text keeps its size on a phone and in print.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from perennial.contracts import Chart, ModelVersion
from perennial.reports.text import amount, plain, share, short_day
from perennial.reports.ticks import nice_ticks, tick_days
from perennial.reports.words import contender_name

WIDTH, HEIGHT = 1000.0, 300.0
_STYLE = {"actual": "actual", "candidate": "candidate", "champion": "champion"}
_BACK_TO_FRONT = ("baseline", "bound", "champion", "actual", "candidate")

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label on an axis.

    Attributes:
        at: Position in percent of the axis, from the left or from the top.
        minor: Whether a narrow screen leaves it out.
    """

    at: float
    label: str
    minor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: its legend, its class in the style sheet and its SVG path."""

    name: str
    style: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A chart ready to be drawn.

    Attributes:
        band: SVG path of the interval, ``""`` without one.
        starts: Where the forecast begins, in percent from the left; ``None`` if it does not begin inside.
        marks: Events on days, such as a new version.
        data: JSON for the pointer: days in percent, labels and formatted values.
        axis: What the numbers on the horizontal axis are; empty for days.
        says: The picture in one sentence, for those who cannot see it.
    """

    title: str
    note: str
    unit: str
    lines: tuple[Line, ...]
    band: str
    band_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    starts: float | None
    axis: str
    data: str
    says: str
    marks: tuple[Tick, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Maps places (days as their ordinals, or numbers) and values into the plot."""

    first: float
    last: float
    low: float
    high: float

    def x(self, place: float) -> float:
        return (place - self.first) / ((self.last - self.first) or 1.0) * WIDTH

    def y(self, value: float) -> float:
        return HEIGHT - (value - self.low) / (self.high - self.low) * HEIGHT


def plot(chart: Chart, *, unit: str, version: ModelVersion, champion: ModelVersion | None) -> Plot:
    """Lay out the forecasts of a run beside what came true."""
    names = {key: contender_name(key, version, champion) for key in chart.lines}
    return lay_out(chart, unit=unit, names=names, styles=_STYLE)


def lay_out(
    chart: Chart,
    *,
    unit: str,
    names: Mapping[str, str],
    styles: Mapping[str, str],
    marks: Mapping[date, str] | None = None,
) -> Plot:
    """Lay out one chart; days on which nothing is known (closed days) are bridged, other gaps stay open.

    Args:
        chart: Days and lines.
        unit: Of the values.
        names: What each line is called.
        styles: Its class in the style sheet, by line; ``baseline`` where none is given.
        marks: Events by day; those outside the chart are left out.
    """
    chart = _drop_empty_days(chart)
    days = _places(chart)
    scale = _scale(days, [*chart.lines.values(), chart.low, chart.high])
    names = {key: plain(name, 40) for key, name in names.items()}
    return Plot(
        title=plain(chart.title),
        note=plain(chart.note, 200),
        unit=chart.unit or unit,
        axis=chart.axis,
        lines=_lines(chart, days, scale, names, styles),
        band=_band(days, chart.low, chart.high, scale),
        band_name=f"{share(chart.level, 0)} band" if chart.level else "",
        x_ticks=_x_ticks(chart, days, scale),
        y_ticks=_y_ticks(scale),
        starts=None if chart.axis else _starts(days, chart.lines.get("candidate", ()), scale),
        data=_pointer_data(chart, days, scale, names, styles),
        says=_says(chart, days, names),
        marks=_marks(days, marks or {}, scale),
    )


def legend(plots: Sequence[Plot]) -> tuple[Line, ...]:
    """Return what the lines of all plots stand for, each once, the front one first; bands have style ``band``."""
    lines = [(line.style, line.name) for p in plots for line in reversed(p.lines)]
    bands = [("band", p.band_name) for p in plots if p.band]
    return tuple(Line(name=name, style=style, path="") for style, name in dict.fromkeys(lines + bands))


def _drop_empty_days(chart: Chart) -> Chart:
    keep = [i for i in range(len(chart.dates)) if any(v[i] is not None for v in chart.lines.values())]
    return Chart(
        title=chart.title,
        note=chart.note,
        dates=tuple(chart.dates[i] for i in keep),
        lines={name: tuple(_finite(values[i]) for i in keep) for name, values in chart.lines.items()},
        low=tuple(_finite(chart.low[i]) for i in keep) if chart.low else (),
        high=tuple(_finite(chart.high[i]) for i in keep) if chart.high else (),
        level=chart.level,
        axis=chart.axis,
        unit=chart.unit,
    )


def _places(chart: Chart) -> list[float]:
    return [float(d) if chart.axis else float(date.fromisoformat(d).toordinal()) for d in chart.dates]


def _label(chart: Chart, place: float) -> str:
    """Return a place in words: a day, or a number."""
    if chart.axis:
        return f"{place:g}"
    day = date.fromordinal(int(place))
    return f"{day:%a} {short_day(day)} {day.year}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _scale(days: Sequence[float], series: Iterable[Values]) -> _Scale:
    values = [v for one in series for v in one if v is not None]
    ticks = nice_ticks(min([0.0, *values]), max([0.0, *values]))
    first, last = (days[0], days[-1]) if days else (0.0, 1.0)
    return _Scale(first=first, last=last, low=ticks[0], high=ticks[-1])


def _marks(days: Sequence[float], marks: Mapping[date, str], scale: _Scale) -> tuple[Tick, ...]:
    places = {day.toordinal(): label for day, label in sorted(marks.items())}
    inside = {place: label for place, label in places.items() if days and days[0] <= place <= days[-1]}
    return tuple(Tick(at=round(scale.x(d) / WIDTH * 100, 2), label=label) for d, label in inside.items())


def _lines(
    chart: Chart, days: Sequence[float], scale: _Scale, names: Mapping[str, str], styles: Mapping[str, str]
) -> tuple[Line, ...]:
    lines = [
        Line(name=names[key], style=styles.get(key, "baseline"), path=_path(days, values, scale))
        for key, values in chart.lines.items()
    ]
    return tuple(sorted(lines, key=lambda line: _BACK_TO_FRONT.index(line.style)))


def _path(days: Sequence[float], values: Values, scale: _Scale) -> str:
    parts: list[str] = []
    pen = "M"
    for day, value in zip(days, values, strict=True):
        if value is None:
            pen = "M"
            continue
        parts.append(f"{pen}{scale.x(day):.1f} {scale.y(value):.1f}")
        pen = "L"
    return "".join(parts)


def _band(days: Sequence[float], low: Values, high: Values, scale: _Scale) -> str:
    if not low or not high:
        return ""
    edges = zip(days, low, high, strict=True)
    known = [(scale.x(d), scale.y(a), scale.y(b)) for d, a, b in edges if a is not None and b is not None]
    if len(known) < 2:
        return ""
    top = "L".join(f"{x:.1f} {b:.1f}" for x, _, b in known)
    bottom = "L".join(f"{x:.1f} {a:.1f}" for x, a, _ in reversed(known))
    return f"M{top}L{bottom}Z"


def _x_ticks(chart: Chart, days: Sequence[float], scale: _Scale) -> tuple[Tick, ...]:
    if not days:
        return ()
    if chart.axis:
        inside = [t for t in nice_ticks(days[0], days[-1], 5) if days[0] <= t <= days[-1]]
        return tuple(Tick(at=round(scale.x(t) / WIDTH * 100, 2), label=f"{t:g}") for t in inside)
    first, last = (date.fromordinal(int(d)) for d in (days[0], days[-1]))
    return tuple(
        Tick(at=round(scale.x(d.toordinal()) / WIDTH * 100, 2), label=short_day(d), minor=i % 2 == 1)
        for i, d in enumerate(tick_days(first, last))
    )


def _y_ticks(scale: _Scale) -> tuple[Tick, ...]:
    ticks = nice_ticks(scale.low, scale.high)
    digits = 0 if ticks[1] - ticks[0] >= 1 and all(t == int(t) for t in ticks) else 2
    return tuple(Tick(at=round(scale.y(t) / HEIGHT * 100, 2), label=f"{t:,.{digits}f}") for t in ticks)


def _starts(days: Sequence[float], candidate: Values, scale: _Scale) -> float | None:
    first = next((i for i, v in enumerate(candidate) if v is not None), 0)
    return round(scale.x(days[first]) / WIDTH * 100, 2) if first else None


def _pointer_data(
    chart: Chart, days: Sequence[float], scale: _Scale, names: Mapping[str, str], styles: Mapping[str, str]
) -> str:
    def texts(values: Values) -> list[str | None]:
        return [None if v is None else amount(v) for v in values]

    data = {
        "x": [round(scale.x(d) / WIDTH * 100, 2) for d in days],
        "days": [_label(chart, d) for d in days],
        "lines": [
            {
                "name": names[key],
                "style": styles.get(key, "baseline"),
                "y": [None if v is None else round(scale.y(v) / HEIGHT * 100, 1) for v in values],
                "text": texts(values),
            }
            for key, values in chart.lines.items()
        ],
        "low": texts(chart.low),
        "high": texts(chart.high),
    }
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def _says(chart: Chart, days: Sequence[float], names: Mapping[str, str]) -> str:
    if not days:
        return f"{plain(chart.title)}: no data"
    ends = [_label(chart, d) if chart.axis else _label(chart, d).partition(" ")[2] for d in (days[0], days[-1])]
    span = f"{chart.axis} {ends[0]} to {ends[1]}" if chart.axis else f"{ends[0]} to {ends[1]}"
    return f"{plain(chart.title)}, {span}: {', '.join(names.values())}"
