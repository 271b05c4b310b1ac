"""Plain figures read off the test rows that a score alone cannot give: which direction, which series."""

from dataclasses import dataclass

import numpy as np

from perennial.contracts import TestRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How the outermost symmetric band of the candidate held.

    Attributes:
        level: What the band promises, for example 0.9.
        inside: Share of actuals inside, edges included.
        above: Share of actuals above the band.
        below: Share of actuals below the band.
    """

    level: float
    inside: float
    above: float
    below: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """One series in the first test window, summed over its days.

    Attributes:
        miss: Sum of absolute daily misses of the candidate.
        champion_miss: The same of the champion; nan without one.
    """

    entity: str
    actual: float
    forecast: float
    miss: float
    champion_miss: float


def total_bias(rows: TestRows, contender: str) -> float:
    """Return (sum of forecasts - sum of actuals) / sum of actuals; nan when it cannot be computed."""
    actual = float(rows.y.sum(dtype=np.float64))
    if contender not in rows.forecasts or actual <= 0:
        return float("nan")
    return float(rows.forecasts[contender].sum(dtype=np.float64)) / actual - 1


def change_of_total(rows: TestRows) -> float:
    """Return how much more the candidate forecasts in all than the champion, as a fraction; nan without one."""
    if "champion" not in rows.forecasts or "candidate" not in rows.forecasts:
        return float("nan")
    champion = float(rows.forecasts["champion"].sum(dtype=np.float64))
    candidate = float(rows.forecasts["candidate"].sum(dtype=np.float64))
    return candidate / champion - 1 if champion > 0 else float("nan")


def coverage(rows: TestRows) -> Coverage | None:
    """Return how the candidate's widest symmetric band held; ``None`` if it has none."""
    quantiles = rows.quantiles.get("candidate")
    if quantiles is None or len(rows.levels) < 2 or not len(rows.y):
        return None
    low, high = rows.levels[0], rows.levels[-1]
    if abs(low + high - 1) > 1e-9:
        return None
    above = float((rows.y > quantiles[:, -1]).mean())
    below = float((rows.y < quantiles[:, 0]).mean())
    return Coverage(level=high - low, inside=1 - above - below, above=above, below=below)


def most_missed(rows: TestRows, limit: int = 10) -> tuple[Missed, ...]:
    """Return the series with the largest sum of daily misses in the first window, worst first.

    Only the first window counts: it has the full horizon, and windows overlap.
    """
    if "candidate" not in rows.forecasts:
        return ()
    take = rows.window == 0
    entity, y, n = rows.entity[take], rows.y[take], len(rows.entities)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(entity, weights=values, minlength=n)

    forecast = rows.forecasts["candidate"][take]
    champion = rows.forecasts["champion"][take] if "champion" in rows.forecasts else np.full_like(y, np.nan)
    miss, missed_by_champion = total(np.abs(forecast - y)), total(np.abs(champion - y))
    actual, planned = total(y), total(forecast)
    return tuple(
        Missed(
            entity=str(rows.entities[i]),
            actual=float(actual[i]),
            forecast=float(planned[i]),
            miss=float(miss[i]),
            champion_miss=float(missed_by_champion[i]),
        )
        for i in np.argsort(-miss, kind="stable")[:limit]
        if miss[i] > 0
    )
