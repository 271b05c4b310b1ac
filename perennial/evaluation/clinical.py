"""What a clinic asks of a risk: is it honest, whom does it miss, what does acting on it cost, and for whom.

The errors take ``y`` (0 or 1), ``risk`` (probability) and ``weight``, the weight of each row under several
weightings at once, shape (n_weightings, n_rows): all rows once, one subgroup, bootstrap draws of patients. Each
returns one value per weighting, lower is better, nan where undefined.

============================ ================================================================= ==========
error                        what it is                                                        range
============================ ================================================================= ==========
:func:`brier_error`          mean (risk - y)^2 (Brier 1950)                                    [0, 1]
:func:`calibration_error`    mean |observed - predicted| over bins of equal size               [0, 1]
:func:`sensitivity_error`    share of the events below the threshold                           [0, 1]
:func:`specificity_error`    share of the others at or above the threshold                     [0, 1]
:func:`expected_cost`        mean cost of what is missed and of who is called in vain          [0, inf)
============================ ================================================================= ==========

Source of the decision curve: Vickers & Elkin 2006, "Decision curve analysis".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

Floats = npt.NDArray[np.float64]
Error = Callable[[Floats, Floats, Floats], Floats]
"""From y, risk and weight to one value per weighting."""

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a wrong answer costs, in any unit; a missed event is far dearer than a call in vain.

    Attributes:
        missed: Of an event below the threshold.
        in_vain: Of somebody at or above it to whom nothing happens.
    """

    missed: float
    in_vain: float


# --- errors ------------------------------------------------------------------------------------------------


def brier_error(y: Floats, risk: Floats, weight: Floats) -> Floats:
    """Return the mean squared distance of the risk to what happened, in [0, 1]."""
    return _ratio(weight @ (risk - y) ** 2, weight.sum(axis=1))


def calibration_error(y: Floats, risk: Floats, weight: Floats, bins: int = BINS) -> Floats:
    """Return the mean distance between predicted and observed rate over bins of equally many rows, in [0, 1].

    The bins are those of all rows together, so that weightings can be compared. Even a perfect model has an error
    above zero, about ``sqrt(bins / n_rows)`` times the spread of y: compare, do not demand zero.
    """
    member = np.zeros((len(y), bins))
    member[np.arange(len(y)), bin_of(risk, bins)] = 1.0
    gap = np.abs(weight @ (member * (y - risk)[:, None]))
    return _ratio(gap.sum(axis=1), weight.sum(axis=1))


def sensitivity_error(y: Floats, risk: Floats, weight: Floats, threshold: float) -> Floats:
    """Return the share of the events that are missed (1 - sensitivity), in [0, 1]; nan without events."""
    return _ratio(weight @ (y * (risk < threshold)), weight @ y)


def specificity_error(y: Floats, risk: Floats, weight: Floats, threshold: float) -> Floats:
    """Return the share of the others that are called in vain (1 - specificity), in [0, 1]; nan without others."""
    return _ratio(weight @ ((1 - y) * (risk >= threshold)), weight @ (1 - y))


def expected_cost(y: Floats, risk: Floats, weight: Floats, threshold: float, costs: Costs) -> Floats:
    """Return the mean cost per row of acting on the threshold, in the unit of ``costs``."""
    called = risk >= threshold
    each = np.where(y > 0, np.where(called, 0.0, costs.missed), np.where(called, costs.in_vain, 0.0))
    return _ratio(weight @ each, weight.sum(axis=1))


# --- the threshold, before the test ------------------------------------------------------------------------


def cheapest_threshold(y: Floats, risk: Floats, costs: Costs) -> float:
    """Return the threshold with the lowest cost on rows that are no part of the test.

    Args:
        y: 0 or 1, shape (n_rows,), of the patients the model was calibrated on.
        risk: Calibrated risks of the same rows.
        costs: Of a missed event and of a call in vain.

    Returns:
        One of the risks, or ``inf`` where calling nobody is cheapest. Of equal costs the highest threshold,
        which calls the fewest.

    Raises:
        TrainingError: There are no rows.
    """
    if not len(y):
        raise TrainingError("no rows to choose a threshold on; hold more patients back for calibration")
    order = np.argsort(-risk, kind="stable")
    spared = np.cumsum(np.where(y[order] > 0, -costs.missed, costs.in_vain))
    last = np.append(risk[order][1:] != risk[order][:-1], True)  # equal risks are called together or not at all
    cost = np.append(0.0, spared[last])
    return float(np.append(np.inf, risk[order][last])[int(np.argmin(cost))])


# --- pictures ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Points of a reliability plot: on the diagonal, the risks can be taken at their word.

    Attributes:
        predicted: Mean risk of each bin, increasing, shape (n_bins,).
        observed: Share of events in it, shape (n_bins,).
        low: Lower end of the 95 % interval of ``observed`` over draws of whole patients, shape (n_bins,).
        high: Upper end, shape (n_bins,).
        rows: Rows in it, shape (n_bins,).
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    rows: npt.NDArray[np.int64]


def reliability(
    y: Floats, risk: Floats, unit: npt.NDArray[np.int64], *, bins: int = BINS, n: int = 500, seed: int = 0
) -> Reliability:
    """Return the reliability plot over bins of equally many rows.

    Args:
        y: 0 or 1, shape (n_rows,).
        risk: Probability, shape (n_rows,).
        unit: Code of the patient, from 0, shape (n_rows,); whole patients are drawn.
        bins: At most so many; equal risks stay in one bin.
        n: Draws.
        seed: Equal seeds draw equal patients.
    """
    place = np.unique(bin_of(risk, bins), return_inverse=True)[1]
    count = np.bincount(place)
    member = np.zeros((len(y), len(count)))
    member[np.arange(len(y)), place] = 1.0
    per_unit = [_by_unit(unit, member * one[:, None]) for one in (y, np.ones_like(y))]
    draws = unit_draws(len(per_unit[0]), n, seed)
    rates = np.divide(draws @ per_unit[0], np.maximum(draws @ per_unit[1], 1e-12))
    low, high = np.quantile(rates[1:], [0.025, 0.975], axis=0)
    predicted = np.bincount(place, weights=risk) / count
    return Reliability(predicted=predicted, observed=rates[0], low=low, high=high, rows=count)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCurve:
    """Net benefit of acting on a risk, by the threshold probability at which a clinic would act.

    A threshold of 0.1 says that nine calls in vain are worth one event that is found. Calling nobody has 0.

    Attributes:
        thresholds: Increasing, in (0, 1), shape (n_thresholds,).
        model: Events found minus weighted calls in vain, per row, shape (n_thresholds,).
        treat_all: The same of calling everybody.
    """

    thresholds: Floats
    model: Floats
    treat_all: Floats

    @property
    def useful(self) -> Floats:
        """Thresholds at which the model beats both calling everybody and calling nobody."""
        return self.thresholds[self.model > np.maximum(self.treat_all, 0.0)]


def decision_curve(y: Floats, risk: Floats, thresholds: Floats) -> DecisionCurve:
    """Return the decision curve of a model (Vickers & Elkin 2006, eq. 1).

    Args:
        y: 0 or 1, shape (n_rows,).
        risk: Calibrated probability, shape (n_rows,).
        thresholds: Increasing, in (0, 1).
    """
    odds = thresholds / (1 - thresholds)
    called = risk[None, :] >= thresholds[:, None]
    found, vain = (called * y).mean(axis=1), (called * (1 - y)).mean(axis=1)
    return DecisionCurve(thresholds=thresholds, model=found - odds * vain, treat_all=y.mean() - odds * (1 - y).mean())


# --- subgroups ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One error of one group, with the interval over draws of whole patients.

    Attributes:
        group: For example ``race=Asian``; ``""`` for everybody.
        error: Name of the error.
        value: On the group's rows.
        low: Lower end of the 95 % interval; nan if a draw left the error undefined.
        high: Upper end.
        rows: Of the group.
        events: Among them.
    """

    group: str
    error: str
    value: float
    low: float
    high: float
    rows: int
    events: int


def subgroup_figures(
    y: Floats,
    risk: Floats,
    unit: npt.NDArray[np.int64],
    groups: Sequence[tuple[str, npt.NDArray[np.bool_]]],
    errors: Sequence[tuple[str, Error]],
    *,
    n: int = 500,
    seed: int = 0,
) -> tuple[Figure, ...]:
    """Measure every error in every group, with intervals.

    Args:
        y: 0 or 1, shape (n_rows,).
        risk: Probability, shape (n_rows,).
        unit: Code of the patient, from 0, shape (n_rows,).
        groups: Name and rows (shape (n_rows,)) of each; they may overlap.
        errors: Name and function of each.
        n: Draws of whole patients.
        seed: Equal seeds draw equal patients.
    """
    out = []
    for name, inside in groups:
        codes = np.unique(unit[inside], return_inverse=True)[1]
        weight = unit_draws(int(codes.max(initial=-1)) + 1, n, seed)[:, codes]
        for error, f in errors:
            values = f(y[inside], risk[inside], weight)
            low, high = np.quantile(values[1:], [0.025, 0.975]) if np.isfinite(values).all() else (np.nan, np.nan)
            out.append(
                Figure(
                    group=name,
                    error=error,
                    value=float(values[0]),
                    low=float(low),
                    high=float(high),
                    rows=int(inside.sum()),
                    events=int(y[inside].sum()),
                )
            )
    return tuple(out)


def unit_draws(units: int, n: int, seed: int) -> Floats:
    """Return how often each unit is drawn with replacement; row 0 is the sample itself, shape (n + 1, n_units)."""
    rng = np.random.default_rng(seed)
    times = np.ones((n + 1, units))
    for k in range(n if units else 0):
        times[k + 1] = np.bincount(rng.integers(0, units, units), minlength=units)
    return times


def bin_of(risk: Floats, bins: int = BINS) -> npt.NDArray[np.int64]:
    """Return the bin of each row, from 0: about equally many rows in each, equal risks always in one."""
    edges = np.quantile(risk, np.arange(1, bins) / bins) if len(risk) else np.zeros(bins - 1)
    place: npt.NDArray[np.int64] = np.searchsorted(edges, risk, side="right").astype(np.int64)
    return place


def _by_unit(unit: npt.NDArray[np.int64], values: Floats) -> Floats:
    total = np.zeros((int(unit.max(initial=-1)) + 1, values.shape[1]))
    np.add.at(total, unit, values)
    return total


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan, dtype=np.float64), where=whole > 0)
