"""Subgroups and evaluation sets: who gets better on the whole and worse for some is refused, and told why."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from perennial.config.classify import EvaluationSet
from perennial.config.models import EvaluationSettings, Gate
from perennial.contracts import Decision, Evaluation, TestRows
from perennial.errors import MetricMissing
from perennial.evaluation.clinicalcharts import charts
from perennial.evaluation.gates import judge
from perennial.evaluation.scores import score
from perennial.evaluation.sets import marks, with_sets
from tests.patients import patients, with_forecast

ROWS, RISK = patients()
ASIAN = (ROWS.slices["race"] == "Asian")[ROWS.entity]
BETTER = Gate(metric="brier", against="champion", ratio=1.0)
EACH = [
    Gate(metric="brier", against="champion", ratio=1.05, slices="race", confidence=0.9),
]


def judged(rows: TestRows, *gates: Gate) -> Decision:
    """Judge the candidate among the rows' contenders."""
    cfg = EvaluationSettings(slices=("race",), horizons=())
    evaluation = Evaluation(scores=score(rows, cfg), rows=rows, per_entity=pa.table({}), charts=())
    return judge(evaluation, gates)


def test_a_model_that_is_better_for_everybody_is_promoted() -> None:
    """The true risks beat the champion overall and in each subgroup."""
    decision = judged(with_forecast(ROWS, "candidate", RISK), BETTER, *EACH)
    assert decision.promote, decision.summary
    assert len(decision.verdicts) == 1 + 3


def test_a_model_that_is_better_on_the_whole_and_worse_for_a_subgroup_is_refused() -> None:
    """Of one race nothing is known any more: the overall gate passes, the subgroup's fails and is named."""
    blind = np.where(ASIAN, np.random.default_rng(1).permutation(RISK), RISK)
    decision = judged(with_forecast(ROWS, "candidate", blind), BETTER, *EACH)
    assert decision.verdicts[0].passed
    assert not decision.promote
    failed = {verdict.key for verdict in decision.verdicts if not verdict.passed}
    assert failed == {"race=Asian"}
    assert "race=Asian: brier" in decision.summary


def test_each_set_is_judged_by_itself() -> None:
    """Under stress the candidate is a guess: the stress gate fails, the overall figure is as it was without it."""
    rows = with_forecast(ROWS, "candidate", RISK)
    guess = replace(rows, forecasts={**rows.forecasts, "candidate": np.full(len(RISK), 0.5, np.float32)})
    last = marks(EvaluationSet(last_days=7), {}, rows.day)
    both = with_sets(rows, {"recent": last}, {"no_laboratory": guess})
    gates = [BETTER, *(Gate(metric="brier", against="champion", set=name) for name in ("recent", "no_laboratory"))]
    decision = judged(both, *gates)
    assert [verdict.passed for verdict in decision.verdicts] == [True, True, False]
    assert decision.verdicts[0].value == pytest.approx(judged(rows, BETTER).verdicts[0].value)
    assert "set=no_laboratory" in decision.summary
    with pytest.raises(MetricMissing, match="evaluation set 'sites' was not evaluated, only 'main', 'no_laboratory'"):
        judged(both, Gate(metric="brier", against="champion", set="sites"))


def test_sets_are_told_by_values_and_days() -> None:
    """Conditions hold together; an unknown column and a set without any are errors."""
    texts = {"source": np.array(["emergency", "referral", "", "emergency"])}
    day = np.array([10, 16, 16, 16], np.int32)
    emergency = EvaluationSet(where={"source": ("emergency",)}, last_days=7)
    assert marks(emergency, texts, day).tolist() == [True, False, False, True]
    assert marks(replace_days(emergency, 6), texts, day).tolist() == [False, False, False, True]
    with pytest.raises(MetricMissing, match="column 'source', but the text columns are none"):
        marks(emergency, {}, day)
    with pytest.raises(ValidationError, match="told by nothing is all rows"):
        EvaluationSet()


def test_pictures_show_honesty_and_worth() -> None:
    """True risks lie on the diagonal and are worth more than calling everybody or nobody; there is no name in them."""
    shown = charts(with_forecast(ROWS, "candidate", RISK))
    assert [chart.title for chart in shown] == [
        "Reliability of the candidate",
        "Reliability of the champion",
        "Decision curve",
    ]
    honest, other, curve = shown
    gaps = [np.abs(np.subtract(c.lines["actual"], c.lines["diagonal"])).mean() for c in (honest, other)]
    assert gaps[0] < 0.02 < gaps[1]
    assert set(curve.lines) == {"candidate", "champion", "treat all", "treat none"}
    assert "worth more than calling everybody or nobody between" in curve.note
    assert curve.axis
    assert charts(replace(ROWS, forecasts={})) == ()


def replace_days(one: EvaluationSet, days: int) -> EvaluationSet:
    """Return a set of other days."""
    return one.model_copy(update={"last_days": days})
