"""The spiral: forecast nothing, order nothing, sell nothing, and every figure agrees that nothing is wrong.

A product that ran out sells nothing; a model that takes this for demand forecasts nothing; whoever orders by the
forecast orders nothing. Errors are zero all the way, so that no measure of accuracy can tell. What tells is that the
product used to sell, that it is out of stock, and that nobody expects it to sell again.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

QUIET_DAYS = 14
"""Days without a sale, and without stock on most of them, that the alarm needs."""
USUAL_DAYS = 182
"""Days before the silence that say what used to be sold."""
SALES = 8
"""Days with a sale among them: with fewer nobody can say that the product sold."""
NOTHING = 0.1
"""A forecast below this share of what used to be sold expects that it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spiral:
    """Series that are out of stock and forecast as zero, though they used to sell.

    Attributes:
        rows: Their numbers, those that sold most first, shape (n,).
        usual: What each used to sell a day, shape (n,).
    """

    rows: npt.NDArray[np.intp]
    usual: npt.NDArray[np.float64]


def spirals(sold: Floats, out_of_stock: Flags, expected: Floats) -> Spiral:
    """Find series that nothing but a person will bring back.

    Args:
        sold: Units sold, nan where masked or unknown, shape (n_series, n_days), up to today.
        out_of_stock: Days on which there was nothing to sell, same shape.
        expected: Mean forecast per day of the days ahead, nan without one, shape (n_series,).

    Returns:
        Series that sold nothing in the last :data:`QUIET_DAYS` days, were out of stock on at least half of them and
        on the last, sold on at least :data:`SALES` of the :data:`USUAL_DAYS` known days before this silence, and are
        expected to sell less than :data:`NOTHING` of what they used to. A series that has been silent for longer
        than :data:`USUAL_DAYS` has ended, and is left in peace.
    """
    n, days = sold.shape
    if days <= QUIET_DAYS:
        return Spiral(rows=np.empty(0, np.intp), usual=np.empty(0))
    sale = np.nan_to_num(sold) > 0
    silence = np.where(sale.any(axis=1), np.argmax(sale[:, ::-1], axis=1), days)
    usual, count = np.zeros(n), np.zeros(n, np.int64)
    for row in np.flatnonzero((silence >= QUIET_DAYS) & (silence <= USUAL_DAYS) & out_of_stock[:, -1]):
        before = sold[row, max(0, days - silence[row] - USUAL_DAYS) : days - silence[row]]
        known = before[np.isfinite(before)].astype(np.float64)
        usual[row], count[row] = known.mean(), (known > 0).sum()
    empty = out_of_stock[:, -QUIET_DAYS:].sum(axis=1) >= ceil(QUIET_DAYS / 2)
    found = np.flatnonzero((count >= SALES) & empty & (expected < NOTHING * usual))
    ranked = found[np.argsort(-usual[found], kind="stable")]
    return Spiral(rows=ranked, usual=usual[ranked])
