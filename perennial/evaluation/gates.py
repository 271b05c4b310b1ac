"""Gates: pure rules that turn an evaluation into a promotion decision.

They fail closed: a gate passes only if its figure is finite and at or below its bound. Every gate is judged even
after one failed, so that a report never hides a second reason. What the gates get wrong, and how often, is
measured in ``docs/gates.md``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, isfinite, nan

import numpy as np

from perennial.config.models import Gate
from perennial.contracts import Decision, Evaluation, ModelVersion, TestRows, Verdict
from perennial.errors import MetricMissing, sample
from perennial.evaluation import catalogue
from perennial.evaluation.compare import Interval, bootstrap_difference
from perennial.evaluation.metrics import AnyMetric, main, subset, value
from perennial.evaluation.scores import slice_labels

CANDIDATE, CHAMPION = "candidate", "champion"
RESAMPLES = 1000


def judge(evaluation: Evaluation, gates: Sequence[Gate]) -> Decision:
    """Judge an evaluation against every gate.

    Args:
        evaluation: Scores of candidate, champion (if there is one) and baselines on the same rows.
        gates: In the order of the configuration.

    Returns:
        One verdict per gate, or one per slice value for a gate with ``slices``. A gate against the champion passes
        while there is none, provided that the candidate's own figure is finite.

    Raises:
        MetricMissing: A gate names a metric, slice or baseline that was not evaluated.
    """
    return Decision(verdicts=tuple(v for gate in gates for v in _judge_one(evaluation, gate)))


def succeeds(decision: Decision, as_of: date, champion: ModelVersion | None) -> Decision:
    """Refuse a candidate that stands on an earlier date than the champion, whatever its figures are.

    A run for the past is judged and recorded like any other, but what is in force only moves forward; going
    back is a rollback, which a person asks for.

    Args:
        decision: What the gates said.
        as_of: Date the candidate stands on.
        champion: The version in force.

    Returns:
        The decision, headed by a failed verdict if the candidate is too old.
    """
    if champion is None or as_of >= champion.as_of:
        return decision
    late = Verdict(
        gate="as-of date vs champion",
        metric="as_of",
        against=CHAMPION,
        key="",
        value=float((champion.as_of - as_of).days),
        bound=0.0,
        passed=False,
        reason=f"it stands on {as_of}, but version {champion.version} in force on {champion.as_of}",
    )
    return Decision(verdicts=(late, *decision.verdicts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One gate on one part of the test rows.

    Attributes:
        key: ``""`` for all rows, else for example ``volume=A``.
        value: What the candidate scored.
        other: Contender it is compared with; ``None`` for an absolute bound.
        bound: What ``value`` has to stay at or below.
    """

    gate: Gate
    key: str
    rows: TestRows
    value: float
    other: str | None
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the figures alone, without a margin for luck, are good enough."""
        return isfinite(self.bound) and isfinite(self.value) and self.value <= self.bound

    @property
    def comparison(self) -> str:
        """Both figures in words."""
        if not (isfinite(self.value) and isfinite(self.bound)):
            return f"{self.gate.metric} {self.value:.4g} against {self.bound:.4g} is undefined"
        sign = "<=" if self.holds else ">"
        bar = f" ({self.gate.ratio:g} x {self.other})" if self.other else ""
        return f"{self.gate.metric} {self.value:.4g} {sign} {self.bound:.4g}{bar}"

    def bootstrap(self, confidence: float, n: int) -> Interval:
        """Bound the difference between candidate and bar."""
        return bootstrap_difference(
            self.rows,
            catalogue.metrics(self.rows.kind)[self.gate.metric],
            CANDIDATE,
            self.other,
            ratio=self.gate.ratio,
            offset=0.0 if self.other else self.bound,
            confidence=confidence,
            n=n,
        )

    def verdict(self, *, value: float, bound: float, passed: bool, reason: str) -> Verdict:
        """Record the answer."""
        return Verdict(
            gate=_name(self.gate, self.key),
            metric=self.gate.metric,
            against=self.other or "bound",
            key=self.key,
            value=value,
            bound=bound,
            passed=passed,
            reason=f"{self.key}: {reason}" if self.key else reason,
        )


def _judge_one(evaluation: Evaluation, gate: Gate) -> Iterator[Verdict]:
    metric = _metric(evaluation, gate)
    rows, key = _rows(evaluation.rows, gate), f"set={gate.set}" if gate.set else ""
    part = "set" if gate.set else "overall"
    scores = {c: evaluation.value(c, metric.name, part, key) for c in rows.forecasts if metric.has(rows, c)}
    if gate.against == "champion" and CHAMPION not in evaluation.rows.forecasts:
        yield _unopposed(gate, scores[CANDIDATE])
    elif gate.slices is None:
        yield _plain(_case(gate, key, rows, scores))
    else:
        yield from _by_slice(list(_slice_cases(gate, metric, rows)), gate)


def _rows(rows: TestRows, gate: Gate) -> TestRows:
    """Return the rows a gate is judged on: those of its set, else of the overall figures.

    Raises:
        MetricMissing: The set was not evaluated.
    """
    if gate.set is None:
        return main(rows)
    if gate.set not in rows.sets:
        allowed = sample(sorted(rows.sets), limit=20) or "none"
        raise MetricMissing(f"evaluation set {gate.set!r} was not evaluated, only {allowed}: name one of these")
    return subset(rows, rows.sets[gate.set])


def _metric(evaluation: Evaluation, gate: Gate) -> AnyMetric:
    known = sorted({s.metric for s in evaluation.scores if s.contender == CANDIDATE and s.part == "overall"})
    if gate.metric not in known:
        raise MetricMissing(
            f"a gate needs metric {gate.metric!r}, but only {sample(known, limit=20) or 'none'} "
            "were evaluated: name one of these or remove the gate"
        )
    metric = catalogue.metrics(evaluation.rows.kind)[gate.metric]
    if gate.slices is not None and "slice" not in metric.parts:
        raise MetricMissing(f"{gate.metric!r} is not defined for a slice: use 'rmsse', or a gate without `slices`")
    return metric


def _case(gate: Gate, key: str, rows: TestRows, values: Mapping[str, float]) -> _Case:
    other = _other(gate, values)
    bound = gate.max if other is None else gate.ratio * values[other]
    return _Case(
        gate=gate, key=key, rows=rows, value=values[CANDIDATE], other=other, bound=nan if bound is None else bound
    )


def _other(gate: Gate, values: Mapping[str, float]) -> str | None:
    """Return whom the gate compares the candidate with."""
    if gate.against == "bound":
        return None
    if gate.against == "champion":
        if CHAMPION not in values:
            raise MetricMissing(
                f"{gate.metric!r} was not evaluated for the champion: evaluate both, or remove the gate"
            )
        return CHAMPION
    baselines = sorted(set(values) - {CANDIDATE, CHAMPION})
    if gate.baseline in baselines:
        return gate.baseline
    if gate.baseline != "best" or not baselines:
        raise MetricMissing(
            f"no baseline {gate.baseline!r} was evaluated by {gate.metric!r}, only "
            f"{sample(baselines, limit=20) or 'none'}: name one of these or 'best', "
            "or choose a metric that baselines have"
        )
    return min(baselines, key=lambda name: values[name] if isfinite(values[name]) else np.inf)


# --- verdicts ----------------------------------------------------------------------------------------------


def _unopposed(gate: Gate, value: float) -> Verdict:
    return Verdict(
        gate=_name(gate, ""),
        metric=gate.metric,
        against=CHAMPION,
        key="",
        value=value,
        bound=value,
        passed=isfinite(value),
        reason="no champion yet" if isfinite(value) else f"no champion yet, but {gate.metric} is undefined",
    )


def _plain(case: _Case) -> Verdict:
    """Judge one case; with ``confidence`` the upper bound of the difference must not exceed zero either."""
    confidence = case.gate.confidence
    if confidence is None:
        return case.verdict(value=case.value, bound=case.bound, passed=case.holds, reason=case.comparison)
    interval = case.bootstrap(confidence, RESAMPLES)
    sure = isfinite(interval.upper) and interval.upper <= 0
    reason = (
        f"{case.comparison}; difference {interval.estimate:+.3g}, "
        f"at most {interval.upper:+.3g} with {confidence:.0%} confidence"
    )
    return case.verdict(value=interval.upper, bound=0.0, passed=case.holds and sure, reason=reason)


def _slice_cases(gate: Gate, metric: AnyMetric, rows: TestRows) -> Iterator[_Case]:
    """Cut the test rows by slice; what is too small even when pooled is left to the gates over all rows."""
    labels = slice_labels(rows, gate.slices or "", gate.min_rows)[rows.entity]
    for label in np.unique(labels):
        part = subset(rows, labels == label)
        if part.y.size < gate.min_rows:
            continue
        values = {c: value(metric, part, c) for c in rows.forecasts if metric.has(rows, c)}
        yield _case(gate, f"{gate.slices}={label}", part, values)


def _by_slice(cases: Sequence[_Case], gate: Gate) -> Iterator[Verdict]:
    if not cases:
        reason = f"no value of slice {gate.slices!r} has {gate.min_rows} test rows"
        name = _name(gate, f"{gate.slices}=*")
        yield Verdict(
            gate=name,
            metric=gate.metric,
            against=gate.against,
            key="",
            value=nan,
            bound=nan,
            passed=False,
            reason=reason,
        )
    elif gate.confidence is None:
        yield from map(_plain, cases)
    else:
        yield from _holm(cases, 1 - gate.confidence)


def _holm(cases: Sequence[_Case], alpha: float) -> Iterator[Verdict]:
    """Claim of each slice that the candidate is good enough; all claims hold together with 1 - alpha (Holm 1979)."""
    # Enough resamples that the smallest possible p-value survives the correction.
    n = max(RESAMPLES, ceil(5 * len(cases) / alpha))
    adjusted = holm([case.bootstrap(1 - alpha, n).p_value for case in cases])
    for case, p in zip(cases, adjusted, strict=True):
        passed = case.holds and isfinite(p) and p <= alpha
        reason = f"{case.comparison}; Holm-adjusted p {p:.3g}, at most {alpha:.3g} allowed"
        yield case.verdict(value=p, bound=alpha, passed=passed, reason=reason)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p-values in the given order; an undefined one counts as 1 and stays nan.

    Example:
        >>> holm([0.01, 0.04, 0.02])
        [0.03, 0.04, 0.04]
    """
    known = [p if isfinite(p) else 1.0 for p in p_values]
    adjusted, highest = [nan] * len(known), 0.0
    for rank, i in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        highest = max(highest, min(1.0, known[i] * (len(known) - rank)))
        adjusted[i] = highest if isfinite(p_values[i]) else nan
    return adjusted


def _name(gate: Gate, key: str) -> str:
    """Name the gate for people, for example ``wape vs best baseline, volume=A``."""
    against: str = gate.against
    if against == "baseline":
        against = "best baseline" if gate.baseline == "best" else gate.baseline
    return f"{gate.metric} vs {against}" + (f", {key}" if key else "")
