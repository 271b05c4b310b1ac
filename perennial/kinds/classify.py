"""Kind ``classify``: the probability that an event is positive, known only ``label_delay_days`` later.

Standing on the as-of date, the events of the last ``score_days`` days are scored. Labels of the last days are not
known yet, so the test days are the last ``split.holdout`` days whose labels are, and training ends as many days
before them as labels were late then: nobody is judged on what could not have been served.
"""

from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import ENTITY, TIME, Evaluation, Read, Snapshot, Split, TestRows, Training
from perennial.errors import ConfigError, TrainingError
from perennial.evaluation.clinicalcharts import charts
from perennial.evaluation.metrics import main
from perennial.evaluation.scores import per_entity, score
from perennial.features.events import Events, feature_names
from perennial.features.eventtable import read_events
from perennial.features.panel import epoch_day
from perennial.kinds.base import Fitted
from perennial.kinds.eventfit import Past, both, fit, flat_settings, recipes, remembered, settle
from perennial.kinds.eventrows import Rows, costs, naive_risk, rows_of
from perennial.kinds.eventsets import judged_in_sets
from perennial.kinds.eventsplit import apart, base_rate_of, judged, to_score, training_rows, unit_codes, windows_of
from perennial.models.eventclassifier import EventClassifier

__all__ = ["backtest", "check", "evaluate", "inputs", "load", "mature", "moved", "naive", "predict", "split", "train"]
__all__ += ["units"]

EXAMPLE_ROWS = 5


def check(cfg: Pipeline) -> None:
    """Refuse parameters that an estimator does not have, and modes that only forecasts have."""
    if cfg.model.mode != "refit":
        raise ConfigError(f"model.mode: {cfg.model.mode!r} is not possible for kind classify; use 'refit'")
    recipes(cfg)


def load(cfg: Pipeline, snapshot: Snapshot, read: Read) -> Events:
    """Gather the events of a snapshot; see :func:`perennial.features.eventtable.read_events`."""
    return read_events(cfg, snapshot, read)


def split(data: Events, cfg: Pipeline) -> Split:
    """Divide the labelled days into training days and test windows.

    Raises:
        TrainingError: There are fewer labelled days than are held out.
    """
    made = windows_of(cfg, data.as_of, data)
    if not (data.day <= epoch_day(made.train_end)).any():
        raise TrainingError(
            f"{cfg.pipeline}: no event up to {made.train_end}, where training would end: {cfg.split.holdout} days are "
            f"held out and labels are {cfg.classify.label_delay_days} days late; wait, or hold out less"
        )
    return made


def train(data: Events, split: Split, cfg: Pipeline, *, champion: EventClassifier | None, threads: int) -> Fitted:
    """Fit a candidate: calibrate and set the threshold on the last labelled days, then fit on all of them.

    Raises:
        TrainingError: There is nothing to tell apart.
        ConfigError: A parameter does not fit the estimator.
    """
    del champion  # always fitted anew
    rng = np.random.default_rng(cfg.model.seed)
    rows = training_rows(data, split, cfg)
    chosen = np.sort(rng.choice(rows, min(cfg.model.rows, len(rows)), replace=False))
    model = EventClassifier(
        settings=cfg.classify.model_dump_json(),
        features=feature_names(cfg.classify),
        categories={name: data.labels[name].names for name in cfg.classify.features.categories},
        members=[],
        base_rate=float(data.y[rows].mean()) if len(rows) else 0.0,
    )
    past = Past(
        at=chosen,
        X=model.design(data, chosen),
        y=data.y[chosen],
        day=data.day[chosen],
        unit=unit_codes(data, cfg)[chosen],
        end=epoch_day(split.train_end),
    )
    past = _settled(model, past, data, cfg, threads)
    model.members, gains = fit(past.X, past.y, cfg, threads)
    total = gains.sum()
    training = Training(
        params={**flat_settings(cfg), "threshold": model.threshold, "calibration.slope": model.slope},
        rows=len(past.y),
        features=tuple(model.features),
        importance=dict(zip(model.features, (gains / total).tolist(), strict=True)) if total > 0 else {},
        mode="refit",
        example=np.ascontiguousarray(past.X[:EXAMPLE_ROWS]),
    )
    return Fitted(model=model, training=training)


def _settled(model: EventClassifier, past: Past, data: Events, cfg: Pipeline, threads: int) -> Past:
    """Set calibration and threshold on the newest days; return what of the past is to be trained on."""
    days = cfg.classify.calibration_days
    held, before = past.only(past.newest(days)), past.until(past.end - days - apart(cfg))
    if not both(held.y) or not both(before.y):
        cost = costs(data, cfg, past.at)
        model.threshold = float(cost[0].mean() / max(cost[0].mean() + cost[1].mean(), 1e-12)) if len(past.y) else 0.5
    elif cfg.classify.calibration_folds:
        past, raw = remembered(past, model, cfg, threads)
        settle(model, raw, held, data, cfg)
    else:
        model.members, _ = fit(before.X, before.y, cfg, threads)
        settle(model, model.score(held.X, threads), held, data, cfg)
    return past


def evaluate(
    data: Events, split: Split, cfg: Pipeline, models: Mapping[str, EventClassifier], threads: int
) -> Evaluation:
    """Score the models and the naive contenders on the events of the test windows."""
    rows = _tested(data, split, cfg, models, threads)
    return Evaluation(
        scores=score(rows, cfg.evaluation), rows=rows, per_entity=per_entity(main(rows)), charts=charts(rows)
    )


def predict(data: Events, cfg: Pipeline, model: EventClassifier, *, threads: int) -> Iterator[pa.RecordBatch]:
    """Score the events of the last days up to the as-of date.

    Yields:
        A batch with ``entity``, ``ds``, ``horizon`` (int16; 1 for the as-of date, 2 for the day before), ``y_hat``
        (float32, the probability) and ``alert`` (float32, 1 from the threshold on).
    """
    rows = to_score(data, cfg, data.as_of)
    risk = model.risk(model.design(data, rows), threads)
    yield _batch(data, rows, risk, risk >= model.threshold, data.as_of)


def backtest(data: Events, cfg: Pipeline, model: EventClassifier, as_of: date, *, threads: int) -> TestRows:
    """Score again, as contender ``served``, what a version of ``as_of`` was judged on."""
    made = windows_of(cfg, epoch_day(as_of), data)
    return _tested(data, made, cfg, {"served": model}, threads)


def mature(data: Events, cfg: Pipeline, published: pa.Table) -> TestRows:
    """Put published probabilities, as contender ``served``, beside the labels that are known, and naive ones.

    Args:
        data: What is known.
        cfg: Label delay, slices and costs.
        published: Columns ``entity``, ``ds``, ``as_of`` and ``y_hat``.

    Returns:
        Only events whose label is known by now; ``window`` tells the publications apart, oldest first.
    """
    place = {key: n for n, key in enumerate(zip(data.ids.tolist(), data.day.tolist(), strict=True))}
    day, as_of = (_days(published[name]) for name in (TIME, "as_of"))
    keys = zip(published[ENTITY].to_pylist(), day.tolist(), strict=True)
    at = np.array([place.get(key, -1) for key in keys], dtype=np.intp)
    ripe = at >= 0
    ripe[ripe] &= data.known(cfg.classify.label_delay_days)[at[ripe]]
    order = np.flatnonzero(ripe)[np.argsort(at[ripe], kind="stable")]
    _, window = np.unique(as_of[order], return_inverse=True)
    asked = Rows(at=at[order], window=window.astype(np.int16), horizon=(1 + as_of - day)[order].astype(np.int16))
    y_hat = published["y_hat"].to_numpy().astype(np.float32)[order]
    return rows_of(data, cfg, asked, {"served": y_hat}, {}, base_rate=base_rate_of(data, cfg, data.as_of))


def inputs(data: Events, cfg: Pipeline, model: EventClassifier, as_of: date, *, threads: int) -> pa.Table:
    """Return the model's input for the events that were scored on ``as_of``: ``entity`` and a column a feature."""
    del threads
    rows = to_score(data, cfg, min(epoch_day(as_of), data.as_of))
    X = model.design(data, rows)
    columns = {name: pa.array(np.ascontiguousarray(X[:, k])) for k, name in enumerate(model.features)}
    return pa.table({ENTITY: pa.array(data.ids[rows].tolist(), pa.string())} | columns)


def naive(data: Events, cfg: Pipeline, as_of: date) -> Iterator[pa.RecordBatch]:
    """Yield the smoothed known share of positives of each event's units, for the events of ``as_of``."""
    day = epoch_day(as_of)
    rows = to_score(data, cfg, day)
    if not len(rows):
        raise TrainingError(f"{cfg.pipeline}: no event is known on {as_of}")
    risk = naive_risk(data, cfg, rows, base_rate_of(data, cfg, day))
    cost = costs(data, cfg, rows)
    yield _batch(data, rows, risk.astype(np.float32), risk * cost[1] > (1 - risk) * cost[0], day)


def moved(rows: pa.Table, cfg: Pipeline, as_of: date) -> pa.Table:
    """Refuse: yesterday's scores are of other events.

    Raises:
        TrainingError: Always.
    """
    raise TrainingError(f"{cfg.pipeline}: scores of earlier events say nothing of those of {as_of}")


def units(data: Events, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return each event, its ``unit`` and, as ``size``, whether it was known on ``as_of``.

    Later events are there too: a cohort is made of units, and theirs must be found in it.
    """
    name = cfg.rollout.by or cfg.classify.unit
    unit = data.ids
    if name:
        unit = np.array([*data.labels[name].names, "unknown"], dtype=np.str_)[data.labels[name].codes]
    size = (data.day <= epoch_day(as_of)).astype(np.float64)
    return pa.table({ENTITY: data.ids.tolist(), "unit": unit.tolist(), "size": size})


# --- scoring -----------------------------------------------------------------------------------------------


def _tested(data: Events, split: Split, cfg: Pipeline, models: Mapping[str, EventClassifier], threads: int) -> TestRows:
    asked = judged(data, split, cfg)
    base_rate = base_rate_of(data, cfg, epoch_day(split.train_end) + cfg.classify.label_delay_days)

    def scored(events: Events) -> TestRows:
        forecasts = {name: model.risk(model.design(events, asked.at), threads) for name, model in models.items()}
        alerts = {name: forecasts[name] >= model.threshold for name, model in models.items()}
        return rows_of(events, cfg, asked, forecasts, alerts, base_rate=base_rate)

    return judged_in_sets(data, asked.at, cfg.classify.evaluation_sets, scored)


def _batch(
    data: Events,
    rows: npt.NDArray[np.intp],
    risk: npt.NDArray[np.float32],
    alert: npt.NDArray[np.bool_],
    as_of: int,
) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {
            ENTITY: pa.array(data.ids[rows].tolist(), pa.string()),
            TIME: pa.array(data.day[rows]).cast(pa.date32()),
            "horizon": pa.array((1 + as_of - data.day[rows]).astype(np.int16)),
            "y_hat": pa.array(risk),
            "alert": pa.array(alert.astype(np.float32)),
        }
    )


def _days(dates: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    return np.asarray(dates.combine_chunks().cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False))
