"""The one function that computes features, for training, evaluation and scoring alike.

It cannot leak: history is read up to the origin of each row, the calendar at the target day, and of a covariate
known in advance the value for the target day that was available at the origin. Columns a panel does not have
come out as nan, so that an older model can still be compared after a covariate was taken out of the
configuration.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from perennial.config.forecast import Forecast
from perennial.features import kernels
from perennial.features.calendar import calendar, holiday_distance
from perennial.features.panel import Covariate, Floats, Ints, Labels, Panel, Rows

QUIET = (28, 182)
"""Windows of the share of days without a sale."""
SPANS = {"recent": 4, "long": 26}
"""A price is compared with its mean over this many weeks before the origin."""

Categories = Mapping[str, Sequence[str]]
"""Names of each text column in the order the model knows them; a name that is not there is unseen."""
Maker = Callable[[], Floats]
"""Computes one column of the matrix, shape (n_rows,)."""


def history_names(settings: Forecast) -> tuple[str, ...]:
    """Return the names of the features of the series itself, in the order of :func:`kernels.history`."""
    f = settings.features
    quiet = [f"zero_share_{w}" for w in QUIET] + ["days_since_sale", "age"] if f.intermittency else []
    return (
        *(f"lag_{k}" for k in f.lags),
        *(f"mean_{w}" for w in f.windows),
        *(f"std_{w}" for w in f.spreads),
        *quiet,
        *(f"weekday_mean_{n}" for n in sorted(f.weekday_means)),
    )


def level_names(settings: Forecast) -> tuple[str, ...]:
    """Return the features that tell the recent level: means over four to eight weeks, the longest weekday mean."""
    f = settings.features
    weekday = sorted(f.weekday_means)[-1:]
    return (*(f"mean_{w}" for w in f.windows if 28 <= w <= 56), *(f"weekday_mean_{n}" for n in weekday))


def feature_names(settings: Forecast, panel: Panel) -> tuple[str, ...]:
    """Return the columns of the design matrix: history first, then what is known of the target day."""
    priced = [name for name in settings.known if panel.known[name].priced]
    return (
        *history_names(settings),
        "horizon",
        *settings.features.calendar,
        *(["holiday_distance"] if settings.features.holidays else []),
        *settings.static,
        *settings.known,
        *(f"{n}_vs_{span}" for n in (*priced, *settings.observed) for span in SPANS),
        *(f"{n}_last" for n in settings.observed),
    )


def design(
    panel: Panel,
    rows: Rows,
    *,
    settings: Forecast,
    features: Sequence[str],
    categories: Categories,
    threads: int = 1,
) -> Floats:
    """Compute the features of ``rows``.

    Args:
        panel: What is known; columns after a row's origin are read of known covariates only.
        rows: Sorted by entity for speed; any order gives the same values.
        settings: The forecast section the features belong to.
        features: Columns to compute, from :func:`feature_names`; the history block comes first.
        categories: Order of the names of text columns that the model was trained with.
        threads: Blocks of rows computed at the same time; the result does not depend on it.

    Returns:
        Matrix of shape (len(rows), len(features)), column-major; nan where unknown.
    """
    out = np.full((len(rows), len(features)), np.nan, dtype=np.float32, order="F")
    cuts = np.linspace(0, len(rows), max(1, threads) + 1).astype(int)

    def fill(part: int) -> None:
        block = slice(cuts[part], cuts[part + 1])
        piece = Rows(entity=rows.entity[block], origin=rows.origin[block], horizon=rows.horizon[block])
        _fill(out[block], panel, piece, settings, features, categories)

    if len(cuts) == 2:
        fill(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, range(threads)))
    return out


def _fill(
    out: Floats, panel: Panel, rows: Rows, settings: Forecast, features: Sequence[str], categories: Categories
) -> None:
    names = history_names(settings)
    _history(out[:, : len(names)], panel, rows, settings)
    makers = _columns(panel, rows, settings, categories)
    for k, name in enumerate(features[len(names) :], start=len(names)):
        if name in makers:
            out[:, k] = makers[name]()


def _history(out: Floats, panel: Panel, rows: Rows, settings: Forecast) -> None:
    f = settings.features
    quiet = QUIET if f.intermittency else ()
    spans = tuple(
        np.array(days, dtype=np.int64) for days in (f.lags, f.windows, f.spreads, quiet, sorted(f.weekday_means))
    )
    kernels.history(panel.y, panel.first, panel.begin, rows.entity, rows.origin, rows.horizon, spans, out)


def _columns(panel: Panel, rows: Rows, settings: Forecast, categories: Categories) -> dict[str, Maker]:
    """Return, by feature, how to compute every column but the history block."""
    makers: dict[str, Maker] = {"horizon": lambda: rows.horizon.astype(np.float32)}
    makers |= _calendar(panel, rows.target, settings)
    for name in settings.static:
        if name in panel.static:
            makers[name] = partial(_static, panel.static[name], rows, categories.get(name, ()))
    for name in settings.known:
        if name in panel.known:
            column = panel.known[name]
            makers[name] = partial(_known, column, rows, categories.get(name, ()))
            if column.priced:
                makers |= _ratios(name, column, rows, rows.target)
    for name in settings.observed:
        if name in panel.observed:
            makers[f"{name}_last"] = partial(_last, panel.observed[name], rows)
            makers |= _ratios(name, panel.observed[name], rows, rows.origin)
    return makers


def _calendar(panel: Panel, target: Ints, settings: Forecast) -> dict[str, Maker]:
    first = min(0, int(target.min(initial=0)))
    days = panel.first_day + np.arange(first, len(panel.open))
    at = target - first
    country = settings.features.holidays
    makers: dict[str, Maker] = {name: partial(_day, name, days, at) for name in settings.features.calendar}
    if country:
        makers["holiday_distance"] = partial(_holiday, country, days, at)
    return makers


def _day(name: str, days: npt.NDArray[np.int64], at: Ints) -> Floats:
    return calendar(name, days)[at]


def _holiday(country: str, days: npt.NDArray[np.int64], at: Ints) -> Floats:
    return holiday_distance(country, days)[at]


def _static(labels: Labels, rows: Rows, names: Sequence[str]) -> Floats:
    return _recode(labels.names, names)[labels.codes][rows.entity]


def _recode(names: Sequence[str], known: Sequence[str]) -> Floats:
    """Return the model's code of each of the panel's names, -1 for an unseen one; last, -1 for none at all."""
    index = {name: float(i) for i, name in enumerate(known)}
    return np.array([*(index.get(name, -1.0) for name in names), -1.0], dtype=np.float32)


def _known(column: Covariate, rows: Rows, names: Sequence[str]) -> Floats:
    found = as_known(column, rows)
    if not (column.names or names):  # a number; text the model knows may have no value at all in this panel
        return found
    return _recode(column.names, names)[np.where(np.isnan(found), -1, found).astype(np.int64)]


def as_known(column: Covariate, rows: Rows) -> Floats:
    """Return what was known at each row's origin of a covariate's value at its target, shape (n_rows,)."""
    out = np.empty(len(rows), dtype=np.float32)
    kernels.as_known(column.values, column.ahead, column.forward, rows.entity, rows.origin, rows.target, out)
    return out


def _last(column: Covariate, rows: Rows) -> Floats:
    found = column.values[rows.entity, np.maximum(rows.origin, 0)]
    return np.where(rows.origin >= 0, found, np.float32(np.nan))


def _ratios(name: str, column: Covariate, rows: Rows, at: Ints) -> dict[str, Maker]:
    return {f"{name}_vs_{span}": partial(_ratio, column, rows, at, weeks) for span, weeks in SPANS.items()}


def _ratio(column: Covariate, rows: Rows, at: Ints, weeks: int) -> Floats:
    out = np.empty(len(rows), dtype=np.float32)
    kernels.relative(column.values, column.ahead, column.forward, rows.entity, rows.origin, at, weeks, out)
    return out
