"""Scores: every metric of every contender on the same test rows, overall, by slice and by horizon.

Where a metric cannot be computed at all (pinball loss of a baseline, WRMSSE of a slice) its score is absent;
where it is undefined (WAPE of a slice that sold nothing) its value is nan, which no gate accepts.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.models import EvaluationSettings
from perennial.contracts import Score, TestRows
from perennial.errors import MetricMissing, sample
from perennial.evaluation import catalogue
from perennial.evaluation.metrics import MAIN, AnyMetric, Metric, by_entity, main, subset
from perennial.evaluation.sums import Grid

MIN_SLICE_ROWS = 100
"""Slice values with fewer test rows are pooled into ``other``."""
OTHER = "other"
_ORDER = ("overall", "slice", "horizon", "set")


def score(rows: TestRows, cfg: EvaluationSettings) -> tuple[Score, ...]:
    """Score every contender on the same rows.

    Args:
        rows: Forecasts of all contenders for the test rows.
        cfg: Slices and horizon buckets to report beside the overall figures.

    Returns:
        Scores in the order overall, slices, horizons, sets; within each by key, contender and metric.

    Raises:
        MetricMissing: ``cfg`` names a slice that the rows do not carry.
    """
    inner = main(rows)
    scores = [*_whole(inner, cfg.slices), *_by_horizon(inner, cfg.horizons), *_by_set(rows)]
    return tuple(sorted(scores, key=lambda s: _ORDER.index(s.part)))


def slice_labels(rows: TestRows, name: str, min_rows: int = MIN_SLICE_ROWS) -> npt.NDArray[np.str_]:
    """Return the slice value of every entity, values with few test rows pooled into ``other``.

    Args:
        rows: Test rows.
        name: Key of ``rows.slices``.
        min_rows: Values with fewer rows are pooled; values without any row too.

    Returns:
        Labels, shape (n_entities,).

    Raises:
        MetricMissing: There is no such slice.
    """
    if name not in rows.slices:
        allowed = sample(sorted(rows.slices), limit=20)
        raise MetricMissing(
            f"slice {name!r} was not evaluated, only {allowed or 'none'}: "
            "name one of these, or add the column to forecast.static"
        )
    labels, index = np.unique(rows.slices[name].astype(np.str_), return_inverse=True)
    counts = np.bincount(index[rows.entity], minlength=labels.size)
    return np.where(counts[index] >= min_rows, labels[index], OTHER)


def per_entity(rows: TestRows) -> pa.Table:
    """Return one row per entity: its rows, its sales, its slices and ``<contender>.<metric>`` columns.

    Metrics that a contender lacks have no column; undefined ones are null.
    """
    columns: dict[str, pa.Array] = {
        "entity": pa.array(rows.entities.astype(object), pa.string()),
        "rows": pa.array(np.bincount(rows.entity, minlength=rows.entities.size), pa.int64()),
        "actual": pa.array(np.bincount(rows.entity, weights=rows.y, minlength=rows.entities.size)),
    }
    columns |= {f"slice.{k}": pa.array(v.astype(object), pa.string()) for k, v in rows.slices.items()}
    grid = Grid(rows)
    for contender in rows.forecasts:
        for metric in catalogue.metrics(rows.kind).values():
            if isinstance(metric, Metric) and metric.pool != "fixed" and metric.has(rows, contender):
                values = by_entity(metric, metric.sums(grid, contender))
                columns[f"{contender}.{metric.name}"] = pa.array(values, mask=np.isnan(values))
    return pa.table(columns)


def _whole(rows: TestRows, slices: tuple[str, ...]) -> Iterator[Score]:
    """Score all rows and every slice value: one set of sums, weighted by membership."""
    grid, (members, keys) = Grid(rows), _memberships(rows, slices)
    counts = members @ np.bincount(rows.entity, minlength=rows.entities.size)
    for contender, metric in _pairs(rows, "overall"):
        n = len(keys) if "slice" in metric.parts else 1
        values = metric.weighted(metric.prepare(grid, contender), members[:n], np.ones((n, grid.n_days)))
        for key, one, count in zip(keys[:n], values, counts[:n], strict=True):
            yield Score(
                contender=contender,
                metric=metric.name,
                part="slice" if key else "overall",
                key=key,
                value=float(one),
                rows=int(count),
            )


def _by_horizon(rows: TestRows, buckets: tuple[tuple[int, int], ...]) -> Iterator[Score]:
    for first, last in buckets:
        part = subset(rows, (rows.horizon >= first) & (rows.horizon <= last))
        yield from _of_part(part, "horizon", f"h={first}-{last}")


def _by_set(rows: TestRows) -> Iterator[Score]:
    for name in rows.sets:
        if name != MAIN:
            yield from _of_part(subset(rows, rows.sets[name]), "set", f"set={name}")


def _of_part(rows: TestRows, part: Literal["horizon", "set"], key: str) -> Iterator[Score]:
    if not rows.y.size:
        return
    grid, everyone = Grid(rows), np.ones((1, rows.entities.size))
    for contender, metric in _pairs(rows, part):
        values = metric.weighted(metric.prepare(grid, contender), everyone, np.ones((1, grid.n_days)))
        yield Score(
            contender=contender, metric=metric.name, part=part, key=key, value=float(values[0]), rows=rows.y.size
        )


def _memberships(rows: TestRows, slices: tuple[str, ...]) -> tuple[npt.NDArray[np.float64], list[str]]:
    """Return which entities belong to each part, shape (n_parts, n_entities), and the parts' keys; all rows first."""
    present = np.bincount(rows.entity, minlength=rows.entities.size) > 0
    members, keys = [present], [""]
    for name in slices:
        labels = slice_labels(rows, name)
        for label in np.unique(labels[present]):
            members.append((labels == label) & present)
            keys.append(f"{name}={label}")
    return np.stack(members).astype(np.float64), keys


def _pairs(rows: TestRows, part: str) -> Iterator[tuple[str, AnyMetric]]:
    for contender in rows.forecasts:
        for metric in catalogue.metrics(rows.kind).values():
            if part in metric.parts and metric.has(rows, contender):
                yield contender, metric
