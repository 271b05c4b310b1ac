"""The error of each matured day, overall and by slice, beside what is usual for the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from perennial.config.operation import Monitor
from perennial.contracts import DailyError, TestRows

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
        for n in range(len(days.day)):
            if days.rows[n] >= settings.min_rows:
                found.append(
                    DailyError(
                        day=EPOCH + timedelta(days=int(days.day[n])),
                        key=key,
                        metric=settings.metric,
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
    near = rows.horizon <= settings.horizon
    yield "", _by_day(rows, near, settings.metric)
    for name in slices:
        labels = rows.slices[name][rows.entity] if len(rows.entity) else np.empty(0, dtype=np.str_)
        for label in np.unique(labels):
            yield f"{name}={label}", _by_day(rows, near & (labels == label), settings.metric)


def bounds(usual: Values, settings: Monitor) -> tuple[float, float]:
    """Return the median of usual daily errors and the value beyond which a day is bad; nan without any."""
    known = usual[np.isfinite(usual)]
    if not len(known):
        return float("nan"), float("nan")
    middle = float(np.median(known))
    spread = ROBUST * float(np.median(np.abs(known - middle)))
    return middle, max(settings.min_ratio * middle, middle + settings.tolerance * spread)


def _by_day(rows: TestRows, mine: npt.NDArray[np.bool_], metric: str) -> Days:
    day, index = np.unique(rows.day[mine], return_inverse=True)
    y = rows.y[mine].astype(np.float64)
    count = np.bincount(index, minlength=len(day))
    sold = np.bincount(index, np.abs(y), minlength=len(day)).astype(np.float64)
    value = {}
    for name, forecast in rows.forecasts.items():
        error = forecast[mine].astype(np.float64) - y
        value[name] = _metric(metric, error, index, count, sold)
    return Days(day=day.astype(np.int64), value=value, rows=count)


def _metric(
    metric: str, error: Values, index: npt.NDArray[np.int64], count: npt.NDArray[np.int64], sold: Values
) -> Values:
    n = len(count)
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "mae":
            out = np.bincount(index, np.abs(error), minlength=n) / count
        elif metric == "rmse":
            out = np.sqrt(np.bincount(index, error**2, minlength=n) / count)
        elif metric == "bias":
            out = np.abs(np.bincount(index, error, minlength=n)) / sold
        else:
            out = np.bincount(index, np.abs(error), minlength=n) / sold
    return np.where(np.isfinite(out), out, np.nan)


def _best(days: Days) -> str | None:
    """Return the baseline with the least error over all days."""
    known = {name: np.nanmean(v) for name, v in days.value.items() if name != SERVED and np.isfinite(v).any()}
    return min(known, key=lambda name: known[name]) if known else None
