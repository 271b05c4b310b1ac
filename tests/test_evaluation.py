"""Scores per part, and the table per entity."""

from dataclasses import replace

import numpy as np
import pytest

from perennial.config.models import EvaluationSettings
from perennial.contracts import Score, TestRows
from perennial.errors import MetricMissing
from perennial.evaluation.metrics import METRICS, subset, value
from perennial.evaluation.scores import per_entity, score, slice_labels

SETTINGS = EvaluationSettings(slices=("size",), horizons=((1, 7), (8, 14), (15, 28)))


def sales(n_entities: int = 60, n_days: int = 14, seed: int = 0) -> TestRows:
    """One window of Poisson demand, three contenders, and a slice whose last value is small."""
    rng = np.random.default_rng(seed)
    entity, day = (a.ravel() for a in np.meshgrid(np.arange(n_entities), np.arange(n_days), indexing="ij"))
    y = rng.poisson(3.0, entity.size).astype(np.float32)
    forecasts = {
        "candidate": y + rng.normal(0, 1.0, y.size).astype(np.float32),
        "champion": y + rng.normal(0, 1.5, y.size).astype(np.float32),
        "last_value": y + rng.normal(0, 3.0, y.size).astype(np.float32),
    }
    place = np.arange(n_entities)
    labels = np.where(place < n_entities // 2, "big", np.where(place < n_entities - 3, "mid", "tiny"))
    return TestRows(
        entities=np.array([f"p{i}" for i in range(n_entities)]),
        entity=entity.astype(np.int32),
        window=np.zeros(entity.size, np.int16),
        horizon=(day + 1).astype(np.int16),
        day=(19000 + day).astype(np.int32),
        y=y,
        forecasts=forecasts,
        levels=(0.1, 0.9),
        quantiles={c: np.stack([forecasts[c] - 1, forecasts[c] + 1], axis=1) for c in ("candidate", "champion")},
        scale_abs=np.ones(n_entities),
        scale_sq=np.ones(n_entities),
        weight=np.full(n_entities, 1 / n_entities),
        slices={"size": labels},
        groups={"total": np.zeros(n_entities, np.int32)},
        group_scale_sq={"total": np.array([float(n_entities)])},
    )


def find(scores: tuple[Score, ...], **wanted: str) -> list[Score]:
    """Scores whose named fields equal the given values."""
    return [s for s in scores if all(getattr(s, k) == v for k, v in wanted.items())]


def test_scores_cover_every_contender_metric_and_part_once() -> None:
    """No figure is computed twice, and each is where its definition allows."""
    scores = score(sales(), SETTINGS)
    keys = [(s.contender, s.metric, s.part, s.key) for s in scores]
    assert len(keys) == len(set(keys))
    assert {s.metric for s in find(scores, contender="candidate", part="overall")} == set(METRICS)
    assert {s.metric for s in find(scores, contender="last_value")} == set(METRICS) - {"pinball", "coverage_error"}
    assert {s.key for s in find(scores, part="horizon")} == {"h=1-7", "h=8-14"}
    assert not find(scores, metric="wrmsse", part="slice")
    assert not find(scores, metric="instability", part="horizon")


def test_small_slices_are_pooled_and_rows_are_conserved() -> None:
    """Three products with 42 rows become `other`; the rows of all slices add up to all rows."""
    rows = sales()
    wape = find(score(rows, SETTINGS), contender="candidate", metric="wape", part="slice")
    assert {s.key: s.rows for s in wape} == {"size=big": 420, "size=mid": 378, "size=other": 42}
    assert sum(s.rows for s in wape) == rows.y.size


@pytest.mark.parametrize("metric", ["wape", "rmsse", "pinball", "coverage_error"])
def test_slice_equals_the_metric_of_its_rows(metric: str) -> None:
    """A slice's score is what the metric says about only its rows."""
    rows = sales()
    (got,) = find(score(rows, SETTINGS), contender="champion", metric=metric, key="size=mid")
    part = subset(rows, (rows.slices["size"] == "mid")[rows.entity])
    assert got.value == pytest.approx(value(METRICS[metric], part, "champion"))


def test_undefined_score_is_nan_and_present() -> None:
    """A bucket in which nothing was sold has a WAPE of nan, not none."""
    rows = sales()
    rows.y[rows.horizon <= 7] = 0
    (got,) = find(score(rows, SETTINGS), contender="candidate", metric="wape", key="h=1-7")
    assert np.isnan(got.value)


def test_unknown_slice_is_named_with_the_allowed_ones() -> None:
    """A slice that was not evaluated is refused with the ones that were."""
    with pytest.raises(MetricMissing, match=r"slice 'colour' was not evaluated, only 'size'"):
        slice_labels(sales(), "colour")


def test_slice_without_rows_is_not_a_slice_of_its_own() -> None:
    """Entities that were not forecast do not make a slice value."""
    rows = sales()
    rows = subset(rows, (rows.slices["size"] != "big")[rows.entity])
    keys = {s.key for s in find(score(rows, SETTINGS), part="slice")}
    assert keys == {"size=mid", "size=other"}


def test_table_per_entity_has_one_row_each_and_nulls_where_undefined() -> None:
    """The Parquet artifact carries each entity once, with null instead of nan."""
    rows = sales(n_entities=8)
    rows.y[rows.entity == 2] = 0
    table = per_entity(rows)
    assert table["entity"].to_pylist() == rows.entities.tolist()
    assert table["candidate.wape"].is_null().to_pylist() == [i == 2 for i in range(8)]
    assert "last_value.pinball" not in table.column_names
    one = subset(rows, rows.entity == 5)
    assert table["champion.rmsse"][5].as_py() == pytest.approx(value(METRICS["rmsse"], one, "champion"))


def test_no_slices_and_no_horizons_leave_the_overall_scores() -> None:
    """Parts are optional."""
    scores = score(sales(), replace_settings(slices=(), horizons=()))
    assert {s.part for s in scores} == {"overall"}


def test_scores_do_not_depend_on_the_order_of_rows() -> None:
    """Shuffled rows give the same figures."""
    rows = sales()
    order = np.random.default_rng(1).permutation(rows.y.size)
    shuffled = replace(
        subset(rows, np.ones(rows.y.size, bool)),
        **{k: getattr(rows, k)[order] for k in ("entity", "window", "horizon", "day", "y")},
        forecasts={k: v[order] for k, v in rows.forecasts.items()},
        quantiles={k: v[order] for k, v in rows.quantiles.items()},
    )
    a, b = score(rows, SETTINGS), score(shuffled, SETTINGS)
    assert [s.value for s in a] == pytest.approx([s.value for s in b], nan_ok=True)


@pytest.mark.parametrize("n_entities", [1, 2])
def test_few_rows_are_scored_without_a_warning(n_entities: int) -> None:
    """No rows at all, one series, and nothing sold give figures or nan, never an exception."""
    rows = sales(n_entities=n_entities)
    none = subset(rows, np.zeros(rows.y.size, bool))
    assert all(np.isnan(s.value) and s.rows == 0 for s in score(none, SETTINGS))
    assert all(np.isfinite(s.value) for s in score(rows, SETTINGS) if s.part == "overall" and s.metric != "instability")
    rows.y[:] = 0
    undefined = {s.metric for s in score(rows, SETTINGS) if s.part == "overall" and np.isnan(s.value)}
    assert undefined == {"wape", "bias", "instability"}
    assert per_entity(none).num_rows == n_entities


def replace_settings(**changes: object) -> EvaluationSettings:
    """Settings with some fields changed."""
    return SETTINGS.model_copy(update=changes)
