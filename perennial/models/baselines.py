"""Forecasts that need no model. They race in every evaluation; a model that does not beat them is not promoted."""

from collections.abc import Callable, Mapping

import numpy as np

from perennial.features.panel import Floats, Panel

WEEKS = 8
"""Weeks that the weekday mean looks back."""
DAYS = 28
"""Days that the moving average looks back."""


def last_value(panel: Panel, origin: int, horizon: int) -> Floats:
    """Repeat the newest value, shape (n_entities, horizon)."""
    return np.repeat(_newest(panel.y[:, max(0, origin + 1 - DAYS) : origin + 1])[:, None], horizon, axis=1)


def seasonal_naive(panel: Panel, origin: int, horizon: int) -> Floats:
    """Repeat the newest value of the same weekday, shape (n_entities, horizon)."""
    return _by_weekday(panel, origin, horizon, 1)


def weekday_mean(panel: Panel, origin: int, horizon: int) -> Floats:
    """Repeat the mean of the same weekday over :data:`WEEKS` weeks, shape (n_entities, horizon)."""
    return _by_weekday(panel, origin, horizon, WEEKS)


def moving_average(panel: Panel, origin: int, horizon: int) -> Floats:
    """Repeat the mean of the last :data:`DAYS` days, shape (n_entities, horizon)."""
    return np.repeat(_mean(panel.y[:, max(0, origin + 1 - DAYS) : origin + 1])[:, None], horizon, axis=1)


BASELINES: Mapping[str, Callable[[Panel, int, int], Floats]] = {
    "last_value": last_value,
    "seasonal_naive": seasonal_naive,
    "weekday_mean": weekday_mean,
    "moving_average": moving_average,
}
"""Baseline by name: (panel, origin column, horizon) -> forecast of the next days, >= 0, no nan.

A series with nothing in the days a baseline looks at is forecast as zero.
"""


def _by_weekday(panel: Panel, origin: int, horizon: int, weeks: int) -> Floats:
    out = np.empty((panel.n_entities, horizon), dtype=np.float32)
    for offset in range(min(7, horizon)):
        newest = origin - 6 + offset
        columns = [c for c in range(newest - 7 * (weeks - 1), newest + 1, 7) if c >= 0]
        out[:, offset::7] = _mean(panel.y[:, columns])[:, None]
    return out


def _mean(values: Floats) -> Floats:
    """Mean of each row over what is known; zero where nothing is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
    mean: Floats = (total / np.maximum(known.sum(axis=1), 1)).astype(np.float32)
    return mean


def _newest(values: Floats) -> Floats:
    """Last known value of each row; zero where nothing is known."""
    if not values.shape[1]:
        return np.zeros(len(values), dtype=np.float32)
    known = ~np.isnan(values)
    at = values.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)
    return np.where(known.any(axis=1), values[np.arange(len(values)), at], 0).astype(np.float32)
