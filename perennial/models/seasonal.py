"""The scorer of a regular series: a robust seasonal baseline that knows only earlier days, and an alarm budget.

Each day is held against profiles of the days before it: the median of the same time of day (of all days, or of the
same weekday), or one level for all times. The profile whose residuals were smallest lately is used. Residuals are
averaged over several spans, so that a spike, a bad night and a bad day all count, and each average is divided by the
spread it had on earlier days. What is alarming is decided by the largest scores of earlier days: the threshold of a
day is the level that they exceeded as often as there may be alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

Doubles = npt.NDArray[np.float64]
DAY_MIN = 1440
WEEK = 7
NORMAL = 1.4826
TINY = 1e-9
CUTOFF = 3.5
"""Robust z below which nothing is called strange, whatever the budget (Iglewicz & Hoaglin 1993, section 3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalSettings:
    """What a day is held against.

    Attributes:
        step: Minutes of a slot of the day; values of one slot are averaged.
        days: Earlier days of the daily profile.
        weeks: Earlier weeks of the weekly profile.
        spread_days: Earlier days that the spread of residuals is taken from.
        spans: Minutes that residuals are averaged over.
        warm_up: Days before the first score.
    """

    step: int = 15
    days: int = 7
    weeks: int = 4
    spread_days: int = 28
    spans: tuple[int, ...] = (15, 180, 1440)
    warm_up: int = 2


def seasonal_scores(minute: npt.NDArray[np.int64], values: Doubles, settings: SeasonalSettings) -> Doubles:
    """Return how strange each value was when it came, shape (n,); nan while warming up.

    A value is scored on its own slot, the slots before it and the days before it. Of several values in a slot each has
    the score that the slot had at its end: nobody knew it sooner.

    Args:
        minute: Minutes since 1970-01-01, not decreasing, shape (n,).
        values: Observed values, nan where unknown, shape (n,).
        settings: What a day is held against.

    Raises:
        TrainingError: Time runs backwards.
    """
    if (np.diff(minute) < 0).any():
        raise TrainingError("the series runs backwards in time; sort it first")
    slots = DAY_MIN // settings.step
    cell = minute // settings.step
    cell = cell - cell[0] // slots * slots
    grid = _grid(cell, values, slots)
    residual = _residuals(grid, settings)
    out = np.full(grid.size, np.nan)
    for span in settings.spans:
        mean = _running_mean(residual.ravel(), max(1, span // settings.step))
        out = np.fmax(out, _scaled(mean.reshape(grid.shape), settings).ravel())
    found: Doubles = out[cell]
    return found


def budget_thresholds(score: Doubles, day: npt.NDArray[np.int64], per_week: float, *, at_least: float = 0.0) -> Doubles:
    """Return the threshold of each value's day, from the largest scores of all days before it, shape (n,).

    It is the score that earlier days exceeded ``per_week`` times a week; ``inf`` on the first day with scores.

    Args:
        score: Scores, nan while warming up.
        day: Day of each score, not decreasing.
        per_week: Alarms that are expected in a week when nothing is wrong, below 7.
        at_least: No threshold is lower, such as :data:`CUTOFF`.
    """
    days, first = np.unique(day, return_index=True)
    best = np.array([np.nanmax(part, initial=-np.inf) for part in np.split(score, first[1:])])
    threshold = np.full(len(days), np.inf)
    for n in range(len(days)):
        past = np.sort(best[:n][np.isfinite(best[:n])])
        if len(past):
            rank = int(np.ceil((len(past) + 1) * (1 - per_week / WEEK)))
            threshold[n] = past[min(max(rank, 1), len(past)) - 1]
    found: Doubles = np.maximum(threshold, at_least)[np.searchsorted(days, day)]
    return found


def raised(score: Doubles, threshold: Doubles, minute: npt.NDArray[np.int64], rest: int) -> npt.NDArray[np.intp]:
    """Return the values that raise an alarm: above the threshold, and ``rest`` minutes after the alarm before."""
    out: list[int] = []
    for n in np.flatnonzero(score > threshold):
        if not out or minute[n] - minute[out[-1]] >= rest:
            out.append(int(n))
    return np.array(out, np.intp)


def _grid(cell: npt.NDArray[np.int64], values: Doubles, slots: int) -> Doubles:
    """Average the values of each slot, shape (n_days, n_slots); nan where there is none."""
    days = int(cell[-1]) // slots + 1
    known = np.isfinite(values)
    total = np.bincount(cell[known], values[known], days * slots)
    count = np.bincount(cell[known], minlength=days * slots)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(days, slots)


def _residuals(grid: Doubles, settings: SeasonalSettings) -> Doubles:
    """Return what each day leaves over of the best profile of the days before it; nan on the first days."""
    profiles = [_flat(grid, settings), _daily(grid, settings), _weekly(grid, settings)]
    out = np.full(grid.shape, np.nan)
    errors = np.stack([_day_errors(grid - one) for one in profiles])
    for day in range(1, len(grid)):
        past = errors[:, max(0, day - settings.spread_days) : day]
        usable = np.isfinite(np.stack([one[day] for one in profiles])).any(axis=1)
        both = np.isfinite(past).all(axis=0)
        usual = np.array([np.median(p[both]) if both.any() else np.inf for p in past])
        if both.sum() < WEEK:  # a week decides; before it, the simplest
            usual = np.array([0.0, 1.0, 2.0])
        out[day] = grid[day] - profiles[int(np.argmin(np.where(usable, usual, np.inf)))][day]
    return out


def _day_errors(residual: Doubles) -> Doubles:
    known = np.isfinite(residual)
    total = np.where(known, np.abs(residual), 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)


def _flat(grid: Doubles, settings: SeasonalSettings) -> Doubles:
    return _medians(grid, [list(range(max(0, d - settings.days), d)) for d in range(len(grid))], whole=True)


def _daily(grid: Doubles, settings: SeasonalSettings) -> Doubles:
    return _medians(grid, [list(range(max(0, d - settings.days), d)) for d in range(len(grid))])


def _weekly(grid: Doubles, settings: SeasonalSettings) -> Doubles:
    weeks = [[d - WEEK * k for k in range(settings.weeks, 0, -1) if d >= WEEK * k] for d in range(len(grid))]
    return _medians(grid, weeks)


def _medians(grid: Doubles, rows: Sequence[Sequence[int]], *, whole: bool = False) -> Doubles:
    """Return the median of the given earlier days for each day, by slot (and its neighbours) or over all slots."""
    near = np.stack([np.roll(grid, k, axis=1) for k in (-1, 0, 1)])  # within the day: the next one is the future
    out = np.full(grid.shape, np.nan)
    for day, earlier in enumerate(rows):
        if not len(earlier):
            continue
        past = grid[list(earlier)].reshape(-1, 1) if whole else near[:, list(earlier)].reshape(-1, grid.shape[1])
        some = np.isfinite(past).any(axis=0)
        if some.any():
            out[day] = np.where(some, np.nanmedian(np.where(some, past, 0.0), axis=0), np.nan)
    return out


def _running_mean(values: Doubles, width: int) -> Doubles:
    """Return the mean of the newest ``width`` known values; nan unless half of them are known."""
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.where(known, values, 0).cumsum()])
    count = np.concatenate([[0], known.cumsum()])
    begin = np.maximum(np.arange(len(values)) + 1 - width, 0)
    end = np.arange(len(values)) + 1
    n = count[end] - count[begin]
    return np.where(known & (2 * n >= width), (total[end] - total[begin]) / np.maximum(n, 1), np.nan)


def _scaled(mean: Doubles, settings: SeasonalSettings) -> Doubles:
    """Divide each day's residuals by the robust spread of those of earlier days."""
    out = np.full(mean.shape, np.nan)
    for day in range(settings.warm_up, len(mean)):
        past = mean[max(0, day - settings.spread_days) : day]
        known = np.abs(past[np.isfinite(past)])
        if len(known):
            spread = max(NORMAL * float(np.median(known)), 0.1 * float(known.mean()), TINY)
            out[day] = np.abs(mean[day]) / spread
    return out
