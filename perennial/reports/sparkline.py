"""The small picture of the last matured days in a table cell."""

from collections.abc import Sequence
from dataclasses import dataclass

from perennial.contracts import DailyError
from perennial.overview import spark_points
from perennial.reports.text import figure, short_day

WIDTH, HEIGHT = 84.0, 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """A line of errors over a line of the best naive baseline; zero is the lower edge.

    Attributes:
        line: SVG path of the errors; ``naive`` of the baseline.
        bad: Positions of days beyond their bound.
        last: Position of the last day.
        says: The same in a sentence.
    """

    line: str
    naive: str
    bad: tuple[tuple[float, float], ...]
    last: tuple[float, float] | None
    says: str


def sparkline(daily: Sequence[DailyError], metric: str) -> Sparkline | None:
    """Draw the errors of the last matured days, oldest first; ``None`` if there are none."""
    if not daily:
        return None
    values, naive = [one.value for one in daily], [one.baseline for one in daily]
    top = max((v for v in (*values, *naive) if v == v), default=0.0)
    points = spark_points(values, WIDTH, HEIGHT, top)
    bad = sum(one.bad for one in daily)
    return Sparkline(
        line=_path(points),
        naive=_path(spark_points(naive, WIDTH, HEIGHT, top)),
        bad=tuple(at for at, one in zip(points, daily, strict=True) if at and one.bad),
        last=points[-1],
        says=f"{len(daily)} matured days from {short_day(daily[0].day)} to {short_day(daily[-1].day)}, "
        f"the last at {figure(values[-1], metric)}; {bad or 'none'} beyond the bound",
    )


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    parts, pen = [], "M"
    for at in points:
        if at is not None:
            parts.append(f"{pen}{at[0]:g} {at[1]:g}")
        pen = "M" if at is None else "L"
    return "".join(parts)
