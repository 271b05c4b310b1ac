"""Trials: which entities a canary serves, and when its matured predictions have shown enough."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.operation import Rollout
from perennial.contracts import ENTITY, CanaryVerdict, TestRows
from perennial.evaluation import catalogue

SERVED = "served"

Values = npt.NDArray[np.float64]


def cohort(units: pa.Table, *, pipeline: str, share: float) -> frozenset[str]:
    """Return the entities that a canary serves: the same ones every day, of all sizes alike.

    Units are ordered by size and cut into blocks of 1/share; of each block the unit with the least hash is taken, so
    that the cohort resembles the rest and nobody chose it.

    Args:
        units: Columns ``entity``, ``unit`` and ``size``, as known when the trial began.
        pipeline: Its name, so that pipelines do not all try out on the same units.
        share: Of the units, in (0, 0.5].
    """
    sizes: dict[str, float] = {}
    for unit, size in zip(units["unit"].to_pylist(), units["size"].to_pylist(), strict=True):
        sizes[unit] = sizes.get(unit, 0.0) + size
    ordered = sorted(sizes, key=lambda unit: (-sizes[unit], unit))
    block = max(2, round(1 / share))
    starts = range(0, len(ordered), block)
    chosen = {min(ordered[n : n + block], key=lambda unit: _hash(pipeline, unit)) for n in starts}
    pairs = zip(units[ENTITY].to_pylist(), units["unit"].to_pylist(), strict=True)
    return frozenset(entity for entity, unit in pairs if unit in chosen)


def judge_trial(trial: TestRows, champion: TestRows, settings: Rollout) -> CanaryVerdict:
    """Compare two versions on the entities, days and origins that both forecast.

    At each look the difference of losses per entity is tested by Student's t; the error probability is divided
    by the number of days planned (Bonferroni), so that looking every day does not make it larger.

    Args:
        trial: Matured forecasts of the version on trial, as contender ``served``.
        champion: The champion's for the same rows.
        settings: Days, confidence and tolerance.

    Returns:
        ``revert`` if it is surely worse than tolerated, ``promote`` if it surely is not; when the days are over, as
        measured. A figure that is not finite never promotes.
    """
    mine, theirs = _errors(trial), _errors(champion)
    keys = sorted(key for key in mine.keys() & theirs.keys() if len(mine[key]) == len(theirs[key]))
    days = len({day for _, day, _ in keys})
    a, b = (np.array([sum(errors[key]) for key in keys]) for errors in (mine, theirs))
    ratio = float(a.sum() / b.sum()) if len(keys) and b.sum() > 0 else float("nan")
    rows = sum(len(mine[key]) for key in keys)
    said = f"error {ratio:.3f} times the champion's on {rows:,} matured forecasts of {days} days"
    outcome = "continue"
    if days >= settings.min_days:
        low, high = _interval(a - settings.tolerance * b, [entity for entity, _, _ in keys], settings)
        outcome = "revert" if low > 0 else "promote" if high < 0 else "continue"
    if outcome == "continue" and days >= settings.days:
        outcome = "promote" if ratio <= settings.tolerance else "revert"
        said += ", as measured when the trial ended"
    return CanaryVerdict(outcome=outcome, reason=f"{said} (tolerated: {settings.tolerance:g})", days=days, ratio=ratio)  # type: ignore[arg-type]


def _errors(rows: TestRows) -> Mapping[tuple[str, int, int], list[float]]:
    """Return losses (of a forecast: absolute errors) by entity, target day and horizon: of events, several of each."""
    errors = defaultdict[tuple[str, int, int], list[float]](list)
    names, losses = rows.entities[rows.entity].tolist(), catalogue.losses(rows, SERVED).tolist()
    for name, day, horizon, loss in zip(names, rows.day.tolist(), rows.horizon.tolist(), losses, strict=True):
        errors[name, day, horizon].append(loss)
    return errors


def _interval(difference: Values, entities: list[str], settings: Rollout) -> tuple[float, float]:
    """Return a confidence interval of the mean difference, entities being what varies independently."""
    from scipy.stats import t

    _, index = np.unique(np.array(entities), return_inverse=True)
    sums = np.bincount(index, difference)
    n = len(sums)
    if n < 2 or not np.isfinite(sums).all():
        return -np.inf, np.inf
    level = (1 - settings.confidence) / settings.days
    width = float(t.ppf(1 - level / 2, n - 1) * sums.std(ddof=1) / np.sqrt(n))
    return float(sums.mean()) - width, float(sums.mean()) + width


def _hash(pipeline: str, unit: str) -> str:
    return hashlib.sha256(f"{pipeline}/{unit}".encode()).hexdigest()
