"""The least that any policy can cost on a given demand: the orders of someone who knew it all.

Packs may be broken, which no policy may do, so that the result bounds from below what any policy can reach; without
a lower limit on quantities the optimum has a simple form. Let residual demand be what the stock at the start leaves
unserved. Then there is an optimal plan in which

- a delivery only arrives when all earlier ones are sold (a unit that waits behind a newer delivery would be cheaper
  in that one), and serves the days from its arrival to some last day completely, within its shelf life (a unit of an
  earlier day is held for less time than one of a later day, and losing either costs the same);
- the days after that, up to the next delivery, are lost.

So the cheapest plan from day t on, with nothing in stock, either loses day t or begins a delivery on it, and a
recursion over days finds it: Wagner & Whitin 1958, with lost sales as in Aksen, Altinkemer & Chand 2003. It takes
n_days^2 / 2 steps, each over all products.
"""

from dataclasses import dataclass

import numpy as np

from perennial.evaluation.stock import play
from perennial.models.replenishment import Flags, Floats, Ints, Planned, Terms


def perfect_foresight(demand: Floats, terms: Terms, *, start: Floats, reviews: Flags) -> Planned:
    """Return the cheapest orders for a demand that is known, packs aside.

    Args:
        demand: Units asked for, nan where unknown, shape (n_products, n_days).
        terms: Lead times, shelf lives, costs.
        start: Fresh units on hand in the first morning, shape (n_products,).
        reviews: On which evenings each product may be ordered, shape (n_products, n_days).
    """
    nothing = Planned(orders=np.zeros_like(demand))
    residual = play(demand, terms, nothing, start=start, reviews=np.zeros_like(reviews)).lost
    return Planned(orders=_orders(residual, terms, _best(residual, terms, _arrivals(terms, reviews))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """Last day served by a delivery that arrives on a day, -1 for none, shape (n_products, n_days)."""

    last: Ints


def _arrivals(terms: Terms, reviews: Flags) -> Flags:
    """Return in which mornings a delivery can arrive, shape (n_products, n_days)."""
    days = np.arange(reviews.shape[1])
    placed = days[None, :] - terms.lead_days[:, None]
    return (placed >= 0) & np.take_along_axis(reviews, np.maximum(placed, 0), axis=1)


def _best(residual: Floats, terms: Terms, arrives: Flags) -> _Best:
    n, days = residual.shape
    cost, last = np.zeros((n, days + 1)), np.full((n, days), -1, dtype=np.int64)
    shelf = np.where(terms.keeps, days, terms.shelf_days)
    for day in range(days - 1, -1, -1):
        cost[:, day] = terms.lost * residual[:, day] + cost[:, day + 1]
        some = np.flatnonzero(arrives[:, day])
        so_far, least, until = terms.order[some], cost[some, day], last[some, day]
        for end in range(day, days if len(some) else day):
            so_far = so_far + terms.holding[some] * (end - day) * residual[some, end]
            better = (so_far + cost[some, end + 1] < least) & (end - day < shelf[some])
            least, until = np.where(better, so_far + cost[some, end + 1], least), np.where(better, end, until)
        cost[some, day], last[some, day] = least, until
    return _Best(last=last)


def _orders(residual: Floats, terms: Terms, best: _Best) -> Floats:
    """Follow the best choices from the first day on."""
    n, days = residual.shape
    sums = np.concatenate([np.zeros((n, 1)), np.cumsum(residual, axis=1)], axis=1)
    orders, served = np.zeros((n, days)), np.full(n, -1, dtype=np.int64)
    for day in range(days):
        begins = np.flatnonzero((served < day) & (best.last[:, day] >= day))
        end = best.last[begins, day]
        orders[begins, day - terms.lead_days[begins]] = sums[begins, end + 1] - sums[begins, day]
        served[begins] = end
    return orders
