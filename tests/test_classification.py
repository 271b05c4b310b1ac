"""Metrics of classification: against scikit-learn, against obvious code, and under weights."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from perennial.evaluation import ranking
from perennial.evaluation.classification import METRICS, alert_column
from perennial.evaluation.sums import Grid

SEEDS = st.integers(0, 2**32 - 1)


def sample(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels of both classes, scores with ties, and whole-number weights with zeros."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    y[:2] = 0, 1
    weight = rng.integers(0, 4, n).astype(float)
    weight[:2] = 1
    return y, np.round(rng.random(n) * 0.7 + 0.2 * y, 1), weight


def rows_of(y: np.ndarray, score: np.ndarray, unit: np.ndarray, day: np.ndarray, top: int) -> SimpleNamespace:
    """Return rows as an evaluation holds them; each unit is an entity."""
    n = len(y)
    return SimpleNamespace(
        y=y.astype(np.float32),
        forecasts={"candidate": score.astype(np.float32), "naive": score.astype(np.float32)},
        entity=unit.astype(np.int32),
        entities=np.arange(unit.max() + 1).astype(str),
        day=day.astype(np.int32),
        extra={
            "unit": unit,
            "top": np.full(n, top),
            "cost_false_positive": np.ones(n),
            "cost_false_negative": np.full(n, 10.0),
            alert_column("candidate"): score >= 0.5,
        },
    )


def evaluated(metric: Any, rows: Any, entities: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return a metric of the candidate under weightings of entities and days."""
    return metric.weighted(metric.prepare(Grid(rows), "candidate"), entities, days)


@given(SEEDS)
@trials(max_examples=50, deadline=None)
def test_figures_are_those_of_scikit_learn(seed: int) -> None:
    """Area under the curve, average precision, Brier and log loss agree, with and without weights."""
    y, score, weight = sample(seed)
    both = np.stack([np.ones_like(weight), weight])
    for ours, theirs, error in (
        (ranking.auc_error, roc_auc_score, True),
        (ranking.average_precision_error, average_precision_score, True),
        (ranking.brier, brier_score_loss, False),
    ):
        expected = [theirs(y, score, sample_weight=w) for w in both]
        np.testing.assert_allclose(ours(y, score, both), 1 - np.array(expected) if error else expected, atol=1e-9)
    inside = np.clip(score, 0.01, 0.99)
    expected = [log_loss(y, inside, sample_weight=w) for w in both]
    np.testing.assert_allclose(ranking.log_loss(y, inside, both), expected, atol=1e-9)


@given(SEEDS)
@trials(max_examples=30, deadline=None)
def test_a_weight_of_two_is_the_unit_twice(seed: int) -> None:
    """Every metric under whole-number weights of units equals the one of rows repeated that often."""
    y, score, _ = sample(seed)
    rng = np.random.default_rng(seed)
    unit, day = rng.integers(0, 12, len(y)), np.sort(rng.integers(0, 4, len(y)))
    times = rng.integers(0, 3, 12).astype(float)
    rows = rows_of(y, score, unit, day, top=3)
    repeats = times[unit].astype(int)
    copy = np.concatenate([np.arange(k) for k in repeats] or [np.empty(0, int)])
    fresh = np.repeat(unit, repeats) * 3 + copy  # the copies of a unit are units of their own
    again = rows_of(np.repeat(y, repeats), np.repeat(score, repeats), fresh, np.repeat(day, repeats), top=3)
    if len(np.unique(again.day)) < len(np.unique(day)) or len(np.unique(again.y)) < 2:
        return
    for name, metric in METRICS.items():
        if name == "calibration_error":  # its bins are those of the rows there are
            continue
        weighted = evaluated(metric, rows, times[None, :], np.ones((1, len(np.unique(day)))))
        plain = evaluated(metric, again, np.ones((1, len(again.entities))), np.ones((1, len(np.unique(again.day)))))
        np.testing.assert_allclose(weighted, plain, atol=1e-6, err_msg=name)


def card_precision(y: np.ndarray, score: np.ndarray, unit: np.ndarray, day: np.ndarray, top: int) -> float:
    """Return the precision of the top units a day the obvious way, found units left out afterwards."""
    found: set[int] = set()
    shares = []
    for today in np.unique(day):
        best = {int(u): max(score[(day == today) & (unit == u)]) for u in unit[day == today] if int(u) not in found}
        first = sorted(best, key=lambda u: (-best[u], u))[:top]
        hits = {u for u in first if y[(day == today) & (unit == u)].max() == 1}
        found |= hits
        shares.append(len(hits) / top)
    return float(np.mean(shares))


@given(SEEDS, st.integers(1, 8))
@trials(max_examples=50, deadline=None)
def test_precision_of_the_top_units(seed: int, top: int) -> None:
    """The vectorised precision of the top cards a day equals a plain loop over days and cards."""
    y, score, _ = sample(seed)
    rng = np.random.default_rng(seed)
    unit, day = rng.integers(0, 12, len(y)), np.sort(rng.integers(0, 4, len(y)))
    rows = rows_of(y, score, unit, day, top)
    ones = np.ones((1, len(rows.entities))), np.ones((1, len(np.unique(day))))
    found = evaluated(METRICS["card_precision_error"], rows, *ones)
    assert found[0] == pytest.approx(1 - card_precision(y, np.float32(score), unit, day, top))


def test_cost_misses_and_volume() -> None:
    """One miss at 10, one false alert at 1 and two alerts on two days add up as they should."""
    y, score = np.array([1, 1, 0, 0]), np.array([0.9, 0.1, 0.8, 0.2])
    rows = rows_of(y, score, np.arange(4), np.array([0, 0, 1, 1]), top=1)
    ones = np.ones((1, 4)), np.ones((1, 2))
    found = {name: float(evaluated(metric, rows, *ones)[0]) for name, metric in METRICS.items()}
    assert found["expected_cost"] == pytest.approx(11 / 4)
    assert (found["miss_rate"], found["false_alert_rate"], found["alert_volume"]) == (0.5, 0.5, 1.0)
    assert not METRICS["expected_cost"].has(rows, "naive")
    assert METRICS["brier"].has(rows, "naive")


def test_undefined_is_nan_and_never_good() -> None:
    """One class, no rows or a score that is no number: no figure, which no gate accepts."""
    ones = np.ones((2, 3))
    assert np.isnan(ranking.auc_error(np.zeros(3), np.array([0.1, 0.2, 0.3]), ones)).all()
    assert np.isnan(ranking.average_precision_error(np.zeros(3), np.array([0.1, 0.2, 0.3]), ones)).all()
    assert np.isnan(ranking.auc_error(np.array([0.0, 1, 0]), np.array([0.1, np.nan, 0.3]), ones)).all()
    empty = np.empty(0)
    for name, metric in METRICS.items():
        rows = rows_of(empty, empty, np.zeros(1, int), empty, 1)
        rows.entity = empty.astype(np.int32)
        rows.extra = {key: np.empty(0) for key in rows.extra}
        assert np.isnan(evaluated(metric, rows, np.ones((1, 1)), np.ones((1, 0)))).all(), name


def test_calibration_error_sees_scores_that_are_too_high() -> None:
    """True probabilities have next to no calibration error; twice as high ones are off by their mean."""
    rng = np.random.default_rng(0)
    p = rng.random(20_000) * 0.5
    y = (rng.random(20_000) < p).astype(float)
    one = np.ones((1, len(p)))
    assert ranking.calibration_error(y, p, one)[0] < 0.015
    assert ranking.calibration_error(y, 2 * p, one)[0] == pytest.approx(0.25, abs=0.015)
    mean, share, n = ranking.reliability(y, p)
    assert n.sum() == len(p)
    np.testing.assert_allclose(mean, share, atol=0.05)
