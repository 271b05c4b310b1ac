"""What was usual among the earlier events of a peer: running medians that know nothing of the same day."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What was usual before the day of each asked event.

    Attributes:
        median: Median of the newest earlier values, shape (n_asked,); nan without any.
        mad: Median distance from it, shape (n_asked,); nan without any.
        count: Earlier values that both rest on, at most the window, shape (n_asked,).
    """

    median: Doubles
    mad: Doubles
    count: Codes


def usual(peer: Codes, day: Codes, values: Doubles, asked: Mask, window: int) -> Usual:
    """Return the median and the median absolute deviation of each asked event's peer before its day.

    Args:
        peer: Code of the peer of each event, -1 if it has none, shape (n_events,).
        day: Days since 1970-01-01, shape (n_events,); events of one day are known together, in the given order.
        values: What is compared, nan where unknown, shape (n_events,).
        asked: Events to answer for.
        window: Newest earlier values looked at.

    Example:
        >>> found = usual(np.zeros(3, np.int32), np.arange(3, dtype=np.int32), np.array([1.0, 3.0, 9.0]),
        ...               np.array([False, False, True]), 10)
        >>> found.median, found.mad, found.count
        (array([2.]), array([1.]), array([2], dtype=int32))
    """
    order = np.lexsort((np.arange(len(day)), day, peer))
    median, mad = np.full(len(day), np.nan), np.full(len(day), np.nan)
    count = np.zeros(len(day), np.int32)
    _walk(order, peer, day, values, asked, window, median, mad, count)
    return Usual(median=median[asked], mad=mad[asked], count=count[asked])


@njit(cache=True, nogil=True)
def _walk(order, peer, day, values, asked, window, median, mad, count):  # type: ignore[no-untyped-def]
    """Go through events sorted by peer and day; the last ``window`` values before each day are kept in a ring."""
    ring = np.empty(window)
    scratch = np.empty(window)
    seen, at, i = 0, 0, 0
    while i < order.size:
        first = order[i]
        if i > 0 and peer[order[i - 1]] != peer[first]:
            seen, at = 0, 0
        end, wanted = i, False
        while end < order.size and peer[order[end]] == peer[first] and day[order[end]] == day[first]:
            wanted |= asked[order[end]]
            end += 1
        if wanted and seen > 0 and peer[first] >= 0:
            middle = np.median(ring[:seen])
            for k in range(seen):
                scratch[k] = abs(ring[k] - middle)
            spread = np.median(scratch[:seen])
            for k in range(i, end):
                median[order[k]], mad[order[k]], count[order[k]] = middle, spread, seen
        for k in range(i, end):
            value = values[order[k]]
            if not np.isnan(value):
                ring[at] = value
                at = (at + 1) % window
                seen = min(seen + 1, window)
        i = end
