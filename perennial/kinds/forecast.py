"""Kind ``forecast``: a value per entity and day, for the days after the as-of date."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.config.section import flat
from perennial.contracts import ENTITY, TIME, Evaluation, Read, Snapshot, Split, Training
from perennial.errors import ConfigError, TrainingError, sample
from perennial.evaluation.scores import per_entity, score
from perennial.features import Panel, Rows, feature_names, level_names, read_panel
from perennial.features.panel import Floats, grid
from perennial.kinds.base import Fitted
from perennial.kinds.charts import charts
from perennial.kinds.coverage import warn_of_gaps
from perennial.kinds.sampling import CALIBRATION_ROWS, draw, require, split_days
from perennial.kinds.served import backtest, inputs, mature, moved, naive, quantile_column, spirals, units
from perennial.kinds.splitting import split
from perennial.kinds.testrows import test_rows
from perennial.models import estimators
from perennial.models.baselines import BASELINES
from perennial.models.forecaster import DirectForecaster
from perennial.models.intervals import fit_intervals

__all__ = ["backtest", "check", "evaluate", "inputs", "load", "mature", "moved", "naive", "predict"]
__all__ += ["quantile_column", "spirals", "split", "train", "units"]

EXAMPLE_ROWS = 5
RANGE = 25.0
"""A level below this part of the mean target says no more than that: hardly ever."""
USUAL = 0.99
"""Share of the training rows whose level is taken as it is."""
SEEDS = 2**31
"""Seeds lie below this; the bags count on from theirs, and from 0 after the largest."""
BLOCK = 8_192
"""Entities forecast at a time: bounds the memory of scoring."""


def check(cfg: Pipeline) -> None:
    """Refuse parameters that the estimator does not have; see :func:`perennial.models.estimators.parameters`."""
    estimators.parameters(cfg.model)


def load(cfg: Pipeline, snapshot: Snapshot, read: Read) -> Panel:
    """Gather the rows of a snapshot into a panel; see :func:`perennial.features.read_panel`."""
    return read_panel(cfg, snapshot, read)


def train(data: Panel, split: Split, cfg: Pipeline, *, champion: DirectForecaster | None, threads: int) -> Fitted:
    """Fit a candidate, or continue the champion where the configuration asks for it.

    Raises:
        TrainingError: There is nothing to learn from.
        ConfigError: A parameter or the mode does not fit the estimator.
    """
    mode: Literal["refit", "update"] = "refit" if champion is None else cfg.model.mode
    update = mode == "update"
    base = _continued(cfg, champion) if champion and update else _blank(data, cfg)
    rng = np.random.default_rng(cfg.model.seed)
    end = data.column(split.train_end)
    days = split_days(data, end, cfg.model.history_days)
    recent = days.training[days.training > end - cfg.model.update_days] if update else days.training
    after = cfg.forecast.retired_after_days
    params = _parameters(cfg, update)
    bags: list[_Bag] = []
    for _ in range(cfg.model.bags):
        rows = require(draw(data, recent, cfg.model.rows, cfg.forecast.horizon, rng, after), cfg.pipeline)
        bags.append(_fit_bag(base, bags, data, rows, cfg, params, threads))
    base.add([bag.stage.model for bag in bags if bag.stage])
    held = draw(data, days.calibration, CALIBRATION_ROWS, cfg.forecast.horizon, rng, after)
    _calibrate(base, data, held if len(held) else bags[0].rows, cfg, threads)
    training = Training(
        params={**_flat(cfg), **{f"estimator.{k}": v for k, v in params.items()}, "mode": mode, **_masked(data)},
        rows=sum(len(bag.rows) for bag in bags),
        features=tuple(base.features),
        importance=_importance(base.features, bags),
        mode=mode,
        example=bags[0].example,
    )
    return Fitted(model=base, training=training)


def evaluate(
    data: Panel, split: Split, cfg: Pipeline, models: Mapping[str, DirectForecaster], threads: int
) -> Evaluation:
    """Score the models and every baseline on the same rows of the test windows.

    Args:
        data: The panel.
        split: Its test windows.
        cfg: Metrics, slices and weights.
        models: ``candidate`` and, if there is one, ``champion``.
        threads: Cores to use; the result does not depend on it.
    """
    rows = test_rows(data, split, cfg, models, BASELINES, threads)
    return Evaluation(
        scores=score(rows, cfg.evaluation),
        rows=rows,
        per_entity=per_entity(rows),
        charts=charts(data, rows),
    )


def predict(data: Panel, cfg: Pipeline, model: DirectForecaster, *, threads: int) -> Iterator[pa.RecordBatch]:
    """Forecast every entity for the open days of the horizon after the as-of date.

    Yields:
        Batches with ``entity``, ``ds``, ``horizon`` (int16), ``y_hat`` (float32) and one float32 column for
        each quantile level, for example ``q05``; ordered by entity, then day.
    """
    origin = data.n_days - 1
    ahead = origin + 1 + np.arange(cfg.forecast.horizon, dtype=np.int32)
    columns = ahead[data.open[ahead]]
    warn_of_gaps(data, cfg, columns)
    for start in range(0, data.n_entities, BLOCK):
        entities = np.arange(start, min(start + BLOCK, data.n_entities), dtype=np.int32)
        rows = grid(entities, origin, columns)
        yield _batch(data, rows, model, threads, group=len(columns))


def targets(panel: Panel, rows: Rows) -> Floats:
    """Return the observed values of rows that lie in history, shape (n_rows,)."""
    return panel.y[rows.entity, rows.target]


def _batch(data: Panel, rows: Rows, model: DirectForecaster, threads: int, group: int) -> pa.RecordBatch:
    found = model.predict(data, rows, threads=threads, group=group)
    day = (data.first_day + rows.target).astype(np.int32)
    columns = {
        ENTITY: pa.array(data.entities).take(pa.array(rows.entity)),
        TIME: pa.array(day).cast(pa.date32()),
        "horizon": pa.array(rows.horizon.astype(np.int16)),
        "y_hat": pa.array(found.mean),
    }
    for k, level in enumerate(model.levels):
        columns[quantile_column(level)] = pa.array(np.ascontiguousarray(found.quantiles[:, k]))
    return pa.RecordBatch.from_pydict(columns)


def _blank(data: Panel, cfg: Pipeline) -> DirectForecaster:
    names = {name: data.static[name].names for name in cfg.forecast.static}
    names |= {name: data.known[name].names for name in cfg.forecast.known if data.known[name].names}
    return DirectForecaster(
        settings=cfg.forecast.model_dump_json(),
        features=feature_names(cfg.forecast, data),
        categories=names,
        stages=(),
        link="identity",
        level=level_names(cfg.forecast),
        intervals={},
        levels=sorted(cfg.model.quantiles),
    )


def _continued(cfg: Pipeline, champion: DirectForecaster) -> DirectForecaster:
    if cfg.model.estimator not in estimators.UPDATABLE:
        raise ConfigError(
            f"model.mode: update is not possible with {cfg.model.estimator}; "
            f"use {' or '.join(estimators.UPDATABLE)}, or mode: refit"
        )
    return DirectForecaster(
        settings=champion.settings,
        features=champion.features,
        categories=champion.categories,
        stages=champion.stages,
        divisors=champion.divisors,
        link=champion.link,
        level=champion.level,
        bounds=champion.bounds,
        intervals={},
        levels=sorted(cfg.model.quantiles),
    )


def _parameters(cfg: Pipeline, update: bool) -> dict[str, Any]:
    params = estimators.parameters(cfg.model)
    if update:
        params[estimators.UPDATABLE[cfg.model.estimator]] = cfg.model.update_trees
    return params


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bag:
    """One of the models whose average is the new stage.

    Attributes:
        rows: What it was fitted on.
        stage: None if nothing was sold in these rows.
        example: The first rows of its input, shape (at most EXAMPLE_ROWS, n_features).
    """

    rows: Rows
    stage: estimators.Stage | None
    example: Floats


def _fit_bag(
    base: DirectForecaster,
    earlier: Sequence[_Bag],
    data: Panel,
    rows: Rows,
    cfg: Pipeline,
    params: Mapping[str, Any],
    threads: int,
) -> _Bag:
    """Fit the next bag; its input is gone afterwards, so that memory holds one bag's at a time."""
    X, y = base.design(data, rows, threads), targets(data, rows)
    if (y < 0).any():
        raise TrainingError(f"negative targets cannot be forecast: {sample(y[y < 0])}; set guards.min_value to 0")
    stage = None
    if y.any():  # if nothing was ever sold, zero is the forecast, and no loss with a log link is defined
        if not base.stages and not any(bag.stage for bag in earlier):  # all bags start from one level
            base.link, base.bounds = estimators.link(params), _bounds(base, X, y)
        settings = cfg.model.model_copy(update={"seed": (cfg.model.seed + len(earlier)) % SEEDS})
        stage = estimators.fit(settings, params, X, y, threads=threads, earlier=_offset(base, params, X, threads))
    return _Bag(rows=rows, stage=stage, example=np.ascontiguousarray(X[:EXAMPLE_ROWS]))


def _offset(base: DirectForecaster, params: Mapping[str, Any], X: Floats, threads: int) -> Floats | None:
    """Return what a new stage starts from: the forecast of the stages before, or the recent level."""
    link = estimators.link(params)
    if base.stages and link != base.link:
        raise ConfigError(f"model.mode: an update with a {link} link cannot continue a {base.link} one")
    if base.stages:
        return base.mean(X, threads)
    return base.start(X) if link == "log" else None


def _bounds(base: DirectForecaster, X: Floats, y: Floats) -> list[float]:
    """Return the smallest, usual and largest level a log-linked model starts from."""
    usual = float(y.mean(dtype=np.float64))
    base.bounds = [usual / RANGE, usual, np.inf]
    return [usual / RANGE, usual, float(np.quantile(base.start(X), USUAL))]


def _calibrate(base: DirectForecaster, data: Panel, rows: Rows, cfg: Pipeline, threads: int) -> None:
    if base.levels:
        mean = base.mean(base.design(data, rows, threads), threads)
        base.intervals = fit_intervals(targets(data, rows), mean, rows.horizon, base.levels)


def _importance(features: Sequence[str], bags: Sequence[_Bag]) -> dict[str, float]:
    """Return each feature's share of the gain of all bags together."""
    gains = sum((bag.stage.gains for bag in bags if bag.stage), np.zeros(len(features)))
    total = float(gains.sum())
    return {name: float(gain) / total for name, gain in zip(features, gains, strict=True)} if total > 0 else {}


def _masked(data: Panel) -> dict[str, int]:
    """Return how many days of how many series were masked, if the configuration tells stock-outs."""
    return {} if data.censored is None else {"censored_days": int(data.censored.sum())}


def _flat(cfg: Pipeline) -> dict[str, str | int | float | bool]:
    """Return the settings of the fit as MLflow takes them: numbers, booleans and text."""
    settings = {**flat(cfg.forecast, "forecast."), **flat(cfg.split, "split."), **flat(cfg.model, "model.")}
    settings.pop("model.params")
    plain = (str, int, float, bool)
    return {k: v if isinstance(v, plain) else str(v) for k, v in settings.items() if v is not None}
