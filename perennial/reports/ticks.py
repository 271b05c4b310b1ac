"""Round places for the labels of an axis."""

import math
from datetime import date, timedelta


def nice_ticks(low: float, high: float, target: int = 4) -> tuple[float, ...]:
    """Return round values, about ``target`` steps, from at or below ``low`` to at or above ``high``.

    Example:
        >>> nice_ticks(0, 870)
        (0.0, 250.0, 500.0, 750.0, 1000.0)
    """
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return (low, low + 1.0)
    step = _nice_step(span / target)
    start = math.floor(low / step)
    stop = math.ceil(round(high / step, 9))
    return tuple(round(i * step, 10) for i in range(start, stop + 1))


def _nice_step(raw: float) -> float:
    power = 10.0 ** math.floor(math.log10(raw))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)


def tick_days(first: date, last: date) -> list[date]:
    """Mondays a week or more apart for spans up to half a year, else firsts of months; about eight in all."""
    span = (last - first).days
    if span > 180:
        every = max(1, round(span / 30.4 / 8))
        days = [first + timedelta(days=i) for i in range(span + 1)]
        return [d for d in days if d.day == 1][::every]
    if span < 14:
        return [first + timedelta(days=i) for i in range(0, span + 1, 2)]
    monday = first + timedelta(days=-first.weekday() % 7)
    step = 7 * max(1, round(span / 7 / 8))
    return [monday + timedelta(days=i) for i in range(0, (last - monday).days + 1, step)]
