"""Play an ordering policy against demand that really occurred, day by day, all products at once.

A day goes like this: in the morning what is due arrives; during the day it is asked for, the oldest unit is sold
first, and what is not there is lost; in the evening units on the last day of their shelf life are thrown away, what
is left is held for the night, and on days of review the policy places an order.

Nothing gets lost on the way: start + arrived = sold + wasted + on hand, for every product on every evening.
"""

from dataclasses import dataclass

import numpy as np

from perennial.errors import TrainingError
from perennial.models.replenishment import WEEK, Flags, Floats, Policy, State, Terms

Money = Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What happened in a simulation, in units; each array has shape (n_products, n_days).

    Attributes:
        demand: What was asked for; nan where that is not known: nothing was sold, and the day does not count.
        sold: Units sold.
        wasted: Units thrown away in the evening.
        on_hand: Units held for the night.
        arrived: Units delivered in the morning.
        ordered: Units ordered in the evening.
        start: Units on hand before the first day, shape (n_products,).
        due: Units ordered and not yet delivered after the last day, shape (n_products,).
    """

    demand: Floats
    sold: Floats
    wasted: Floats
    on_hand: Floats
    arrived: Floats
    ordered: Floats
    start: Floats
    due: Floats

    @property
    def lost(self) -> Floats:
        """Units that were asked for and not there."""
        return np.maximum(np.nan_to_num(self.demand) - self.sold, 0.0)

    def cost(self, terms: Terms) -> Money:
        """Return holding, waste, lost sales and orders in money, shape (n_products, n_days)."""
        return (
            self.on_hand * terms.holding[:, None]
            + self.wasted * terms.waste[:, None]
            + self.lost * terms.lost[:, None]
            + (self.ordered > 0) * terms.order[:, None]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a policy achieved over all products and days.

    Attributes:
        fill_rate: Share of the demanded units that were sold, in [0, 1]; nan if nothing was asked for.
        waste: Units thrown away.
        stock_value: Mean value of the stock held overnight, in money.
        cost: Holding, waste, lost sales and orders, in money.
    """

    fill_rate: float
    waste: float
    stock_value: float
    cost: float


def play(
    demand: Floats, terms: Terms, policy: Policy, *, start: Floats, reviews: Flags, recent: Floats | None = None
) -> Play:
    """Let a policy place the orders.

    Args:
        demand: Units asked for, >= 0, nan where unknown, shape (n_products, n_days).
        terms: Lead times, shelf lives, packs, costs.
        policy: Asked on the evening of every day on which some product is reviewed.
        start: Fresh units on hand in the first morning, >= 0, shape (n_products,).
        reviews: On which evenings each product may be ordered, shape (n_products, n_days); see :func:`review_days`.
        recent: Units sold in the seven days before, shape (n_products, 7); default: none.

    Raises:
        TrainingError: The policy asks for a quantity that is negative or not finite.
    """
    n, days = demand.shape
    wanted = np.nan_to_num(demand)
    book = {name: np.zeros((n, days)) for name in ("sold", "wasted", "on_hand", "arrived", "ordered")}
    due = np.zeros((n, days + int(terms.lead_days.max(initial=1)) + 1))
    sold = np.concatenate([np.zeros((n, WEEK)) if recent is None else recent, book["sold"]], axis=1)
    shelf, products = _Shelf(terms, start), np.arange(n)
    for day in range(days):
        book["arrived"][:, day] = due[:, day]
        shelf.take_in(due[:, day])
        book["sold"][:, day] = sold[:, WEEK + day] = shelf.sell(wanted[:, day])
        book["wasted"][:, day] = shelf.throw_away()
        book["on_hand"][:, day] = on_hand = shelf.total()
        if reviews[:, day].any():
            week = sold[:, day + 1 : day + 1 + WEEK]
            on_order = due[:, day + 1 :].sum(axis=1)
            state = State(day=day, on_hand=on_hand, on_order=on_order, sold=week, reviewed=reviews[:, day])
            order = np.where(state.reviewed, _sound(policy.order(state), state.reviewed), 0.0)
            book["ordered"][:, day] = order
            due[products, day + terms.lead_days] += order
    return Play(demand=demand, start=start, due=due[:, days:].sum(axis=1), **book)


def review_days(first_day: int, n_days: int, terms: Terms) -> Flags:
    """Return on which days each product is reviewed, shape (n_products, n_days).

    Those whose number, counted from Monday 1970-01-05, is a multiple of ``review_days``: with 7, every Monday.

    Args:
        first_day: Days from 1970-01-01 to the first day.
        n_days: Number of days.
        terms: ``review_days`` of each product.
    """
    numbers = first_day - 4 + np.arange(n_days)
    reviewed: Flags = (numbers[None, :] % terms.review_days[:, None]) == 0
    return reviewed


def result(played: Play, terms: Terms) -> Result:
    """Add a simulation up."""
    asked = float(np.nansum(played.demand))
    return Result(
        fill_rate=float(played.sold.sum()) / asked if asked > 0 else float("nan"),
        waste=float(played.wasted.sum()),
        stock_value=float((played.on_hand * terms.value[:, None]).sum(axis=0).mean()),
        cost=float(played.cost(terms).sum()),
    )


class _Shelf:
    """Stock by the nights it has left; the last column keeps for ever."""

    def __init__(self, terms: Terms, start: Floats) -> None:
        self.last = int(terms.shelf_days.max(initial=0))
        self.fresh = np.where(terms.keeps, self.last, terms.shelf_days - 1)
        self.products = np.arange(len(start))
        self.units = np.zeros((len(start), self.last + 1))
        self.take_in(start)

    def take_in(self, units: Floats) -> None:
        """Put fresh units on the shelf."""
        self.units[self.products, self.fresh] += units

    def sell(self, wanted: Floats) -> Floats:
        """Sell what is wanted and there, the oldest first."""
        up_to = np.cumsum(self.units, axis=1)
        sold: Floats = np.minimum(wanted, up_to[:, -1])
        self.units = np.minimum(self.units, np.maximum(up_to - sold[:, None], 0.0))
        return sold

    def throw_away(self) -> Floats:
        """Remove what was on its last day, and let the rest grow a night older."""
        if not self.last:
            return np.zeros(len(self.units))
        gone = self.units[:, 0].copy()
        self.units[:, : self.last - 1] = self.units[:, 1 : self.last]
        self.units[:, self.last - 1] = 0.0
        return gone

    def total(self) -> Floats:
        """Return the units of each product."""
        total: Floats = self.units.sum(axis=1)
        return total


def _sound(order: Floats, asked: Flags) -> Floats:
    wrong = asked & ~(np.isfinite(order) & (order >= 0))
    if wrong.any():
        raise TrainingError(
            f"a policy ordered {order[wrong][0]} units of product number {int(np.flatnonzero(wrong)[0])}; "
            "a quantity must be finite and >= 0: look at the forecast it was computed from"
        )
    return order
