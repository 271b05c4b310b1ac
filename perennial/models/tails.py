"""How rare a value is: tail probabilities learned from what was seen, extrapolated beyond the largest of it.

The probability of exceeding ``x`` is the empirical one up to the largest value seen, and falls as a power of ``x``
beyond, with the exponent of the largest of them (Hill 1975, "A simple general approach to inference about the tail
of a distribution"). Surprise is its negative logarithm to the base ten: 3 means one in a thousand.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Tail = dict[str, Doubles]
"""What a model stores: plain arrays ``at`` (increasing), ``surprise`` (increasing) and ``slope``."""
POINTS = 200
TOP = 0.01
"""Share of the largest values that the exponent is taken from."""
STEEPEST = 10.0
SMALLEST = 1e-6


def fit_tail(values: Doubles) -> Tail:
    """Learn how rare large values are.

    Args:
        values: Sizes, shape (n,); those that are not finite, or <= 0, count as unsurprising.

    Returns:
        A table for :func:`surprise`.
    """
    known = np.sort(values[np.isfinite(values) & (values > SMALLEST)])
    n = len(values)
    if not len(known):
        return {"at": np.array([SMALLEST]), "surprise": np.array([np.log10(n + 1.0)]), "slope": np.array([1.0])}
    rank = np.unique(np.geomspace(1, len(known), POINTS).astype(np.int64))[::-1]  # the largest value is 1
    at = np.unique(known[len(known) - rank])
    reached = len(known) - np.searchsorted(known, at, side="left")
    level = -np.log10(reached / (n + 1.0))
    top = known[-max(2, int(TOP * len(known))) :]
    spread = float(np.log(top / top[0]).mean())
    slope = min(1 / spread, STEEPEST) if spread > 1 / STEEPEST else STEEPEST
    return {"at": at, "surprise": level, "slope": np.array([slope])}


def surprise(tail: Mapping[str, Doubles], values: Doubles) -> Doubles:
    """Return ``-log10 P(X >= x)``, >= 0, shape of ``values``; unknown values surprise nobody.

    Example:
        >>> tail = fit_tail(np.arange(1.0, 1000.0))
        >>> surprise(tail, np.array([900.0])).round(1)
        array([1.])
    """
    at = np.log(tail["at"])
    known = np.nan_to_num(values, nan=0.0, posinf=1e300)
    x = np.log(np.maximum(known, SMALLEST))
    inside = np.interp(x, np.concatenate([[np.log(SMALLEST)], at]), np.concatenate([[0.0], tail["surprise"]]))
    beyond = np.maximum(x - at[-1], 0) * tail["slope"][0] / np.log(10)
    out: Doubles = np.where(known > SMALLEST, inside + beyond, 0.0)
    return out
