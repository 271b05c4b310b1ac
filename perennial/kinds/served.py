"""Forecasts after they were published: beside the truth, beside what was expected, beside their inputs."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.arrow import with_values
from perennial.config.models import Pipeline
from perennial.config.types import WEEKDAYS
from perennial.contracts import ENTITY, TIME, Split, TestRows
from perennial.errors import TrainingError
from perennial.features import Panel, Rows
from perennial.features.panel import Ints, grid
from perennial.kinds.splitting import windows
from perennial.kinds.testrows import naive_forecasts, rows_of, test_rows
from perennial.models.baselines import BASELINES
from perennial.models.forecaster import DirectForecaster
from perennial.monitoring.spiral import spirals as find_spirals

WEEK = 7
SIZE_DAYS = 28
"""Days of sales by which entities are matched for a cohort."""
FALLBACK = "weekday_mean"
"""Baseline that is published when nothing better can be."""


def quantile_column(level: float) -> str:
    """Return the column name of a quantile level: 0.05 -> ``q05``, 0.975 -> ``q97_5``."""
    text = f"{level * 100:.4f}".rstrip("0").rstrip(".")
    whole, _, rest = text.partition(".")
    return f"q{whole.zfill(2)}" + (f"_{rest}" if rest else "")


def backtest(data: Panel, cfg: Pipeline, model: DirectForecaster, as_of: date, *, threads: int) -> TestRows:
    """Forecast again, as contender ``served``, the test windows that a version of ``as_of`` was judged on."""
    before = [one for one in windows(cfg, as_of) if data.column(one.origin) >= 0]
    held = cfg.split.holdout + cfg.split.gap
    split = Split(
        train_end=max(as_of - timedelta(days=held), data.day(0)),
        windows=tuple(before),
        entities=data.n_entities,
        new_entities=(),
    )
    if not before:
        return _rows(
            data, cfg, np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
        )
    return test_rows(data, split, cfg, {"served": model}, BASELINES, threads)


def mature(data: Panel, cfg: Pipeline, published: pa.Table) -> TestRows:
    """Put published forecasts, as contender ``served``, beside the truth that has arrived.

    Args:
        data: What is known, restatements included.
        cfg: Slices and weights.
        published: Columns ``entity``, ``ds``, ``as_of`` and ``y_hat``.

    Returns:
        Only the rows whose truth is known; what is not ripe is left out and counts as nothing. ``window`` tells
        the publications apart, oldest first.
    """
    code = {name: n for n, name in enumerate(data.entities.tolist())}
    names = published[ENTITY].combine_chunks().dictionary_encode()
    lookup = np.array([code.get(name, -1) for name in names.dictionary.to_pylist()] or [-1], dtype=np.int32)
    entity = lookup[names.indices.to_numpy(zero_copy_only=False)] if len(published) else np.empty(0, np.int32)
    target = _columns(data, published[TIME])
    origin = _columns(data, published["as_of"])
    y_hat = published["y_hat"].to_numpy().astype(np.float32)
    ripe = (entity >= 0) & (target >= 0) & (target < data.n_days) & (origin >= 0)
    ripe[ripe] &= np.isfinite(data.y[entity[ripe], target[ripe]])
    return _rows(data, cfg, entity[ripe], origin[ripe], target[ripe], y_hat[ripe])


def inputs(data: Panel, cfg: Pipeline, model: DirectForecaster, as_of: date, *, threads: int) -> pa.Table:
    """Return the model's input for the first open day after ``as_of``, one row per entity, knowing only up to it.

    Returns:
        Column ``entity`` and one float32 column per feature.
    """
    origin = min(data.column(as_of), data.n_days - 1)
    ahead = origin + 1 + np.arange(cfg.forecast.horizon, dtype=np.int32)
    first = ahead[data.open[ahead]][:1]
    rows = grid(np.arange(data.n_entities, dtype=np.int32), origin, first)
    if origin < 0 or not len(rows):
        return pa.table({ENTITY: pa.array([], pa.string())})
    X = model.design(data, rows, threads)
    columns = {name: pa.array(np.ascontiguousarray(X[:, k])) for k, name in enumerate(model.features)}
    return pa.table({ENTITY: pa.array(data.entities).take(pa.array(rows.entity)).cast(pa.string())} | columns)


def naive(data: Panel, cfg: Pipeline, as_of: date) -> Iterator[pa.RecordBatch]:
    """Yield the weekday mean of every entity for the open days of the horizon after ``as_of``.

    Raises:
        TrainingError: No day is known up to ``as_of``.
    """
    origin = data.column(as_of)
    if not 0 <= data.n_days - 1 <= origin:
        raise TrainingError(f"{cfg.pipeline}: nothing is known up to {as_of}")
    horizon = origin - (data.n_days - 1) + cfg.forecast.horizon
    table = BASELINES[FALLBACK](data, data.n_days - 1, horizon)[:, -cfg.forecast.horizon :]
    days = [as_of + timedelta(days=n) for n in range(1, cfg.forecast.horizon + 1)]
    closed = set(cfg.forecast.closed_weekdays)
    for n, day in enumerate(days):
        if WEEKDAYS[day.weekday()] in closed:
            continue
        size = data.n_entities
        yield pa.RecordBatch.from_pydict(
            {
                ENTITY: pa.array(data.entities).cast(pa.string()),
                TIME: pa.array([day] * size, pa.date32()),
                "horizon": pa.array(np.full(size, n + 1, np.int16)),
                "y_hat": pa.array(np.ascontiguousarray(table[:, n])),
            }
        )


def spirals(data: Panel, cfg: Pipeline, published: pa.Table) -> tuple[str, ...]:
    """Return entities that ran out of stock and are forecast as zero though they used to sell, the largest first.

    Args:
        data: What is known; without stock-outs told (``forecast.stockouts``) nothing can be found.
        cfg: The pipeline.
        published: Columns ``entity``, ``as_of`` and ``y_hat``; the newest publication counts.
    """
    if data.censored is None or not published.num_rows:
        return ()
    newest = published.filter(pc.equal(published["as_of"], pc.max(published["as_of"])))
    means = newest.group_by(ENTITY).aggregate([("y_hat", "mean")])
    ahead = dict(zip(means[ENTITY].to_pylist(), means["y_hat_mean"].to_pylist(), strict=True))
    expected = np.array([ahead.get(name, np.nan) for name in data.entities.tolist()], dtype=np.float64)
    is_open = data.open[: data.n_days]
    found = find_spirals(data.y[:, is_open], data.censored[:, is_open], expected)
    return tuple(str(name) for name in data.entities[found.rows])


def moved(rows: pa.Table, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return an earlier forecast for the days after ``as_of``; days beyond its end repeat the week before."""
    last, days = pc.max(rows[TIME]).as_py(), []
    for n in range(1, cfg.forecast.horizon + 1):
        day = source = as_of + timedelta(days=n)
        while source > last:
            source -= timedelta(days=WEEK)
        found = rows.filter(pc.equal(rows[TIME], pa.scalar(source, pa.date32())))
        if found.num_rows and WEEKDAYS[day.weekday()] not in cfg.forecast.closed_weekdays:
            days.append(with_values(found, {TIME: day, "horizon": n}))
    return pa.concat_tables(days) if days else rows.slice(0, 0)


def units(data: Panel, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return what a cohort can be made of: ``entity``, its ``unit`` and what it sold before ``as_of`` as ``size``."""
    end = min(data.column(as_of), data.n_days - 1)
    known = data.first <= end
    label = data.entities
    if cfg.rollout.by:
        column = data.static[cfg.rollout.by]
        label = np.array([*column.names, "unknown"], dtype=np.str_)[column.codes]
    size = np.nan_to_num(data.y[:, max(0, end - SIZE_DAYS) : end + 1]).sum(axis=1, dtype=np.float64)
    columns = {ENTITY: data.entities[known].tolist(), "unit": label[known].tolist(), "size": size[known]}
    return pa.table(columns)


def _columns(data: Panel, dates: pa.ChunkedArray) -> Ints:
    days = dates.combine_chunks().cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False)
    columns: Ints = (days - data.first_day).astype(np.int32)
    return columns


def _rows(
    data: Panel, cfg: Pipeline, entity: Ints, origin: Ints, target: Ints, y_hat: npt.NDArray[np.float32]
) -> TestRows:
    origins, index = np.unique(origin, return_inverse=True)
    window, places = index.astype(np.int16), origins.astype(np.int64)
    asked = Rows(entity=entity, origin=origin, horizon=(target - origin).astype(np.int32))
    end = max(0, int(origins[0])) if len(origins) else data.n_days - 1
    beside = naive_forecasts(data, asked, window, places, BASELINES)
    return rows_of(data, cfg, end, asked, window, forecasts={"served": y_hat} | beside)
