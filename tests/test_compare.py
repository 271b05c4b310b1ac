"""The paired block bootstrap: its weights, its oracle, and its error rates on planted truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts import TestRows
from perennial.evaluation.compare import bootstrap_difference, draw
from perennial.evaluation.metrics import METRICS, subset, value, weighted
from perennial.evaluation.sums import Floats, Grid


def contest(
    seed: int, *, worse: float = 0.0, n_entities: int = 30, n_days: int = 28, windows: int = 1, noise: float = 0.3
) -> TestRows:
    """Forecast Poisson demand twice with noise shared by day and by entity; `worse` inflates the candidate's."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(2.0, 2.0, n_entities)[:, None] * np.exp(0.2 * rng.normal(size=(1, n_days)))
    sold = rng.poisson(mean)
    grid = np.meshgrid(range(n_entities), range(windows), range(n_days), indexing="ij")
    entity, window, day = (a.ravel() for a in grid)
    point = {name: _noisy(rng, mean, noise * more)[entity, day] for name, more in _contenders(worse)}
    return TestRows(
        entities=np.array([f"p{i}" for i in range(n_entities)]),
        entity=entity.astype(np.int32),
        window=window.astype(np.int16),
        horizon=(day + 1).astype(np.int16),
        day=(19000 + day).astype(np.int32),
        y=sold[entity, day].astype(np.float32),
        forecasts=point,
        levels=(0.1, 0.9),
        quantiles={c: np.stack([f * 0.5, f * 1.5], axis=1) for c, f in point.items()},
        scale_abs=np.ones(n_entities),
        scale_sq=np.ones(n_entities),
        weight=np.full(n_entities, 1 / n_entities),
        slices={"all": np.full(n_entities, "x")},
        groups={"total": np.zeros(n_entities, np.int32), "entity": np.arange(n_entities, dtype=np.int32)},
        group_scale_sq={"total": np.array([100.0]), "entity": np.ones(n_entities)},
    )


def _contenders(worse: float) -> list[tuple[str, float]]:
    return [("candidate", 1 + worse), ("champion", 1.0)]


def _noisy(rng: np.random.Generator, mean: Floats, noise: float) -> np.ndarray:
    shock = rng.normal(size=(len(mean), 1)) + rng.normal(size=(1, mean.shape[1])) + rng.normal(size=mean.shape)
    return (mean * np.exp(noise * shock)).astype(np.float32)


def repeated(rows: TestRows, name: str, entities: Floats, days: Floats) -> float:
    """Evaluate a metric on rows that really contain every drawn entity and day as often as it was drawn."""
    copies = np.repeat(np.arange(entities.size), 1 if name == "wrmsse" else entities.astype(int))
    targets = np.repeat(np.unique(rows.day), days.astype(int))
    picks = [
        (r, i, k)
        for i, e in enumerate(copies)
        for k, d in enumerate(targets)
        for r in np.flatnonzero((rows.entity == e) & (rows.day == d))
    ]
    row, entity, day = (np.array(column) for column in zip(*picks, strict=True))
    taken = subset(rows, row)
    return value(
        METRICS[name],
        replace(
            taken,
            entities=rows.entities[copies],
            entity=entity.astype(np.int32),
            day=day.astype(np.int32),
            scale_abs=rows.scale_abs[copies],
            scale_sq=rows.scale_sq[copies],
        ),
        "candidate",
    )


@pytest.mark.parametrize("n_days", [1, 3, 4, 11, 28])
def test_draws_are_whole_blocks_of_present_entities_and_days(n_days: int) -> None:
    """Every resample draws as many entities as have rows; row 0 is the sample itself."""
    rows = contest(0, n_days=n_days)
    rows = subset(rows, rows.entity != 3)
    draws = draw(rows, n=50, seed=1)
    assert (draws.entities[:, 3] == 0).all()
    assert (draws.entities.sum(axis=1) == 29).all()
    assert (draws.days[0] == 1).all()
    assert len(set(draws.days[1:].sum(axis=1))) == 1
    assert (draws.days[1:].sum(axis=1) >= n_days).all()


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_resamples_equal_the_metric_on_repeated_rows(name: str, seed: int) -> None:
    """Weights are the same as really repeating the rows of drawn entities and days."""
    rows = contest(seed, n_entities=5, n_days=8, windows=2)
    draws = draw(rows, n=4, seed=seed)
    sums = METRICS[name].sums(Grid(rows), "candidate")
    got = weighted(METRICS[name], sums, draws.entities, draws.days)
    slow = [repeated(rows, name, e, d) for e, d in zip(draws.entities, draws.days, strict=True)]
    assert got == pytest.approx(slow, rel=1e-6, nan_ok=True)


def test_equal_forecasts_differ_by_exactly_zero() -> None:
    """Paired draws cancel completely: an identical model is no worse, with certainty."""
    rows = contest(1)
    rows.forecasts["candidate"][:] = rows.forecasts["champion"]
    got = bootstrap_difference(rows, METRICS["wape"], "candidate", "champion", n=200)
    assert (got.estimate, got.upper) == (0.0, 0.0)


def test_equal_seeds_give_equal_bounds() -> None:
    """The decision of a run can be repeated."""
    rows = contest(2)
    first, again, other = (
        bootstrap_difference(rows, METRICS["rmsse"], "candidate", "champion", n=200, seed=s) for s in (3, 3, 4)
    )
    assert first == again
    assert first != other


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), low=st.floats(0.5, 0.9))
def test_more_confidence_never_lowers_the_bound(seed: int, low: float) -> None:
    """The bound grows with the confidence asked for, and the p-value agrees with it."""
    rows = contest(seed, n_entities=8, n_days=14)
    bounds = [
        bootstrap_difference(rows, METRICS["wape"], "candidate", "champion", n=100, confidence=c) for c in (low, 0.99)
    ]
    assert bounds[0].upper <= bounds[1].upper
    assert (bounds[0].upper > 0) or bounds[0].p_value <= 1 - low + 2 / 101


def test_ratio_and_offset_move_the_bar() -> None:
    """Twice the champion's error, or an absolute bound far away, is easy to stay below."""
    rows = contest(5)
    easy = bootstrap_difference(rows, METRICS["wape"], "candidate", "champion", ratio=2.0, n=200)
    absolute = bootstrap_difference(rows, METRICS["wape"], "candidate", None, offset=5.0, n=200)
    assert easy.upper < 0
    assert absolute.estimate == pytest.approx(value(METRICS["wape"], rows, "candidate") - 5.0)


@pytest.mark.parametrize("mask", [np.zeros(30 * 28, bool), None])
def test_undefined_comparisons_are_nan(mask: np.ndarray | None) -> None:
    """No rows, or a forecast that is not finite, gives bounds that no gate accepts."""
    rows = contest(6)
    rows.forecasts["candidate"][0] = np.nan
    got = bootstrap_difference(rows, METRICS["wape"], "candidate", "champion", n=50, mask=mask)
    assert np.isnan([got.estimate, got.upper, got.p_value]).all()


@pytest.mark.parametrize(("n_days", "bounded"), [(1, False), (3, False), (4, True)])
def test_too_few_days_give_no_bound(n_days: int, bounded: bool) -> None:
    """The difference is known from one day, but not how much another day would change it."""
    got = bootstrap_difference(contest(7, n_days=n_days), METRICS["wape"], "candidate", "champion", n=50)
    assert np.isfinite(got.estimate)
    assert np.isfinite(got.upper) == bounded
    assert np.isfinite(got.p_value) == bounded


def claims(worse: float, ratio: float, trials: int = 120) -> float:
    """Share of trials in which the bootstrap is 90 % sure that the candidate is below `ratio` times the champion."""
    sure = [
        bootstrap_difference(
            contest(t, worse=worse), METRICS["wape"], "candidate", "champion", ratio=ratio, n=200, confidence=0.9
        ).upper
        <= 0
        for t in range(trials)
    ]
    return float(np.mean(sure))


def test_error_rates_on_planted_truth() -> None:
    """Two equal forecasts are rarely told apart; a clearly better one is found; a worse one is not believed."""
    assert claims(0.0, 1.0) <= 0.1 + 2 * 0.03
    assert claims(-0.5, 1.0) >= 0.6
    assert claims(+0.5, 1.0) <= 0.02
