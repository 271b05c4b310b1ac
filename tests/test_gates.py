"""Gates fail closed, are all judged, and say why."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from perennial.config.models import EvaluationSettings, Gate
from perennial.contracts import Evaluation, ModelVersion, Score, TestRows, to_json
from perennial.errors import MetricMissing
from perennial.evaluation.gates import holm, judge, succeeds
from perennial.evaluation.scores import score

NOISE = {"candidate": 1.0, "champion": 1.5, "last_value": 3.0, "weekday_mean": 2.0}


def rows_of(noise: dict[str, float], n_entities: int = 40, n_days: int = 14) -> TestRows:
    """Forecasts that miss Poisson demand by the given standard deviations."""
    rng = np.random.default_rng(0)
    entity, day = (a.ravel() for a in np.meshgrid(range(n_entities), range(n_days), indexing="ij"))
    y = rng.poisson(5.0, entity.size).astype(np.float32)
    return TestRows(
        entities=np.array([f"p{i}" for i in range(n_entities)]),
        entity=entity.astype(np.int32),
        window=np.zeros(entity.size, np.int16),
        horizon=(day + 1).astype(np.int16),
        day=(19000 + day).astype(np.int32),
        y=y,
        forecasts={c: (y + rng.normal(0, s, y.size)).astype(np.float32) for c, s in noise.items()},
        levels=(0.5,),
        quantiles={"candidate": y[:, None]},
        scale_abs=np.ones(n_entities),
        scale_sq=np.ones(n_entities),
        weight=np.full(n_entities, 1 / n_entities),
        slices={"volume": np.array(["A", "B"])[(np.arange(n_entities) >= n_entities // 2).astype(int)]},
        groups={"total": np.zeros(n_entities, np.int32)},
        group_scale_sq={"total": np.ones(1)},
    )


def evaluation_of(rows: TestRows) -> Evaluation:
    """Score the rows for real."""
    scores = score(rows, EvaluationSettings(horizons=()))
    return Evaluation(scores=scores, rows=rows, per_entity=pa.table({}), charts=())


def scored(candidate: float, champion: float = 0.3, baseline: float = 0.4) -> Evaluation:
    """An evaluation whose overall WAPEs are exactly the given ones."""
    values = {"candidate": candidate, "champion": champion, "last_value": baseline}
    evaluation = evaluation_of(rows_of(dict.fromkeys(values, 1.0), n_entities=4))
    scores = tuple(
        Score(contender=c, metric="wape", part="overall", key="", value=v, rows=56) for c, v in values.items()
    )
    return replace(evaluation, scores=scores)


def gate(**settings: Any) -> Gate:
    """A gate on WAPE against the champion, unless told otherwise."""
    return Gate(**({"metric": "wape", "against": "champion"} | settings))


@pytest.mark.parametrize(("wape", "promote"), [(0.2849, True), (0.285, True), (0.2851, False)])
def test_bar_includes_equality(wape: float, promote: bool) -> None:
    """A bar of 0.95 x 0.300 accepts equality and refuses anything above."""
    assert judge(scored(wape, champion=0.3), [gate(ratio=0.95)]).promote is promote


@pytest.mark.parametrize("bad", [nan, inf, -inf])
@pytest.mark.parametrize(
    "settings", [{}, {"against": "bound", "max": 1e9}, {"against": "baseline"}, {"confidence": 0.9}]
)
def test_figures_that_are_not_finite_never_pass(bad: float, settings: dict[str, Any]) -> None:
    """Neither a nan nor an infinity of the candidate is promoted by any kind of gate."""
    assert not judge(scored(bad), [gate(**settings)]).promote


@pytest.mark.parametrize("bad", [nan, inf])
def test_broken_champion_does_not_let_everything_pass(bad: float) -> None:
    """A champion whose figure is undefined cannot be beaten by default."""
    assert not judge(scored(0.1, champion=bad), [gate()]).promote


@given(value=st.floats(), bound=st.floats())
def test_passing_is_exactly_finite_and_below(value: float, bound: float) -> None:
    """For every pair of floats the verdict is `isfinite(value) and value <= bound`."""
    (verdict,) = judge(scored(value, champion=bound), [gate()]).verdicts
    assert verdict.passed is (isfinite(value) and isfinite(bound) and value <= bound)


def test_every_gate_is_judged_after_one_failed() -> None:
    """A report shows the second reason too."""
    gates = [gate(ratio=0.1), gate(against="bound", max=0.01), gate(against="baseline", ratio=2.0)]
    decision = judge(scored(0.29), gates)
    assert [v.passed for v in decision.verdicts] == [False, False, True]
    assert decision.summary == "2 of 3 gates failed: wape 0.29 > 0.03 (0.1 x champion)"


def test_missing_champion_passes_but_baselines_bind() -> None:
    """The first model has nobody to beat but the naive forecasts."""
    rows = rows_of({"candidate": 3.0, "last_value": 1.0})
    decision = judge(evaluation_of(rows), [gate(confidence=0.95), gate(slices="volume"), gate(against="baseline")])
    assert [v.reason for v in decision.verdicts[:2]] == ["no champion yet"] * 2
    assert [v.passed for v in decision.verdicts] == [True, True, False]


def test_missing_champion_does_not_excuse_an_undefined_candidate() -> None:
    """Nothing to compare with is no reason to promote a nan."""
    rows = rows_of({"candidate": 1.0, "last_value": 1.0})
    rows.forecasts["candidate"][0] = nan
    assert not judge(evaluation_of(rows), [gate()]).promote


def test_best_baseline_is_the_hardest() -> None:
    """`best` takes the baseline with the lowest error, never candidate or champion."""
    (verdict,) = judge(evaluation_of(rows_of(NOISE)), [gate(against="baseline")]).verdicts
    assert verdict.against == "weekday_mean"
    assert verdict.gate == "wape vs best baseline"


def test_no_gates_promote_nothing() -> None:
    """An empty decision is a refusal."""
    decision = judge(scored(0.0), [])
    assert not decision.promote
    assert decision.summary == "no gate was judged"


@pytest.mark.parametrize(("days", "promote"), [(-7, False), (-1, False), (0, True), (7, True)])
def test_a_candidate_never_replaces_a_champion_of_a_later_date(days: int, promote: bool) -> None:
    """A better model that stands on an earlier date is judged, but what is in force only moves forward."""
    champion = ModelVersion(
        model="demand",
        version=4,
        run_key="k",
        digest="d",
        snapshot_id="s",
        as_of=date(2024, 5, 8),
        mlflow_run="r",
        mlflow_version=4,
        state="registered",
        created_at=datetime(2024, 5, 9, tzinfo=UTC),
    )
    decision = judge(scored(0.1), [gate()])
    found = succeeds(decision, champion.as_of + timedelta(days=days), champion)
    assert found.promote is promote
    assert found.verdicts[-1:] == decision.verdicts
    assert ("version 4 in force on 2024-05-08" in found.summary) is not promote
    assert succeeds(decision, date(1990, 1, 1), None) == decision


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "wap"}, r"metric 'wap', but only .*'wape'"),
        ({"against": "baseline", "baseline": "arima"}, r"baseline 'arima' .* only 'last_value', 'weekday_mean'"),
        ({"metric": "pinball", "against": "baseline"}, r"only none"),
        ({"metric": "pinball"}, r"not evaluated for the champion"),
        ({"slices": "colour"}, r"slice 'colour' was not evaluated, only 'volume'"),
        ({"metric": "wrmsse", "slices": "volume"}, r"not defined for a slice: use 'rmsse'"),
    ],
)
def test_gates_on_what_was_not_evaluated_are_errors(settings: dict[str, Any], message: str) -> None:
    """The message names the value, the allowed set and the next step."""
    with pytest.raises(MetricMissing, match=message):
        judge(evaluation_of(rows_of(NOISE)), [gate(**settings)])


def test_confidence_needs_the_margin_not_only_the_figure() -> None:
    """A candidate ahead by a hair passes the plain gate and not the confident one."""
    rows = rows_of({"candidate": 1.0, "champion": 1.0, "last_value": 2.0})
    lead = judge(evaluation_of(rows), [gate()]).verdicts[0]
    hair = gate(ratio=lead.value / lead.bound * 1.0001)
    plain, sure = judge(evaluation_of(rows), [hair, hair.model_copy(update={"confidence": 0.95})]).verdicts
    assert plain.passed
    assert not sure.passed
    assert sure.value > sure.bound == 0.0
    assert "with 95% confidence" in sure.reason


@pytest.mark.parametrize(("limit", "promote"), [(10.0, True), (0.01, False)])
def test_bound_with_confidence(limit: float, promote: bool) -> None:
    """An absolute bound can be asked for with a margin too."""
    rule = gate(against="bound", max=limit, confidence=0.9)
    assert judge(evaluation_of(rows_of(NOISE)), [rule]).promote is promote


@pytest.mark.parametrize("confidence", [None, 0.95])
def test_one_bad_slice_blocks_a_good_average(confidence: float | None) -> None:
    """A candidate that is better overall and worse on slice B is refused, for B alone."""
    rows = rows_of(NOISE)
    weak = (rows.slices["volume"] == "B")[rows.entity]
    rows.forecasts["candidate"][:] = np.where(weak, rows.forecasts["last_value"], rows.y)
    decision = judge(evaluation_of(rows), [gate(), gate(slices="volume", confidence=confidence)])
    assert [(v.key, v.passed) for v in decision.verdicts] == [("", True), ("volume=A", True), ("volume=B", False)]


def test_slices_too_small_to_judge_fail_when_none_is_left() -> None:
    """A gate that could not be judged at all is not passed."""
    (verdict,) = judge(evaluation_of(rows_of(NOISE)), [gate(slices="volume", min_rows=10_000)]).verdicts
    assert not verdict.passed
    assert "no value of slice 'volume' has 10000 test rows" in verdict.reason


def test_many_slices_can_still_pass() -> None:
    """Resamples grow with the number of slices, so that the smallest p-value survives the correction."""
    rows = replace(rows_of(NOISE), slices={"volume": np.arange(40).astype(str)})
    decision = judge(evaluation_of(rows), [gate(slices="volume", confidence=0.95, min_rows=14, ratio=3.0)])
    assert len(decision.verdicts) == 40
    assert decision.promote


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_equals_its_step_down_definition(p_values: list[float]) -> None:
    """Rejecting adjusted p <= alpha is what the step-down procedure does, and never less than Bonferroni."""
    adjusted = holm(p_values)
    for alpha in (0.01, 0.05, 0.2):
        rejected: set[int] = set()
        for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if min(1.0, p_values[i] * (len(p_values) - rank)) > alpha:
                break
            rejected.add(i)
        assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(a <= min(1.0, p * len(p_values)) for a, p in zip(adjusted, p_values, strict=True))


def test_undefined_p_value_takes_no_other_down_unfairly() -> None:
    """A nan stays nan, counts as 1 for the others, and is never passed."""
    adjusted = holm([0.01, nan])
    assert adjusted[0] == 0.02
    assert not adjusted[1] <= 1.0


def test_documented_gates_are_valid() -> None:
    """The YAML at the top of docs/gates.md is a list of gates that can be judged."""
    text = (Path(__file__).parents[1] / "docs" / "gates.md").read_text(encoding="utf-8")
    block = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    gates = [Gate(**settings) for settings in yaml.safe_load(block)["gates"]]
    assert len(judge(evaluation_of(rows_of(NOISE)), gates).verdicts) == len(gates) + 1


def test_decision_is_repeatable_and_plain_json() -> None:
    """The same evaluation gives the same verdicts, and they can be stored."""
    gates = [gate(confidence=0.9), gate(slices="volume", confidence=0.9)]
    first, again = (judge(evaluation_of(rows_of(NOISE)), gates) for _ in range(2))
    assert first == again
    assert json.loads(json.dumps(to_json(first), allow_nan=False))["verdicts"][0]["metric"] == "wape"
