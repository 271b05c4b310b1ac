"""Kind ``anomaly``: events unlike their peers, within the alerts that people have time for; no labels needed.

A run as of a date scores the events *of* that date: they have happened, and somebody should look at some of them.
The prediction of an event is the score of its group over the learned threshold: 1 or more is an alert.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.config.section import flat
from perennial.contracts import ENTITY, TIME, Evaluation, Read, Snapshot, Split, TestRows, Training, Window
from perennial.errors import TrainingError
from perennial.evaluation.budget import learn_threshold
from perennial.evaluation.detection import BASELINES
from perennial.evaluation.scores import per_entity, score
from perennial.features.judgedtable import EventTable, read_events
from perennial.features.peers import Mask
from perennial.features.unusual import compare, feature_names
from perennial.kinds.base import Fitted
from perennial.kinds.detected import Rule, naive_scores, relative, rows_of, rules, test_rows
from perennial.models.anomalies import EventScorer, fit_scorer
from perennial.models.explanations import explain, sentence

EXAMPLE_ROWS = 5
SETTLING_DAYS = 28
"""First days of history, on which peers have too little behind them to learn what is rare."""


def check(cfg: Pipeline) -> None:
    """Nothing could only fail later: names are checked with the settings."""


def load(cfg: Pipeline, snapshot: Snapshot, read: Read) -> EventTable:
    """Gather the rows of a snapshot; see :func:`perennial.features.judgedtable.read_events`."""
    return read_events(cfg, snapshot, read)


def split(data: EventTable, cfg: Pipeline) -> Split:
    """Train on the days before the holdout, judge on the holdout's.

    Raises:
        TrainingError: There are fewer days of history than are held out.
    """
    end = data.as_of - timedelta(days=cfg.split.holdout + cfg.split.gap)
    trained, judged = _trained(data, cfg, end), _between(data, end + timedelta(days=cfg.split.gap), data.as_of)
    if not trained.any() or not judged.any():
        raise TrainingError(
            f"{cfg.pipeline}: {int(trained.sum()):,} events to train on and {int(judged.sum()):,} to judge; "
            f"split.holdout + split.gap is {cfg.split.holdout + cfg.split.gap} days: wait for more or hold out less"
        )
    origin = data.as_of - timedelta(days=cfg.split.holdout)
    return Split(
        train_end=end,
        windows=(Window(origin=origin, horizon=cfg.split.holdout),),
        entities=len(data.names),
        new_entities=(),
    )


def train(data: EventTable, split: Split, cfg: Pipeline, *, champion: Any | None, threads: int) -> Fitted:
    """Learn what is rare and from which score on there are as many alerts as the budget allows.

    Raises:
        TrainingError: There are too few events.
    """
    trained = _trained(data, cfg, split.train_end)
    model = fit_scorer(data.events, trained, cfg.anomaly, seed=cfg.model.seed, threads=threads)
    found = model.score(data.events, trained)
    model.threshold = learn_threshold(
        found.score, data.events.day[trained], data.events.group[trained], cfg.anomaly.budget
    )
    names = feature_names(cfg.anomaly)
    alerts = found.score >= model.threshold
    leads = np.bincount(found.surprise[alerts].argmax(axis=1), minlength=len(names)) / max(int(alerts.sum()), 1)
    settings = {**flat(cfg.anomaly, "anomaly."), **flat(cfg.split, "split."), "model.seed": cfg.model.seed}
    plain = (str, int, float, bool)
    training = Training(
        params={k: v if isinstance(v, plain) else str(v) for k, v in settings.items() if v is not None},
        rows=int(trained.sum()),
        features=names,
        importance={name: float(share) for name, share in zip(names, leads, strict=True)},
        mode="refit",
        example=np.ascontiguousarray(found.z[:EXAMPLE_ROWS].astype(np.float32)),
    )
    return Fitted(model=model, training=training)


def evaluate(
    data: EventTable, split: Split, cfg: Pipeline, models: Mapping[str, EventScorer], threads: int
) -> Evaluation:
    """Score models and baselines on the judged days and on the errors planted in them."""
    rows = _judged(data, split, cfg, models)
    return Evaluation(scores=score(rows, cfg.evaluation), rows=rows, per_entity=per_entity(rows), charts=())


def predict(data: EventTable, cfg: Pipeline, model: EventScorer, *, threads: int) -> Iterator[pa.RecordBatch]:
    """Score the events of the as-of date.

    Yields:
        Batches with ``entity``, ``ds``, ``horizon`` (1), ``y_hat`` (the group's score over the threshold), ``alert``
        (whether this row stands for an alert), ``score`` of the row itself and ``reason`` of the alerts.
    """
    asked = _between(data, data.as_of - timedelta(days=1), data.as_of)
    found = model.score(data.events, asked)
    day, group = data.events.day[asked], data.events.group[asked]
    y_hat = relative(found.score, day, group, model.threshold, cfg.anomaly)
    alerts = _speakers(found.score, group, y_hat)
    reasons = [sentence(explain(model, found, n)) if alert else "" for n, alert in enumerate(alerts)]
    more = {
        "alert": pa.array(alerts),
        "score": pa.array(found.score.astype(np.float32)),
        "reason": pa.array(reasons, pa.string()),
    }
    yield _batch(data, asked, y_hat, more)


def backtest(data: EventTable, cfg: Pipeline, model: EventScorer, as_of: date, *, threads: int) -> TestRows:
    """Score again, as contender ``served``, what a version of ``as_of`` was judged on."""
    judged = _between(data, as_of - timedelta(days=cfg.split.holdout), as_of)
    return test_rows(data, cfg, judged, {"served": Rule(model=model, threshold=model.threshold)}, planted=False)


def mature(data: EventTable, cfg: Pipeline, published: pa.Table) -> TestRows:
    """Put published alerts, as contender ``served``, beside what investigators have decided since."""
    last = data.as_of - timedelta(days=cfg.anomaly.label_delay_days)
    ripe = _between(data, date(1970, 1, 1), last)
    key = pa.table({ENTITY: data.names.filter(pa.array(ripe)), "at": np.flatnonzero(ripe)})
    both = published.select([ENTITY, TIME, "y_hat"]).join(key, keys=ENTITY, join_type="inner")
    at = both["at"].to_numpy()
    same = data.events.day[at] == both[TIME].cast(pa.int32()).to_numpy()
    order = np.argsort(at[same], kind="stable")
    asked = np.zeros(len(data.names), bool)
    asked[at[same]] = True
    y_hat = both["y_hat"].to_numpy().astype(np.float32)[same][order]
    return rows_of(data, cfg, asked, {"served": y_hat})


def inputs(data: EventTable, cfg: Pipeline, model: EventScorer, as_of: date, *, threads: int) -> pa.Table:
    """Return the features of the events of ``as_of``, one row per event."""
    asked = _between(data, as_of - timedelta(days=1), as_of)
    z = model.distances(compare(data.events, asked, model.cfg))
    columns = {name: pa.array(np.ascontiguousarray(z[:, k])) for k, name in enumerate(feature_names(model.cfg))}
    return pa.table({ENTITY: data.names.filter(pa.array(asked))} | columns)


def naive(data: EventTable, cfg: Pipeline, as_of: date) -> Iterator[pa.RecordBatch]:
    """Yield alerts for the largest amounts of the events of ``as_of``.

    Raises:
        TrainingError: No event of the date is known.
    """
    asked = _between(data, as_of - timedelta(days=1), as_of)
    trained = _trained(data, cfg, as_of - timedelta(days=1))
    if not asked.any() or not trained.any():
        raise TrainingError(f"{cfg.pipeline}: no event of {as_of} is known, so there is nothing to look at")
    blank = fit_scorer(data.events, trained, cfg.anomaly.model_copy(update={"forest_weight": 0.0}))
    rule = rules(blank, data, trained, BASELINES[:1])[BASELINES[0]]
    scores = naive_scores(BASELINES[0], compare(data.events, asked, cfg.anomaly), blank)
    y_hat = relative(scores, data.events.day[asked], data.events.group[asked], rule.threshold, cfg.anomaly)
    yield _batch(data, asked, y_hat, {})


def moved(rows: pa.Table, cfg: Pipeline, as_of: date) -> pa.Table:
    """Refuse: the alerts of another day say nothing about this one's events."""
    raise TrainingError(f"{cfg.pipeline}: alerts of an earlier day say nothing about the events of {as_of}")


def units(data: EventTable, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return each event, the group that a cohort is made of as ``unit``, and as ``size`` whether it was known then.

    Later events are there too: a cohort is made of groups, and theirs must be found in it.
    """
    size = _between(data, date(1970, 1, 1), as_of).astype(np.float64)
    return pa.table({ENTITY: data.names, "unit": data.groups.take(pa.array(data.events.group)), "size": size})


def _judged(data: EventTable, split: Split, cfg: Pipeline, models: Mapping[str, EventScorer]) -> TestRows:
    contenders = {name: Rule(model=model, threshold=model.threshold) for name, model in models.items()}
    contenders |= rules(models["candidate"], data, _trained(data, cfg, split.train_end), BASELINES)
    origin = split.windows[0].origin
    return test_rows(
        data, cfg, _between(data, origin, origin + timedelta(days=cfg.split.holdout)), contenders, planted=True
    )


def _trained(data: EventTable, cfg: Pipeline, end: date) -> Mask:
    """Return the events to learn from: up to ``end``, not the first days, not older than ``model.history_days``."""
    start = date(1970, 1, 1) + timedelta(days=int(data.events.day[0]) + SETTLING_DAYS - 1)
    if cfg.model.history_days is not None:
        start = max(start, end - timedelta(days=cfg.model.history_days))
    return _between(data, start, end)


def _between(data: EventTable, after: date, last: date) -> Mask:
    mask: Mask = (data.events.day > data.column(after)) & (data.events.day <= data.column(last))
    return mask


def _speakers(scores: Any, group: Any, y_hat: Any) -> Mask:
    """Return the strangest row of each alerted group."""
    order = np.lexsort((np.arange(len(scores)), -scores, group))
    first = np.ones(len(order), bool)
    first[1:] = group[order][1:] != group[order][:-1]
    out = np.zeros(len(scores), bool)
    out[order[first]] = True
    alerts: Mask = out & (y_hat >= 1)
    return alerts


def _batch(data: EventTable, asked: Mask, y_hat: Any, more: Mapping[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            ENTITY: data.names.filter(pa.array(asked)),
            TIME: pa.array(data.events.day[asked]).cast(pa.date32()),
            "horizon": pa.array(np.ones(int(asked.sum()), np.int16)),
            "y_hat": pa.array(y_hat),
            **more,
        }
    )
