"""Bounds learned from history, with the false alarms that they would have raised on days they were not learned from.

The days of history are divided in time: bounds are learned on the first 60 %, how wide they must be is chosen on the
next 20 %, and the false alarms are counted on the last 20 %, which took no part. Then they are learned again, as wide,
on all days. Where a day's level depends on the weekday or the month, each has bounds of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

WIDTHS = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 25.0)
"""How many robust standard deviations bounds may be away from the median."""
ACCEPTED = 0.01
"""Share of days that may raise a false alarm while the width is chosen."""
SEASONAL = 0.3
"""Share of the variance between days that weekdays or months must explain to have bounds of their own."""
MIN_DAYS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Where daily means are expected.

    Attributes:
        weekdays: Weekdays that it holds on, 0 for Monday; empty: all.
        months: Months that it holds in; empty: all.
    """

    low: float
    high: float
    weekdays: tuple[int, ...] = ()
    months: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Bounds of one column's daily mean and what they are worth.

    Attributes:
        season: ``weekday``, ``month`` or an empty text.
        width: Robust standard deviations from the median.
        alarms: False alarms on the days held back.
        days: Days held back.
    """

    ranges: tuple[Range, ...]
    season: str
    width: float
    alarms: int
    days: int

    @property
    def rate(self) -> str:
        """The expected false-alarm rate in words."""
        if self.alarms == 0:
            return f"none of the last {self.days} days, held back: at most {3 / max(self.days, 1):.1%} a day (95 %)"
        share = self.alarms / self.days
        return f"{self.alarms} of the last {self.days} days, held back: about one in {1 / share:.0f} days"


def learn(means: "pd.Series[float]", *, at_least: float | None) -> Learned | None:
    """Learn bounds of a daily mean.

    Args:
        means: Mean of each day, indexed by day, ascending.
        at_least: No value can be smaller (0 for what is never negative), or ``None``.

    Returns:
        The bounds, or ``None`` if there are too few days to learn from.
    """
    found = means.dropna()
    if len(found) < MIN_DAYS:
        return None
    plain, by_season = _learned(found, "", at_least), _learned(found, seasonal(found), at_least)
    return by_season if _reach(by_season) < _reach(plain) else plain


def _learned(found: "pd.Series[float]", season: str, at_least: float | None) -> Learned:
    n = len(found)
    early, middle, late = found.iloc[: n * 6 // 10], found.iloc[n * 6 // 10 : n * 8 // 10], found.iloc[n * 8 // 10 :]
    width = next((w for w in WIDTHS if alarms(middle, _groups(early, season, w), season) <= ACCEPTED), WIDTHS[-1])
    before = _groups(found.iloc[: n * 8 // 10], season, width)
    count = round(alarms(late, before, season) * len(late))
    final = _groups(found, season, width)
    ranges = tuple(_range(key, low, high, season, at_least) for key, (low, high) in sorted(final.items()))
    return Learned(ranges=ranges, season=season, width=width, alarms=count, days=len(late))


def _reach(learned: Learned) -> float:
    """Return how far apart the bounds are on average: of two sets that raise few alarms the narrower says more."""
    return float(np.mean([one.high - one.low for one in learned.ranges]))


def seasonal(means: "pd.Series[float]") -> str:
    """Return ``weekday`` or ``month`` if it explains a good part of how days differ, else an empty text."""
    index = pd.DatetimeIndex(means.index)
    shares = {"weekday": 0.0, "month": 0.0}
    if len(means) >= 56:
        usual = means.rolling(28, min_periods=7, center=True).median()
        shares["weekday"] = _explained((means - usual).dropna(), index.day_of_week[(means - usual).notna().to_numpy()])
    if (index[-1] - index[0]).days >= 700:
        shares["month"] = _explained(means, index.month)
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= SEASONAL else ""


def _explained(values: "pd.Series[float]", groups: "pd.Index[int]") -> float:
    """Return the share of the variance between groups, less what as many groups explain by chance."""
    total = float(((values - values.mean()) ** 2).sum())
    if total == 0 or len(values) < 2:
        return 0.0
    means = values.groupby(np.asarray(groups)).transform("mean")
    within = float(((values - means) ** 2).sum())
    k = len(set(groups))
    return 1 - (within / max(len(values) - k, 1)) / (total / (len(values) - 1))


def _keys(days: "pd.Series[float]", season: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    index = pd.DatetimeIndex(days.index)
    if season == "weekday":
        return np.asarray(index.day_of_week, dtype=np.int64)
    return np.asarray(index.month, dtype=np.int64) if season == "month" else np.zeros(len(days), dtype=np.int64)


def _groups(days: "pd.Series[float]", season: str, width: float) -> dict[int, tuple[float, float]]:
    """Return bounds by season: robust standard deviations around the median, and no narrower than half of all days'."""
    overall = _spread(days)
    out = {}
    for key, part in days.groupby(_keys(days, season)):
        reach = width * max(_spread(part), overall / 2)
        out[int(str(key))] = (float(part.median()) - reach, float(part.median()) + reach)
    return out


def _spread(days: "pd.Series[float]") -> float:
    mad = 1.4826 * float((days - days.median()).abs().median())
    return mad if mad > 0 else float(days.std(ddof=0)) or abs(float(days.median())) * 0.01 or 1e-9


def alarms(days: "pd.Series[float]", bounds: Mapping[int, tuple[float, float]], season: str) -> float:
    """Return the share of days outside their bounds; a season that was never seen raises none."""
    wide = (-math.inf, math.inf)
    low, high = zip(*(bounds.get(int(key), wide) for key in _keys(days, season)), strict=True)
    return float(((days < np.array(low)) | (days > np.array(high))).mean())


def _range(key: int, low: float, high: float, season: str, at_least: float | None) -> Range:
    floor = at_least if at_least is not None and low <= at_least else outward(low, up=False)
    return Range(
        low=floor,
        high=outward(high, up=True),
        weekdays=(key,) if season == "weekday" else (),
        months=(key,) if season == "month" else (),
    )


def row_range(values: "pd.Series[float]", *, at_least: float | None) -> tuple[float, float]:
    """Return bounds of single values: far beyond the outer thousandths, so that a changed unit shows, not a record.

    They lie twice the distance between median and outer thousandth further out.
    """
    low, middle, high = (float(values.quantile(q)) for q in (0.001, 0.5, 0.999))
    low, high = low - 2 * (middle - low), high + 2 * (high - middle)
    if low == high:
        low, high = low - abs(low), high + abs(high) + 1
    floor = at_least if at_least is not None and low <= at_least else outward(low, up=False)
    return floor, outward(high, up=True)


def outward(value: float, *, up: bool) -> float:
    """Round to two significant digits, away from what lies between the bounds.

    Example:
        >>> outward(1234.0, up=True), outward(1234.0, up=False)
        (1300.0, 1200.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    steps = math.ceil(value / unit - 1e-9) if up else math.floor(value / unit + 1e-9)
    return float(f"{steps * unit:.12g}")
