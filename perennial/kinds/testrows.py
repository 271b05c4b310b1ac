"""Forecasts of every contender on the rows of the test windows, with what the metrics need to weigh them."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from perennial.config.models import Pipeline
from perennial.contracts import ENTITY, Split, TestRows
from perennial.features.panel import Floats, Ints, Panel, Rows, grid
from perennial.kinds.slices import slice_names
from perennial.models.forecaster import DirectForecaster

SEASON = 7
"""Days of the season that MASE is scaled by."""
WEIGHT_DAYS = 28
"""Last training days whose sales weigh the entities in WRMSSE."""

Doubles = npt.NDArray[np.float64]


def test_rows(
    panel: Panel,
    split: Split,
    cfg: Pipeline,
    models: Mapping[str, DirectForecaster],
    baselines: Mapping[str, Callable[[Panel, int, int], Floats]],
    threads: int,
) -> TestRows:
    """Forecast every known target of the test windows with every contender.

    A model may have been trained with other levels than the configured ones; those that all share are kept.
    """
    asked, window = _asked(panel, split)
    found = {name: model.predict(panel, asked, threads=threads) for name, model in models.items()}
    levels = sorted(set.intersection(*[set(m.levels) for m in models.values()])) if models else []
    at = {name: [model.levels.index(level) for level in levels] for name, model in models.items()}
    forecasts = {name: prediction.mean for name, prediction in found.items()}
    origins = np.array([panel.column(one.origin) for one in split.windows])
    return rows_of(
        panel,
        cfg,
        panel.column(split.train_end),
        asked,
        window,
        forecasts=forecasts | naive_forecasts(panel, asked, window, origins, baselines),
        levels=tuple(levels),
        quantiles={name: prediction.quantiles[:, at[name]] for name, prediction in found.items()} if levels else {},
    )


def rows_of(
    panel: Panel,
    cfg: Pipeline,
    end: int,
    asked: Rows,
    window: npt.NDArray[np.int16],
    *,
    forecasts: Mapping[str, Floats],
    levels: tuple[float, ...] = (),
    quantiles: Mapping[str, Floats] | None = None,
) -> TestRows:
    """Put forecasts of known days beside the truth and what the metrics need to weigh them.

    Args:
        panel: What is known.
        cfg: Slices and weights.
        end: Column up to which scales, weights and slices are computed.
        asked: The rows; each target is known.
        window: Index of the origin of each row.
        forecasts: Point forecasts by contender, each of shape (n_rows,).
        levels: Quantile levels.
        quantiles: Quantile forecasts by contender.
    """
    groups = _groups(panel, cfg)
    history, begin = panel.y[:, : end + 1], panel.started(end)
    days = successive(panel, end)
    steps, step_begin = history[:, days], np.searchsorted(days, begin).astype(np.int32)
    scale_sq = mean_change(steps, step_begin, 1, squared=True)
    return TestRows(
        entities=panel.entities,
        entity=asked.entity,
        window=window,
        horizon=asked.horizon.astype(np.int16),
        day=(asked.target + panel.first_day).astype(np.int32),
        y=panel.y[asked.entity, asked.target],
        forecasts=forecasts,
        levels=levels,
        quantiles=quantiles or {},
        scale_abs=mean_change(history, begin, SEASON, squared=False),
        scale_sq=scale_sq,
        weight=_weight(panel, end, cfg),
        slices=slice_names(panel, end, (*cfg.evaluation.slices, *_gated(cfg))),
        groups=groups,
        group_scale_sq={n: scale_sq if n == ENTITY else _group_scale(steps, g) for n, g in groups.items()},
    )


def successive(panel: Panel, end: int) -> Ints:
    """Return the columns up to ``end`` whose change from one to the next is a day-to-day change.

    All days; but if never two days in a row are open, as in a weekly table, the open ones.
    """
    is_open = panel.open[: end + 1]
    columns = np.arange(end + 1) if (is_open[1:] & is_open[:-1]).any() else np.flatnonzero(is_open)
    return columns.astype(np.int32)


def mean_change(history: Floats, begin: Ints, lag: int, *, squared: bool) -> Doubles:
    """Return the mean change over ``lag`` days of each row since ``begin``, shape (n_rows,); nan without one."""
    total, count = np.zeros(len(history)), np.zeros(len(history))
    for start in range(0, len(history), 1024):
        block = slice(start, start + 1024)
        values = np.where(np.arange(history.shape[1]) >= begin[block, None], history[block], np.nan)
        change = np.abs(values[:, lag:].astype(np.float64) - values[:, :-lag])
        total[block] = np.nansum(change**2 if squared else change, axis=1)
        count[block] = np.isfinite(change).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _asked(panel: Panel, split: Split) -> tuple[Rows, npt.NDArray[np.int16]]:
    """Return every row of the windows whose target is known, window by window, entity by entity."""
    parts, index = [], []
    for k, window in enumerate(split.windows):
        origin = panel.column(window.origin)
        columns = origin + 1 + np.arange(window.horizon, dtype=np.int32)
        rows = grid(np.arange(panel.n_entities, dtype=np.int32), origin, columns)
        known = np.isfinite(panel.y[rows.entity, rows.target])
        parts.append((rows.entity[known], rows.origin[known], rows.horizon[known]))
        index.append(np.full(int(known.sum()), k, dtype=np.int16))
    entity, origins, horizon = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(entity=entity, origin=origins, horizon=horizon), np.concatenate(index)


def naive_forecasts(
    panel: Panel,
    asked: Rows,
    window: npt.NDArray[np.int16],
    origins: npt.NDArray[np.int64],
    baselines: Mapping[str, Callable[[Panel, int, int], Floats]],
) -> dict[str, Floats]:
    """Forecast rows with every baseline, each standing on the origin of the row's window."""
    out = {name: np.empty(len(asked), dtype=np.float32) for name in baselines}
    for k, origin in enumerate(origins):
        mine = window == k
        if mine.any():
            horizon = int(asked.horizon[mine].max())
            for name, make in baselines.items():
                out[name][mine] = make(panel, int(origin), horizon)[asked.entity[mine], asked.horizon[mine] - 1]
    return out


def _groups(panel: Panel, cfg: Pipeline) -> dict[str, Ints]:
    """Return the levels of WRMSSE: all together, each static column, each entity."""
    middle = {name: panel.static[name].codes - panel.static[name].codes.min() for name in cfg.forecast.static}
    everyone = np.zeros(panel.n_entities, dtype=np.int32)
    return {"total": everyone, **middle, ENTITY: np.arange(panel.n_entities, dtype=np.int32)}


def _group_scale(history: Floats, index: Ints) -> Doubles:
    """Return the mean squared daily change of each summed series since it first was above zero."""
    sums = np.zeros((int(index.max()) + 1, history.shape[1]))
    np.add.at(sums, index, np.nan_to_num(history))
    sums[:, np.isnan(history).all(axis=0)] = np.nan
    begin = np.argmax(np.nan_to_num(sums) > 0, axis=1).astype(np.int32)
    return mean_change(sums, begin, 1, squared=True)  # type: ignore[arg-type]


def _weight(panel: Panel, end: int, cfg: Pipeline) -> Doubles:
    """Return each entity's share of units or revenue in the last training days; equal if nothing was sold."""
    days = slice(max(0, end + 1 - WEIGHT_DAYS), end + 1)
    sold = np.nan_to_num(panel.y[:, days].astype(np.float64))
    if cfg.evaluation.weight == "revenue" and cfg.evaluation.price:
        name = cfg.evaluation.price
        column = panel.known[name] if name in panel.known else panel.observed[name]
        sold = sold * np.nan_to_num(column.values[:, days].astype(np.float64))
    share = sold.sum(axis=1)
    total = share.sum()
    return share / total if total > 0 else np.full(panel.n_entities, 1 / panel.n_entities)


def _gated(cfg: Pipeline) -> tuple[str, ...]:
    return tuple(gate.slices for gate in cfg.gates if gate.slices)
