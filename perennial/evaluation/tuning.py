"""Choose a policy's parameters by playing it on real demand of earlier days.

The critical fractile is right for a forecast whose quantiles are right, for demand that waits, and for orders that
cost nothing to place. None of that holds exactly, so that the probability of not running out, and which of the two
policies uses it, is chosen for each class of products as what would have been cheapest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from perennial.evaluation.stock import Play, play
from perennial.models.leadtime import demand_quantile
from perennial.models.replenishment import (
    YEAR,
    Flags,
    Floats,
    OrderUpTo,
    Policy,
    ReorderPoint,
    State,
    Terms,
    economic_lot,
    spoiling_fractile,
)

PolicyName = Literal["order_up_to", "reorder_point", "days_of_cover"]
POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)
LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
"""Probabilities of not running out that are tried."""
COVER = (1.0, 2.0, 4.0, 7.0, 10.0, 14.0, 21.0)
"""Days of expected demand beyond the protection interval that are tried."""
HARDLY_EVER = 0.99
"""Share of past protection intervals that asked for no more than the ceiling."""
KNOWN_DAYS = 91
"""Known days of the last year that a ceiling needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a forecast says, on the evening of each day, of the demand in the protection interval that follows.

    Attributes:
        mean: Expected units, >= 0, shape (n_products, n_days).
        variance: Of these units, >= 0, same shape.
        ceiling: Units beyond which no forecast is believed, shape (n_products,); see :func:`ceiling`.
    """

    mean: Floats
    variance: Floats
    ceiling: Floats

    @property
    def believed(self) -> Floats:
        """The mean, up to the ceiling."""
        return np.minimum(self.mean, self.ceiling[:, None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """Days of real demand to play on.

    Attributes:
        demand: Units asked for, nan where unknown, shape (n_products, n_days).
        terms: Of each product.
        start: Fresh units on hand in the first morning, shape (n_products,).
        reviews: Evenings on which each product may be ordered, shape (n_products, n_days).
        outlook: What was forecast on each evening.
        recent: Units sold in the seven days before, shape (n_products, 7).
    """

    demand: Floats
    terms: Terms
    start: Floats
    reviews: Flags
    outlook: Outlook
    recent: Floats | None = None

    def play(self, policy: Policy) -> Play:
        """Let a policy order in this season."""
        return play(self.demand, self.terms, policy, start=self.start, reviews=self.reviews, recent=self.recent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen for one class.

    Attributes:
        policy: The cheaper one.
        level: Probability of not running out; for ``days_of_cover`` days of demand beyond the protection interval.
        cost: What it cost in the seasons it was chosen on, in money.
    """

    policy: PolicyName
    level: float
    cost: float


class Mixed:
    """One policy for some products, the other for the rest."""

    def __init__(self, policies: Sequence[Policy], which: npt.NDArray[np.integer]) -> None:
        self.policies = policies
        self.which = which

    def order(self, state: State) -> Floats:
        """Return the order of each product's own policy."""
        out = np.zeros(len(self.which))
        for k, policy in enumerate(self.policies):
            out = np.where(self.which == k, policy.order(state), out)
        return out


def choose(
    seasons: Sequence[tuple[Season, npt.NDArray[np.str_]]], *, policies: Sequence[PolicyName] = POLICIES
) -> dict[str, Choice]:
    """Return what would have been cheapest for each class over all seasons; of equals the first.

    Args:
        seasons: Days before all those that anything is judged on, each with the class of its products.
        policies: To be tried, each at the levels of its sort.
    """
    found: dict[str, Choice] = {}
    for policy in policies:
        for level in COVER if policy == "days_of_cover" else LEVELS:
            total: dict[str, float] = {}
            for season, classes in seasons:
                played = season.play(policy_of(policy, season.outlook, season.terms, level))
                names, index = np.unique(classes, return_inverse=True)
                sums = np.bincount(index, played.cost(season.terms).sum(axis=1), minlength=len(names))
                for name, cost in zip(names.tolist(), sums.tolist(), strict=True):
                    total[name] = total.get(name, 0.0) + cost
            for name, cost in total.items():
                if name not in found or cost < found[name].cost:
                    found[name] = Choice(policy=policy, level=float(level), cost=cost)
    return found


def chosen(choices: Mapping[str, Choice], classes: npt.NDArray[np.str_], outlook: Outlook, terms: Terms) -> Policy:
    """Return the policy in which each product follows the choice of its class.

    A class that nothing was chosen for takes the choice of the one that most money went through.
    """
    largest = max(choices.values(), key=lambda one: one.cost)
    mine = [choices.get(name, largest) for name in classes.tolist()]
    which = np.array([POLICIES.index(one.policy) for one in mine], np.intp)
    level = np.array([one.level for one in mine], np.float64)
    each = [np.where(which == k, level, usual) for k, usual in enumerate((0.5, 0.5, 1.0))]
    return Mixed([policy_of(name, outlook, terms, each[k]) for k, name in enumerate(POLICIES)], which)


def policy_of(name: PolicyName, outlook: Outlook, terms: Terms, level: npt.ArrayLike) -> Policy:
    """Return a policy whose S or s is the quantile ``level`` of the demand in the protection interval.

    With ``days_of_cover`` S is the expected demand of the interval and of so many days more: what a planner does by
    hand, and what holds where demand is so irregular that its quantiles say little.

    Args:
        name: Which policy.
        outlook: Forecasts of the days it will be asked on.
        terms: Packs, shelf lives, costs.
        level: Probability of not running out, in (0, 1), or days of cover; one for all or of shape (n_products,).
    """
    each = np.broadcast_to(np.asarray(level, np.float64), (len(terms.pack),))[:, None]
    if name == "days_of_cover":
        cover = outlook.believed * (1 + each / terms.protection_days[:, None])
        return OrderUpTo(upto=cover, pack=terms.pack, most=most_to_sell(outlook, terms))
    target = np.minimum(demand_quantile(outlook.mean, outlook.variance, each), outlook.ceiling[:, None])
    most = most_to_sell(outlook, terms)
    if name == "order_up_to":
        return OrderUpTo(upto=target, pack=terms.pack, most=most)
    lot = economic_lot(terms, outlook.believed / terms.protection_days[:, None])
    return ReorderPoint(reorder=target, lot=lot, pack=terms.pack, most=most)


def ceiling(history: npt.NDArray[np.floating], days: npt.NDArray[np.integer]) -> Floats:
    """Return the demand that a protection interval hardly ever had, shape (n_products,): beyond it no forecast goes.

    A quantile of all intervals of the last year. One bulk order does not raise it, and a forecast that one bulk order
    has thrown off is held by it: such an order is a customer's decision, and no stock is kept for it. Without
    :data:`KNOWN_DAYS` of history there is no ceiling.

    Args:
        history: Units sold a day, nan where unknown, the newest last, shape (n_products, n_days).
        days: Length of the protection interval of each product.
    """
    year = history[:, -YEAR:].astype(np.float64)
    sums = np.concatenate([np.zeros((len(year), 1)), np.cumsum(np.nan_to_num(year), axis=1)], axis=1)
    out = np.full(len(year), np.inf)
    for span in np.unique(days).tolist():
        mine = np.flatnonzero((days == span) & (np.isfinite(year).sum(axis=1) >= KNOWN_DAYS))
        if len(mine):
            out[mine] = np.quantile(sums[mine, span:] - sums[mine, :-span], HARDLY_EVER, axis=1)
    return out


def most_to_sell(outlook: Outlook, terms: Terms) -> Floats | None:
    """Return the position beyond which a unit would rather go off than be sold; None if everything keeps.

    What is ordered now can be sold until lead time and shelf life are over; demand of that time is taken to go on as
    in the protection interval. The quantile is that of the newsvendor, ``lost / (lost + waste)``.
    """
    if terms.keeps.all():
        return None
    times = (terms.lead_days + terms.shelf_days - 1) / terms.protection_days
    mean, variance = outlook.believed * times[:, None], outlook.variance * times[:, None]
    most = demand_quantile(mean, variance, spoiling_fractile(terms)[:, None])
    return np.where(terms.keeps[:, None], np.inf, most)
