"""Pictures of a classifier for the report: can its risks be taken at their word, and is acting on them worth it?"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from perennial.contracts import Chart, TestRows
from perennial.evaluation.clinical import DecisionCurve, decision_curve, reliability
from perennial.evaluation.metrics import main

THRESHOLDS = np.linspace(0.01, 0.6, 60)
"""Threshold probabilities of the decision curve."""
_MODELS = ("candidate", "champion")

Doubles = npt.NDArray[np.float64]


def charts(rows: TestRows) -> tuple[Chart, ...]:
    """Return the reliability plot of each model and the decision curves of all, over the main evaluation set."""
    tested = main(rows)
    if not tested.y.size or "candidate" not in tested.forecasts:
        return ()
    return (*_reliability(tested), _decisions(tested))


def _reliability(rows: TestRows) -> Iterator[Chart]:
    clusters = np.arange(rows.entities.size) if rows.cluster is None else rows.cluster
    unit = np.unique(clusters[rows.entity], return_inverse=True)[1].astype(np.int64)
    y = rows.y.astype(np.float64)
    for name in _MODELS:
        if name in rows.forecasts:
            plot = reliability(y, rows.forecasts[name].astype(np.float64), unit)
            yield Chart(
                title=f"Reliability of the {name}",
                note="Where the band holds the diagonal, the risk can be taken at its word. Each point: as many rows.",
                dates=_numbers(plot.predicted),
                lines={"actual": _values(plot.observed), "diagonal": _values(plot.predicted)},
                low=_values(plot.low),
                high=_values(plot.high),
                level=0.95,
                axis="Forecast probability",
                unit="Share of events",
            )


def _decisions(rows: TestRows) -> Chart:
    """Draw net benefit by threshold, up to where calling everybody has lost as much as it can gain."""
    y = rows.y.astype(np.float64)
    last = 3 * max(float(y.mean()), 0.01)
    thresholds = THRESHOLDS[: max(2, int(np.searchsorted(THRESHOLDS, last)))]
    curves: dict[str, DecisionCurve] = {
        name: decision_curve(y, rows.forecasts[name].astype(np.float64), thresholds)
        for name in _MODELS
        if name in rows.forecasts
    }
    best, floor = curves["candidate"], -float(y.mean())
    lines = {name: _values(np.maximum(curve.model, floor)) for name, curve in curves.items()}
    lines["treat all"] = _values(np.maximum(best.treat_all, floor))
    lines["treat none"] = _values(np.zeros_like(thresholds))
    useful = best.useful
    says = f"between {useful.min():.0%} and {useful.max():.0%}" if useful.size else "at no threshold"
    return Chart(
        title="Decision curve",
        note=f"The candidate is worth more than calling everybody or nobody {says}.",
        dates=_numbers(thresholds),
        lines=lines,
        axis="Probability from which somebody is called",
        unit="Net benefit: events found a row",
    )


def _numbers(values: Doubles) -> tuple[str, ...]:
    return tuple(f"{value:.4f}" for value in values)


def _values(values: Doubles) -> tuple[float | None, ...]:
    return tuple(round(float(value), 5) for value in values)
