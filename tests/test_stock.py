"""The simulator: nothing is lost on the way, days happen in order, and nobody does better than perfect foresight."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.evaluation.foresight import perfect_foresight
from perennial.evaluation.stock import Play, play, result, review_days
from perennial.models import replenishment as rp
from tests.test_replenishment import terms

MONDAY = 4
"""1970-01-05."""


def played(demand: Any, orders: Any, how: rp.Terms, start: Any = 0.0) -> Play:
    """Play fixed orders; every evening is one of review."""
    asked = np.atleast_2d(np.asarray(demand, np.float64))
    plan = rp.Planned(orders=np.broadcast_to(np.asarray(orders, np.float64), asked.shape))
    on_hand = np.broadcast_to(np.asarray(start, np.float64), (len(asked),)).copy()
    return play(asked, how, plan, start=on_hand, reviews=np.ones(asked.shape, bool))


def test_a_day_goes_in_order() -> None:
    """Deliveries come in the morning after the lead time, the old is sold first, and the last day ends in waste."""
    how = terms(lead_days=2, shelf_days=2, pack=1)
    found = played([[2, 0, 1, 5, 0]], [[4, 0, 3, 0, 0]], how, start=3)
    assert found.arrived.tolist() == [[0, 0, 4, 0, 3]]
    assert found.sold.tolist() == [[2, 0, 1, 3, 0]]
    assert found.wasted.tolist() == [[0, 1, 0, 0, 0]]
    assert found.on_hand.tolist() == [[1, 0, 3, 0, 3]]
    assert found.lost.tolist() == [[0, 0, 0, 2, 0]]


def test_money_is_what_the_terms_say() -> None:
    """One night of one unit, one unit wasted, two lost, one order."""
    how = terms(lead_days=2, shelf_days=2, pack=1, holding=1, waste=10, lost=100, order=1000)
    found = played([[2, 0, 2]], [[0, 0, 6]], how, start=3)
    assert found.cost(how).tolist() == [[1, 10, 1200]]
    totals = result(found, how)
    assert (totals.fill_rate, totals.waste, totals.cost) == (0.5, 1.0, 1211.0)
    assert totals.stock_value == pytest.approx(2.0 / 3)


def test_a_day_of_unknown_demand_sells_nothing_and_does_not_count() -> None:
    """It is no day on which nothing was asked for."""
    found = played([[1, np.nan, 1]], [[0, 0, 0]], terms(), start=1)
    assert found.sold.tolist() == [[1, 0, 0]]
    assert result(found, terms()).fill_rate == 0.5
    assert np.isnan(result(played([[np.nan]], [[0]], terms()), terms()).fill_rate)


def test_reviews_fall_on_the_same_weekday_for_ever() -> None:
    """With seven days between them every Monday, whatever day a simulation begins on."""
    how = terms(2, review_days=[7, 2])
    assert np.flatnonzero(review_days(MONDAY + 1, 14, how)[0]).tolist() == [6, 13]
    assert np.flatnonzero(review_days(MONDAY, 5, how)[1]).tolist() == [0, 2, 4]


@st.composite
def shops(draw: st.DrawFn, days: int = 12, most: int = 9) -> tuple[np.ndarray, rp.Terms, np.ndarray]:
    """Draw demand, terms and stock of three products."""
    one = st.integers(0, most)
    demand = np.array(draw(st.lists(st.lists(one, min_size=days, max_size=days), min_size=3, max_size=3)), float)
    how = terms(
        3,
        lead_days=draw(st.integers(1, 3)),
        review_days=draw(st.integers(1, 3)),
        pack=draw(st.integers(1, 6)),
        shelf_days=[draw(st.integers(0, 4)) for _ in range(3)],
        holding=draw(st.sampled_from([0.0, 0.125, 0.5, 2.0])),
        lost=draw(st.sampled_from([0.0, 0.5, 1.0, 4.0])),
        order=draw(st.sampled_from([0.0, 1.0, 5.0])),
    )
    return demand, how, np.array([draw(st.integers(0, 8)) for _ in range(3)], float)


def policies(demand: np.ndarray, how: rp.Terms) -> dict[str, rp.Policy]:
    """Return one policy of each sort with levels that follow the demand."""
    level = np.repeat(demand.mean(axis=1, keepdims=True), demand.shape[1], axis=1) * how.protection_days[:, None]
    lot = rp.economic_lot(how, level)
    return {
        "order up to": rp.OrderUpTo(upto=2 * level, pack=how.pack),
        "limited": rp.OrderUpTo(upto=2 * level, pack=how.pack, most=level),
        "reorder point": rp.ReorderPoint(reorder=level, lot=lot, pack=how.pack),
        "last week": rp.LastWeek(how),
    }


@settings(max_examples=60, deadline=None)
@given(shops())
def test_units_are_conserved_and_costs_bounded_by_foresight(shop: Any) -> None:
    """On every evening start + arrived = sold + wasted + on hand; no policy is cheaper than perfect foresight."""
    demand, how, start = shop
    reviews = review_days(MONDAY, demand.shape[1], how)
    ideal = play(
        demand, how, perfect_foresight(demand, how, start=start, reviews=reviews), start=start, reviews=reviews
    )
    for name, policy in ({"foresight": rp.Planned(orders=ideal.ordered)} | policies(demand, how)).items():
        one = play(demand, how, policy, start=start, reviews=reviews)
        for array in (one.sold, one.wasted, one.on_hand, one.arrived, one.ordered):
            assert (array >= 0).all()
        assert (one.sold <= demand).all()
        there = start[:, None] + np.cumsum(one.arrived - one.sold - one.wasted, axis=1)
        assert there == pytest.approx(one.on_hand, abs=1e-9), name
        assert one.ordered.sum(axis=1) == pytest.approx(one.arrived.sum(axis=1) + one.due, abs=1e-9)
        assert not one.ordered[~reviews].any()
        assert (ideal.cost(how).sum(axis=1) <= one.cost(how).sum(axis=1) + 1e-6).all(), name


@settings(max_examples=40, deadline=None)
@given(shops(days=5, most=3))
def test_perfect_foresight_is_the_best_of_all_plans(shop: Any) -> None:
    """Trying every plan of whole units finds none cheaper, and one that costs the same."""
    demand, how, start = shop
    for k in range(2):
        one = how.take(np.array([k]))
        reviews = review_days(MONDAY, 5, one)
        ideal = perfect_foresight(demand[k : k + 1], one, start=start[k : k + 1], reviews=reviews)
        best = played(demand[k], ideal.orders, one, start[k]).cost(one).sum()
        useful = [t for t in range(5) if reviews[0, t] and t + one.lead_days[0] < 5]
        most = int(demand[k].sum()) if len(useful) < 4 else 4  # else there are too many to try
        plans = np.zeros(((most + 1) ** len(useful), 5))
        plans[:, useful] = list(product(range(most + 1), repeat=len(useful)))
        same = one.take(np.zeros(len(plans), int))
        costs = played(np.repeat(demand[k : k + 1], len(plans), axis=0), plans, same, start[k]).cost(same).sum(axis=1)
        assert best <= costs.min() + 1e-9
        assert len(useful) > 3 or best == pytest.approx(costs.min())


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_an_order_that_is_no_quantity_is_refused(bad: float) -> None:
    """A forecast that went wrong must not become an order."""
    with pytest.raises(TrainingError, match=r"units of product number 0.*finite and >= 0"):
        played([[1.0]], [[bad]], terms())
