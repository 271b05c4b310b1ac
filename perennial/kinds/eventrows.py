"""Test rows of events: contenders beside the labels, with what the metrics need to weigh them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.config.models import Pipeline
from perennial.contracts import TestRows
from perennial.evaluation.classification import COST_FALSE_NEGATIVE, COST_FALSE_POSITIVE, TOP, UNIT, alert_column
from perennial.features.events import DAY, Events

SMOOTHING = 20
"""Events at the base rate that a unit's known share is pulled by."""
EVER = 36_500 * DAY
SLICE = "|"
"""Between a unit's name and the slice labels that tell its entities apart."""

Places = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Events that are judged.

    Attributes:
        at: Index of each event, shape (n_rows,).
        window: Index of its test window or publication, shape (n_rows,).
        horizon: 1 for an event of the as-of date, shape (n_rows,).
    """

    at: Places
    window: npt.NDArray[np.int16]
    horizon: npt.NDArray[np.int16]


def rows_of(
    data: Events,
    cfg: Pipeline,
    asked: Rows,
    forecasts: Mapping[str, Floats],
    alerts: Mapping[str, npt.NDArray[np.bool_]],
    *,
    base_rate: float,
) -> TestRows:
    """Put probabilities of labelled events beside their labels and the naive contenders.

    The entities are the units (cards, patients) crossed with the slices of their events; units are drawn together.

    Args:
        data: What is known.
        cfg: Slices, unit and costs.
        asked: The events; each label is known.
        forecasts: Probabilities by contender, each of shape (n_rows,).
        alerts: Whether a contender raises an alert, each of shape (n_rows,).
        base_rate: Share of positives that the naive contenders know.
    """
    at = asked.at
    unit, names = _units(data, cfg, at)
    slices = {name: _text(data, name)[at] for name in _slices(cfg)}
    entity, first = _entities(unit, slices)
    false_positive, false_negative = costs(data, cfg, at)
    past = naive_risk(data, cfg, at, base_rate)
    beside = {"base_rate": np.full(len(at), base_rate, np.float32), "past_rate": past.astype(np.float32)}
    worth = {name: p * false_negative > (1 - p) * false_positive for name, p in beside.items()}
    extra: dict[str, npt.NDArray[Any]] = {UNIT: unit, TOP: np.full(len(at), cfg.classify.top, np.int32)}
    extra |= {COST_FALSE_POSITIVE: false_positive, COST_FALSE_NEGATIVE: false_negative}
    n = len(first)
    return TestRows(
        entities=np.array([SLICE.join([names[unit[k]], *(s[k] for s in slices.values())]) for k in first], np.str_),
        entity=entity.astype(np.int32),
        window=asked.window,
        horizon=asked.horizon,
        day=data.day[at],
        y=data.y[at].astype(np.float32),
        forecasts=dict(forecasts) | beside,
        levels=(),
        quantiles={},
        scale_abs=np.full(n, np.nan),
        scale_sq=np.full(n, np.nan),
        weight=np.full(n, 1 / max(n, 1)),
        slices={name: labels[first] for name, labels in slices.items()},
        groups={},
        group_scale_sq={},
        kind="classify",
        cluster=unit[first].astype(np.int32),
        extra=extra | {alert_column(name): found for name, found in {**alerts, **worth}.items()},
    )


def costs(data: Events, cfg: Pipeline, rows: Places) -> tuple[Doubles, Doubles]:
    """Return the cost of an alert about nothing and of a missed positive of each row, each of shape (n_rows,)."""
    settings = cfg.classify.costs
    missed = np.full(len(rows), settings.false_negative)
    if settings.amount:
        missed = missed * np.maximum(np.nan_to_num(data.numbers[settings.amount][rows]), 0)
    return np.full(len(rows), settings.false_positive), missed


def blocked(data: Events, cfg: Pipeline) -> npt.NDArray[np.bool_]:
    """Return which events are of a unit that was known as positive on their day, shape (n_events,).

    None is unless ``classify.drop_known``.
    """
    if not cfg.classify.drop_known or cfg.classify.unit is None:
        return np.zeros(len(data), dtype=np.bool_)
    codes = data.labels[cfg.classify.unit].codes
    since = np.full(len(data.labels[cfg.classify.unit].names) + 1, np.iinfo(np.int32).max, dtype=np.int64)
    positive = (data.y > 0) & (codes >= 0)
    np.minimum.at(since, codes[positive], data.day[positive] + max(cfg.classify.label_delay_days, 1))
    return np.asarray(data.day >= since[codes])


def naive_risk(data: Events, cfg: Pipeline, rows: Places, base_rate: float) -> Doubles:
    """Return the largest smoothed share of known positives among the units of each event, shape (n_rows,).

    Units are those of ``classify.features.units``; an event of units without a known label has the base rate.
    """
    from perennial.features.events import unit_rates

    risk = np.full(len(rows), base_rate)
    for unit in cfg.classify.features.units:
        known, rate = unit_rates(data, unit.column, cfg.classify.label_delay_days, EVER)
        n, share = known[rows], rate[rows]
        risk = np.maximum(risk, (n * share + SMOOTHING * base_rate) / (n + SMOOTHING))
    return risk


def _slices(cfg: Pipeline) -> tuple[str, ...]:
    gated = (gate.slices for gate in cfg.gates if gate.slices)
    return tuple(dict.fromkeys((*cfg.evaluation.slices, *gated)))


def _units(data: Events, cfg: Pipeline, at: Places) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.str_]]:
    """Return the code of each event's unit, from 0, and the units' names; an event without one is its own."""
    name = cfg.classify.unit
    label = data.ids[at]
    if name is not None:
        codes = data.labels[name].codes[at]
        known = np.array([*data.labels[name].names, ""], dtype=np.str_)[codes]
        label = np.where(codes >= 0, known, label)
    names, unit = np.unique(label, return_inverse=True)
    return unit.astype(np.int32), names


def _text(data: Events, name: str) -> npt.NDArray[np.str_]:
    one = data.labels[name]
    return np.array([*one.names, "unknown"], dtype=np.str_)[one.codes]


def _entities(unit: npt.NDArray[np.int32], slices: Mapping[str, npt.NDArray[np.str_]]) -> tuple[Places, Places]:
    """Return the code of each row's (unit, slice labels), and the first row of each."""
    columns = [unit.astype(np.int64)]
    columns += [np.unique(labels, return_inverse=True)[1].astype(np.int64) for labels in slices.values()]
    if not len(unit):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    _, first, code = np.unique(np.stack(columns), axis=1, return_index=True, return_inverse=True)
    return code.ravel(), first
