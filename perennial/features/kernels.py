"""Compiled loops over the panel. Each releases the GIL and writes only the rows it was given.

Averages come from float64 prefix sums of one entity at a time, so a feature costs the same whatever its
window, and memory does not grow with the panel.
"""

import numpy as np
from numba import njit

SPAN = 256
"""Running sums begin anew at every multiple of it: reading can begin near the origin, and a window's sum is the
same wherever it did."""
OLD = 400
"""Days after which age stops counting: the age of series that were always there is the date itself, and a
model that can tell the date learns what happened then instead of what happens always."""
MOST = np.iinfo(np.int16).max
"""Days in advance are not counted beyond: for ever."""


@njit(cache=True, nogil=True)
def scatter(entity, column, stamp, lead, values, out, latest, ahead):  # type: ignore[no-untyped-def]
    """Write ``values`` (n_columns, n_rows) into ``out`` (n_columns, n_entities, n_days); the latest stamp wins.

    ``lead`` goes into ``ahead`` (n_entities, n_days), unless that is empty.
    """
    for i in range(entity.size):
        row, col = entity[i], column[i]
        if row < 0 or col < 0 or col >= latest.shape[1] or stamp[i] < latest[row, col]:
            continue
        latest[row, col] = stamp[i]
        if ahead.size > 0:
            ahead[row, col] = lead[i]
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
def hold(values, ahead):  # type: ignore[no-untyped-def]
    """Carry forward values, and with them the day each became known, in place."""
    for row in range(values.shape[0]):
        for col in range(1, values.shape[1]):
            if np.isnan(values[row, col]):
                values[row, col] = values[row, col - 1]
                ahead[row, col] = min(ahead[row, col - 1] + 1, MOST)


@njit(cache=True, nogil=True)
def _held(values, ahead, forward, row, col, now):  # type: ignore[no-untyped-def]
    """Return what stood in place of a value that was not yet known on ``now``; nan if values do not hold."""
    known = row if ahead.shape[0] > 1 else 0
    while forward and col > 0:
        col -= 1
        if col - now <= ahead[known, col]:
            return values[row if values.shape[0] > 1 else 0, col]
    return np.float32(np.nan)


@njit(cache=True, nogil=True)
def as_known(values, ahead, forward, entity, origin, target, out):  # type: ignore[no-untyped-def]
    """Write the value at the target as it was known at the origin, shape (n_rows,)."""
    each, apart = values.shape[0] > 1, ahead.shape[0] > 1
    for i in range(entity.size):
        row, col = entity[i], target[i]
        if col < 0:
            out[i] = np.nan
        elif col - origin[i] <= ahead[row if apart else 0, col]:
            out[i] = values[row if each else 0, col]
        else:
            out[i] = _held(values, ahead, forward, row, col, origin[i])


@njit(cache=True, nogil=True)
def _run(series, start, stop, running):  # type: ignore[no-untyped-def]
    """Fill running sums of columns ``start``, a multiple of SPAN, to ``stop``; ``last`` is the newest sale so far."""
    sums, squares, counts, zeros, last = running
    sale = start - 1
    while sale >= 0 and (np.isnan(series[sale]) or series[sale] == 0):
        sale -= 1
    total, square, count, zero = 0.0, 0.0, 0, 0
    for col in range(start, stop):
        if col % SPAN == 0:
            total, square, count, zero = 0.0, 0.0, 0, 0
        known = not np.isnan(series[col])
        value = np.float64(series[col]) if known else 0.0
        total += value
        square += value * value
        count += known
        zero += known and value == 0.0
        sale = sale if value == 0.0 else col
        sums[col], squares[col], counts[col], zeros[col], last[col] = total, square, count, zero, sale


@njit(cache=True, nogil=True, inline="always")
def _window(running, a, now):  # type: ignore[no-untyped-def]
    """Return the sum over columns ``a`` to ``now``."""
    edge = now & -SPAN
    total = running[now]
    if a < edge:  # the loop apart, since it is rarely needed and would not be inlined as well
        edge -= SPAN
        total += running[edge + SPAN - 1]
        while a < edge:
            edge -= SPAN
            total += running[edge + SPAN - 1]
    return total - running[a - 1] if a > edge else total


@njit(cache=True, nogil=True)
def history(y, first, begin, entity, origin, horizon, spans, out):  # type: ignore[no-untyped-def]
    """Write the history features of each row into ``out`` (n_rows, n_features). Nothing after the origin is read.

    ``spans`` is (lags, windows, spreads, quiet, weekdays), integer arrays, ``weekdays`` increasing. The order
    is lags, means, standard deviations, for each window in ``quiet`` the share of days without a sale, then
    (if ``quiet`` is not empty) days since the last sale and age; the weekday means come last.
    """
    days = y.shape[1]
    counts, zeros, last = np.zeros(days, np.int32), np.zeros(days, np.int32), np.zeros(days, np.int32)
    running = (np.zeros(days), np.zeros(days), counts, zeros, last)
    line = np.empty(out.shape[1] - spans[4].size, np.float32)
    reach = max([1, *spans[1], *spans[2], *spans[3]])
    i = 0
    while i < entity.size:
        row, end = entity[i], i
        oldest, newest = origin[i], origin[i]
        while end < entity.size and entity[end] == row:
            oldest, newest = min(oldest, origin[end]), max(newest, origin[end])
            end += 1
        _run(y[row], max(0, oldest + 1 - reach) & -SPAN, newest + 1, running)
        for k in range(i, end):
            now = origin[k]
            low = begin[row] if begin[row] <= now else first[row]
            if now < low:
                out[k, :] = np.nan
                continue
            if k == i or now != origin[k - 1]:
                _at_origin(y[row], low, now, spans, running, line)
            for column in range(line.size):
                out[k, column] = line[column]
            _weekday_means(y[row], low, now, horizon[k], spans[4], out[k, line.size :])
        i = end


@njit(cache=True, nogil=True)
def _at_origin(series, low, now, spans, running, out):  # type: ignore[no-untyped-def]
    """Write the features that only depend on the origin; windows reach back to ``low`` at most."""
    lags, windows, spreads, quiet, _ = spans
    sums, squares, counts, zeros, last = running
    k = 0
    for lag in lags:
        out[k] = series[now - lag] if now - lag >= low else np.nan
        k += 1
    for window in windows:
        a = max(low, now + 1 - window)
        n = _window(counts, a, now)
        out[k] = _window(sums, a, now) / n if n > 0 else np.nan
        k += 1
    for window in spreads:
        a = max(low, now + 1 - window)
        n = max(_window(counts, a, now), 1)
        mean = _window(sums, a, now) / n
        out[k] = np.sqrt(max(_window(squares, a, now) / n - mean * mean, 0.0))
        k += 1
    for window in quiet:
        a = max(low, now + 1 - window)
        n = _window(counts, a, now)
        out[k] = _window(zeros, a, now) / n if n > 0 else np.nan
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
def relative(values, ahead, forward, entity, origin, target, weeks, out):  # type: ignore[no-untyped-def]
    """Write value at target over its mean at the origin and the ``weeks - 1`` weeks before, shape (n_rows,).

    Each of the values is the one that was known at the origin.
    """
    apart = ahead.shape[0] > 1
    for i in range(entity.size):
        row, now, total, n = entity[i], origin[i], 0.0, 0
        known = row if apart else 0
        for week in range(weeks):
            col = now - 7 * week
            if col < 0:
                break
            value = values[row, col]
            if col - now > ahead[known, col]:
                value = _held(values, ahead, forward, row, col, now)
            if not np.isnan(value):
                total += value
                n += 1
        col = target[i]
        if not total > 0 or col < 0:
            out[i] = np.nan
        elif col - now <= ahead[known, col]:
            out[i] = values[row, col] * n / total
        else:
            out[i] = _held(values, ahead, forward, row, col, now) * n / total


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
