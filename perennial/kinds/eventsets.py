"""Evaluation sets of events: parts of the test rows, and the same events with columns taken as unknown."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perennial.config.classify import EvaluationSet
from perennial.contracts import TestRows
from perennial.evaluation.classification import alert_column
from perennial.evaluation.metrics import subset
from perennial.evaluation.sets import marks, with_sets
from perennial.features.events import Events
from perennial.features.panel import Labels


def judged_in_sets(
    data: Events,
    at: npt.NDArray[np.intp],
    sets: Mapping[str, EvaluationSet],
    judged: Callable[[Events], TestRows],
) -> TestRows:
    """Return the test rows of events, and of every evaluation set.

    Args:
        data: What is known.
        at: Index of each judged event, shape (n_rows,).
        sets: By name, from the settings.
        judged: Forecasts the events ``at`` as other events tell them, always in the same order.
    """
    rows = judged(data)
    if not sets:
        return rows

    def stressed_by(columns: tuple[str, ...]) -> TestRows:
        """What is forecast without columns; who an event belongs to, and what it costs, stays as it was."""
        found = judged(_unknown(data, at, columns))
        alerts = {name: found.extra[name] for name in map(alert_column, found.forecasts)}
        return replace(rows, forecasts=found.forecasts, extra={**rows.extra, **alerts})

    texts = {name: _text(one)[at] for name, one in data.labels.items()}
    inside = {name: marks(one, texts, rows.day) for name, one in sets.items()}
    stressed = {name: subset(stressed_by(one.without), inside[name]) for name, one in sets.items() if one.without}
    return with_sets(rows, {name: mask for name, mask in inside.items() if name not in stressed}, stressed)


def _unknown(data: Events, at: npt.NDArray[np.intp], columns: tuple[str, ...]) -> Events:
    """Return the events with columns unknown for those judged; what their units did before stays known."""
    numbers, labels = dict(data.numbers), dict(data.labels)
    for name in columns:
        if name in numbers:
            numbers[name] = numbers[name].copy()
            numbers[name][at] = np.nan
        else:
            codes = labels[name].codes.copy()
            codes[at] = -1
            labels[name] = Labels(codes=codes, names=labels[name].names)
    return replace(data, numbers=numbers, labels=labels)


def _text(one: Labels) -> npt.NDArray[np.str_]:
    return np.array([*one.names, ""], dtype=np.str_)[one.codes]
