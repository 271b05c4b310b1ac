"""Clinical figures: honest risks, thresholds by cost, decision curves, subgroups with intervals over patients."""

from functools import partial

import numpy as np
import pytest

from perennial.evaluation.clinical import (
    decision_curve,
    reliability,
    sensitivity_error,
    specificity_error,
    subgroup_figures,
    unit_draws,
)
from perennial.evaluation.ranking import brier, calibration_error

RNG = np.random.default_rng(5)
RISK = RNG.beta(1, 7, 6000)
Y = (RNG.random(6000) < RISK).astype(np.float64)
ONCE = np.ones((1, 6000))


def test_errors_of_a_small_case_by_hand() -> None:
    """Four rows, two events, threshold 0.5: one event missed, one call in vain; without events nothing is known."""
    y, risk, once = np.array([1.0, 1, 0, 0]), np.array([0.9, 0.2, 0.6, 0.1]), np.ones((1, 4))
    assert sensitivity_error(y, risk, once, 0.5)[0] == 0.5
    assert specificity_error(y, risk, once, 0.5)[0] == 0.5
    assert np.isnan(sensitivity_error(np.zeros(4), risk, once, 0.5)[0])


def test_a_weight_of_two_is_a_row_that_is_there_twice() -> None:
    """Every error under bootstrap multiplicities equals the error of the repeated rows."""
    times = RNG.integers(0, 3, 6000)
    y, risk = np.repeat(Y, times), np.repeat(RISK, times)
    for error in (partial(sensitivity_error, threshold=0.2), partial(specificity_error, threshold=0.2)):
        repeated = error(y, risk, np.ones((1, len(y))))
        assert error(Y, RISK, times[None].astype(float)) == pytest.approx(repeated)


def test_honest_risks_lie_on_the_diagonal_and_exaggerated_ones_do_not() -> None:
    """The intervals of the reliability plot hold the predicted rate for true risks, and miss it for doubled ones."""
    unit = np.arange(6000) // 2
    honest, doubled = reliability(Y, RISK, unit), reliability(Y, np.minimum(2 * RISK, 0.99), unit)
    inside = (honest.low <= honest.predicted) & (honest.predicted <= honest.high)
    assert inside.mean() >= 0.8
    assert ((doubled.predicted > doubled.high).mean()) >= 0.8
    assert honest.rows.sum() == 6000
    assert calibration_error(Y, np.minimum(2 * RISK, 0.99), ONCE)[0] > 4 * calibration_error(Y, RISK, ONCE)[0]


def test_a_decision_curve_rewards_knowing_and_not_guessing() -> None:
    """True risks beat calling everybody and nobody around the base rate; one constant risk never beats both."""
    thresholds = np.linspace(0.02, 0.4, 20)
    knowing = decision_curve(Y, RISK, thresholds)
    constant = decision_curve(Y, np.full(6000, Y.mean()), thresholds)
    assert len(knowing.useful) >= 15
    assert len(constant.useful) == 0
    assert knowing.treat_all[0] == pytest.approx(Y.mean() - 0.02 / 0.98 * (1 - Y.mean()))


def test_intervals_of_subgroups_widen_when_rows_are_the_same_patients() -> None:
    """600 rows of 60 patients say less than 600 rows of 600, and a group's figure is that of its rows alone."""
    group = np.arange(6000) < 600
    y = np.where(group, (np.arange(6000) // 10) % 2, Y).astype(float)  # ten rows of one patient end alike
    error = [("brier", brier)]
    alone = subgroup_figures(y, RISK, np.arange(6000), [("all", group | True), ("race=X", group)], error)
    shared = subgroup_figures(y, RISK, np.arange(6000) // 10, [("all", group | True), ("race=X", group)], error)
    assert shared[1].value == pytest.approx(((RISK - y)[group] ** 2).mean())
    assert shared[1].high - shared[1].low > 2 * (alone[1].high - alone[1].low)
    assert (shared[1].rows, shared[1].events) == (600, 300)


def test_draws_keep_the_number_of_patients() -> None:
    """Each draw has as many patients as there are, and the first is the sample itself."""
    draws = unit_draws(50, 20, seed=1)
    assert (draws.sum(axis=1) == 50).all()
    assert (draws[0] == 1).all()
