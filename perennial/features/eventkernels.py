"""Compiled loops over events sorted by unit, then time; what they compute is told in :mod:`perennial.features.events`.

Arguments in common: ``time`` in seconds, shape (n,); ``first`` the index of the first event of each event's unit,
shape (n,); ``windows`` and ``lag`` in seconds. Every loop keeps a pointer to where a window begins, so the cost
does not depend on how long windows are. Each returns shape (n_columns, n).
"""

import numpy as np
from numba import njit

DAY = 86_400.0
RECENT = 7 * 86_400
"""Seconds over which the largest excess is taken."""
FLOOR = 0.1
"""Part of the usual value added to the spread, so that a unit of few or equal values is not surprised by anything."""


@njit(cache=True, nogil=True)
def counts(time, first, windows):  # type: ignore[no-untyped-def]
    """Return the number of events in each window, shape (n_windows, n)."""
    out = np.empty((windows.size, time.size))
    for k in range(windows.size):
        begin = 0
        for i in range(time.size):
            begin = max(begin, first[i])
            while time[begin] <= time[i] - windows[k]:
                begin += 1
            out[k, i] = i - begin + 1
    return out


@njit(cache=True, nogil=True)
def means(time, first, windows, values):  # type: ignore[no-untyped-def]
    """Return the mean of the values in each window that are there, shape (n_windows, n)."""
    out = np.empty((windows.size, time.size))
    sums, there = np.zeros(time.size + 1), np.zeros(time.size + 1, np.int64)
    for i in range(time.size):
        has = not np.isnan(values[i])
        fresh = first[i] == i  # each unit is added up from zero, so that none leaves its rounding to the next
        sums[i + 1] = (0.0 if fresh else sums[i]) + (values[i] if has else 0.0)
        there[i + 1] = (0 if fresh else there[i]) + has
    for k in range(windows.size):
        begin = 0
        for i in range(time.size):
            begin = max(begin, first[i])
            while time[begin] <= time[i] - windows[k]:
                begin += 1
            whole = begin == first[i]
            n = there[i + 1] - (0 if whole else there[begin])
            total = sums[i + 1] - (0.0 if whole else sums[begin])
            out[k, i] = total / n if n > 0 else np.nan
    return out


@njit(cache=True, nogil=True)
def rates(time, first, windows, y, lag):  # type: ignore[no-untyped-def]
    """Return known labels, then the share of positive ones, in each window before ``lag``: (2 n_windows, n)."""
    out = np.empty((2 * windows.size, time.size))
    for k in range(windows.size):
        begin, end, n, positive = 0, 0, 0, 0
        for i in range(time.size):
            if first[i] == i:
                begin, end, n, positive = i, i, 0, 0
            while end < i and _knows(time, end, i, lag):
                if not np.isnan(y[end]):
                    n += 1
                    positive += y[end] > 0
                end += 1
            while begin < end and time[begin] <= time[i] - lag - windows[k]:
                if not np.isnan(y[begin]):
                    n -= 1
                    positive -= y[begin] > 0
                begin += 1
            out[k, i] = n
            out[windows.size + k, i] = positive / n if n > 0 else 0.0
    return out


@njit(cache=True, nogil=True)
def _knows(time, j, i, lag):  # type: ignore[no-untyped-def]
    """Whether event i may know the label of event j: even without a delay, not that of its own moment."""
    return time[j] <= time[i] - lag and time[j] < time[i]


@njit(cache=True, nogil=True)
def past(time, first, y, lag):  # type: ignore[no-untyped-def]
    """Return positives, streak, days since the last positive, the streak's first, the last negative: (5, n)."""
    out = np.empty((5, time.size))
    end, positives, streak, last, begin, negative = 0, 0, 0, -1, -1, -1
    for i in range(time.size):
        if first[i] == i:
            end, positives, streak, last, begin, negative = i, 0, 0, -1, -1, -1
        while end < i and _knows(time, end, i, lag):
            if y[end] > 0:
                begin = begin if streak > 0 else end
                last, positives, streak = end, positives + 1, streak + 1
            elif not np.isnan(y[end]):
                begin, negative, streak = -1, end, 0
            end += 1
        out[0, i], out[1, i] = positives, streak
        for k, event in enumerate((last, begin, negative)):
            out[2 + k, i] = (time[i] - time[event]) / DAY if event >= 0 else np.nan
    return out


@njit(cache=True, nogil=True)
def gap(time, first):  # type: ignore[no-untyped-def]
    """Return the days since the unit's event before, shape (1, n)."""
    out = np.empty((1, time.size))
    for i in range(time.size):
        out[0, i] = (time[i] - time[i - 1]) / DAY if i > first[i] else np.nan
    return out


@njit(cache=True, nogil=True)
def usual(time, first, y, values, lag):  # type: ignore[no-untyped-def]
    """Return the usual value, the excess over it, the largest recent excess, shape (3, n).

    Sums are taken of the differences from the unit's first value, which keeps the variance exact enough.
    """
    out = np.empty((3, time.size))
    queue = np.empty(time.size, np.int64)  # events of falling excess: the head is the largest of the window
    head, tail, end, n, total, squares, origin = 0, 0, 0, 0, 0.0, 0.0, np.nan
    for i in range(time.size):
        if first[i] == i:
            head, tail, end, n, total, squares, origin = 0, 0, i, 0, 0.0, 0.0, np.nan
        elif not np.isnan(values[i - 1]):
            if np.isnan(origin):
                origin = values[i - 1]
            n, total, squares = n + 1, total + (values[i - 1] - origin), squares + (values[i - 1] - origin) ** 2
        while end < i and _knows(time, end, i, lag):
            if y[end] > 0 and not np.isnan(values[end]):
                n, total, squares = n - 1, total - (values[end] - origin), squares - (values[end] - origin) ** 2
            end += 1
        mean = total / n if n > 0 else np.nan
        spread = np.sqrt(max(squares / n - mean * mean, 0.0)) if n > 0 else np.nan
        mean += origin
        scale = spread + FLOOR * abs(mean)
        out[0, i] = mean
        out[1, i] = (values[i] - mean) / scale if scale > 0 else np.nan
        if not np.isnan(out[1, i]):
            while tail > head and out[1, queue[tail - 1]] <= out[1, i]:
                tail -= 1
            queue[tail] = i
            tail += 1
        while head < tail and time[queue[head]] <= time[i] - RECENT:
            head += 1
        out[2, i] = out[1, queue[head]] if head < tail else np.nan
    return out
