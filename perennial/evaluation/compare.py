"""Is the candidate really better, or was it lucky? A paired block bootstrap of the difference of two errors.

Test rows are not independent: one product is wrong in the same direction for days, and one rainy day moves every
product. So whole entities and whole blocks of consecutive target days are drawn with replacement, independently
of one another, and both forecasts are scored on the same draws (the pigeonhole bootstrap of Owen 2007 with the
circular blocks of Politis & Romano 1992). Metrics of a fixed assortment (WRMSSE) draw days only.

Source of the error rates quoted in ``docs/gates.md``: ``python -m benchmarks.gates``.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation.metrics import AnyMetric, subset
from perennial.evaluation.sums import Floats, Grid

BLOCK_DAYS = 7
"""Longest block of consecutive target days; a week keeps the weekday pattern together."""
MIN_DAYS = 4
"""With fewer target days nothing is known about how days differ: there is no bound, and no gate passes."""
_DRAWN = 1_000_000  # draws in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """How far the candidate is from what it is compared with; negative is better.

    Attributes:
        estimate: ``value(candidate) - ratio * value(other)`` on the test rows.
        upper: One-sided upper bound of it at ``confidence``; nan if it is undefined in any resample.
        p_value: Share of resamples in which the candidate is worse, ``(1 + worse) / (1 + n)``.
    """

    estimate: float
    upper: float
    p_value: float


def bootstrap_difference(
    rows: TestRows,
    metric: AnyMetric,
    candidate: str,
    other: str | None,
    *,
    ratio: float = 1.0,
    offset: float = 0.0,
    confidence: float = 0.95,
    n: int = 1000,
    seed: int = 0,
    mask: npt.NDArray[np.bool_] | None = None,
) -> Interval:
    """Bound the difference of two contenders' errors.

    Args:
        rows: Test rows of all contenders.
        metric: From :data:`perennial.evaluation.metrics.METRICS`.
        candidate: Name of the contender that must be better.
        other: Name of the contender to beat; ``None`` compares with ``offset`` alone.
        ratio: The candidate is compared with ``ratio`` times the other's error.
        offset: Constant taken off the difference, for an absolute bound.
        confidence: Of the one-sided bound, in (0, 1).
        n: Resamples.
        seed: Equal seeds draw equal resamples.
        mask: Restricts the comparison to some rows, shape (n_rows,).

    Returns:
        The difference, its bound and its p-value. Bound and p-value are nan when there are fewer than
        :data:`MIN_DAYS` target days or a resample is undefined; the difference too when there are no rows.
    """
    part = rows if mask is None else subset(rows, mask)
    if not part.y.size:
        return Interval(estimate=np.nan, upper=np.nan, p_value=np.nan)
    draws = draw(part, n=n, seed=seed)
    difference = _difference(Grid(part), metric, candidate, other, ratio, draws) - offset
    if draws.days.shape[1] < MIN_DAYS:
        difference[1:] = np.nan
    return _interval(difference, confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """How often each entity and each target day is drawn; row 0 is the sample itself.

    Attributes:
        entities: Shape (n + 1, n_entities); 0 for entities without rows.
        days: Shape (n + 1, n_days).
    """

    entities: Floats
    days: Floats


def draw(rows: TestRows, *, n: int, seed: int) -> Draws:
    """Draw ``n`` resamples of the entities (by cluster, if they have any) and the day blocks that have rows."""
    rng = np.random.default_rng(seed)
    present = np.unique(rows.entity)
    entities = np.zeros((n + 1, rows.entities.size))
    entities[0, present] = 1.0
    together = present if rows.cluster is None else rows.cluster[present]
    clusters, index = np.unique(together, return_inverse=True)
    entities[1:, present] = _multiplicities(rng, n, clusters.size, clusters.size)[:, index]
    n_days = np.unique(rows.day).size
    days = np.concatenate([np.ones((1, n_days)), _day_weights(rng, n, n_days)])
    return Draws(entities=entities, days=days)


def _multiplicities(rng: np.random.Generator, n: int, size: int, draws: int) -> Floats:
    """Return how often each of ``size`` things is drawn in ``draws`` draws, shape (n, size)."""
    times = np.empty((n, size))
    step = max(1, _DRAWN // size)
    for start in range(0, n, step):
        drawn = rng.integers(0, size, size=(min(step, n - start), draws))
        drawn += np.arange(len(drawn))[:, None] * size
        times[start : start + step] = np.bincount(drawn.ravel(), minlength=len(drawn) * size).reshape(-1, size)
    return times


def _day_weights(rng: np.random.Generator, n: int, n_days: int) -> Floats:
    """Return how often each day is drawn when circular blocks of days are, shape (n, n_days)."""
    block = max(1, min(BLOCK_DAYS, n_days // MIN_DAYS))
    starts = _multiplicities(rng, n, n_days, -(-n_days // block))
    days: Floats = sum((np.roll(starts, shift, axis=1) for shift in range(block)), np.zeros_like(starts))
    return days


def _difference(grid: Grid, metric: AnyMetric, candidate: str, other: str | None, ratio: float, draws: Draws) -> Floats:
    ours = metric.weighted(metric.prepare(grid, candidate), draws.entities, draws.days)
    if other is None:
        return ours
    return ours - ratio * metric.weighted(metric.prepare(grid, other), draws.entities, draws.days)


def _interval(difference: Floats, confidence: float) -> Interval:
    estimate, resampled = difference[0], difference[1:]
    if not np.isfinite(difference).all():
        return Interval(estimate=float(estimate), upper=np.nan, p_value=np.nan)
    return Interval(
        estimate=float(estimate),
        upper=float(np.quantile(resampled, confidence, method="higher")),
        p_value=float((1 + (resampled > 0).sum()) / (1 + resampled.size)),
    )
