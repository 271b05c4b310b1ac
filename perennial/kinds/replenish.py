"""Kind ``replenish``: an order quantity per product for the day after the as-of date.

Training chooses the policy and level of each class of products by playing them on real demand; evaluation plays
candidate, champion and the naive contenders on later days; monitoring plays what was really published.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.models import Pipeline
from perennial.config.section import flat
from perennial.contracts import ENTITY, TIME, Evaluation, Read, Snapshot, Split, TestRows, Training, Window
from perennial.errors import TrainingError
from perennial.evaluation.ordering import BASELINES
from perennial.evaluation.scores import per_entity, score
from perennial.evaluation.stock import review_days
from perennial.evaluation.tuning import Choice, Outlook, choose, chosen
from perennial.features.panel import Ints, epoch_day
from perennial.kinds.base import Fitted
from perennial.kinds.orderrows import order_rows, ordered
from perennial.kinds.plays import WITHOUT_DAYS, chart, contenders, rows_of
from perennial.kinds.warehouse import Shop, active, classes, last_week, plain_forecast, read_shop, season, terms_of
from perennial.models.orderer import Orderer
from perennial.models.replenishment import WEEK, LastWeek, Planned, Policy, State
from perennial.monitoring.spiral import spirals as find_spirals

YEAR_DAYS = 364
"""A year of whole weeks."""
BOOK_DAYS = 56
"""Without a stock column, stock is what the policy would have left of these days."""


def check(cfg: Pipeline) -> None:
    """Refuse nothing beyond what the settings themselves refuse."""


def load(cfg: Pipeline, snapshot: Snapshot, read: Read) -> Shop:
    """Gather sales, stock and the published forecast of a snapshot; see :mod:`perennial.kinds.warehouse`."""
    return read_shop(cfg, snapshot, read)


def split(data: Shop, cfg: Pipeline) -> Split:
    """Hold the last days out; the ``choose_days`` before them are what parameters are chosen on.

    Raises:
        TrainingError: History is too short for both and the weeks that a first forecast needs.
    """
    panel, held = data.panel, cfg.split.holdout
    train_end = panel.as_of - timedelta(days=held + cfg.split.gap)
    needed = held + cfg.split.gap + cfg.replenish.choose_days + WITHOUT_DAYS
    if panel.n_days < needed:
        raise TrainingError(
            f"{cfg.pipeline}: {panel.n_days} days of history, {needed} are needed (split.holdout {held}, split.gap, "
            f"replenish.choose_days and {WITHOUT_DAYS} days before); wait for more history or shorten them"
        )
    new = panel.entities[panel.first > panel.column(train_end)]
    return Split(
        train_end=train_end,
        windows=(Window(origin=panel.as_of - timedelta(days=held), horizon=held),),
        entities=panel.n_entities,
        new_entities=tuple(map(str, new)),
    )


def train(data: Shop, split: Split, cfg: Pipeline, *, champion: Orderer | None, threads: int) -> Fitted:
    """Choose, for each class, the policy and level that would have been cheapest on days before the held-out ones.

    Raises:
        TrainingError: Nothing was sold before these days.
    """
    panel, days = data.panel, cfg.replenish.choose_days
    firsts = [panel.column(split.train_end) + 1 - days]
    before = panel.column(split.windows[0].origin) + 1 - YEAR_DAYS
    if cfg.replenish.last_year and before >= days:
        firsts.append(before)
    played = [(first, active(panel, first - 1)) for first in firsts]
    if not len(played[0][1]):
        raise TrainingError(f"{cfg.pipeline}: no product sold anything before {panel.day(firsts[0])}; nothing to order")
    seasons = [
        (season(cfg, panel, first, days, products), classes(cfg, panel, first - 1, products))
        for first, products in played
    ]
    found = choose(seasons, policies=cfg.replenish.policies)
    listed = {name: [choice.policy, choice.level, choice.cost] for name, choice in sorted(found.items())}
    params = {key: value if isinstance(value, str | int | float) else str(value) for key, value in _flat(cfg).items()}
    params |= {f"chosen.{name}": f"{policy} {level}" for name, (policy, level, _) in listed.items()}
    return Fitted(
        model=Orderer(settings=cfg.replenish.model_dump_json(), classes=listed),
        training=Training(
            params=params,
            rows=sum(one.demand.size for one, _ in seasons),
            features=("mean", "sd"),
            importance={},
            mode="refit",
        ),
    )


def evaluate(data: Shop, split: Split, cfg: Pipeline, models: Mapping[str, Orderer], threads: int) -> Evaluation:
    """Play models and naive contenders on the held-out days, beside perfect foresight."""
    rows = _judged(data, cfg, split.windows[0].origin, split.windows[0].horizon, models)
    return Evaluation(scores=score(rows, cfg.evaluation), rows=rows, per_entity=per_entity(rows), charts=(chart(rows),))


def _judged(data: Shop, cfg: Pipeline, origin: date, days: int, models: Mapping[str, Orderer]) -> TestRows:
    panel, first = data.panel, data.panel.column(origin) + 1
    products = active(panel, first - 1)
    one = season(cfg, panel, first, days, products)
    mine = {name: _policy(cfg, data, model, first - 1, products, one.outlook) for name, model in models.items()}
    return rows_of(cfg, panel, one, first, products, contenders(cfg, one) | mine)


def _policy(cfg: Pipeline, data: Shop, model: Orderer, end: int, products: Ints, outlook: Outlook) -> Policy:
    """Return what a model orders, its classes taken as of column ``end``."""
    choices = {
        name: Choice(policy=str(policy), level=float(level), cost=float(cost))  # type: ignore[arg-type]
        for name, (policy, level, cost) in model.classes.items()
    }
    terms = terms_of(cfg, data.panel, end, products)
    return chosen(choices, classes(cfg, data.panel, end, products), outlook, terms)


def predict(data: Shop, cfg: Pipeline, model: Orderer, *, threads: int) -> Iterator[pa.RecordBatch]:
    """Yield what to order of every product now, in whole packs.

    Yields:
        One batch with ``entity``, ``ds`` (the day after the as-of date), ``horizon`` (1), ``y_hat`` (units to order),
        ``on_hand`` and ``on_order`` (as counted, else as the book says) and ``expected`` (demand until the order after
        this one). Products that have not sold for half a year are not ordered.
    """
    panel, now = data.panel, data.panel.n_days - 1
    products = active(panel, now)
    own = plain_forecast(panel, products, np.array([now], np.int32), cfg.replenish.protection_days)
    mean = np.where(np.isfinite(data.mean[products]), data.mean[products], own.mean[:, 0])
    variance = np.where(np.isfinite(data.mean[products]), data.variance[products], own.variance[:, 0])
    outlook = Outlook(mean=mean[:, None], variance=variance[:, None], ceiling=own.ceiling)
    state = _state(data, cfg, model, products)
    order = _policy(cfg, data, model, now, products, outlook).order(state)
    yield order_rows(data, products, np.where(state.reviewed, order, 0.0), state, mean)


def _state(data: Shop, cfg: Pipeline, model: Orderer, products: Ints) -> State:
    """Return stock as it was counted this evening, or as the book has it: the policy played on the last days.

    A product that was not counted has what the book says, on hand and on order alike: half a book fits no count.
    """
    panel, how, now = data.panel, cfg.replenish, data.panel.n_days - 1
    days = min(BOOK_DAYS, now)
    one = season(cfg, panel, now + 1 - days, days, products)
    played = one.play(_policy(cfg, data, model, now - days, products, one.outlook))
    on_hand, on_order = played.on_hand[:, -1], np.maximum(played.due - played.ordered[:, -1], 0.0)
    if how.on_hand is not None:
        found = panel.observed[how.on_hand].values[products, now].astype(np.float64)
        coming = np.zeros_like(found)  # with a lead time of a day nothing is on its way in the evening
        if how.on_order is not None:
            coming = np.nan_to_num(panel.observed[how.on_order].values[products, now].astype(np.float64))
        counted = np.isfinite(found)
        on_hand = np.where(counted, np.maximum(found, 0.0), on_hand)
        on_order = np.where(counted, np.maximum(coming, 0.0), on_order)
    return State(
        day=0,
        on_hand=on_hand,
        on_order=on_order,
        sold=last_week(panel, now + 1, products),
        reviewed=one.reviews[:, -1],
    )


def backtest(data: Shop, cfg: Pipeline, model: Orderer, as_of: date, *, threads: int) -> TestRows:
    """Play a version again, as contender ``served``, on the days that it was judged on."""
    end = data.panel.column(as_of)
    days = min(cfg.split.holdout, end)
    return _judged(data, cfg, as_of - timedelta(days=days), days, {"served": model})


def mature(data: Shop, cfg: Pipeline, published: pa.Table) -> TestRows:
    """Play published orders, as contender ``served``, on the demand that came, beside the naive contenders.

    All begin with the same stock on the first of these days. A day without a publication orders nothing.
    """
    panel = data.panel
    column = published["as_of"].cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64) - panel.first_day
    first = int(column.min()) if len(column) else panel.n_days
    days = panel.n_days - first
    if days < 1 or first < 1:
        return rows_of(cfg, panel, None, first, np.empty(0, np.int32), {"served": None} | dict.fromkeys(BASELINES))
    products = active(panel, first - 1)
    one = season(cfg, panel, first, days, products)
    orders = ordered(data, published, column - first, products, days)
    served = replace(one, reviews=np.ones_like(one.reviews))
    played = {"served": served.play(Planned(orders=orders))}
    return rows_of(cfg, panel, one, first, products, contenders(cfg, one), played)


def inputs(data: Shop, cfg: Pipeline, model: Orderer, as_of: date, *, threads: int) -> pa.Table:
    """Return what the plain forecast says on ``as_of``: ``mean`` and ``sd`` of the demand to be covered."""
    end = min(data.panel.column(as_of), data.panel.n_days - 1)
    if end < 0:
        return pa.table({ENTITY: pa.array([], pa.string())})
    products = active(data.panel, end)
    found = plain_forecast(data.panel, products, np.array([end], np.int32), cfg.replenish.protection_days)
    return pa.table(
        {
            ENTITY: pa.array(data.panel.entities[products].tolist(), pa.string()),
            "mean": pa.array(found.mean[:, 0].astype(np.float32)),
            "sd": pa.array(np.sqrt(found.variance[:, 0]).astype(np.float32)),
        }
    )


def naive(data: Shop, cfg: Pipeline, as_of: date) -> Iterator[pa.RecordBatch]:
    """Yield what the last week sold, for the days until the next review, in whole packs.

    Raises:
        TrainingError: No day is known up to ``as_of``.
    """
    now = min(data.panel.column(as_of), data.panel.n_days - 1)
    if now < 0:
        raise TrainingError(f"{cfg.pipeline}: nothing is known up to {as_of}")
    products = active(data.panel, now)
    terms = terms_of(cfg, data.panel, now, products)
    sold, nothing = last_week(data.panel, now + 1, products), np.zeros(len(products))
    reviewed = review_days(epoch_day(as_of), 1, terms)[:, 0]
    state = State(day=0, on_hand=nothing, on_order=nothing, sold=sold, reviewed=reviewed)
    order = np.where(reviewed, LastWeek(terms).order(state), 0.0)
    rows = pa.Table.from_batches([order_rows(data, products, order, state, sold.sum(axis=1) / WEEK)])
    dated = rows.set_column(1, TIME, pa.array([as_of + timedelta(days=1)] * rows.num_rows, pa.date32()))
    yield from dated.select([ENTITY, TIME, "horizon", "y_hat"]).to_batches()


def moved(rows: pa.Table, cfg: Pipeline, as_of: date) -> pa.Table:
    """Refuse: an order that was placed once must not be placed again.

    Raises:
        TrainingError: Always.
    """
    raise TrainingError(f"{cfg.pipeline}: the orders of an earlier date are on their way and cannot stand for {as_of}")


def units(data: Shop, cfg: Pipeline, as_of: date) -> pa.Table:
    """Return what a cohort can be made of: products or a static column, and what each sold in four weeks."""
    panel, end = data.panel, min(data.panel.column(as_of), data.panel.n_days - 1)
    known, label = panel.first <= end, panel.entities
    if cfg.rollout.by:
        column = panel.static[cfg.rollout.by]
        label = np.array([*column.names, "unknown"], dtype=np.str_)[column.codes]
    size = np.nan_to_num(panel.y[:, max(0, end - 27) : end + 1]).sum(axis=1, dtype=np.float64)
    return pa.table({ENTITY: panel.entities[known].tolist(), "unit": label[known].tolist(), "size": size[known]})


def spirals(data: Shop, cfg: Pipeline, published: pa.Table) -> tuple[str, ...]:
    """Return products that are out of stock and not ordered though they used to sell, the largest first.

    Args:
        data: Without ``replenish.on_hand`` nothing can be found.
        cfg: The pipeline.
        published: Columns ``entity``, ``as_of`` and ``y_hat``; orders of the last days of a protection interval count.
    """
    panel = data.panel
    if panel.censored is None or not published.num_rows:
        return ()
    since = pc.max(published["as_of"]).as_py() - timedelta(days=cfg.replenish.protection_days)
    recent = published.filter(pc.greater(published["as_of"], pa.scalar(since, pa.date32())))
    sums = recent.group_by(ENTITY).aggregate([("y_hat", "sum")])
    ordered = dict(zip(sums[ENTITY].to_pylist(), sums["y_hat_sum"].to_pylist(), strict=True))
    daily = [ordered.get(name, np.nan) / cfg.replenish.protection_days for name in panel.entities.tolist()]
    is_open = panel.open[: panel.n_days]
    found = find_spirals(panel.y[:, is_open], panel.censored[:, is_open], np.array(daily, np.float64))
    return tuple(str(name) for name in panel.entities[found.rows])


def _flat(cfg: Pipeline) -> dict[str, object]:
    found = {**flat(cfg.replenish, "replenish."), **flat(cfg.split, "split.")}
    return {key: value for key, value in found.items() if value is not None}
