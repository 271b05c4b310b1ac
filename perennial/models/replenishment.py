"""How much to order: periodic-review policies from the distribution of demand until the order after this one.

Time is counted in days. An order that is placed on the evening of day t is there on the morning of day
t + ``lead_days``; the next chance to order comes ``review_days`` later. What is ordered now therefore has to last,
with what is on hand and on its way, for the days t + 1 ... t + ``lead_days`` + ``review_days`` - 1: the
*protection interval*.

Two policies, in the notation of the field:

- (R, S), order-up-to: every R days raise the inventory position (on hand + on order) to S.
- (R, s, nQ), reorder point: every R days, if the position is at or below s, order lots of Q until it is above s.

S and s are a quantile of the demand in the protection interval. Which quantile is a matter of costs: a unit too few
loses its margin, a unit too many is held until the next order, or thrown away (the *critical fractile*).

Source: Silver, Pyke & Thomas 2017, Inventory and Production Management in Supply Chains (4th ed.), chapters 6 (reorder
point), 7 (periodic review) and 9 (newsvendor); Burgin 1975, The gamma distribution and inventory control.
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

LEAST = 1e-9
"""Differences below are rounding: no pack is ordered for them."""
WEEK, YEAR = 7, 365


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms each product is bought, kept and sold; every field has shape (n_products,).

    Attributes:
        lead_days: From the evening of the order to the morning of the delivery, >= 1.
        review_days: Between two chances to order, >= 1.
        pack: Units in the smallest quantity that can be ordered, > 0.
        shelf_days: Days on which a unit can be sold, that of its delivery included; 0: it keeps.
        value: What a unit costs to buy, in money; stock is valued by it.
        holding: Cost of a unit on hand for one night.
        waste: Cost of a unit that is thrown away.
        lost: Cost of a unit that was asked for and not there.
        order: Cost of placing an order for the product, whatever its size.
    """

    lead_days: Ints
    review_days: Ints
    pack: Floats
    shelf_days: Ints
    value: Floats
    holding: Floats
    waste: Floats
    lost: Floats
    order: Floats

    @classmethod
    def of(cls, n_products: int, **values: npt.ArrayLike) -> "Terms":
        """Return terms from one number for all products or one for each.

        Raises:
            TrainingError: A value is not finite or too small.

        Example:
            >>> terms = dict(lead_days=2, review_days=7, pack=6, shelf_days=0, value=1, holding=0.001, waste=1,
            ...              lost=0.5, order=0)
            >>> Terms.of(1, **terms).protection_days
            array([8])
        """
        out: dict[str, Any] = {}
        for field in fields(cls):
            whole = field.name.endswith("_days")
            column = np.broadcast_to(np.asarray(values[field.name], np.float64), (n_products,))
            least = 1.0 if field.name in ("lead_days", "review_days") else 0.0
            good = np.isfinite(column) & (column >= least) & ((column > 0) | (field.name != "pack"))
            if not good.all():
                bound = "above 0" if field.name == "pack" else f">= {least:g}"
                raise TrainingError(f"{field.name} {column[~good][0]:g} of a product must be a number {bound}")
            out[field.name] = column.astype(np.int64) if whole else column.copy()
        return cls(**out)

    @property
    def protection_days(self) -> Ints:
        """Days that an order has to last together with what is there and on its way, >= 1."""
        days: Ints = self.lead_days + self.review_days - 1
        return days

    @property
    def keeps(self) -> Flags:
        """Which products never go off."""
        keeps: Flags = self.shelf_days == 0
        return keeps

    def take(self, products: npt.NDArray[np.integer] | Flags) -> "Terms":
        """Return the terms of some products."""
        return Terms(**{field.name: getattr(self, field.name)[products] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known on the evening of a day, when an order may be placed.

    Attributes:
        day: Number of the day, from 0.
        on_hand: Units that can still be sold, shape (n_products,).
        on_order: Units ordered and not yet delivered, shape (n_products,).
        sold: Units sold in the last :data:`WEEK` days, this one last, shape (n_products, 7).
        reviewed: Which products may be ordered this evening, shape (n_products,).
    """

    day: int
    on_hand: Floats
    on_order: Floats
    sold: Floats
    reviewed: Flags

    @property
    def position(self) -> Floats:
        """Inventory position: on hand and on order, shape (n_products,)."""
        return self.on_hand + self.on_order


class Policy(Protocol):
    """What decides on orders."""

    def order(self, state: State) -> Floats:
        """Return the units to order of every product, >= 0, shape (n_products,); only reviewed ones count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpTo:
    """(R, S): raise the inventory position to S, in whole packs.

    Attributes:
        upto: S by product and day, shape (n_products, n_days).
        pack: Units in a pack, shape (n_products,).
        most: Units beyond which the position is never raised, or None: what its shelf life sells.
    """

    upto: Floats
    pack: Floats
    most: Floats | None = None

    def order(self, state: State) -> Floats:
        """Return what is missing to S, rounded up to packs, and down where the last pack would go off."""
        position = state.position
        wanted = whole_packs(self.upto[:, state.day] - position, self.pack)
        return wanted if self.most is None else _limited(wanted, self.most[:, state.day] - position, self.pack)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReorderPoint:
    """(R, s, nQ): at or below s, order lots of Q until the position is above s.

    Attributes:
        reorder: s by product and day, shape (n_products, n_days).
        lot: Q by product and day, whole packs, > 0, shape (n_products, n_days).
        pack: Units in a pack, shape (n_products,).
        most: Units beyond which the position is never raised, or None.
    """

    reorder: Floats
    lot: Floats
    pack: Floats
    most: Floats | None = None

    def order(self, state: State) -> Floats:
        """Return whole lots; none where s is zero or below and nothing is expected to be asked for."""
        position, point = state.position, self.reorder[:, state.day]
        due = (position <= point + LEAST) & (point > LEAST)
        wanted = np.where(due, whole_lots(point - position, self.lot[:, state.day]), 0.0)
        return wanted if self.most is None else _limited(wanted, self.most[:, state.day] - position, self.pack)


class LastWeek:
    """Order at every review what the last week sold, in proportion to the days until the next one.

    What is less than a pack is not forgotten: it counts at the next review. One object plays one simulation.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.owed = np.zeros(len(terms.pack))

    def order(self, state: State) -> Floats:
        """Return whole packs of what was sold."""
        self.owed += np.where(state.reviewed, state.sold.sum(axis=1) * self.terms.review_days / WEEK, 0.0)
        wanted = np.where(state.reviewed, np.floor(self.owed / self.terms.pack + LEAST) * self.terms.pack, 0.0)
        self.owed -= wanted
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Orders that were fixed beforehand, shape (n_products, n_days)."""

    orders: Floats

    def order(self, state: State) -> Floats:
        """Return the plan of the day."""
        return self.orders[:, state.day]


def critical_fractile(terms: Terms) -> Floats:
    """Return the probability of not running out that is worth its cost, in (0, 1), shape (n_products,).

    The last unit is worth having as long as P(it is asked for) x ``lost`` exceeds P(it is not) x the cost of
    keeping it until the next order can replace it: ``holding`` for ``review_days``, or for the shelf life and then
    ``waste``, where that ends first. Without any cost of having too much it is the largest double below 1.

    Source: Silver, Pyke & Thomas 2017, equations 7.36 (periodic review) and 9.3 (newsvendor).

    Example:
        >>> terms = dict(lead_days=1, review_days=10, pack=1, shelf_days=[0, 1], value=1, holding=0.01, waste=0.99,
        ...              lost=0.9, order=0)
        >>> critical_fractile(Terms.of(2, **terms)).round(3)
        array([0.9  , 0.474])
    """
    spoils = ~terms.keeps & (terms.shelf_days <= terms.review_days)
    nights = np.where(spoils, terms.shelf_days - 1, terms.review_days)
    over = terms.holding * nights + np.where(spoils, terms.waste, 0.0)
    total = terms.lost + over
    fractile = np.divide(terms.lost, total, out=np.full_like(total, 0.5), where=total > 0)
    return np.clip(fractile, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))


def spoiling_fractile(terms: Terms) -> Floats:
    """Return the probability of being sold in time below which a unit is not worth buying, shape (n_products,).

    ``lost / (lost + waste)``: the newsvendor's fractile for the whole shelf life.
    """
    total = terms.lost + terms.waste
    fractile = np.divide(terms.lost, total, out=np.full_like(total, 0.5), where=total > 0)
    return np.clip(fractile, np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))


def whole_packs(units: Floats, pack: Floats) -> Floats:
    """Round up to whole packs; what is zero or below needs none."""
    packs: Floats = np.ceil(np.maximum(units, 0.0) / pack - LEAST) * pack
    return packs


def whole_lots(short: Floats, lot: Floats) -> Floats:
    """Return the fewest lots that bring a position that is ``short`` >= 0 of s above it, in units."""
    lots: Floats = (np.floor(np.maximum(short, 0.0) / lot + LEAST) + 1) * lot
    return lots


def economic_lot(terms: Terms, rate: Floats) -> Floats:
    """Return the order quantity that balances placing orders against holding them, in whole packs.

    The square root of 2 x ``order`` x rate / ``holding`` (Harris 1913), at least one pack and at most what a
    year or the shelf life sells.

    Args:
        terms: Costs, packs, shelf lives.
        rate: Expected demand per day, >= 0, shape (n_products, n_days).
    """
    pack, shelf = terms.pack[:, None], terms.shelf_days[:, None]
    most = rate * np.where(shelf > 0, np.minimum(shelf, YEAR), YEAR)
    worth = np.sqrt(2 * terms.order[:, None] * rate)
    holding = np.sqrt(terms.holding)[:, None]
    lot = np.minimum(worth, most * holding) / np.where(holding > 0, holding, 1.0)
    lot = np.where(holding > 0, lot, most)
    return np.maximum(np.floor(lot / pack + 0.5), 1.0) * pack


def _limited(wanted: Floats, room: Floats, pack: Floats) -> Floats:
    """Return orders cut to the packs that find room: of the last one, at least half."""
    fits = np.floor(np.maximum(room, 0.0) / pack + 0.5) * pack
    return np.minimum(wanted, fits)
