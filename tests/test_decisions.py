"""Calibration, thresholds by cost, and estimates while labels are late."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from perennial.evaluation import ranking
from perennial.models.decisions import calibrate, cheapest_threshold, fit_calibration
from perennial.monitoring import estimated
from perennial.monitoring.estimated import Estimated, beside, trust

DAY = date(2025, 3, 1)


def world(seed: int = 0, n: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and the true probabilities they were drawn from, rare as frauds are."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.1, 4.0, n)
    return (rng.random(n) < p).astype(float), p


def test_calibration_undoes_a_distortion() -> None:
    """Log odds that were stretched and shifted come back to the probabilities the labels were drawn from."""
    y, p = world()
    slope, intercept = fit_calibration(y, calibrate(p, 1 / 0.6, 1.5))
    assert (slope, intercept) == pytest.approx((0.6, -0.9), abs=0.06)


@given(st.integers(0, 2**32 - 1))
@trials(max_examples=20, deadline=None)
def test_calibration_never_changes_a_ranking(seed: int) -> None:
    """Even where scores are worth nothing or upside down, calibrated ones keep their order."""
    rng = np.random.default_rng(seed)
    y, score = (rng.random(50) < 0.2).astype(float), np.sort(rng.random(50))
    slope, intercept = fit_calibration(y, score)
    assert slope > 0
    assert (np.diff(calibrate(score, slope, intercept)) >= 0).all()


def test_one_class_leaves_scores_as_they_are() -> None:
    """Without a positive nothing is known about how true the scores are."""
    assert fit_calibration(np.zeros(5), np.full(5, 0.2)) == (1.0, 0.0)


@given(st.integers(0, 2**32 - 1))
@trials(max_examples=50, deadline=None)
def test_no_threshold_is_cheaper(seed: int) -> None:
    """The chosen threshold costs no more than any other, whatever the costs of the rows."""
    rng = np.random.default_rng(seed)
    y, score = (rng.random(30) < 0.3).astype(float), np.round(rng.random(30), 1)
    fp, fn = rng.random(30), 5 * rng.random(30)

    def cost(threshold: float) -> float:
        alert = score >= threshold
        return float((alert * (1 - y) * fp + ~alert * y * fn).sum())

    found = cost(cheapest_threshold(y, score, fp, fn))
    assert found <= min(cost(t) for t in (*np.unique(score), np.inf)) + 1e-9


def test_no_alert_is_worth_its_cost() -> None:
    """Where false alerts are dearer than what they save, there are none."""
    assert cheapest_threshold(np.array([0.0, 1.0]), np.array([0.9, 0.1]), np.ones(2), np.full(2, 0.5)) == np.inf


def test_estimates_meet_the_truth_when_probabilities_are_true() -> None:
    """On labels drawn from the probabilities, every estimate is close to the realised figure."""
    y, p = world()
    unit, day = np.arange(len(p)) % 20_000, np.arange(len(p)) % 5
    one = np.ones((1, len(p)))
    assert estimated.estimated_average_precision_error(p) == pytest.approx(
        ranking.average_precision_error(y, p, one)[0], abs=0.03
    )
    realised = ranking.top_precision_error(y, p, one, unit=unit, day=day, day_weight=np.ones((1, 5)), top=100)[0]
    assert estimated.estimated_top_precision_error(p, unit, day, 100) == pytest.approx(realised, abs=0.05)
    assert estimated.estimated_brier(p) == pytest.approx(ranking.brier(y, p, one)[0], rel=0.1)
    alert, ones = (p > 0.2).astype(float), np.ones(len(p))
    cost = (alert * (1 - y) + 10 * (1 - alert) * y).mean()
    assert estimated.estimated_cost(p, alert, ones, 10 * ones) == pytest.approx(cost, rel=0.1)


def test_estimates_are_wrong_when_scores_no_longer_mean_what_they_did() -> None:
    """If positives hide among low scores, the estimate stays where it was, which is why it can be muted."""
    y, p = world()
    shuffled = np.random.default_rng(1).permutation(y)
    hidden = ranking.average_precision_error(shuffled, p, np.ones((1, len(p))))[0]
    assert hidden - estimated.estimated_average_precision_error(p) > 0.2


def history(*gaps: float) -> list[Estimated]:
    """Return matured days whose estimate was off by these gaps, oldest first; nan for one that has not matured."""
    return [Estimated(day=DAY + timedelta(days=n), estimate=0.5, realised=0.5 + gap) for n, gap in enumerate(gaps)]


@pytest.mark.parametrize(
    ("gaps", "muted"),
    [
        ((0.0, 0.05, -0.1), False),
        ((0.2, 0.0, -0.2), True),
        ((0.2, 0.2, 0.0, 0.0, 0.0), False),
        ((0.2, float("nan"), 0.2), True),
        ((float("nan"),), True),
        ((), True),
    ],
)
def test_an_estimate_that_was_wrong_is_muted(gaps: tuple[float, ...], muted: bool) -> None:
    """Two wrong days of the last four matured ones mute it; none matured is no reason to trust it."""
    assert trust(history(*gaps), bound=0.1 + 1e-9, wrong=2, of=4).muted is muted


def test_estimates_stand_beside_what_came_true() -> None:
    """Days are in order; one whose labels are missing has no figure, not zero."""
    late = DAY + timedelta(days=1)
    rows = beside({late: 0.3, DAY: 0.2}, {DAY: 0.25})
    assert [(row.day, row.estimate, row.matured) for row in rows] == [(DAY, 0.2, True), (late, 0.3, False)]
