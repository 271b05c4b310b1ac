"""Metrics against slow, obvious definitions."""

from collections.abc import Callable
from math import isnan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts import TestRows
from perennial.evaluation.metrics import METRICS, by_entity, subset, value, weighted, wrmsse_by_level
from perennial.evaluation.sums import Grid

LEVELS = (0.1, 0.5, 0.9)


def make_rows(seed: int, n_entities: int = 4, n_days: int = 9, drop: float = 0.2) -> TestRows:
    """Draw two overlapping windows of whole-number demand with holes, odd scales and two contenders."""
    rng = np.random.default_rng(seed)
    cells = [(e, w, d) for e in range(n_entities) for w in (0, 1) for d in range(3 * w, n_days) if rng.random() > drop]
    entity, window, day = (np.array(c) for c in zip(*(cells or [(0, 0, 0)]), strict=True))
    sold = rng.poisson(2.0, size=(n_entities, n_days))
    forecast = rng.gamma(2.0, size=(2, entity.size)).astype(np.float32)
    scale = rng.choice([0.5, 2.0, 3.0, 0.0, np.nan], size=(2, n_entities), p=[0.3, 0.3, 0.2, 0.1, 0.1])
    half = (np.arange(n_entities) % 2).astype(np.int32)
    return TestRows(
        entities=np.array([f"e{i}" for i in range(n_entities)]),
        entity=entity.astype(np.int32),
        window=window.astype(np.int16),
        horizon=(day - 3 * window + 1).astype(np.int16),
        day=(18000 + day).astype(np.int32),
        y=sold[entity, day].astype(np.float32),
        forecasts={"candidate": forecast[0], "naive": forecast[1]},
        levels=LEVELS,
        quantiles={"candidate": np.sort(rng.integers(0, 6, size=(entity.size, 3)).astype(np.float32), axis=1)},
        scale_abs=scale[0],
        scale_sq=scale[1],
        weight=np.full(n_entities, 1 / n_entities),
        slices={"half": np.array(["a", "b"])[half]},
        groups={"total": np.zeros(n_entities, np.int32), "half": half, "entity": np.arange(n_entities, dtype=np.int32)},
        group_scale_sq={"total": np.array([4.0]), "half": np.array([2.0, 3.0]), "entity": scale[1]},
    )


# --- slow oracles ------------------------------------------------------------------------------------------


def triples(rows: TestRows) -> list[tuple[int, float, float]]:
    """Entity, truth and forecast of every row."""
    return [
        (int(i), float(y), float(f)) for i, y, f in zip(rows.entity, rows.y, rows.forecasts["candidate"], strict=True)
    ]


def mean(values: list[float]) -> float:
    """Mean, nan when empty."""
    return sum(values) / len(values) if values else float("nan")


def over(above: float, below: float) -> float:
    """Quotient, nan when there is nothing to divide by."""
    return above / below if below else float("nan")


def slow_mase(rows: TestRows) -> float:
    """Mean scaled error of the rows whose entity has a scale."""
    return mean([abs(f - y) / rows.scale_abs[i] for i, y, f in triples(rows) if rows.scale_abs[i] > 0])


def slow_rmsse(rows: TestRows) -> float:
    """Mean over entities of the root of the mean scaled squared error."""
    roots = []
    for i, scale in enumerate(rows.scale_sq):
        errors = [(f - y) ** 2 for j, y, f in triples(rows) if j == i]
        if scale > 0 and errors:
            roots.append(sqrt(mean(errors) / scale))
    return mean(roots)


def slow_wrmsse(rows: TestRows) -> float:
    """Sum series to groups per window and day, take the root, weight by share, average levels."""
    total = weights = 0.0
    for level, group in rows.groups.items():
        for g, scale in enumerate(rows.group_scale_sq[level]):
            errors: dict[tuple[int, int], float] = {}
            for r, (i, y, f) in enumerate(triples(rows)):
                if group[i] == g:
                    cell = (int(rows.window[r]), int(rows.day[r]))
                    errors[cell] = errors.get(cell, 0.0) + f - y
            weight = rows.weight[group == g].sum() / len(rows.groups)
            if scale > 0 and errors:
                total += weight * sqrt(mean([e * e for e in errors.values()]) / scale)
                weights += weight
    return over(total, weights)


def slow_pinball(rows: TestRows) -> float:
    """Mean over rows and levels of the tilted absolute error."""
    losses = []
    for y, quantiles in zip(rows.y, rows.quantiles["candidate"], strict=True):
        losses += [(p * (y - q) if y >= q else (1 - p) * (q - y)) for p, q in zip(rows.levels, quantiles, strict=True)]
    return mean([float(x) for x in losses])


def slow_coverage(rows: TestRows) -> float:
    """Mean distance of each level to the interval between P(y < q) and P(y <= q)."""
    out = []
    for k, level in enumerate(rows.levels):
        q = rows.quantiles["candidate"][:, k]
        below, up_to = mean(list(rows.y < q)), mean(list(rows.y <= q))
        out.append(below - level if level < below else level - up_to if level > up_to else 0.0)
    return mean(out)


def slow_instability(rows: TestRows) -> float:
    """Change between the two windows' forecasts of the same entity and day, over the sales of those days."""
    cells = {
        (int(e), int(w), int(d)): r for r, (e, w, d) in enumerate(zip(rows.entity, rows.window, rows.day, strict=True))
    }
    f, pairs = rows.forecasts["candidate"], []
    for (e, w, d), r in cells.items():
        if (e, w + 1, d) in cells:
            pairs.append((abs(float(f[r]) - float(f[cells[e, w + 1, d]])), float(rows.y[r])))
    return over(sum(c for c, _ in pairs), sum(y for _, y in pairs))


SLOW: dict[str, Callable[[TestRows], float]] = {
    "wape": lambda r: over(sum(abs(f - y) for _, y, f in triples(r)), sum(y for _, y, _ in triples(r))),
    "mae": lambda r: mean([abs(f - y) for _, y, f in triples(r)]),
    "rmse": lambda r: sqrt(mean([(f - y) ** 2 for _, y, f in triples(r)])),
    "mase": slow_mase,
    "rmsse": slow_rmsse,
    "wrmsse": slow_wrmsse,
    "bias": lambda r: over(abs(sum(f - y for _, y, f in triples(r))), sum(y for _, y, _ in triples(r))),
    "pinball": slow_pinball,
    "coverage_error": slow_coverage,
    "instability": slow_instability,
}


def test_every_metric_has_an_oracle() -> None:
    """The catalogue and the slow definitions name the same metrics."""
    assert list(SLOW) == list(METRICS)


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), drop=st.sampled_from([0.0, 0.3, 0.9]))
def test_metric_equals_its_slow_definition(name: str, seed: int, drop: float) -> None:
    """Fast and obvious arithmetic agree on rows with holes, missing scales and days without a sale."""
    rows = make_rows(seed, drop=drop)
    assert value(METRICS[name], rows, "candidate") == pytest.approx(SLOW[name](rows), rel=1e-5, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", [n for n in METRICS if n != "wrmsse"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_weights_of_zero_and_one_select_entities(name: str, seed: int) -> None:
    """Weighting entities by membership is the same as keeping only their rows."""
    rows = make_rows(seed)
    member = np.array([True, False, True, False])
    metric = METRICS[name]
    sums = metric.sums(Grid(rows), "candidate")
    chosen = weighted(metric, sums, member[None].astype(float), np.ones((1, sums.cells.shape[2])))[0]
    kept = value(metric, subset(rows, member[rows.entity]), "candidate")
    assert chosen == pytest.approx(kept, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_one_forecast_that_is_not_finite_makes_the_metric_undefined(name: str, broken: float) -> None:
    """A single nan or infinity is never averaged away or skipped."""
    rows = make_rows(1, drop=0.0)
    rows.forecasts["candidate"][-1] = broken
    rows.quantiles["candidate"][-1, 0] = broken
    assert isnan(value(METRICS[name], rows, "candidate"))


@pytest.mark.parametrize("name", METRICS)
def test_perfect_forecast_scores_zero(name: str) -> None:
    """Zero is the best value of every metric."""
    rows = make_rows(2)
    rows.forecasts["candidate"][:] = rows.y
    rows.quantiles["candidate"][:] = np.quantile(rows.y, LEVELS) if name == "coverage_error" else rows.y[:, None]
    assert value(METRICS[name], rows, "candidate") == pytest.approx(0.0, abs=0.02 if name == "coverage_error" else 1e-9)


def test_quantile_metrics_are_absent_for_baselines() -> None:
    """A contender without quantiles has no pinball loss, and nobody has one without levels."""
    rows = make_rows(3)
    assert not METRICS["pinball"].has(rows, "naive")
    assert METRICS["wape"].has(rows, "naive")
    assert METRICS["pinball"].has(rows, "candidate")


def test_wrmsse_is_the_mean_of_its_levels() -> None:
    """The levels that a benchmark quotes average to the metric that a gate judges."""
    rows = make_rows(4)
    rows.group_scale_sq["entity"][:] = 1.0
    levels = wrmsse_by_level(rows, "candidate")
    assert list(levels) == ["total", "half", "entity"]
    assert value(METRICS["wrmsse"], rows, "candidate") == pytest.approx(np.mean(list(levels.values())))


def test_entities_without_rows_are_undefined_on_their_own() -> None:
    """An entity that sold nothing or was not forecast has no WAPE, and the others keep theirs."""
    rows = subset(make_rows(5, drop=0.0), make_rows(5, drop=0.0).entity != 1)
    values = by_entity(METRICS["wape"], METRICS["wape"].sums(Grid(rows), "candidate"))
    assert np.isnan(values).tolist() == [False, True, False, False]
