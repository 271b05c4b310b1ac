"""Performance while labels are late: the estimate of each day beside the figure that has matured since.

Both are taken over the days up to and including theirs (``classify.estimate.days``), since single days have few
positives. What makes an estimate is told in :mod:`perennial.monitoring.estimated`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import TIME, LateEstimate, TestRows
from perennial.evaluation import ranking
from perennial.features.panel import EPOCH
from perennial.monitoring.estimated import (
    Estimated,
    Trust,
    beside,
    estimated_average_precision_error,
    estimated_brier,
    trust,
)

SERVED = "served"

Doubles = npt.NDArray[np.float64]


_MEASURES: Mapping[str, tuple[Callable[[Doubles], float], Callable[[Doubles, Doubles, Doubles], Doubles]]] = {
    "average_precision_error": (estimated_average_precision_error, ranking.average_precision_error),
    "brier": (estimated_brier, ranking.brier),
}
"""What can be estimated, and what it is held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """One metric while labels are late.

    Attributes:
        metric: Its name; lower is better.
        days: Estimates beside realised figures, oldest first.
        trust: Whether the estimates of the days without a figure may be shown.
    """

    metric: str
    days: tuple[Estimated, ...]
    trust: Trust


def late_estimates(cfg: Pipeline, published: pa.Table, matured: TestRows) -> tuple[LateEstimate, ...]:
    """Return the newest estimate of each metric beside the newest one that has matured; see :func:`late`."""
    return tuple(_newest(one) for one in late(cfg, published, matured) if one.days)


def _newest(one: Late) -> LateEstimate:
    newest = one.days[-1]
    checked = next((day for day in reversed(one.days) if day.matured), None)
    found = LateEstimate(metric=one.metric, day=newest.day, estimate=newest.estimate)
    if one.trust.muted:
        found = replace(found, muted=one.trust.reason)
    if checked:
        found = replace(found, checked=checked.day, expected=checked.estimate, realised=checked.realised)
    return found


def late(cfg: Pipeline, published: pa.Table, matured: TestRows) -> tuple[Late, ...]:
    """Estimate average precision and Brier score of each published day, and hold them against what has matured.

    Args:
        cfg: How many days are taken together, and when an estimate is muted.
        published: Columns ``ds`` and ``y_hat``, calibrated probabilities.
        matured: The published rows whose label is known, as contender ``served``.
    """
    day = np.asarray(published[TIME].combine_chunks().cast(pa.date32()).cast(pa.int32()).to_numpy(zero_copy_only=False))
    p = published["y_hat"].to_numpy().astype(np.float64)
    y, score = matured.y.astype(np.float64), matured.forecasts[SERVED].astype(np.float64)
    span, last = cfg.classify.estimate.days, int(matured.day.max(initial=-1))
    out = []
    for name, (estimate, measure) in _MEASURES.items():
        estimates, realised = {}, {}
        for today in np.unique(day).tolist():
            when = EPOCH + timedelta(days=int(today))
            estimates[when] = estimate(p[(day > today - span) & (day <= today)])
            ripe = (matured.day > today - span) & (matured.day <= today)
            if today <= last and ripe.any():
                realised[when] = float(measure(y[ripe], score[ripe], np.ones((1, int(ripe.sum()))))[0])
        days = beside(estimates, realised)
        rule = cfg.classify.estimate
        out.append(Late(metric=name, days=days, trust=trust(days, bound=rule.bound, wrong=rule.wrong, of=rule.of)))
    return tuple(out)
