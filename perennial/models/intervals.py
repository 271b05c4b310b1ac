"""Conformal intervals: how far outcomes fell from forecasts in the past, by size of forecast and horizon.

The score of a calibration row is the ratio ``y / max(forecast, floor)``. Rows are sorted into cells: equally
filled bins of the forecast times horizon buckets (Mondrian conformal prediction, so that coverage holds within
each cell and not only on average). A quantile forecast is the forecast times an order statistic of its cell's
ratios. Ratios, unlike differences, leave "no sale" at exactly zero, which is most of what intermittent demand
does; below ``floor``, where a ratio means nothing, the outcome itself is what is ranked.

For a level above one half, a new row that is exchangeable with its cell lies at or below the quantile with at
least that probability; for one below, it lies strictly below with at most that probability. Counts have atoms,
so that the closed interval between two quantiles covers more than their difference: with half of all days at
zero, every interval from 0 upwards holds that half.

Calibration rows must be rows the model was not fitted on, and must not be rows that a gate judges.

Source: Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World, section 4.5; Romano, Patterson &
Candes 2019, arXiv 1905.03222 (one-sided finite-sample correction).
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

IntervalTable = dict[str, npt.NDArray[np.float32]]
"""What a model stores: plain arrays ``levels``, ``buckets``, ``edges``, ``floor`` and ``ratio``."""
MAX_BINS = 20
CELL_ROWS = 200
"""Rows a cell should have: the 95 % quantile then rests on ten rows above it."""
_CHUNK = 65_536
"""Rows at a time: intermediate arrays stay in the cache."""
_TINY = 1e-6


def fit_intervals(
    y: npt.NDArray[np.floating],
    y_hat: npt.NDArray[np.floating],
    horizon: npt.NDArray[np.integer],
    levels: Sequence[float],
    *,
    buckets: Sequence[int] = (7, 14, 28),
) -> IntervalTable:
    """Rank past outcomes against their forecasts.

    Args:
        y: Outcomes in the user's unit, shape (n_rows,).
        y_hat: Forecasts of the same rows, >= 0, shape (n_rows,).
        horizon: Periods ahead, from 1, shape (n_rows,).
        levels: Quantile levels, increasing, each in (0, 1).
        buckets: Last horizon of every bucket, increasing; longer horizons fall into the last one.

    Returns:
        A table for :func:`apply_intervals`. Cells with too few rows use those of all horizons, then all rows;
        without any row nothing is known of the spread, and every quantile is the forecast itself.

    Raises:
        TrainingError: A row is not finite, or levels or buckets are not increasing.
    """
    _require_increasing(levels, "levels")
    _require_increasing(buckets, "buckets")
    if not (np.isfinite(y).all() and np.isfinite(y_hat).all()):
        raise TrainingError("calibration rows must be finite; leave rows without an outcome out")
    forecast = y_hat.astype(np.float32)
    table = _bins(forecast, levels, buckets)
    cell = _cells(table, forecast, horizon)
    score = y / np.maximum(forecast, table["floor"])
    table["ratio"] = _cell_quantiles(score, cell, table)
    return table


def apply_intervals(
    table: Mapping[str, npt.NDArray[np.float32]],
    y_hat: npt.NDArray[np.floating],
    horizon: npt.NDArray[np.integer],
    threads: int = 1,
) -> npt.NDArray[np.float32]:
    """Return quantile forecasts, shape (n_rows, n_levels): >= 0 and not decreasing with the level.

    Args:
        table: From :func:`fit_intervals`.
        y_hat: Forecasts, >= 0, shape (n_rows,).
        horizon: Periods ahead, from 1, shape (n_rows,).
        threads: Cores to use; the result does not depend on it.

    Example:
        >>> table = fit_intervals(np.array([0.0, 2.0]), np.ones(2), np.ones(2, int), [0.5], buckets=[7])
        >>> apply_intervals(table, np.array([3.0]), np.array([1]))
        array([[6.]], dtype=float32)
    """
    out = np.empty((len(y_hat), len(table["levels"])), np.float32)

    def fill(at: int) -> None:
        part = slice(at, at + _CHUNK)
        forecast = y_hat[part].astype(np.float32, copy=False)
        ratio = table["ratio"].take(_cells(table, forecast, horizon[part]), axis=0)
        scaled = np.multiply(np.maximum(forecast, table["floor"])[:, None], ratio, out=out[part])
        np.maximum(scaled, 0.0, out=scaled)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        list(pool.map(fill, range(0, len(y_hat), _CHUNK)))
    return out


def _require_increasing(values: Sequence[float], name: str) -> None:
    if not len(values) or (np.diff(values) <= 0).any():
        raise TrainingError(f"{name} must be increasing and at least one; got {list(values)}")


def _bins(forecast: npt.NDArray[np.float32], levels: Sequence[float], buckets: Sequence[int]) -> IntervalTable:
    """Lay out bins that hold equally many calibration rows, fewer of them when there are few rows."""
    bins = int(np.clip(len(forecast) // (CELL_ROWS * len(buckets)), 1, MAX_BINS))
    inner = np.arange(1, bins) / bins
    floor = np.quantile(forecast, 1 / max(bins, 2)) if len(forecast) else 1.0
    return {
        "levels": np.asarray(levels, np.float32),
        "buckets": np.asarray(buckets, np.float32),
        "edges": np.unique(np.quantile(forecast, inner)).astype(np.float32) if bins > 1 else _none(),
        "floor": np.array([max(floor, _TINY)], np.float32),
    }


def _none() -> npt.NDArray[np.float32]:
    return np.empty(0, np.float32)


def _cells(
    table: Mapping[str, npt.NDArray[np.float32]], forecast: npt.NDArray[np.float32], horizon: npt.NDArray[np.integer]
) -> npt.NDArray[np.intp]:
    """Return the row of ``ratio`` that every forecast belongs to."""
    buckets = table["buckets"]
    bucket_of = np.searchsorted(buckets[:-1], np.arange(int(buckets[-1]) + 1))
    bucket = bucket_of.take(horizon, mode="clip")
    return bucket * (len(table["edges"]) + 1) + np.searchsorted(table["edges"], forecast)


def _cell_quantiles(
    score: npt.NDArray[np.floating], cell: npt.NDArray[np.intp], table: IntervalTable
) -> npt.NDArray[np.float32]:
    bins = len(table["edges"]) + 1
    levels = table["levels"].astype(np.float64)
    rows = [np.flatnonzero(cell % bins == b) for b in range(bins)]
    out = np.ones((bins * len(table["buckets"]), len(levels)), np.float32)
    for c in range(len(out)):
        wider = (score[cell == c], score[rows[c % bins]], score)
        chosen = next((part for part in wider if len(part) >= CELL_ROWS), score)
        if len(chosen):
            out[c] = _order_statistics(chosen, levels)
    return out


def _order_statistics(score: npt.NDArray[np.floating], levels: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
    """Return one score for every level, of rank (n + 1) x level, rounded away from the median."""
    rank = (len(score) + 1) * levels
    outward = np.where(levels >= 0.5, np.ceil(rank - _TINY), np.floor(rank + _TINY)).astype(np.intp)
    return np.sort(score)[np.clip(outward, 1, len(score)) - 1]
