"""Everything one monitor run measures; what it means is :mod:`perennial.monitoring.judge`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.models import Pipeline
from perennial.contracts import Drift, Incumbent, Measurement, ModelVersion, Score, TestRows
from perennial.evaluation.scores import score
from perennial.kinds import kind
from perennial.kinds.base import Stocked
from perennial.monitoring.daily import SERVED, daily_errors
from perennial.monitoring.drift import columns, drift, skew
from perennial.monitoring.late import late_estimates

WEEKS = 8
"""Earlier weeks that drift is measured against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What a model was given when an earlier date was scored.

    Attributes:
        as_of: That date.
        inputs: Column ``entity`` and one column per feature, as logged.
        data: What the kind loads from that date's snapshot today: restatements since then are not skew.
    """

    as_of: date
    inputs: pa.Table
    data: Any


def measure(
    cfg: Pipeline,
    data: Any,
    *,
    as_of: date,
    champion: Incumbent | None,
    canary: ModelVersion | None,
    published: pa.Table,
    logged: Logged | None,
    newest: date | None,
    cost: Mapping[str, float],
    threads: int,
) -> Measurement:
    """Measure published predictions against the truth that has arrived.

    Args:
        cfg: The pipeline.
        data: What its kind loaded from the as-of date's snapshot.
        as_of: Business date.
        champion: Version in force and its model.
        canary: Version in force for a cohort.
        published: Published predictions of recent dates.
        logged: Of the newest scoring before this one, if the same version made it.
        newest: Date of the newest observation.
        cost: Seconds and memory, by name.
        threads: Cores to use.
    """
    problem = kind(cfg.kind)
    rows = problem.mature(data, cfg, published)
    reference = (
        problem.backtest(data, cfg, champion.model, champion.version.as_of, threads=threads) if champion else None
    )
    slices = cfg.monitor.slices if cfg.monitor.slices is not None else cfg.evaluation.slices
    return Measurement(
        pipeline=cfg.pipeline,
        as_of=as_of,
        champion=champion.version.version if champion else None,
        canary=canary.version if canary else None,
        scores=_scores(rows, cfg, as_of),
        expected=_expected(reference, cfg),
        daily=daily_errors(rows, reference, cfg.monitor, slices) if reference else (),
        drift=_drift(cfg, data, champion, as_of, published, threads) if champion else (),
        skew=_skew(cfg, champion, logged, threads) if champion and logged else float("nan"),
        matured=len(rows.y),
        pending=published.num_rows - len(rows.y),
        model_age_days=(as_of - champion.version.as_of).days if champion else -1,
        data_age_days=(as_of - newest).days if newest else -1,
        cost=dict(cost),
        late_estimates=late_estimates(cfg, published, rows) if cfg.problem.calibrated() and published.num_rows else (),
        spiral=problem.spirals(data, cfg, published) if isinstance(problem, Stocked) else (),
    )


def _scores(rows: TestRows, cfg: Pipeline, as_of: date) -> tuple[Score, ...]:
    """Score what matured in the last ``monitor.window_days``."""
    from perennial.evaluation.metrics import subset

    first = (as_of - date(1970, 1, 1)).days - cfg.monitor.window_days
    recent = subset(rows, rows.day > first)
    return score(recent, cfg.evaluation) if len(recent.y) else ()


def _expected(reference: TestRows | None, cfg: Pipeline) -> dict[str, float]:
    if reference is None or not len(reference.y):
        return {}
    found = score(reference, cfg.evaluation.model_copy(update={"slices": (), "horizons": ()}))
    return {one.metric: one.value for one in found if one.contender == SERVED and one.part == "overall"}


def _drift(
    cfg: Pipeline, data: Any, champion: Incumbent, as_of: date, published: pa.Table, threads: int
) -> tuple[Drift, ...]:
    days = [as_of - timedelta(days=7 * n) for n in range(WEEKS + 1)]
    inputs = [kind(cfg.kind).inputs(data, cfg, champion.model, day, threads=threads) for day in days]
    now, *before = [columns(one) | _predictions(published, day) for one, day in zip(inputs, days, strict=True)]
    return drift(now, [one for one in before if one], cfg.monitor.drift_psi)


def _predictions(published: pa.Table, as_of: date) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    mine = published.filter(pc.equal(published["as_of"], pa.scalar(as_of, pa.date32())))
    return {"prediction": mine["y_hat"].to_numpy().astype(np.float64)} if mine.num_rows else {}


def _skew(cfg: Pipeline, champion: Incumbent, logged: Logged, threads: int) -> float:
    computed = kind(cfg.kind).inputs(logged.data, cfg, champion.model, logged.as_of, threads=threads)
    return skew(logged.inputs, computed)
