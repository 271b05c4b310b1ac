"""What performance must be, judging by the probabilities alone, while labels are not there yet.

If probabilities are calibrated, each row is positive with its own probability, and every figure has an expectation
that needs no label (confidence-based performance estimation). It holds as long as the scores stay true: drift of
what a score means shows only when labels come. So every estimate is kept beside the figure that matured later, and
one that has been wrong is not shown until it is right again.

Source: the idea is that of NannyML's "CBPE" (documentation, "How it works: performance estimation"); Platt-scaled
scores come from :mod:`perennial.models.decisions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def estimated_average_precision_error(p: Floats) -> float:
    """Return the expected 1 - average precision of rows ranked by their own probabilities; nan without rows.

    The ratio of expectations: precision at each row is the mean probability down to it, weighted by the row's own.
    Rows of equal probability share the precision of the last of them.
    """
    if not len(p) or not np.isfinite(p).all() or p.sum() <= 0:
        return float("nan")
    ranked = -np.sort(-p)
    tied = np.searchsorted(-ranked, -ranked, side="right")
    precision = np.cumsum(ranked)[tied - 1] / tied
    return float(1 - (ranked * precision).sum() / ranked.sum())


def estimated_top_precision_error(
    p: Floats, unit: npt.NDArray[np.integer], day: npt.NDArray[np.integer], top: int
) -> float:
    """Return the expected 1 - share of positives among the ``top`` units of a day, mean over days; nan without rows.

    A unit is positive with 1 - the product over its events of (1 - p); that found ones are left out on later days
    is not foreseen.
    """
    if not len(p) or not np.isfinite(p).all():
        return float("nan")
    keys, index = np.unique(np.stack([day, unit]), axis=1, return_inverse=True)
    index = index.ravel()
    none = np.zeros(keys.shape[1])
    np.add.at(none, index, np.log1p(-np.clip(p, 0, 1 - 1e-12)))
    highest = np.zeros(keys.shape[1])
    np.maximum.at(highest, index, p)
    positive = 1 - np.exp(none)
    shares = []
    for today in np.unique(keys[0]):
        here = np.flatnonzero(keys[0] == today)
        first = here[np.argsort(-highest[here], kind="stable")[:top]]
        shares.append(positive[first].sum() / top)
    return float(1 - np.mean(shares))


def estimated_cost(p: Floats, alert: Floats, false_positive: Floats, false_negative: Floats) -> float:
    """Return the expected mean cost of a row: a false alert or a missed positive; nan without rows."""
    if not len(p):
        return float("nan")
    return float((alert * (1 - p) * false_positive + (1 - alert) * p * false_negative).mean())


def estimated_brier(p: Floats) -> float:
    """Return the expected squared difference of probability and outcome; nan without rows."""
    return float((p * (1 - p)).mean()) if len(p) else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """One estimate and what became of it.

    Attributes:
        day: The business date.
        estimate: What was expected, in the metric's unit.
        realised: What came true; nan while labels are missing.
    """

    day: date
    estimate: float
    realised: float = float("nan")

    @property
    def matured(self) -> bool:
        """Whether there is a figure to hold the estimate against."""
        return isfinite(self.realised)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whether an estimate may be shown.

    Attributes:
        muted: It was wrong too often of late, or has never been held against the truth.
        wrong: Number of the last matured days on which it was.
        judged: Number of matured days looked at.
        reason: One sentence with the figures.
    """

    muted: bool
    wrong: int
    judged: int
    reason: str


def trust(history: Sequence[Estimated], *, bound: float, wrong: int, of: int) -> Trust:
    """Mute an estimate that was further than ``bound`` from the truth on ``wrong`` of the last ``of`` matured days.

    Args:
        history: Estimates in any order; those that have not matured are passed over.
        bound: Largest distance that is not wrong, in the metric's unit.
        wrong: Wrong days that mute.
        of: Matured days looked at.
    """
    last = sorted((one for one in history if one.matured), key=lambda one: one.day)[-of:]
    missed = sum(not abs(one.estimate - one.realised) <= bound for one in last)  # nan is wrong too
    if not last:
        return Trust(
            muted=True, wrong=0, judged=0, reason="no day has matured yet that the estimate could be held against"
        )
    text = f"further than {bound:g} from the truth on {missed} of the last {len(last)} matured days"
    return Trust(muted=missed >= wrong, wrong=missed, judged=len(last), reason=text)


def beside(estimates: Mapping[date, float], realised: Mapping[date, float]) -> tuple[Estimated, ...]:
    """Put estimates beside the figures that have matured since, in order of days."""
    return tuple(
        Estimated(day=day, estimate=estimates[day], realised=realised.get(day, float("nan")))
        for day in sorted(estimates)
    )
