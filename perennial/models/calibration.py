"""Raw probabilities to such that can be taken at their word, fitted on units that the model was not trained on.

``sigmoid`` (:mod:`perennial.models.decisions`) shifts and stretches the log-odds and needs few rows; ``isotonic``
(Zadrozny & Elkan 2002) may bend them and needs some thousand. Either is kept as plain arrays.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError
from perennial.models import decisions

Doubles = npt.NDArray[np.float64]
Method = Literal["sigmoid", "isotonic", "none"]

MIN_EVENTS = 20
"""With fewer events, or fewer non-events, no calibration can be told from luck."""


def fit_calibration(y: Doubles, score: Doubles, method: Method) -> dict[str, Doubles]:
    """Fit how a raw probability is to be read.

    Args:
        y: 0 or 1, shape (n_rows,).
        score: Raw probability, shape (n_rows,), of units that the model was not fitted on.
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
        return {"line": np.array(decisions.fit_calibration(y, score))}
    from sklearn.isotonic import IsotonicRegression

    steps = IsotonicRegression(out_of_bounds="clip").fit(score, y)
    return {
        "at": np.asarray(steps.X_thresholds_, dtype=np.float64),
        "risk": np.asarray(steps.y_thresholds_, dtype=np.float64),
    }


def calibrated(score: Doubles, fitted: Mapping[str, Doubles]) -> Doubles:
    """Return probabilities in (0, 1), shape (n_rows,): no model is ever certain of a patient."""
    if "line" in fitted:
        return decisions.calibrate(score, *fitted["line"].tolist())
    risk = np.interp(score, fitted["at"], fitted["risk"]) if "at" in fitted else score
    kept: Doubles = np.clip(risk, decisions.SMALLEST, 1 - decisions.SMALLEST)
    return kept
