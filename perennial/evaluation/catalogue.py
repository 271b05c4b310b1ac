"""What each kind of problem is measured by: its metrics, its naive contenders, its usual figure.

One module for each kind has ``METRICS`` (name -> :class:`~perennial.evaluation.metrics.Metric`), ``BASELINES`` (names),
``USUAL`` (the metric that decides about health) and ``losses`` (of each row, for trials). Modules are light: reading a
settings file must not load an estimator.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from perennial.contracts import TestRows
    from perennial.evaluation.metrics import AnyMetric

_MODULES = {
    "forecast": "perennial.evaluation.metrics",
    "anomaly": "perennial.evaluation.detection",
    "classify": "perennial.evaluation.classification",
    "recommend": "perennial.evaluation.recommending",
}
KINDS = tuple(_MODULES)
"""Kinds of problems."""
SECTIONS = ("forecast", "classify", "anomaly", "recommend", "replenish")
"""Sections of settings, each of which belongs to the kind that it is named like."""


def metrics(kind: str) -> "Mapping[str, AnyMetric]":
    """Return the metrics of a kind by name, in the order in which reports show them; none for an unknown kind."""
    found: Mapping[str, AnyMetric] = _module(kind).METRICS if kind in _MODULES else {}
    return found


def baselines(kind: str) -> tuple[str, ...]:
    """Return the names of the naive contenders that take part in every evaluation of a kind."""
    return tuple(_module(kind).BASELINES) if kind in _MODULES else ()


def usual(kind: str) -> str:
    """Return the metric that decides about health where the settings name none."""
    return str(_module(kind).USUAL)


def losses(rows: "TestRows", contender: str) -> "npt.NDArray[np.float64]":
    """Return a contender's loss on each row, by which a version on trial is compared; lower is better."""
    found: npt.NDArray[np.float64] = _module(rows.kind).losses(rows, contender)
    return found


def _module(kind: str) -> Any:
    return import_module(_MODULES[kind])
