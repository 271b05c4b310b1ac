"""What a metric adds up in every (series, target day), and how added sums become a value.

The plain arithmetic behind :mod:`perennial.evaluation.metrics`. Every function that adds takes a grid of test rows
and the name of a contender; every one that finishes takes added sums of shape (n_sums, ...) and returns values of
shape (...).
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What one contender adds up for one metric.

    Attributes:
        cells: Sums by series and target day, shape (n_sums, n_series, n_days); the last sum is the denominator,
            0 where the series does not count.
        weight: Weight of each series in the mean over series, shape (n_series,); only for metrics of fixed series.
    """

    cells: Floats
    weight: Floats | None = None


class Grid:
    """Test rows and the (entity, target day) cell of each, numbered once for all metrics.

    Attributes:
        n_days: Distinct target days.
        day: Index of the target day of each row, shape (n_rows,).
    """

    def __init__(self, rows: TestRows) -> None:
        """Number the distinct target days in order, without sorting millions of rows."""
        since = rows.day - rows.day.min(initial=np.iinfo(np.int32).max)
        present = np.bincount(since) > 0
        self.rows = rows
        self.n_days = int(present.sum())
        self.day: npt.NDArray[np.intp] = (np.cumsum(present) - 1)[since]

    @cached_property
    def cell(self) -> npt.NDArray[np.intp]:
        """Return the cell of each row, shape (n_rows,)."""
        return self.rows.entity * np.intp(self.n_days) + self.day

    @property
    def shape(self) -> tuple[int, int]:
        """Return (n_entities, n_days)."""
        return self.rows.entities.size, self.n_days

    @cached_property
    def rows_in(self) -> Floats:
        """Return the number of rows in each cell, shape (n_entities, n_days)."""
        return _added(self.cell, None, self.shape)

    @cached_property
    def sold(self) -> Floats:
        """Return the sum of ``|y|`` of each cell, shape (n_entities, n_days)."""
        return _added(self.cell, np.abs(self.rows.y), self.shape)

    def add(self, values: Floats | npt.NDArray[np.bool_]) -> Floats:
        """Add row values up by cell, shape (n_entities, n_days)."""
        return _added(self.cell, values, self.shape)

    def error(self, contender: str) -> Floats:
        """Return forecast - truth, shape (n_rows,); all nan if any of it is not finite, so that none gets by."""
        error = self.rows.forecasts[contender].astype(np.float64) - self.rows.y
        return error if np.isfinite(error).all() else np.full_like(error, np.nan)

    def quantiles(self, contender: str) -> npt.NDArray[np.float32]:
        """Return the quantile forecasts, shape (n_rows, n_levels); all nan if any of it is not finite."""
        quantiles = self.rows.quantiles[contender]
        return quantiles if np.isfinite(quantiles).all() else np.full_like(quantiles, np.nan)


def _added(cell: npt.NDArray[np.intp], values: npt.NDArray[Any] | None, shape: tuple[int, ...]) -> Floats:
    """Add values (or ones) up by cell."""
    added = np.bincount(cell, weights=values, minlength=prod(shape))
    return added.reshape(shape).astype(np.float64, copy=False)


def _sums(*cells: Floats) -> Sums:
    return Sums(cells=np.stack(cells))


# --- what is added up --------------------------------------------------------------------------------------


def absolute(grid: Grid, contender: str) -> Sums:
    """Add |e| over |y|."""
    return _sums(grid.add(np.abs(grid.error(contender))), grid.sold)


def signed(grid: Grid, contender: str) -> Sums:
    """Add e over |y|: errors of opposite sign cancel."""
    return _sums(grid.add(grid.error(contender)), grid.sold)


def absolute_per_row(grid: Grid, contender: str) -> Sums:
    """Add |e| over the number of rows."""
    return _sums(grid.add(np.abs(grid.error(contender))), grid.rows_in)


def squared_per_row(grid: Grid, contender: str) -> Sums:
    """Add e^2 over the number of rows."""
    return _sums(grid.add(grid.error(contender) ** 2), grid.rows_in)


def scaled_absolute(grid: Grid, contender: str) -> Sums:
    """Add |e| / mean seasonal change over the number of rows whose entity has one."""
    return _scaled(absolute_per_row(grid, contender), grid.rows.scale_abs)


def scaled_squared(grid: Grid, contender: str) -> Sums:
    """Add e^2 / mean squared daily change over the number of rows whose entity has one."""
    return _scaled(squared_per_row(grid, contender), grid.rows.scale_sq)


def _scaled(sums: Sums, scale: Floats) -> Sums:
    """Divide sums by the scale of their series; series without one (too short, constant) do not count."""
    usable = np.isfinite(scale) & (scale > 0)
    factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=usable)
    return Sums(cells=sums.cells * np.stack([factor, usable])[:, :, None])


def hierarchical(grid: Grid, contender: str) -> Sums:
    """Add squared errors of the series of every level, one after the other, over their scales."""
    rows, error = grid.rows, grid.error(contender)
    none = np.empty((2, 0, grid.n_days))
    levels = [
        _scaled(_level(grid, error, group, rows.group_scale_sq[level].size), rows.group_scale_sq[level]).cells
        for level, group in rows.groups.items()
    ]
    weights = [
        np.bincount(group, weights=rows.weight, minlength=rows.group_scale_sq[level].size) / len(rows.groups)
        for level, group in rows.groups.items()
    ]
    return Sums(cells=np.concatenate([none, *levels], axis=1), weight=np.concatenate([np.empty(0), *weights]))


def _level(grid: Grid, error: Floats, group: npt.NDArray[np.int32], n_groups: int) -> Sums:
    """Sum errors to groups per window and day, square, and add over windows."""
    n_windows = int(grid.rows.window.max(initial=0)) + 1
    shape = (n_groups, n_windows, grid.n_days)
    cell = (group[grid.rows.entity] * np.intp(n_windows) + grid.rows.window) * grid.n_days + grid.day
    summed, count = _added(cell, error, shape), _added(cell, None, shape)
    return _sums((summed**2).sum(axis=1), (count > 0).sum(axis=1).astype(np.float64))


def pinball(grid: Grid, contender: str) -> Sums:
    """Add the mean pinball loss of all levels over the number of rows."""
    quantiles, loss = grid.quantiles(contender), np.zeros(grid.rows.y.size)
    for k, level in enumerate(grid.rows.levels):
        gap = grid.rows.y - quantiles[:, k]
        loss += np.maximum(level * gap, (level - 1) * gap)
    return _sums(grid.add(loss / len(grid.rows.levels)), grid.rows_in)


def coverage(grid: Grid, contender: str) -> Sums:
    """Count y < q and y <= q, less the level: both matter where demand is a small integer."""
    quantiles, y = grid.quantiles(contender), grid.rows.y
    broken = np.nan if np.isnan(quantiles).any() else 0.0
    below, up_to = [], []
    for k, level in enumerate(grid.rows.levels):
        below.append(grid.add(y < quantiles[:, k]) - (level + broken) * grid.rows_in)
        up_to.append(grid.add(y <= quantiles[:, k]) - (level + broken) * grid.rows_in)
    return _sums(*below, *up_to, grid.rows_in)


def change(grid: Grid, contender: str) -> Sums:
    """Add |forecast - the one of the window before| over all days that consecutive windows both forecast."""
    n_windows = int(grid.rows.window.max(initial=0)) + 1
    cube, present = np.zeros((n_windows, grid.rows_in.size)), np.zeros((n_windows, grid.rows_in.size), dtype=bool)
    actual = np.zeros(grid.rows_in.size)
    cube[grid.rows.window, grid.cell] = grid.error(contender)
    present[grid.rows.window, grid.cell] = True
    actual[grid.cell] = np.abs(grid.rows.y)
    both = present[1:] & present[:-1]
    changed = np.where(both, np.abs(np.diff(cube, axis=0)), 0.0).sum(axis=0)
    shape = grid.rows_in.shape
    return _sums(changed.reshape(shape), (both.sum(axis=0) * actual).reshape(shape))


# --- from sums to values -----------------------------------------------------------------------------------


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide; nan where the denominator is zero, without a warning."""
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below != 0)
    return out


def quotient(sums: Floats) -> Floats:
    """First sum over the second."""
    return ratio(sums[0], sums[1])


def root(sums: Floats) -> Floats:
    """Root of the first sum over the second."""
    return np.sqrt(ratio(sums[0], sums[1]))


def magnitude(sums: Floats) -> Floats:
    """Absolute value of the first sum over the second."""
    return np.abs(ratio(sums[0], sums[1]))


def miss(sums: Floats) -> Floats:
    """Distance of zero to [P(y < q) - level, P(y <= q) - level], averaged over levels."""
    n_levels = (len(sums) - 1) // 2
    rows = np.broadcast_to(sums[-1], (n_levels, *sums.shape[1:]))
    below, up_to = ratio(sums[:n_levels], rows), ratio(sums[n_levels:-1], rows)
    distance: Floats = np.maximum(np.maximum(below, -up_to), 0.0)
    return np.tensordot(np.full(n_levels, 1 / n_levels), distance, axes=1)
