"""What happens from day to day: what was measured on served predictions, what it means, who is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from perennial.contracts.evaluation import Score

Level = Literal["info", "warning", "critical"]
"""How bad: recorded only, told, or somebody is woken."""
Cause = Literal[
    "accuracy", "data", "drift", "skew", "stale_model", "stale_data", "fallback", "late", "cost", "canary", "run",
    "monitor", "retrain", "spiral",
]  # fmt: skip
Health = Literal["healthy", "degraded", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyError:
    """The error of served forecasts of one matured day, on one part, beside what is usual.

    Attributes:
        day: Target day.
        key: ``""`` for everything, else for example ``range=A``.
        value: The metric on this day; nan when undefined.
        usual: Its median over the days that the version was judged on before it was promoted.
        bound: Beyond it the day counts as bad; nan when there is no reference.
        baseline: The same metric of the best naive baseline on the same rows; nan when undefined.
        rows: Matured forecasts behind it.
    """

    day: date
    key: str
    metric: str
    value: float
    usual: float
    bound: float
    baseline: float
    rows: int

    @property
    def bad(self) -> bool:
        """Whether it lies beyond its bound; a value or bound that is not finite is no proof of that."""
        return self.value > self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far the recent distribution of one input or of the predictions has moved from the same season before.

    Attributes:
        name: Input column, ``target`` or ``prediction``.
        psi: Population stability index, >= 0; the usual reading is that 0.1 is little and 0.25 is a lot.
        distance: Kolmogorov-Smirnov distance in [0, 1], the effect size.
        bound: Largest psi between seasons of the reference itself, or the configured one if that is larger.
        key: ``""`` for everything, else a slice.
    """

    name: str
    psi: float
    distance: float
    bound: float
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateEstimate:
    """What a figure must be, judging by the probabilities alone, while labels are late; and its record.

    Attributes:
        metric: Its name; lower is better.
        day: Newest day estimated.
        estimate: The estimate, shown or not; nan where none can be made.
        muted: Why it is not to be relied on; empty if it may be shown.
        checked: Newest day whose labels have come; ``None`` before any has.
        expected: The estimate for that day.
        realised: What came true on it.
    """

    metric: str
    day: date
    estimate: float
    muted: str = ""
    checked: date | None = None
    expected: float = float("nan")
    realised: float = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, in words a person can act on.

    Attributes:
        since: First business date it was so.
        summary: What broke and how badly, one sentence with figures.
        parts: Slices it holds for, worst first; empty for everything.
        likely: Likely cause, one sentence.
        command: What to run next.
    """

    cause: Cause
    level: Level
    since: date
    summary: str
    parts: tuple[str, ...] = ()
    likely: str = ""
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one monitor run measured, as of one date.

    Attributes:
        champion: Version in force, ``None`` if there is none.
        canary: Version in force for a cohort.
        scores: Metrics of matured forecasts of the last days by contender (``served``, ``canary``, ``shadow`` and
            baselines), overall, per slice and horizon.
        expected: The champion's own overall scores when it was judged, by metric.
        daily: Error of each of the last matured days, overall and per slice, oldest first.
        drift: Inputs and predictions against their reference, largest psi first.
        skew: Largest difference between features logged at scoring and computed now, relative to their spread;
            nan when none were logged.
        matured: Published forecasts whose truth has arrived.
        pending: Published forecasts whose truth has not; they count as nothing.
        model_age_days: Days between the as-of date and the champion's; -1 without one.
        data_age_days: Days between the as-of date and the newest observation; -1 without any.
        cost: ``score_s``, ``retrain_s``, ``peak_mib``, ``s_per_1000`` (seconds for 1,000 forecasts), where known.
        spiral: Entities that are out of stock and expected to stay so though they used to sell, the largest first.
        late_estimates: What figures must be while labels are late; empty where a kind cannot tell.
        findings: What is wrong.
        retrain: Why a new model is wanted; empty if it is not.
    """

    pipeline: str
    as_of: date
    champion: int | None
    canary: int | None
    scores: tuple[Score, ...]
    expected: Mapping[str, float]
    daily: tuple[DailyError, ...]
    drift: tuple[Drift, ...]
    skew: float
    matured: int
    pending: int
    model_age_days: int
    data_age_days: int
    cost: Mapping[str, float] = field(default_factory=dict)
    spiral: tuple[str, ...] = ()
    late_estimates: tuple[LateEstimate, ...] = ()
    findings: tuple[Finding, ...] = ()
    retrain: str = ""

    @property
    def health(self) -> Health:
        """``degraded`` if accuracy is, ``unknown`` before a matured day could be judged."""
        if any(f.cause == "accuracy" and f.level != "info" for f in self.findings):
            return "degraded"
        return "healthy" if self.matured and self.daily else "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A finding that people were told of: one per cause until it has cleared.

    Attributes:
        key: ``alert/<pipeline>/<cause>/<opened>``; a receiver sees it at most once.
        opened: Business date on which it was first told.
        closed: Business date on which it was found to be over; ``None`` while it is open.
    """

    key: str
    pipeline: str
    owner: str
    opened: date
    finding: Finding
    closed: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryVerdict:
    """What a canary's matured forecasts say so far.

    Attributes:
        outcome: ``promote``, ``revert`` or ``continue``.
        reason: One sentence with the figures.
        days: Matured days of the canary.
        ratio: Its error over the champion's on the matched cohorts; nan before anything has matured.
    """

    outcome: Literal["promote", "revert", "continue"]
    reason: str
    days: int
    ratio: float
