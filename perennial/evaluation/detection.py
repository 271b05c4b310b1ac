"""What kind ``anomaly`` is measured by: planted errors that were missed, alerts beside the budget, verdicts.

Of each row the forecast is the score of its group over the threshold: 1 or more is an alert, and a group beyond the
day's largest number of alerts was brought below. Lower is better for every metric.

================== ====================================================== ======== ==================================
metric             what it is                                             range    undefined (nan) when
================== ====================================================== ======== ==================================
missed_injected    share of the planted errors without an alert           [0, 1]   nothing was planted
alert_volume_error alerts a day against the budget, | ratio - 1 |         [0, inf) there are no days
recall_error       share of the confirmed events without an alert         [0, 1]   nothing was confirmed
precision_error    share of the alerts with a verdict that were dismissed [0, 1]   no alert has a verdict
================== ====================================================== ======== ==================================
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation.metrics import EVERYWHERE, RowMetric

BASELINES = ("largest", "gaussian")
"""Naive contenders: the largest amounts; the distance from the mean in standard deviations."""
USUAL = "alert_volume_error"
Floats = npt.NDArray[np.float64]


def losses(rows: TestRows, contender: str) -> Floats:
    """Return 1 for every row that is a missed error or a false alert, else 0."""
    wrong = _alert(rows, contender) != (rows.y == 1)
    out: Floats = wrong.astype(np.float64)
    return out


def missed_injected(rows: TestRows, contender: str, weight: Floats) -> Floats:
    """Return the share of planted errors that raised no alert, shape (n_weightings,)."""
    return _share(weight, rows.extra["planted"], ~_alert(rows, contender))


def alert_volume_error(rows: TestRows, contender: str, weight: Floats) -> Floats:
    """Return how far alerts a day are from the budget, as a share of it, shape (n_weightings,).

    A group that is drawn twice raises two alerts, and a day with more groups is no reason for more days: under
    resampling, alerts are divided by the drawn number of groups and multiplied by the real one of a day.
    """
    first = rows.extra["first"]
    if not first.any():
        return np.full(len(weight), np.nan)
    groups = weight @ first.astype(np.float64)
    alerts = weight @ (first & _alert(rows, contender)).astype(np.float64)
    usual = float(first.sum()) / len(np.unique(rows.day[first]))
    with np.errstate(divide="ignore", invalid="ignore"):
        per_day = alerts / groups * usual
    out: Floats = np.abs(per_day / float(rows.extra["budget"][0]) - 1)
    return out


def recall_error(rows: TestRows, contender: str, weight: Floats) -> Floats:
    """Return the share of confirmed events whose group raised no alert, shape (n_weightings,)."""
    return _share(weight, (rows.y == 1) & ~rows.extra["planted"], ~_alert(rows, contender))


def precision_error(rows: TestRows, contender: str, weight: Floats) -> Floats:
    """Return the share of alerts with a verdict that were dismissed, shape (n_weightings,)."""
    judged = rows.extra["first"] & rows.extra["judged"] & _alert(rows, contender)
    return _share(weight, judged, ~rows.extra["confirmed"])


def _alert(rows: TestRows, contender: str) -> npt.NDArray[np.bool_]:
    return rows.forecasts[contender] >= 1


def _share(weight: Floats, of: npt.NDArray[np.bool_], which: npt.NDArray[np.bool_]) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Floats = (weight @ (of & which).astype(np.float64)) / (weight @ of.astype(np.float64))
    return out


METRICS: Mapping[str, RowMetric] = MappingProxyType(
    {
        one.name: one
        for one in (
            RowMetric(name="missed_injected", measure=missed_injected, parts=EVERYWHERE),
            RowMetric(name="alert_volume_error", measure=alert_volume_error, parts=EVERYWHERE - {"slice", "horizon"}),
            RowMetric(name="recall_error", measure=recall_error, parts=EVERYWHERE - {"slice"}),
            RowMetric(name="precision_error", measure=precision_error, parts=EVERYWHERE - {"slice"}),
        )
    }
)
"""Every metric by name, in the order reports show them."""
