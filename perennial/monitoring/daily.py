"""The error of each matured day, overall and by slice, beside what is usual for the model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.config.operation import Monitor
from perennial.contracts import DailyError, TestRows
from perennial.evaluation import catalogue
from perennial.evaluation.metrics import AnyMetric, subset
from perennial.evaluation.sums import Grid

SERVED = "served"
EPOCH = date(1970, 1, 1)
ROBUST = 1.4826
"""Times the median absolute deviation: the standard deviation, were the values normal."""

Values = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Errors of one part by target day.

    Attributes:
        day: Days since 1970-01-01, increasing, shape (n_days,).
        value: The metric of each contender on each day, nan where undefined, by name.
        rows: Rows of each day.
    """

    day: Ints
    value: dict[str, Values]
    rows: Ints


def daily_errors(
    served: TestRows, reference: TestRows, settings: Monitor, slices: tuple[str, ...]
) -> tuple[DailyError, ...]:
    """Return the error of each of the last matured days on each part, oldest first.

    Args:
        served: Published forecasts whose truth is known, as contender ``served``, with baselines.
        reference: What the version in force forecast when it was judged, as contender ``served``.
        settings: Metric, horizon and what counts as bad.
        slices: Names in ``served.slices`` that are watched apart.
    """
    usual = {key: days.value[SERVED] for key, days in parts(reference, settings, slices)}
    found: list[DailyError] = []
    for key, days in parts(served, settings, slices):
        middle, bound = bounds(usual.get(key, np.empty(0)), settings)
        best = _best(days)
        least = settings.min_rows if key else min(settings.min_rows, _half(days.rows))
        for n in range(len(days.day)):
            if days.rows[n] >= least:
                found.append(
                    DailyError(
                        day=EPOCH + timedelta(days=int(days.day[n])),
                        key=key,
                        metric=settings.metric or catalogue.usual(served.kind),
                        value=float(days.value[SERVED][n]),
                        usual=middle,
                        bound=bound,
                        baseline=float(days.value[best][n]) if best else float("nan"),
                        rows=int(days.rows[n]),
                    )
                )
    kept = sorted({one.day for one in found})[-(settings.of + 10) :]
    return tuple(sorted((one for one in found if one.day in kept), key=lambda one: (one.day, one.key)))


def parts(rows: TestRows, settings: Monitor, slices: tuple[str, ...]) -> Iterator[tuple[str, Days]]:
    """Yield the daily errors of everything (key ``""``) and of every label of the slices."""
    near = subset(rows, rows.horizon <= settings.horizon)
    metric = catalogue.metrics(rows.kind)[settings.metric or catalogue.usual(rows.kind)]
    grid = Grid(near)
    prepared = {name: metric.prepare(grid, name) for name in near.forecasts}
    yield "", _by_day(grid, metric, prepared, np.ones(near.entities.size, dtype=np.bool_))
    for name in slices:
        for label in np.unique(near.slices[name][np.unique(near.entity)]):
            yield f"{name}={label}", _by_day(grid, metric, prepared, near.slices[name] == label)


def bounds(usual: Values, settings: Monitor) -> tuple[float, float]:
    """Return the median of usual daily errors and the value beyond which a day is bad; nan without any."""
    known = usual[np.isfinite(usual)]
    if not len(known):
        return float("nan"), float("nan")
    middle = float(np.median(known))
    spread = ROBUST * float(np.median(np.abs(known - middle)))
    return middle, max(settings.min_ratio * middle, middle + settings.tolerance * spread)


def _by_day(grid: Grid, metric: AnyMetric, prepared: Mapping[str, Any], members: npt.NDArray[np.bool_]) -> Days:
    """Evaluate the metric of every contender on each day by itself, for the entities that are members."""
    rows = grid.rows
    count = np.bincount(grid.day[members[rows.entity]], minlength=grid.n_days)
    there = np.flatnonzero(count)
    entities = np.broadcast_to(members.astype(np.float64), (len(there), members.size))
    days = np.zeros((len(there), grid.n_days))
    days[np.arange(len(there)), there] = 1.0
    value = {name: metric.weighted(found, entities, days) for name, found in prepared.items()} if len(there) else {}
    first = np.unique(rows.day)
    return Days(day=first[there].astype(np.int64), value=value or {SERVED: np.empty(0)}, rows=count[there])


def _half(rows: Ints) -> int:
    """Return half of the usual rows of a day: of a small table everything together is judged all the same."""
    return max(1, int(np.median(rows) / 2)) if len(rows) else 1


def _best(days: Days) -> str | None:
    """Return the baseline with the least error over all days."""
    known = {name: np.nanmean(v) for name, v in days.value.items() if name != SERVED and np.isfinite(v).any()}
    return min(known, key=lambda name: known[name]) if known else None
