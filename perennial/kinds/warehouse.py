"""The rows of a replenishment pipeline as a shop: what was sold, what is on hand, what is expected.

A forecast is needed for every evening that a policy is played on, years of them, and publications begin when a
pipeline begins. So backtests, training included, use a plain forecast of the kind's own: the mean of the last eight
weeks, with the variance of the last half year. Today's order uses the published forecast wherever there is one.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from perennial.config.forecast import Forecast
from perennial.config.models import Pipeline
from perennial.config.stockouts import Stockouts
from perennial.contracts import ENTITY, TIME, Read, Snapshot
from perennial.evaluation.stock import review_days
from perennial.evaluation.tuning import Outlook, Season, ceiling
from perennial.features import Panel, read_panel
from perennial.features.panel import Ints, epoch_day
from perennial.kinds.slices import slice_names
from perennial.models.leadtime import daily_variance
from perennial.models.replenishment import WEEK, Floats, Terms, whole_packs

LEVEL_DAYS, SPREAD_DAYS, START_DAYS = 56, 182, 28
ACTIVE_DAYS = 182
"""A product that sold nothing for longer is neither played nor ordered."""
QUANTILE = re.compile(r"^q(\d{2})(?:_(\d+))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Everything a snapshot knows.

    Attributes:
        panel: Sales; price and stock as observed columns; days without stock are masked.
        mean: Published demand of the protection interval after the as-of date, nan without any, shape (n_entities,).
        variance: Of it.
    """

    panel: Panel
    mean: Floats
    variance: Floats


def read_shop(cfg: Pipeline, snapshot: Snapshot, read: Read) -> Shop:
    """Gather a snapshot's sales and the newest published forecast of each day that was known."""
    how = cfg.replenish
    columns = dict.fromkeys(name for name in (how.price, how.on_hand, how.on_order) if name)
    view = Forecast(
        horizon=how.protection_days,
        closed_weekdays=how.closed_weekdays,
        static=how.static,
        observed=tuple(columns),
        stockouts=Stockouts(on_hand=how.on_hand),
    )
    panel = read_panel(cfg.model_copy(update={"forecast": view}), snapshot, read)
    mean, variance = _published(cfg, snapshot, read, panel)
    return Shop(panel=panel, mean=mean, variance=variance)


def _published(cfg: Pipeline, snapshot: Snapshot, read: Read, panel: Panel) -> tuple[Floats, Floats]:
    """Add the published days of the protection interval up; an open day without a forecast leaves nan."""
    how, span = cfg.replenish, cfg.replenish.protection_days
    mean, variance = (np.full((panel.n_entities, span), np.nan) for _ in range(2))
    if how.forecast is not None and how.forecast in snapshot.known:
        names = [name for name in cfg.known[how.forecast].columns.extra if QUANTILE.match(name)]
        levels = sorted((_level(name), name) for name in names)
        code = {name: n for n, name in enumerate(panel.entities.tolist())}
        first, last = (snapshot.as_of + timedelta(days=n) for n in (1, span))
        for batch in read(snapshot.known[how.forecast]):
            rows = batch.filter(pc.and_(pc.greater_equal(batch[TIME], first), pc.less_equal(batch[TIME], last)))
            product = np.array([code.get(name, -1) for name in rows[ENTITY].to_pylist()], np.int64)
            day = rows[TIME].cast("int32").to_numpy(zero_copy_only=False) - epoch_day(first)
            expected = rows[how.mean].to_numpy(zero_copy_only=False).astype(np.float64)
            quantiles = [rows[name].to_numpy(zero_copy_only=False) for _, name in levels]
            stacked = np.stack(quantiles, axis=1) if quantiles else np.empty((len(product), 0))
            at = (product[product >= 0], day[product >= 0])
            mean[at] = expected[product >= 0]
            variance[at] = daily_variance(expected, stacked, [level for level, _ in levels])[product >= 0]
    is_open = panel.open[panel.n_days : panel.n_days + span]
    return mean[:, is_open].sum(axis=1), variance[:, is_open].sum(axis=1)


def _level(name: str) -> float:
    """Return the level of a quantile column: ``q05`` -> 0.05, ``q97_5`` -> 0.975."""
    found = QUANTILE.match(name)
    return float(f"{found[1]}.{found[2] or 0}") / 100 if found else float("nan")


def plain_forecast(panel: Panel, products: Ints, columns: Ints, span: int) -> Outlook:
    """Forecast, knowing no more than each column, the demand of the ``span`` days after it."""
    y = panel.y[products].astype(np.float64)
    known = np.isfinite(y)
    level = _windowed(np.nan_to_num(y), known, columns, LEVEL_DAYS)
    middle = _windowed(np.nan_to_num(y), known, columns, SPREAD_DAYS)
    square = _windowed(np.nan_to_num(y) ** 2, known, columns, SPREAD_DAYS)
    sums = np.concatenate([[0], np.cumsum(panel.open)])
    ahead = sums[np.minimum(columns + 1 + span, len(sums) - 1)] - sums[columns + 1]
    return Outlook(
        mean=level * ahead,
        variance=np.maximum(square - middle**2, level) * ahead,
        ceiling=ceiling(y[:, : int(columns[0]) + 1], np.full(len(products), span)),
    )


def _windowed(values: Floats, known: npt.NDArray[np.bool_], columns: Ints, days: int) -> Floats:
    """Return the mean of the known values of the ``days`` up to each column, 0 where there is none."""
    totals, counts = (
        np.concatenate([np.zeros((len(values), 1)), np.cumsum(v, axis=1, dtype=np.float64)], axis=1)
        for v in (values, known)
    )
    end, begin = columns + 1, np.maximum(columns + 1 - days, 0)
    count = counts[:, end] - counts[:, begin]
    mean: Floats = (totals[:, end] - totals[:, begin]) / np.maximum(count, 1)
    return mean


def active(panel: Panel, end: int) -> Ints:
    """Return the products that sold something in the :data:`ACTIVE_DAYS` up to column ``end``."""
    sold = np.nansum(panel.y[:, max(0, end + 1 - ACTIVE_DAYS) : end + 1], axis=1)
    return np.flatnonzero(sold > 0).astype(np.int32)


def classes(cfg: Pipeline, panel: Panel, end: int, products: Ints) -> npt.NDArray[np.str_]:
    """Return the class of each product as of column ``end``."""
    return slice_names(panel, end, [cfg.replenish.classes])[cfg.replenish.classes][products]


def terms_of(cfg: Pipeline, panel: Panel, end: int, products: Ints) -> Terms:
    """Return the terms of products as of column ``end``; the price is the mean of what was paid in half a year."""
    how, price = cfg.replenish, np.ones(len(products))
    if how.price is not None:
        paid = panel.observed[how.price].values[products, max(0, end + 1 - ACTIVE_DAYS) : end + 1].astype(np.float64)
        there = np.isfinite(paid).sum(axis=1)
        mean = np.nansum(paid, axis=1) / np.maximum(there, 1)
        usual = float(np.median(mean[there > 0])) if there.any() else 1.0
        price = np.where((there > 0) & (mean > 0), mean, usual)
    value = price * how.cost_share
    return Terms.of(
        len(products),
        lead_days=how.lead_days,
        review_days=how.review_days,
        pack=how.pack,
        shelf_days=how.shelf_days,
        value=value,
        holding=value * how.holding_per_year / 365,
        waste=value * how.waste_share,
        lost=price - value,
        order=how.order_cost,
    )


def season(cfg: Pipeline, panel: Panel, first: int, days: int, products: Ints) -> Season:
    """Return some days of history to play on, with what was known before and on each of them."""
    how, columns = cfg.replenish, np.arange(first, first + days, dtype=np.int32)
    terms = terms_of(cfg, panel, first - 1, products)
    return Season(
        demand=panel.y[products][:, columns].astype(np.float64),
        terms=terms,
        start=start_stock(cfg, panel, first, products, terms),
        reviews=review_days(panel.first_day + first, days, terms),
        outlook=plain_forecast(panel, products, columns, how.protection_days),
        recent=last_week(panel, first, products),
    )


def start_stock(cfg: Pipeline, panel: Panel, first: int, products: Ints, terms: Terms) -> Floats:
    """Return what is on hand on the morning of a column: as counted, else enough until a first order arrives."""
    sold = np.nan_to_num(panel.y[products, max(0, first - START_DAYS) : first].astype(np.float64)).sum(axis=1)
    usual = whole_packs(sold / START_DAYS * (terms.lead_days + terms.review_days), terms.pack)
    name = cfg.replenish.on_hand
    if name is None or first < 1:
        return usual
    counted = panel.observed[name].values[products, first - 1].astype(np.float64)
    return np.where(np.isfinite(counted), np.maximum(np.nan_to_num(counted), 0.0), usual)


def last_week(panel: Panel, first: int, products: Ints) -> Floats:
    """Return the units sold in the seven days before a column, shape (n_products, 7)."""
    sold = np.nan_to_num(panel.y[products, max(0, first - WEEK) : first].astype(np.float64))
    return np.pad(sold, ((0, 0), (WEEK - sold.shape[1], 0)))
