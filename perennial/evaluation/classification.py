"""Metrics of kind ``classify``; lower is better for every one of them.

======================= ========================================================== =========== ====================
metric                  what it is                                                 range       undefined (nan) when
======================= ========================================================== =========== ====================
auc_error               1 - area under the ROC curve                               [0, 1]      one class only
average_precision_error 1 - average precision                                      [0, 1]      no positive
card_precision_error    1 - share of positives in the top units a day              [0, 1]      no rows
brier                   mean squared difference of probability and outcome         [0, 1]      no rows
log_loss                mean negative log-likelihood, in nats                      [0, 16.2]   no rows
calibration_error       mean |share of positives - probability| of 10 bins         [0, 1]      no rows
expected_cost           mean cost of a missed positive or a false alert an event   [0, inf)    no rows
miss_rate               share of positives without an alert (1 - sensitivity)      [0, 1]      no positive
false_alert_rate        share of negatives with an alert (1 - specificity)         [0, 1]      no negative
alert_volume            alerts a day                                               [0, inf)    no rows
======================= ========================================================== =========== ====================

What a metric needs beside the probability stands in ``TestRows.extra``: ``unit`` (code of what is alerted on),
``top`` (units that can be looked into a day), ``cost_false_positive`` and ``cost_false_negative`` of each row, and
``alert/<contender>``, whether the contender raises one: its threshold was chosen on data before the test rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation import ranking
from perennial.evaluation.metrics import Part
from perennial.evaluation.ranking import Floats, ratio
from perennial.evaluation.sums import Grid

CELLS = 4_000_000
"""Weights in memory at a time (32 MB)."""
UNIT, TOP = "unit", "top"
COST_FALSE_POSITIVE, COST_FALSE_NEGATIVE = "cost_false_positive", "cost_false_negative"


def alert_column(contender: str) -> str:
    """Return the name in ``TestRows.extra`` of a contender's alerts."""
    return f"alert/{contender}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one metric sees of one contender.

    Attributes:
        y: Shape (n_rows,).
        score: Shape (n_rows,).
        entity: Index of the entity, shape (n_rows,).
        alert: 1 where it raises an alert, shape (n_rows,); empty if that is not known.
        day: Code of the day, in order of time, shape (n_rows,).
        extra: Further columns, each of shape (n_rows,).
    """

    y: Floats
    score: Floats
    alert: Floats
    entity: npt.NDArray[np.int32]
    day: npt.NDArray[np.intp]
    extra: Mapping[str, npt.NDArray[Any]]


Measure = Callable[[View, Floats, Floats], Floats]
"""From a view, weights of the rows' units (n_weightings, n_rows) and of days (n_weightings, n_days), to values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """One metric.

    Attributes:
        measure: What computes it.
        decides: Whether it is about alerts and not about scores.
        parts: Where it is defined.
    """

    name: str
    measure: Measure
    decides: bool = False
    parts: frozenset[Part] = frozenset({"overall", "slice", "set"})
    quantiles: bool = False

    def has(self, rows: TestRows, contender: str) -> bool:
        """Whether it can be computed for this contender."""
        return contender in rows.forecasts and (not self.decides or alert_column(contender) in rows.extra)

    def prepare(self, grid: Grid, contender: str) -> View:
        """Return what :meth:`weighted` needs of one contender."""
        rows = grid.rows
        alert = rows.extra.get(alert_column(contender), np.empty(0))
        return View(
            y=rows.y.astype(np.float64),
            score=rows.forecasts[contender].astype(np.float64),
            alert=alert.astype(np.float64),
            entity=rows.entity,
            day=grid.day,
            extra=rows.extra,
        )

    def weighted(self, prepared: View, entities: Floats, days: Floats) -> Floats:
        """Evaluate it under several weightings of entities and days, a few at a time.

        Args:
            prepared: From :meth:`prepare`.
            entities: Weight of each entity, shape (n_weightings, n_entities).
            days: Weight of each day that has rows, in order, shape (n_weightings, n_days).

        Returns:
            One value per weighting, nan where undefined, shape (n_weightings,).
        """
        if not len(prepared.y) or not np.isfinite(prepared.score).all():
            return np.full(len(entities), np.nan)
        step = max(1, CELLS // len(prepared.y))
        parts = [np.empty(0)]
        for start in range(0, len(entities), step):
            block = slice(start, start + step)
            units = entities[block][:, prepared.entity]
            parts.append(self.measure(prepared, units, days[block]))
        return np.concatenate(parts)


def losses(rows: TestRows, contender: str) -> Floats:
    """Return the log loss of each row, by which a version on trial is compared."""
    p = np.clip(rows.forecasts[contender].astype(np.float64), ranking.SMALLEST, 1 - ranking.SMALLEST)
    return np.asarray(-np.where(rows.y > 0, np.log(p), np.log1p(-p)))


def _of_scores(function: Callable[[Floats, Floats, Floats], Floats]) -> Measure:
    return lambda view, units, days: function(view.y, view.score, units * days[:, view.day])


def _card_precision_error(view: View, units: Floats, days: Floats) -> Floats:
    return ranking.top_precision_error(
        view.y,
        view.score,
        units,
        unit=view.extra[UNIT].astype(np.intp),
        day=view.day,
        day_weight=days,
        top=int(view.extra[TOP][0]),
    )


def _expected_cost(view: View, units: Floats, days: Floats) -> Floats:
    weight = units * days[:, view.day]
    missed = (1 - view.alert) * view.y * view.extra[COST_FALSE_NEGATIVE]
    false = view.alert * (1 - view.y) * view.extra[COST_FALSE_POSITIVE]
    return ratio(weight @ (missed + false), weight.sum(axis=1))


def _miss_rate(view: View, units: Floats, days: Floats) -> Floats:
    weight = units * days[:, view.day]
    return ratio(weight @ ((1 - view.alert) * view.y), weight @ view.y)


def _false_alert_rate(view: View, units: Floats, days: Floats) -> Floats:
    weight = units * days[:, view.day]
    return ratio(weight @ (view.alert * (1 - view.y)), weight @ (1 - view.y))


def _alert_volume(view: View, units: Floats, days: Floats) -> Floats:
    return ratio((units * days[:, view.day]) @ view.alert, days.sum(axis=1))


_OVERALL: frozenset[Part] = frozenset({"overall", "set"})
_CATALOGUE = (
    Classified(name="average_precision_error", measure=_of_scores(ranking.average_precision_error)),
    Classified(name="auc_error", measure=_of_scores(ranking.auc_error)),
    Classified(name="card_precision_error", measure=_card_precision_error, parts=_OVERALL),
    Classified(name="brier", measure=_of_scores(ranking.brier)),
    Classified(name="log_loss", measure=_of_scores(ranking.log_loss)),
    Classified(name="calibration_error", measure=_of_scores(ranking.calibration_error)),
    Classified(name="expected_cost", measure=_expected_cost, decides=True),
    Classified(name="miss_rate", measure=_miss_rate, decides=True),
    Classified(name="false_alert_rate", measure=_false_alert_rate, decides=True),
    Classified(name="alert_volume", measure=_alert_volume, decides=True, parts=_OVERALL),
)

METRICS: Mapping[str, Classified] = MappingProxyType({metric.name: metric for metric in _CATALOGUE})
"""Every metric by name, in the order reports show them."""
BASELINES = ("base_rate", "past_rate")
"""Naive contenders: the share of positives in training; the smoothed known share of the event's units."""
USUAL = "average_precision_error"
