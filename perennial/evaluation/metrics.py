"""Error metrics of forecasts; lower is better for every one of them.

A metric is two plain functions on arrays: ``sums`` says what one contender adds up in every (series, target
day), ``finish`` turns added sums into a value. Overall figures, slices and bootstrap resamples are then the same
arithmetic under different weights of entities and days, so that they cannot disagree.

============== ======================================================== ========== ============================
metric         what it is                                               range      undefined (nan) when
============== ======================================================== ========== ============================
wape           sum |e| / sum |y|                                        [0, inf)   nothing was sold
mae            mean |e|, in the unit of y                               [0, inf)   no rows
rmse           root of mean e^2, in the unit of y                       [0, inf)   no rows
mase           mean of |e| / mean seasonal change in training           [0, inf)   no entity has a scale
rmsse          mean over entities of root (mean e^2 / scale_sq)         [0, inf)   no entity has a scale
wrmsse         the same for sums of series, weighted, mean of levels    [0, inf)   no series has a scale
bias           |sum e| / sum |y|                                        [0, inf)   nothing was sold
pinball        mean pinball loss over levels, in the unit of y          [0, inf)   no rows
coverage_error mean distance of a level to [P(y < q), P(y <= q)]        [0, 1]     no rows
instability    sum |change of forecast between windows| / sum |y|       [0, inf)   no day is forecast twice
============== ======================================================== ========== ============================

Sources: Hyndman & Koehler 2006 (MASE); Makridakis, Spiliotis & Assimakopoulos 2022 (RMSSE, WRMSSE of M5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation import sums as add
from perennial.evaluation.sums import Floats, Grid, Sums

Part = Literal["overall", "slice", "horizon", "set"]
EVERYWHERE: frozenset[Part] = frozenset({"overall", "slice", "horizon", "set"})
BASELINES = ("last_value", "seasonal_naive", "weekday_mean", "moving_average")
"""Naive contenders of kind ``forecast``; what they are is :mod:`perennial.models.baselines`."""
USUAL = "wape"
MAIN = "main"
"""Name of the evaluation set behind the overall figures."""
_REPLICATE_CELLS = 4_000_000  # temporaries of a weighted evaluation stay below about 32 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One error metric whose parts add up.

    Attributes:
        pool: ``rows``: add over entities, then finish. ``entities``: finish each entity, then average.
            ``fixed``: finish each series and average with given weights; the series are a fixed assortment.
        sums: From a grid of test rows and a contender's name to its sums.
        finish: From added sums, shape (n_sums, ...), to values, shape (...).
        parts: Where it is defined.
        quantiles: Whether it needs quantile forecasts, which baselines do not have.
    """

    name: str
    pool: Literal["rows", "entities", "fixed"]
    sums: Callable[[Grid, str], Sums]
    finish: Callable[[Floats], Floats]
    parts: frozenset[Part] = EVERYWHERE
    quantiles: bool = False

    def prepare(self, grid: Grid, contender: str) -> Sums:
        """Return what :meth:`weighted` needs of one contender."""
        return self.sums(grid, contender)

    def weighted(self, prepared: Sums, entities: Floats, days: Floats) -> Floats:
        """Evaluate under several weightings; see :func:`weighted`."""
        return weighted(self, prepared, entities, days)

    def has(self, rows: TestRows, contender: str) -> bool:
        """Whether it can be computed for this contender."""
        if self.quantiles:
            return bool(rows.levels) and contender in rows.quantiles
        return contender in rows.forecasts


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMetric:
    """One error metric that has to see all rows at once, such as one of ranks.

    Attributes:
        measure: From test rows, a contender's name and weights of the rows, shape (n_weightings, n_rows), to values
            of shape (n_weightings,); nan where undefined. A weight says how often a row is there.
        parts: Where it is defined.
    """

    name: str
    measure: Callable[[TestRows, str, Floats], Floats]
    parts: frozenset[Part] = EVERYWHERE
    quantiles: bool = False

    def prepare(self, grid: Grid, contender: str) -> tuple[Grid, str]:
        """Return what :meth:`weighted` needs of one contender."""
        return grid, contender

    def weighted(self, prepared: tuple[Grid, str], entities: Floats, days: Floats) -> Floats:
        """Evaluate under several weightings of entities and days, a few at a time."""
        grid, contender = prepared
        rows, step = grid.rows, max(1, _REPLICATE_CELLS // max(1, grid.rows.y.size))
        if not (np.isfinite(rows.forecasts[contender]).all() and rows.y.size):
            return np.full(len(days), np.nan)
        parts = [
            self.measure(rows, contender, entities[at : at + step, rows.entity] * days[at : at + step, grid.day])
            for at in range(0, len(days), step)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def has(self, rows: TestRows, contender: str) -> bool:
        """Whether it can be computed for this contender."""
        return contender in rows.forecasts


class AnyMetric(Protocol):
    """What every metric can do, whatever it has to see."""

    @property
    def name(self) -> str:
        """Name in settings and reports."""

    @property
    def parts(self) -> frozenset[Part]:
        """Where it is defined."""

    @property
    def quantiles(self) -> bool:
        """Whether it needs quantile forecasts."""

    def has(self, rows: TestRows, contender: str) -> bool:
        """Whether it can be computed for this contender."""

    def prepare(self, grid: Grid, contender: str) -> Any:
        """Return what :meth:`weighted` needs of one contender."""

    def weighted(self, prepared: Any, entities: Floats, days: Floats) -> Floats:
        """Return one value per weighting of entities, (n, n_entities), and of days, (n, n_days)."""


def losses(rows: TestRows, contender: str) -> Floats:
    """Return the absolute error of each row, by which a forecast on trial is compared."""
    return np.abs(rows.forecasts[contender].astype(np.float64) - rows.y)


def value(metric: AnyMetric, rows: TestRows, contender: str) -> float:
    """Return one metric of one contender over all given rows; nan when undefined.

    Example:
        ``value(METRICS["wape"], rows, "candidate")``
    """
    grid = Grid(rows)
    prepared = metric.prepare(grid, contender)
    return float(metric.weighted(prepared, np.ones((1, rows.entities.size)), np.ones((1, grid.n_days)))[0])


def weighted(metric: Metric, sums: Sums, entities: Floats, days: Floats) -> Floats:
    """Evaluate a metric under several weightings of entities and days at once.

    Args:
        metric: The metric that made ``sums``.
        sums: From ``metric.sums``.
        entities: Weight of each entity, shape (n_weightings, n_entities); ignored by metrics of fixed series.
        days: Weight of each target day, shape (n_weightings, n_days).

    Returns:
        One value per weighting, nan where undefined, shape (n_weightings,).
    """
    step = max(1, _REPLICATE_CELLS // max(1, sums.cells.shape[0] * sums.cells.shape[1]))
    parts = [
        _weighted_block(metric, sums, entities[start : start + step], days[start : start + step])
        for start in range(0, len(days), step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def by_entity(metric: Metric, sums: Sums) -> Floats:
    """Return the metric of every entity on its own, shape (n_entities,); nan where undefined."""
    return metric.finish(sums.cells.sum(axis=2))


def wrmsse_by_level(rows: TestRows, contender: str) -> dict[str, float]:
    """Return WRMSSE of each level of ``rows.groups``; their mean is the metric ``wrmsse``."""
    out = {}
    for level in rows.groups:
        only = replace(rows, groups={level: rows.groups[level]})
        out[level] = value(METRICS["wrmsse"], only, contender)
    return out


def subset(rows: TestRows, keep: npt.NDArray[np.bool_]) -> TestRows:
    """Return the test rows where ``keep`` (shape (n_rows,)) is true; entities and their scales stay as they are."""
    return replace(
        rows,
        entity=rows.entity[keep],
        window=rows.window[keep],
        horizon=rows.horizon[keep],
        day=rows.day[keep],
        y=rows.y[keep],
        forecasts={name: f[keep] for name, f in rows.forecasts.items()},
        quantiles={name: q[keep] for name, q in rows.quantiles.items()},
        extra={name: column[keep] for name, column in rows.extra.items()},
        sets={name: mask[keep] for name, mask in rows.sets.items()},
    )


def main(rows: TestRows) -> TestRows:
    """Return the rows of the overall figures: those of the set ``main`` where there is one."""
    return subset(rows, rows.sets[MAIN]) if MAIN in rows.sets else rows


def _weighted_block(metric: Metric, sums: Sums, entities: Floats, days: Floats) -> Floats:
    if metric.pool == "rows":
        return metric.finish(np.einsum("kbd,bd->kb", entities @ sums.cells, days))
    by_series = days @ sums.cells.transpose(0, 2, 1)
    weight = entities if sums.weight is None else np.broadcast_to(sums.weight, by_series.shape[1:])
    # Only a denominator of zero leaves a series out: a nan forecast must make the whole value nan.
    counts = by_series[-1] != 0
    each = np.where(counts, metric.finish(by_series), 0.0)
    weight = np.where(counts, weight, 0.0)
    return add.ratio((each * weight).sum(axis=1), weight.sum(axis=1))


# A slice has no scale of its own sum, so WRMSSE stops at the whole assortment: use rmsse there. A day is forecast
# twice from different distances, so instability belongs to no horizon.
_NO_SLICE: frozenset[Part] = EVERYWHERE - {"slice"}
_NO_HORIZON: frozenset[Part] = EVERYWHERE - {"horizon"}
_CATALOGUE = (
    Metric(
        name="wape",
        pool="rows",
        sums=add.absolute,
        finish=add.quotient,
    ),
    Metric(
        name="mae",
        pool="rows",
        sums=add.absolute_per_row,
        finish=add.quotient,
    ),
    Metric(
        name="rmse",
        pool="rows",
        sums=add.squared_per_row,
        finish=add.root,
    ),
    Metric(
        name="mase",
        pool="rows",
        sums=add.scaled_absolute,
        finish=add.quotient,
    ),
    Metric(
        name="rmsse",
        pool="entities",
        sums=add.scaled_squared,
        finish=add.root,
    ),
    Metric(
        name="wrmsse",
        pool="fixed",
        sums=add.hierarchical,
        finish=add.root,
        parts=_NO_SLICE,
    ),
    Metric(
        name="bias",
        pool="rows",
        sums=add.signed,
        finish=add.magnitude,
    ),
    Metric(
        name="pinball",
        pool="rows",
        sums=add.pinball,
        finish=add.quotient,
        quantiles=True,
    ),
    Metric(
        name="coverage_error",
        pool="rows",
        sums=add.coverage,
        finish=add.miss,
        quantiles=True,
    ),
    Metric(
        name="instability",
        pool="rows",
        sums=add.change,
        finish=add.quotient,
        parts=_NO_HORIZON,
    ),
)

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _CATALOGUE})
"""Every metric by name, in the order reports show them."""
