"""What a clinic asks of a risk: is it honest, whom does it miss, what does acting on it cost, and for whom.

Errors take ``y`` (0 or 1), ``risk`` (probability) and ``weight``, the weight of each row under several weightings
at once, shape (n_weightings, n_rows), like those of :mod:`perennial.evaluation.ranking`, and return one value per
weighting, nan where undefined.

Source of the decision curve: Vickers & Elkin 2006, "Decision curve analysis".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.evaluation.ranking import ratio

Floats = npt.NDArray[np.float64]
Error = Callable[[Floats, Floats, Floats], Floats]
"""From y, risk and weight to one value per weighting."""

BINS = 10


def sensitivity_error(y: Floats, risk: Floats, weight: Floats, threshold: float) -> Floats:
    """Return the share of the events that are missed (1 - sensitivity), in [0, 1]; nan without events."""
    return ratio(weight @ (y * (risk < threshold)), weight @ y)


def specificity_error(y: Floats, risk: Floats, weight: Floats, threshold: float) -> Floats:
    """Return the share of the others that are called in vain (1 - specificity), in [0, 1]; nan without others."""
    return ratio(weight @ ((1 - y) * (risk >= threshold)), weight @ (1 - y))


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
