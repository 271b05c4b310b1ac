"""Scores to probabilities that can be taken at their word, fitted on units that the model was not trained on.

``sigmoid`` (Platt 1999) shifts and stretches the log-odds and needs few rows; ``isotonic`` (Zadrozny & Elkan
2002) may bend them and needs some thousand. Either is kept as plain arrays.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

Floats = npt.NDArray[np.float64]
Method = Literal["sigmoid", "isotonic", "none"]

MIN_EVENTS = 20
"""With fewer events, or fewer non-events, no calibration can be told from luck."""
EDGE = 1e-6
"""Probabilities are kept this far from 0 and 1: a model is never certain of a patient."""
_STEPS = 50
_RIDGE = 1e-9


def fit_calibration(score: Floats, y: Floats, method: Method) -> dict[str, Floats]:
    """Fit how a raw score is to be read.

    Args:
        score: Log-odds of the model, shape (n_rows,), of units that it was not fitted on.
        y: 0 or 1, shape (n_rows,).
        method: ``none`` takes the scores as they are.

    Returns:
        Arrays by name for :func:`calibrated`; empty for ``none``.

    Raises:
        TrainingError: There are too few events or too few non-events.
    """
    if method == "none":
        return {}
    events, others = int(y.sum()), int(len(y) - y.sum())
    if min(events, others) < MIN_EVENTS:
        raise TrainingError(
            f"{events} events and {others} non-events are left for calibration, {MIN_EVENTS} of each are needed: "
            "set aside more units for it, or set calibration to none"
        )
    if method == "sigmoid":
        return {"line": _platt(score, y)}
    from sklearn.isotonic import IsotonicRegression

    steps = IsotonicRegression(out_of_bounds="clip").fit(score, y)
    return {
        "at": np.asarray(steps.X_thresholds_, dtype=np.float64),
        "risk": np.asarray(steps.y_thresholds_, dtype=np.float64),
    }


def calibrated(score: Floats, fitted: Mapping[str, Floats]) -> Floats:
    """Return probabilities in (0, 1), shape (n_rows,)."""
    if "at" in fitted:
        risk = np.interp(score, fitted["at"], fitted["risk"])
    elif "line" in fitted:
        slope, shift = fitted["line"]
        risk = sigmoid(slope * score + shift)
    else:
        risk = sigmoid(score)
    kept: Floats = np.clip(risk, EDGE, 1 - EDGE)
    return kept


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    value: Floats = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return value


def _platt(score: Floats, y: Floats) -> Floats:
    """Fit slope and shift by Newton's method, with Platt's targets against overconfidence."""
    positive = y.sum()
    target = np.where(y > 0, (positive + 1) / (positive + 2), 1 / (len(y) - positive + 2))
    X = np.column_stack([score, np.ones_like(score)])
    line = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        risk = sigmoid(X @ line)
        gradient = X.T @ (risk - target)
        curvature = (X * (risk * (1 - risk))[:, None]).T @ X + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        line = line - step
        if np.abs(step).max() < 1e-10:
            break
    if not np.isfinite(line).all():
        raise TrainingError("the calibration did not converge; set calibration to isotonic or none")
    return line
