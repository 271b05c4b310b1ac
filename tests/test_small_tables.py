"""Tables of a few series are watched too, and dates that were published by hand are not passed over."""

from datetime import date, timedelta

import numpy as np
import pytest

from perennial.config.operation import Monitor
from perennial.contracts import TestRows
from perennial.daily import missing
from perennial.monitoring.daily import daily_errors

DAY = 19_000


def rows(entities: int, days: int, factor: float) -> TestRows:
    """Return forecasts of some series by one day ahead, wrong by a factor; each series is worth ten."""
    n = entities * days
    rng = np.random.default_rng(1)
    y = np.full(n, 10.0, np.float32)
    forecast = (y * (1 + factor * rng.uniform(0.9, 1.1, n))).astype(np.float32)
    return TestRows(
        entities=np.array([f"s{k}" for k in range(entities)]),
        entity=np.tile(np.arange(entities, dtype=np.int32), days),
        window=np.zeros(n, np.int16),
        horizon=np.ones(n, np.int16),
        day=np.repeat(np.arange(DAY, DAY + days, dtype=np.int32), entities),
        y=y,
        forecasts={"served": forecast},
        levels=(),
        quantiles={},
        scale_abs=np.ones(entities),
        scale_sq=np.ones(entities),
        weight=np.full(entities, 1 / entities),
        slices={"half": np.array(["low", "high"])[np.arange(entities) % 2]},
        groups={},
        group_scale_sq={},
    )


@pytest.mark.parametrize("entities", [1, 4, 30])
def test_everything_together_is_judged_however_small(entities: int) -> None:
    """Half of the usual rows of a day are enough for it; a slice still needs `min_rows`."""
    found = daily_errors(rows(entities, 10, 0.5), rows(entities, 30, 0.1), Monitor(), ("half",))
    assert {one.key for one in found} == {""}
    assert all(one.bad for one in found)
    good = daily_errors(rows(entities, 10, 0.1), rows(entities, 30, 0.1), Monitor(), ("half",))
    assert len(good) == 10
    assert not any(one.bad for one in good)


def test_slices_of_a_large_table_are_judged() -> None:
    """As before: a slice of fifty forecasts a day."""
    found = daily_errors(rows(120, 5, 0.1), rows(120, 30, 0.1), Monitor(), ("half",))
    assert {one.key for one in found} == {"", "half=low", "half=high"}


def test_dates_after_one_that_was_published_by_hand_are_made_up_for() -> None:
    """The first `day` begins after the last `score`, not with the date that it was asked for."""
    first = date(2026, 9, 30)
    asked = first + timedelta(days=3)
    assert missing(set(), asked, 14) == (asked,)
    wanted = tuple(first + timedelta(days=n) for n in (1, 2, 3))
    assert missing(set(), asked, 14, {first}) == wanted
    assert missing({first + timedelta(days=1)}, asked, 14, {first}) == wanted[1:]
    assert missing(set(), asked, 14, {asked}) == (asked,)
