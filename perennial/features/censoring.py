"""Demand that nobody saw: days on which there was nothing to sell.

Sales of such a day say how much there was, not how much was wanted. Taken for demand they teach a model to forecast
less, a planner to order less, and the shelf to stay empty. Such days are *masked*: their target is missing, not zero,
in features, in training and in evaluation alike.

That a day is masked is decided by that day and those before it, so that what was known on any date stays what it
was. Masking forgets what a day that sold out at noon did sell, and busy days sell out more often: what is left is
somewhat less than demand, but far more than what counting those days as they stand would give.
"""

import numpy as np
import numpy.typing as npt

from perennial.config.stockouts import Stockouts
from perennial.features.panel import Floats

Flags = npt.NDArray[np.bool_]

WINDOW = 182
"""Known days before a silence that say how often the series used to sell."""
LEAST_DAYS = 28
"""With fewer of them nothing can be called unusual."""
_BLOCK = 1024
"""Series at a time."""


def censored(y: Floats, on_hand: Floats | None, settings: Stockouts) -> Flags:
    """Return the days on which demand could not be seen.

    Args:
        y: Sales, nan where unknown, shape (n_series, n_days).
        on_hand: Units on hand at the end of each day, nan where unknown, same shape; None without such a column.
        settings: What to tell them by.
    """
    found = np.zeros(y.shape, dtype=np.bool_) if on_hand is None else sold_out(on_hand)
    if settings.infer:
        known = np.where(found, np.nan, y)
        found |= unlikely_silence(known, alpha=settings.alpha, longest=settings.longest)
    return found


def sold_out(on_hand: Floats) -> Flags:
    """Return where there was nothing left; unknown stock is no proof of that."""
    out: Flags = on_hand <= 0
    return out


def unlikely_silence(y: Floats, *, alpha: float, longest: int) -> Flags:
    """Return days without a sale that come after too many others, judged by that day and those before it.

    If a series sold on a share p of the known days before its silence, k days without a sale in a row have the
    probability (1 - p)^k. From the first day on which that is below ``alpha`` the silence is taken for a stock-out,
    until it has lasted ``longest`` known days: then the series has ended.

    Args:
        y: Sales, nan where unknown, shape (n_series, n_days).
        alpha: Share of all silences that may be flagged although nothing happened, in (0, 1).
        longest: Known days after which a silence is no stock-out any more.

    Example:
        >>> y = np.array([[1.0] * 30 + [0.0] * 6 + [1.0]])
        >>> unlikely_silence(y, alpha=0.001, longest=4)[0, 29:].astype(int)
        array([0, 0, 1, 1, 1, 0, 0, 0])
    """
    out = np.zeros(y.shape, dtype=np.bool_)
    for start in range(0, len(y), _BLOCK):
        out[start : start + _BLOCK] = _silence(y[start : start + _BLOCK], np.log(alpha), longest)
    return out


def _silence(y: Floats, bound: float, longest: int) -> Flags:
    known, sale = np.isfinite(y), np.nan_to_num(y) > 0
    days = np.cumsum(known, axis=1, dtype=np.int32)
    sales = np.cumsum(sale, axis=1, dtype=np.int32)
    last = np.maximum.accumulate(np.where(sale, np.arange(y.shape[1], dtype=np.int32), -1), axis=1)
    ever, at = last >= 0, np.maximum(last, 0)
    silent = days - np.take_along_axis(days, at, axis=1)
    seen, sold = (_before(counts, at) for counts in (days, sales))
    share = (sold + 0.5) / (seen + 1.0)  # never 0 or 1: after any history silence is possible
    unlikely = silent * np.log1p(-share) < bound
    flagged: Flags = ever & known & ~sale & (seen >= LEAST_DAYS) & unlikely & (silent <= longest)
    return flagged


def _before(counts: npt.NDArray[np.int32], at: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return what was counted in the :data:`WINDOW` columns up to ``at``."""
    padded = np.concatenate([np.zeros((len(counts), 1), np.int32), counts], axis=1)
    upper = np.take_along_axis(padded, at + 1, axis=1)
    difference: npt.NDArray[np.int32] = upper - np.take_along_axis(padded, np.maximum(at + 1 - WINDOW, 0), axis=1)
    return difference
