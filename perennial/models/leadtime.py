"""The distribution of demand in a protection interval, from what a forecast says of each day.

Source: Burgin 1975, The gamma distribution and inventory control.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import gammaincinv

Floats = npt.NDArray[np.float64]


def daily_variance(mean: Floats, quantiles: Floats, levels: npt.ArrayLike) -> Floats:
    """Return the variance of demand that quantile forecasts and the mean beside them imply.

    Between levels the quantile function is a straight line, from 0 up to the first level; above the last one the
    tail is exponential, and as heavy as it must be for the whole to have the forecast's mean. For intermittent demand
    that is where most of the variance is: all published quantiles may be zero.

    Args:
        mean: Expected demand, >= 0, any shape.
        quantiles: Not decreasing along the last axis, shape (*mean.shape, n_levels).
        levels: Increasing, in (0, 1), shape (n_levels,).

    Returns:
        Same shape as ``mean``, >= 0; without levels the mean itself, as if demand were Poisson.
    """
    at = np.asarray(levels, np.float64)
    if not at.size:
        return mean.astype(np.float64)
    q = np.maximum(np.asarray(quantiles, np.float64), 0.0)
    low = np.concatenate([np.zeros((*q.shape[:-1], 1)), q[..., :-1]], axis=-1)
    width = np.diff(at, prepend=0.0)
    first = ((low + q) / 2 * width).sum(axis=-1)
    second = ((low**2 + low * q + q**2) / 3 * width).sum(axis=-1)
    tail, top = 1 - at[-1], q[..., -1]
    scale = np.maximum((mean - first) / tail - top, 0.0)
    centre = first + tail * (top + scale)
    square = second + tail * (top**2 + 2 * top * scale + 2 * scale**2)
    out: Floats = np.maximum(square - centre**2, 0.0)
    return out


def demand_quantile(mean: Floats, variance: Floats, level: npt.ArrayLike) -> Floats:
    """Return a quantile of gamma-distributed demand, >= 0; arguments broadcast.

    With a variance of zero it is the mean, with a mean of zero it is zero.

    Source: Burgin 1975: gamma demand is never negative and as skewed as demand over a lead time usually is.
    """
    mean, variance, level = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (mean, variance, level)))
    spread = (mean > 0) & (variance > 0)
    shape = np.divide(mean**2, variance, out=np.ones_like(mean), where=spread)
    scale = np.divide(variance, mean, out=np.zeros_like(mean), where=spread)
    found: Floats = np.where(spread, gammaincinv(shape, level) * scale, mean)
    return found
