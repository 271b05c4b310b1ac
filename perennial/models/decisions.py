"""From scores to decisions: probabilities that are true, and the threshold that costs least.

Both are settled on labelled rows from before the test rows, and stored with the model.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SMALLEST = 1e-6
"""Scores are taken for no surer than this before their log odds are."""
STEPS = 50
RIDGE = 1e-3
"""Pull of the slope to 1 and the intercept to 0, in rows: with few positives a little, with many none."""


def fit_calibration(y: Floats, score: Floats) -> tuple[float, float]:
    """Return slope and intercept that turn the log odds of scores into those of true probabilities.

    The slope is positive, so that calibration never changes a ranking: where the scores are worth nothing, only the
    intercept is fitted. Newton's method on the log-likelihood, which is concave.

    Args:
        y: 0 or 1, shape (n_rows,).
        score: In [0, 1], shape (n_rows,).

    Returns:
        ``(1.0, 0.0)``, which leaves scores as they are, when only one class is there.

    Source: Platt 1999, Probabilistic outputs for support vector machines.
    """
    if not len(y) or y.min() == y.max():
        return 1.0, 0.0
    x = log_odds(score)
    slope, intercept = _newton(y, np.column_stack([x, np.ones_like(x)]), np.array([1.0, 0.0]))
    if slope > 0:
        return float(slope), float(intercept)
    (intercept,) = _newton(y, np.ones((len(x), 1)), np.array([0.0]), offset=x)
    return 1.0, float(intercept)


def _newton(y: Floats, X: Floats, start: Floats, offset: Floats | float = 0.0) -> Floats:
    beta = start.copy()
    pull = RIDGE * np.eye(len(beta))

    def loss(b: Floats) -> float:
        z = X @ b + offset
        return float(np.logaddexp(0, z).sum() - y @ z + (b - start) @ pull @ (b - start) / 2)

    now = loss(beta)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-np.clip(X @ beta + offset, -500, 500)))
        step = np.linalg.solve((X * (p * (1 - p))[:, None]).T @ X + pull, X.T @ (y - p) - pull @ (beta - start))
        size = 1.0
        while size > 1e-6 and loss(beta + size * step) > now:
            size /= 2
        beta = beta + size * step
        before, now = now, loss(beta)
        if before - now < 1e-9 * max(1.0, abs(now)):
            break
    return beta


def log_odds(score: npt.NDArray[np.floating]) -> Floats:
    """Return log(p / (1 - p)), finite."""
    p = np.clip(score.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(p) - np.log1p(-p))


def log_loss(y: Floats, score: Floats) -> float:
    """Return the mean negative log-likelihood of labels, in nats, once the scores are calibrated by them."""
    z = log_odds(calibrate(score, *fit_calibration(y, score)))
    return float(np.mean(np.logaddexp(0, z) - y * z))


def calibrate(score: npt.NDArray[np.floating], slope: float, intercept: float) -> Floats:
    """Return probabilities in (0, 1), in the order of the scores."""
    z = slope * log_odds(score) + intercept
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))))


def cheapest_threshold(y: Floats, score: Floats, false_positive: Floats, false_negative: Floats) -> float:
    """Return the score from which on an alert costs least; ``inf`` if no alert is worth its cost.

    Args:
        y: 0 or 1, shape (n_rows,).
        score: Shape (n_rows,).
        false_positive: Cost of an alert about each row that is negative, >= 0, shape (n_rows,).
        false_negative: Cost of no alert about each row that is positive, >= 0, shape (n_rows,).

    Returns:
        Half-way between the last score with an alert and the first without; of equally cheap ones the highest.

    Example:
        >>> one = np.ones(4)
        >>> cheapest_threshold(np.array([0, 0, 1.0, 1]), np.array([0.1, 0.3, 0.5, 0.9]), one, 5 * one)
        0.4
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    change = np.where(y > 0, -false_negative, false_positive)[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True]) if len(ranked) else np.empty(0, np.intp)
    cost = np.r_[0.0, np.cumsum(change)[last]]  # of no alert at all, then of alerts down to each distinct score
    best = int(np.argmin(cost))
    if best == 0:
        return float("inf")
    here = float(ranked[last[best - 1]])
    below = float(ranked[last[best - 1] + 1]) if last[best - 1] + 1 < len(ranked) else here
    return (here + below) / 2
