"""Kind ``recommend``: a ranked list for every user, judged by what the user chooses in the days after it.

Published are the places of the lists: ``entity`` is user and item joined with ``/``, ``ds`` the first day of the
window, ``horizon`` the place, ``y_hat`` the score, with ``user`` and ``item`` by themselves. Everybody without a list
of their own is shown the list of the user without a name. A list ripens when its window has passed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from perennial.arrow import with_values
from perennial.config.models import Pipeline
from perennial.config.section import flat
from perennial.contracts import ENTITY, TARGET, TIME, Evaluation, Read, Snapshot, Split, TestRows, Training, Window
from perennial.errors import ConfigError, TrainingError, sample
from perennial.evaluation.scores import per_entity, score
from perennial.evaluation.topk import popularity_rank
from perennial.features.choices import Choices, Floats, Ints, Known
from perennial.features.panel import EPOCH, epoch_day
from perennial.kinds.base import Fitted
from perennial.kinds.listed import JOINT, as_shown, batch, shown_lists
from perennial.kinds.listrows import Lister, Origin, judge, place_chart, rows_of
from perennial.models import recommending
from perennial.models.ranked import BASELINES, same_for_all, top
from perennial.models.recommender import CLUES, Recommender, importance

__all__ = ["backtest", "check", "evaluate", "inputs", "load", "mature", "moved", "naive", "predict", "split", "train"]
__all__ += ["units"]

SERVED = "served"
BLOCK = 4_096
"""Users listed at a time: bounds the memory of scoring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The choices of a snapshot, and the day it stands on (since 1970-01-01)."""

    choices: Choices
    as_of: int


def check(cfg: Pipeline) -> None:
    """Refuse modes that only forecasts have: what is fitted is said by ``recommend``."""
    if cfg.model.mode != "refit":
        raise ConfigError(f"model.mode: {cfg.model.mode!r} is not possible for kind recommend; use 'refit'")
    if cfg.model.params:
        raise ConfigError(
            f"model.params: {sample(cfg.model.params)} belong to no recommender; its settings stand in `recommend`"
        )


def load(cfg: Pipeline, snapshot: Snapshot, read: Read) -> World:
    """Gather the choices of a snapshot.

    Raises:
        TrainingError: There is none, or an entity does not name a user and an item.
    """
    names, days = [], []
    least = -np.inf if cfg.recommend.min_value is None else cfg.recommend.min_value
    for rows in read(snapshot.main):
        y = rows[TARGET].cast(pa.float64()).to_numpy(zero_copy_only=False)
        day = rows[TIME].cast(pa.int32()).to_numpy(zero_copy_only=False)
        keep = np.flatnonzero(np.isfinite(y) & (y >= least) & (day <= epoch_day(snapshot.as_of)))
        names.append(rows[ENTITY].cast(pa.string()).take(pa.array(keep)))
        days.append(day[keep])
    entity = np.array(pa.chunked_array(names, pa.string()).to_pylist(), dtype=np.str_)
    if not len(entity):
        raise TrainingError(f"{cfg.pipeline}: nothing was chosen up to {snapshot.as_of}")
    user, joint, item = (np.asarray(part, np.str_) for part in np.strings.partition(entity, JOINT))
    if (joint != JOINT).any() or (user == "").any() or (item == "").any():
        wrong = entity[(joint != JOINT) | (user == "") | (item == "")]
        raise TrainingError(f"{cfg.pipeline}: {sample(wrong.tolist())} name no user and item; map entity: [user, item]")
    return World(choices=Choices.of(user, item, np.concatenate(days)), as_of=epoch_day(snapshot.as_of))


def split(data: World, cfg: Pipeline) -> Split:
    """Hold out the last days; origins lie in them, each with its whole window.

    Raises:
        TrainingError: Nothing was chosen before them.
    """
    made = _split(data, cfg, data.as_of)
    if not len(data.choices.known(epoch_day(made.train_end))):
        raise TrainingError(
            f"{cfg.pipeline}: nothing was chosen up to {made.train_end}, where training would end: "
            f"{cfg.split.holdout + cfg.split.gap} days are held out; wait, or hold out less"
        )
    return made


def train(data: World, split: Split, cfg: Pipeline, *, champion: Recommender | None, threads: int) -> Fitted:
    """Fit a candidate on what was known at the end of ``split.train_end``.

    Raises:
        TrainingError: There is too little to learn from.
    """
    del champion, threads  # always fitted anew, and the same whatever the threads
    settings = cfg.recommend
    fit = recommending.Fit(
        estimator=settings.estimator,
        window_days=settings.window_days,
        windows=settings.windows,
        neighbours=settings.neighbours,
        shrinkage=settings.shrinkage,
        factors=settings.factors,
        negatives=settings.negatives,
        recent_days=settings.recent_days,
        seed=cfg.model.seed,
    )
    made = recommending.train(data.choices, epoch_day(split.train_end), fit, settings.model_dump_json())
    params = {k: v for k, v in flat(settings, "recommend.").items() if v is not None}
    training = Training(
        params={**params, "model.seed": cfg.model.seed},
        rows=made.rows,
        features=CLUES,
        importance=importance(made.model, made.spread),
        mode="refit",
        example=made.example.astype(np.float32),
    )
    return Fitted(model=made.model, training=training)


def evaluate(data: World, split: Split, cfg: Pipeline, models: Mapping[str, Recommender], threads: int) -> Evaluation:
    """Score the models and the baselines by what users chose after each origin."""
    del threads
    rows = _tested(data, split, cfg, models)
    return Evaluation(
        scores=score(rows, cfg.evaluation), rows=rows, per_entity=per_entity(rows), charts=place_chart(rows)
    )


def predict(data: World, cfg: Pipeline, model: Recommender, *, threads: int) -> Iterator[pa.RecordBatch]:
    """List for every user, and for the newcomer without a name.

    Yields:
        Batches with ``entity``, ``ds`` (the day after the as-of date), ``horizon`` (int16, the place from 1), ``y_hat``
        (float32, the score), ``user`` and ``item``; ordered by user, then place. Places that nothing is left for
        have no row.
    """
    del threads
    known = data.choices.known(data.as_of)
    users = _listed_users(known, cfg)
    yield _newcomers(data, cfg, known, data.as_of)
    for start in range(0, len(users), BLOCK):
        block = users[start : start + BLOCK]
        items, best = model.lists(known, block, cfg.recommend.size)
        yield batch(data.choices.users[block], data.choices, items, best, data.as_of)


def backtest(data: World, cfg: Pipeline, model: Recommender, as_of: date, *, threads: int) -> TestRows:
    """List again, as contender ``served``, at the origins that a version of ``as_of`` was judged on."""
    del threads
    return _tested(data, _split(data, cfg, epoch_day(as_of)), cfg, {SERVED: model})


def mature(data: World, cfg: Pipeline, published: pa.Table) -> TestRows:
    """Put published lists whose window has passed, as contender ``served``, beside what was chosen in it.

    Args:
        data: What is known.
        cfg: Size and window of lists.
        published: Columns ``entity``, ``as_of``, ``horizon`` and ``y_hat``.

    Returns:
        A list for each user who chose something in the window: the user's own, else the newcomers'.
    """
    days = published["as_of"].combine_chunks().cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False)
    origins: list[Origin] = []
    for day in np.unique(days).tolist():
        if day + cfg.recommend.window_days <= data.as_of:
            shown = shown_lists(data.choices, cfg.recommend.size, published.filter(pa.array(days == day)))
            if len(shown):
                found = judge(data.choices, day, cfg, {SERVED: as_shown(shown)})
                origins.append(found)
    return rows_of(data.choices, cfg, origins, (SERVED, *BASELINES))


def inputs(data: World, cfg: Pipeline, model: Recommender, as_of: date, *, threads: int) -> pa.Table:
    """Return what is known of every user that is listed for: ``entity`` and four columns of numbers.

    ``history`` is the logarithm of the choices, ``gap_days`` the days since the last, ``mainstream`` the mean
    popularity of what was chosen (0 to 1), ``unknown_items`` the share of it that the model has not seen.
    """
    del threads
    known = data.choices.known(min(epoch_day(as_of), data.as_of))
    users = _listed_users(known, cfg)
    taken, count = known.taken[users], np.maximum(known.activity[users], 1)
    strange = ~np.isin(data.choices.items, model.items)
    columns = {
        "history": np.log1p(known.activity[users]),
        "gap_days": (known.day - known.last[users]).astype(np.float64),
        "mainstream": (taken @ popularity_rank(known.popularity)) / count,
        "unknown_items": (taken @ strange.astype(np.float64)) / count,
    }
    arrays = {name: pa.array(np.asarray(values, np.float32)) for name, values in columns.items()}
    return pa.table({ENTITY: pa.array(data.choices.users[users].tolist(), pa.string())} | arrays)


def naive(data: World, cfg: Pipeline, as_of: date) -> Iterator[pa.RecordBatch]:
    """Yield what is popular lately, for every user without what the user had, and for newcomers."""
    day = epoch_day(as_of)
    known = data.choices.known(min(day, data.as_of))
    users = _listed_users(known, cfg)
    yield _newcomers(data, cfg, known, day)
    recent = BASELINES["recent_popularity"](known, cfg.recommend.recent_days)
    for start in range(0, len(users), BLOCK):
        block = users[start : start + BLOCK]
        items, best = same_for_all(recent, known, block, cfg.recommend.size)
        yield batch(data.choices.users[block], data.choices, items, best, day)


def moved(rows: pa.Table, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return earlier lists as those of ``as_of``: a list of yesterday is still better than none."""
    del cfg
    return with_values(rows, {TIME: as_of + timedelta(days=1)})


def units(data: World, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return every pair of user and item as ``entity``, its user as ``unit`` and the user's choices as ``size``.

    A cohort is made of users, newcomers among them as one, and all that they may ever be listed must be found in it.
    """
    del cfg
    known = data.choices.known(min(epoch_day(as_of), data.as_of))
    users, items = np.append("", data.choices.users), data.choices.items
    unit = np.repeat(users, len(items))
    entity = np.strings.add(np.strings.add(unit, JOINT), np.tile(items, len(users)))
    size = np.repeat(np.append(0.0, known.activity / max(1, len(items))), len(items))
    return pa.table({ENTITY: entity.tolist(), "unit": unit.tolist(), "size": size})


# --- which days --------------------------------------------------------------------------------------------


def _split(data: World, cfg: Pipeline, as_of: int) -> Split:
    end = as_of - cfg.split.holdout - cfg.split.gap
    window = cfg.recommend.window_days
    origins = range(as_of - window, end + cfg.split.gap - 1, -cfg.split.step)
    known = data.choices.known(end).activity > 0
    now = data.choices.known(as_of).activity > 0
    return Split(
        train_end=EPOCH + timedelta(days=end),
        windows=tuple(Window(origin=EPOCH + timedelta(days=day), horizon=window) for day in sorted(origins)),
        entities=int(now.sum()),
        new_entities=tuple(data.choices.users[now & ~known].tolist()),
    )


def _tested(data: World, split: Split, cfg: Pipeline, models: Mapping[str, Recommender]) -> TestRows:
    def lister(model: Recommender) -> Lister:
        def listed(known: Known, users: Ints) -> Ints:
            lists = model.lists(known, users, cfg.recommend.size)[0]
            # newcomers, and who has been away for longer than `active_days`, are shown the list without a name
            lists[~np.isin(users, _listed_users(known, cfg))] = _cold(known, cfg)[0]
            return lists

        return listed

    listers = {name: lister(model) for name, model in models.items()}
    origins = [judge(data.choices, epoch_day(one.origin), cfg, listers) for one in split.windows]
    return rows_of(data.choices, cfg, origins, (*models, *BASELINES))


def _listed_users(known: Known, cfg: Pipeline) -> Ints:
    fresh = known.activity > 0
    if cfg.recommend.active_days is not None:
        fresh &= known.last > known.day - cfg.recommend.active_days
    return np.flatnonzero(fresh).astype(np.int32)


def _newcomers(data: World, cfg: Pipeline, known: Known, day: int) -> pa.RecordBatch:
    """Return the list of the user without a name."""
    items, best = _cold(known, cfg)
    return batch(np.array([""]), data.choices, items, best, day)


def _cold(known: Known, cfg: Pipeline) -> tuple[Ints, Floats]:
    """Return what everybody is shown who has no list, shape (1, size)."""
    recent = BASELINES["recent_popularity"](known, cfg.recommend.recent_days)
    return top(np.where(recent > 0, recent, -np.inf)[None], None, cfg.recommend.size)
