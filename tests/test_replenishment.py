"""Order policies: what each asks for, and how the quantile it aims at follows from costs and forecasts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.models import replenishment as rp
from perennial.models.leadtime import daily_variance, demand_quantile

TERMS: dict[str, Any] = {
    "lead_days": 2,
    "review_days": 1,
    "pack": 6,
    "shelf_days": 0,
    "value": 2.0,
    "holding": 0.01,
    "waste": 2.0,
    "lost": 1.0,
    "order": 0.5,
}


def terms(n: int = 1, **changed: Any) -> rp.Terms:
    """Return terms of ``n`` products."""
    return rp.Terms.of(n, **{**TERMS, **changed})


def state(on_hand: float, on_order: float = 0.0, sold: float = 0.0) -> rp.State:
    """Return what is known of one product on day 0; ``sold`` is of the whole week."""
    return rp.State(
        day=0,
        on_hand=np.array([on_hand]),
        on_order=np.array([on_order]),
        sold=np.full((1, 7), sold / 7),
        reviewed=np.array([True]),
    )


def upto(level: float, pack: float = 6.0, most: float | None = None) -> rp.OrderUpTo:
    """Return an order-up-to policy of one product and day."""
    limit = None if most is None else np.array([[most]])
    return rp.OrderUpTo(upto=np.array([[level]]), pack=np.array([pack]), most=limit)


def point(s: float, lot: float = 12.0) -> rp.ReorderPoint:
    """Return a reorder-point policy of one product and day."""
    return rp.ReorderPoint(reorder=np.array([[s]]), lot=np.array([[lot]]), pack=np.array([6.0]))


@pytest.mark.parametrize(
    ("policy", "known", "wanted"),
    [
        (upto(20), state(10), 12),  # 10 are missing: two packs
        (upto(20), state(10, 10), 0),
        (upto(22), state(10, 0), 12),  # exactly two packs
        (upto(20), state(30), 0),
        (upto(20, most=16), state(10), 6),  # one of the two packs would go off
        (point(10), state(11), 0),
        (point(10), state(10), 12),  # at s counts
        (point(30), state(2, 3), 36),  # three lots bring 5 above 30
        (point(0), state(0), 0),  # nothing is expected to be asked for
    ],
)
def test_policies_order_what_is_missing(policy: rp.Policy, known: rp.State, wanted: float) -> None:
    """(R, S) fills up to S in packs, (R, s, nQ) goes above s in lots; both count what is on its way."""
    assert policy.order(known).tolist() == [wanted]


def test_last_week_remembers_what_is_less_than_a_pack() -> None:
    """Two weeks that each sold four units make one pack of six and leave two owed."""
    policy = rp.LastWeek(terms(review_days=7))
    assert [policy.order(state(0, sold=4)).item() for _ in range(3)] == [0, 6, 6]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"lost": 0.9, "holding": 0.01, "review_days": 10}, 0.9),
        ({"lost": 1.0, "shelf_days": 1, "waste": 1.0}, 0.5),  # the newsvendor: sold today or thrown away
        ({"lost": 1.0, "shelf_days": 30, "holding": 0.0}, 1.0),  # can be sold at the next review, for nothing
        ({"lost": 0.0}, 0.0),
    ],
)
def test_the_critical_fractile_weighs_too_few_against_too_many(changed: dict[str, Any], expected: float) -> None:
    """It is lost / (lost + cost of a unit too many), and never 0 or 1, where no quantile is defined."""
    found = rp.critical_fractile(terms(**changed)).item()
    assert found == pytest.approx(expected)
    assert 0 < found < 1


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_quantiles_of_demand_are_those_of_a_gamma(level: float) -> None:
    """They invert SciPy's distribution function, and are the mean where nothing varies."""
    from scipy.special import gammainc

    mean, variance = np.array([0.3, 5.0, 200.0]), np.array([0.9, 2.0, 500.0])
    found = demand_quantile(mean, variance, level)
    assert gammainc(mean**2 / variance, found * mean / variance) == pytest.approx(level)
    assert demand_quantile(np.array([4.0, 0.0]), np.array([0.0, 3.0]), level).tolist() == [4.0, 0.0]


@pytest.mark.parametrize("rate", [0.02, 1.0, 40.0])
def test_variance_comes_back_from_quantiles(rate: float) -> None:
    """Of exponential demand, five quantiles and the mean give the variance back within a quarter."""
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    quantiles = -np.log1p(-levels) * rate
    found = daily_variance(np.array(rate), quantiles, levels).item()
    assert found == pytest.approx(rate**2, rel=0.25)


def test_variance_of_intermittent_demand_lies_in_the_tail() -> None:
    """All quantiles zero and a mean of 0.1: the sales are rare and large, not absent."""
    found = daily_variance(np.array([0.1]), np.zeros((1, 2)), [0.5, 0.9])
    assert found.item() == pytest.approx(0.1 * 2 * 1.0**2 - 0.1**2)
    assert daily_variance(np.array([3.0]), np.empty((1, 0)), []).tolist() == [3.0]


@given(st.floats(0, 500), st.integers(1, 48), st.floats(0, 500))
def test_rounding_never_orders_a_pack_too_many(units: float, pack: int, short: float) -> None:
    """Packs cover the need with less than one to spare; lots go above s, and with one fewer would not."""
    packs = rp.whole_packs(np.array([units]), np.array([float(pack)])).item()
    assert units - 1e-6 <= packs < units + pack
    lots = rp.whole_lots(np.array([short]), np.array([float(pack)])).item()
    assert short - 1e-6 < lots <= short + pack + 1e-6


@settings(max_examples=50)
@given(st.floats(0.01, 50), st.floats(0.001, 5), st.floats(0, 20))
def test_the_economic_lot_is_the_cheapest(rate: float, holding: float, order: float) -> None:
    """No other whole number of packs is clearly cheaper per day than the one that is ordered."""
    one = terms(pack=1, holding=holding, order=order)
    lot = rp.economic_lot(one, np.array([[rate]])).item()

    def daily(q: float) -> float:
        return order * rate / q + holding * q / 2

    others = np.maximum(lot + np.arange(-3, 4), 1)
    assert lot <= max(365 * rate + 0.5, 1)  # a year's sales at most
    if lot < 365 * rate - 0.5:
        assert daily(lot) <= min(map(daily, others)) * 1.07 + 1e-12  # rounding to the nearest is not quite the best


def test_the_economic_lot_keeps_within_the_shelf_life() -> None:
    """Twenty days' worth of a product that keeps for two days is two days' worth."""
    lot = rp.economic_lot(terms(pack=1, shelf_days=2, holding=0.0001, order=10), np.array([[5.0]]))
    assert lot.tolist() == [[10.0]]


@pytest.mark.parametrize("changed", [{"pack": 0}, {"lead_days": 0}, {"lost": -1}, {"value": np.nan}, {"waste": np.inf}])
def test_impossible_terms_are_refused(changed: dict[str, Any]) -> None:
    """A pack of nothing, a delivery before its order and costs that are no number say what they must be."""
    with pytest.raises(TrainingError, match=f"{next(iter(changed))} .* must be a number"):
        terms(**changed)
