"""Conformal intervals: order statistics against a plain oracle, and coverage on exchangeable rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.models.intervals import CELL_ROWS, apply_intervals, fit_intervals

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def demand(seed, rows=20_000):
    """Forecasts of very different size, and overdispersed counts around them."""
    rng = np.random.default_rng(seed)
    y_hat = np.exp(rng.normal(-0.5, 1.5, rows))
    y = rng.poisson(y_hat * rng.gamma(2, 0.5, rows)).astype(np.float64)
    return y, y_hat, rng.integers(1, 29, rows)


def oracle(y, y_hat, horizon, level, row):
    """The quantile of one row, from the definition: sort its cell's ratios and count."""
    y_hat = y_hat.astype(np.float32)
    edges = np.unique(np.quantile(y_hat, np.arange(1, 20) / 20)).astype(np.float32)
    floor = np.quantile(y_hat, 1 / 20)

    def cell(forecast, ahead):
        return sum(edge < forecast for edge in edges), 0 if ahead <= 7 else 1 if ahead <= 14 else 2

    mine = cell(y_hat[row], horizon[row])
    inside = [i for i in range(len(y)) if cell(y_hat[i], horizon[i]) == mine]
    ratios = sorted(y[inside] / np.maximum(y_hat[inside], np.float32(floor)))
    rank = (len(ratios) + 1) * level
    place = int(np.ceil(rank)) if level > 0.5 else int(np.floor(rank))
    return max(y_hat[row], np.float32(floor)) * np.float32(ratios[place - 1])


def test_matches_the_definition():
    """The fast path gives what sorting one cell by hand gives."""
    y, y_hat, horizon = demand(0)
    got = apply_intervals(fit_intervals(y, y_hat, horizon, (0.1, 0.9)), y_hat[:5], horizon[:5])
    want = [[oracle(y, y_hat, horizon, level, row) for level in (0.1, 0.9)] for row in range(5)]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("size", ["small", "large"])
def test_covers_new_rows_in_every_size_of_forecast(size):
    """On exchangeable rows P(y < q) <= level <= P(y <= q), within sampling error, in each half of the sizes."""
    table = fit_intervals(*demand(1, 100_000), LEVELS)
    y, y_hat, horizon = demand(2, 100_000)
    part = (y_hat > np.median(y_hat)) == (size == "large")
    quantiles = apply_intervals(table, y_hat[part], horizon[part])
    below = (y[part, None] < quantiles).mean(axis=0)
    at_most = (y[part, None] <= quantiles).mean(axis=0)
    assert (below <= np.add(LEVELS, 0.01)).all()
    assert (at_most >= np.subtract(LEVELS, 0.01)).all()


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(0, 2_000),
    seed=st.integers(0, 1_000),
    y_hat=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    ahead=st.integers(1, 400),
)
def test_quantiles_are_finite_ordered_and_not_negative(rows, seed, y_hat, ahead):
    """Whatever was calibrated on, quantiles do not cross and stay within reason."""
    table = fit_intervals(*demand(seed, rows), LEVELS)
    quantiles = apply_intervals(table, np.array(y_hat), np.full(len(y_hat), ahead))
    assert quantiles.dtype == np.float32
    assert np.isfinite(quantiles).all()
    assert (quantiles >= 0).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_no_sale_stays_exactly_zero():
    """Where most days are zero the lower quantiles are zero, not a little above."""
    y, y_hat, horizon = demand(3)
    y[y_hat < 1] *= np.random.default_rng(0).random((y_hat < 1).sum()) < 0.1
    quantiles = apply_intervals(fit_intervals(y, y_hat, horizon, LEVELS), y_hat, horizon)
    assert (quantiles[y_hat < 0.9, :3] == 0).all()


def test_all_zero_and_constant_series():
    """A series that never sells has zero quantiles; a constant one that is hit has its value."""
    ahead = np.tile(np.arange(1, 29), 20)
    zeros, ones = np.zeros(len(ahead)), np.ones(len(ahead))
    assert not apply_intervals(fit_intervals(zeros, zeros, ahead, LEVELS), zeros, ahead).any()
    assert (apply_intervals(fit_intervals(ones, ones, ahead, LEVELS), ones, ahead) == 1).all()


def test_without_rows_every_quantile_is_the_forecast():
    """Nothing is known of the spread, and nothing is invented."""
    nothing = np.empty(0)
    table = fit_intervals(nothing, nothing, nothing.astype(int), (0.1, 0.9))
    np.testing.assert_array_equal(apply_intervals(table, np.array([2.0]), np.array([3])), [[2, 2]])


def test_thin_cells_borrow_from_other_horizons():
    """A horizon bucket with few rows uses the bin's rows of all horizons."""
    y_hat, ahead = np.ones(CELL_ROWS * 6), np.ones(CELL_ROWS * 6, int)
    ahead[:5] = 28
    y = np.where(ahead == 28, 100.0, 1.0)
    table = fit_intervals(y, y_hat, ahead, [0.5])
    assert apply_intervals(table, np.ones(1), np.array([28])) == 1


@given(threads=st.integers(1, 3), cut=st.integers(0, 70_000))
@settings(max_examples=5, deadline=None)
def test_rows_are_independent(threads, cut):
    """A row's quantiles do not depend on its neighbours, nor on the number of threads."""
    y, y_hat, horizon = demand(4, 70_000)
    table = fit_intervals(y, y_hat, horizon, LEVELS)
    whole = apply_intervals(table, y_hat, horizon, threads)
    parts = [apply_intervals(table, y_hat[s], horizon[s]) for s in (slice(cut), slice(cut, None))]
    np.testing.assert_array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize(
    ("y", "levels", "buckets", "why"),
    [
        (np.nan, (0.5,), (7,), "finite"),
        (1.0, (0.5, 0.4), (7,), "levels must be increasing"),
        (1.0, (), (7,), "levels must be increasing"),
        (1.0, (0.5,), (7, 7), "buckets must be increasing"),
    ],
)
def test_bad_calibration_is_refused(y, levels, buckets, why):
    """Rows that cannot be ranked and settings that make no sense are errors."""
    with pytest.raises(TrainingError, match=why):
        fit_intervals(np.array([y]), np.ones(1), np.ones(1, int), levels, buckets=buckets)
