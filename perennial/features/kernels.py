"""Compiled loops over the panel. Each releases the GIL and writes only the rows it was given.

Averages come from float64 prefix sums of one entity at a time, so a feature costs the same whatever its
window, and memory does not grow with the panel.
"""

import numpy as np
from numba import njit

OLD = 400
"""Days after which age stops counting: the age of series that were always there is the date itself, and a
model that can tell the date learns what happened then instead of what happens always."""


@njit(cache=True, nogil=True)
def scatter(entity, column, stamp, values, out, latest):  # type: ignore[no-untyped-def]
    """Write ``values`` (n_columns, n_rows) into ``out`` (n_columns, n_entities, n_days); the latest stamp wins."""
    for i in range(entity.size):
        row, col = entity[i], column[i]
        if row < 0 or col < 0 or col >= latest.shape[1] or stamp[i] < latest[row, col]:
            continue
        latest[row, col] = stamp[i]
        for k in range(values.shape[0]):
            out[k, row, col] = values[k, i]


@njit(cache=True, nogil=True)
def settle(y, present, open_days, zero, first, begin):  # type: ignore[no-untyped-def]
    """Decide what absence means, in place; fill ``first`` row and ``begin`` (first sale) of each entity."""
    n, days = y.shape
    seen = np.zeros(days, dtype=np.bool_)
    for row in range(n):
        for col in range(days):
            seen[col] |= present[row, col]
    for row in range(n):
        first[row] = days
        begin[row] = days
        for col in range(days):
            if present[row, col] and first[row] == days:
                first[row] = col
            if not (open_days[col] and seen[col]):
                y[row, col] = np.nan
            elif not present[row, col]:
                y[row, col] = 0.0 if zero and first[row] < days else np.nan
            if y[row, col] != 0 and not np.isnan(y[row, col]) and begin[row] == days:
                begin[row] = col


@njit(cache=True, nogil=True)
def carry_forward(values):  # type: ignore[no-untyped-def]
    """Replace each nan by the value before it, in place."""
    for row in range(values.shape[0]):
        for col in range(1, values.shape[1]):
            if np.isnan(values[row, col]):
                values[row, col] = values[row, col - 1]


@njit(cache=True, nogil=True)
def _prefix(series, sums, squares, counts, zeros, last):  # type: ignore[no-untyped-def]
    """Fill running sums of one series; entry i covers columns before i. ``last`` is the newest sale so far."""
    sale = -1
    for col in range(series.size):
        value = series[col]
        known = not np.isnan(value)
        v = np.float64(value) if known else 0.0
        if v != 0.0:
            sale = col
        sums[col + 1] = sums[col] + v
        squares[col + 1] = squares[col] + v * v
        counts[col + 1] = counts[col] + known
        zeros[col + 1] = zeros[col] + (known and v == 0.0)
        last[col] = sale


@njit(cache=True, nogil=True)
def history(y, first, begin, entity, origin, horizon, spans, out):  # type: ignore[no-untyped-def]
    """Write the history features of each row into ``out`` (n_rows, n_features). Nothing after the origin is read.

    ``spans`` is (lags, windows, spreads, quiet, weekdays), integer arrays, ``weekdays`` increasing. The order
    is lags, means, standard deviations, for each window in ``quiet`` the share of days without a sale, then
    (if ``quiet`` is not empty) days since the last sale and age; the weekday means come last.
    """
    days = y.shape[1]
    sums, squares = np.zeros(days + 1), np.zeros(days + 1)
    counts, zeros = np.zeros(days + 1, np.int32), np.zeros(days + 1, np.int32)
    last = np.zeros(days, np.int32)
    current = -1
    fixed = out.shape[1] - spans[4].size
    for i in range(entity.size):
        row, now = entity[i], origin[i]
        if row != current:
            _prefix(y[row], sums, squares, counts, zeros, last)
            current = row
        low = begin[row] if begin[row] <= now else first[row]
        if now < low:
            out[i, :] = np.nan
            continue
        if i > 0 and row == entity[i - 1] and now == origin[i - 1]:
            out[i, :fixed] = out[i - 1, :fixed]
        else:
            _at_origin(y[row], low, now, spans, (sums, squares, counts, zeros, last), out[i])
        _weekday_means(y[row], low, now, horizon[i], spans[4], out[i, fixed:])


@njit(cache=True, nogil=True)
def _at_origin(series, low, now, spans, prefix, out):  # type: ignore[no-untyped-def]
    """Write the features that only depend on the origin; windows reach back to ``low`` at most."""
    lags, windows, spreads, quiet, _ = spans
    sums, squares, counts, zeros, last = prefix
    k = 0
    for lag in lags:
        out[k] = series[now - lag] if now - lag >= low else np.nan
        k += 1
    for window in windows:
        a = max(low, now + 1 - window)
        n = counts[now + 1] - counts[a]
        out[k] = (sums[now + 1] - sums[a]) / n if n > 0 else np.nan
        k += 1
    for window in spreads:
        a = max(low, now + 1 - window)
        n = max(counts[now + 1] - counts[a], 1)
        mean = (sums[now + 1] - sums[a]) / n
        out[k] = np.sqrt(max((squares[now + 1] - squares[a]) / n - mean * mean, 0.0))
        k += 1
    for window in quiet:
        a = max(low, now + 1 - window)
        n = counts[now + 1] - counts[a]
        out[k] = (zeros[now + 1] - zeros[a]) / n if n > 0 else np.nan
        k += 1
    if quiet.size > 0:
        out[k] = now - last[now] if last[now] >= low else np.nan
        out[k + 1] = min(now - low + 1, OLD)


@njit(cache=True, nogil=True)
def _weekday_means(series, low, now, horizon, weekdays, out):  # type: ignore[no-untyped-def]
    """Write means of the last n same weekdays as the target, at or before ``now``."""
    col = now + horizon - 7 * ((horizon + 6) // 7)
    total, n, step = 0.0, 0, 0
    for k in range(weekdays.size):
        while step < weekdays[k] and col >= low:
            if not np.isnan(series[col]):
                total += series[col]
                n += 1
            col -= 7
            step += 1
        out[k] = total / n if n > 0 else np.nan


@njit(cache=True, nogil=True)
def relative(values, entity, origin, target, weeks, out):  # type: ignore[no-untyped-def]
    """Write value at target over its mean at the origin and the ``weeks - 1`` weeks before, shape (n_rows,)."""
    for i in range(entity.size):
        total, n = 0.0, 0
        for week in range(weeks):
            col = origin[i] - 7 * week
            if col < 0:
                break
            if not np.isnan(values[entity[i], col]):
                total += values[entity[i], col]
                n += 1
        out[i] = values[entity[i], target[i]] * n / total if total > 0 and target[i] >= 0 else np.nan


@njit(cache=True, nogil=True)
def idle(y, first, begin, entity, origin, out):  # type: ignore[no-untyped-def]
    """Write the days since the last sale (since the first row if there was none) as of each row's origin."""
    for i in range(entity.size):
        row, now = entity[i], origin[i]
        low = begin[row] if begin[row] <= now else first[row]
        col = now
        while col >= low and (np.isnan(y[row, col]) or y[row, col] == 0):
            col -= 1
        out[i] = now - col if now >= low else 0
