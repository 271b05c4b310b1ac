"""The seasonal baseline of regular series: causal, robust, and as many alarms as there may be."""

import numpy as np
import pytest

from perennial.errors import TrainingError
from perennial.models.seasonal import CUTOFF, SeasonalSettings, budget_thresholds, raised, seasonal_scores

STEP = 30
SLOTS = 1440 // STEP
START = 19_000 * 1440
SETTINGS = SeasonalSettings(step=STEP, spans=(30, 180))


def series(days: int = 42) -> tuple[np.ndarray, np.ndarray]:
    """Return minutes and values of a series with a daily and a weekly rhythm."""
    n = np.arange(days * SLOTS)
    weekend = (n // SLOTS) % 7 >= 5
    noise = np.random.default_rng(0).normal(0, 0.3, len(n))
    return START + n * STEP, 10 + 5 * np.sin(2 * np.pi * n / SLOTS) * np.where(weekend, 0.3, 1) + noise


def test_a_score_rests_on_what_came_before() -> None:
    """Deleting the future changes no score."""
    minute, values = series()
    until = 30 * SLOTS + 11
    whole = seasonal_scores(minute, values, SETTINGS)
    np.testing.assert_array_equal(seasonal_scores(minute[:until], values[:until], SETTINGS), whole[:until])


def test_a_normal_value_at_the_wrong_time_is_strange() -> None:
    """A night that looks like noon is found, although each of its values is an everyday one."""
    minute, values = series()
    at = 37 * SLOTS + 36
    values[at : at + 6] = 15.0
    scores = seasonal_scores(minute, values, SETTINGS)
    quiet = np.delete(scores[30 * SLOTS :], np.arange(7 * SLOTS + 30, 7 * SLOTS + 54))
    assert scores[at : at + 6].max() > 2 * np.nanmax(quiet)


def test_gaps_and_unknown_values_are_no_alarm() -> None:
    """What is missing has no score, and the days after it still have one."""
    minute, values = series()
    values[20 * SLOTS : 21 * SLOTS] = np.nan
    kept = np.delete(np.arange(len(minute)), np.arange(25 * SLOTS, 27 * SLOTS))
    scores = seasonal_scores(minute[kept], values[kept], SETTINGS)
    assert np.isnan(scores[20 * SLOTS : 21 * SLOTS]).all()
    assert np.isfinite(scores[28 * SLOTS :]).all()
    assert (scores[28 * SLOTS :] > 20).sum() == 0


def test_a_series_that_runs_backwards_is_refused() -> None:
    """Time must not run backwards."""
    with pytest.raises(TrainingError, match="backwards in time"):
        seasonal_scores(np.array([10, 5]), np.zeros(2), SETTINGS)


def test_thresholds_know_only_earlier_days_and_keep_the_budget() -> None:
    """On exchangeable days, alarms come about as often as the budget says, and never on the first day."""
    random = np.random.default_rng(1)
    day = np.repeat(np.arange(700), 4)
    score = random.exponential(1, len(day))
    threshold = budget_thresholds(score, day, 1.0)
    assert np.isinf(threshold[:4]).all()
    np.testing.assert_array_equal(budget_thresholds(score[:400], day[:400], 1.0), threshold[:400])
    alarms = raised(score, threshold, day * 1440 + np.tile(np.arange(4), 700) * 360, 1440)
    assert 75 <= len(alarms) <= 125
    assert (budget_thresholds(score, day, 1.0, at_least=CUTOFF) >= CUTOFF).all()


def test_alarms_rest() -> None:
    """One long excess is one alarm until the rest is over."""
    minute = np.arange(10) * 60
    assert raised(np.ones(10), np.zeros(10), minute, 240).tolist() == [0, 4, 8]
