"""How far distributions have moved, as effect sizes against the same weekday of earlier weeks."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.contracts import ENTITY, Drift

BINS = 10
SMALLEST = 1e-4
"""Least share of a bin, so that an empty one does not make the index infinite."""
MOST = 20
"""Columns reported."""

Values = npt.NDArray[np.float64]


def psi(expected: Values, found: Values) -> float:
    """Return the population stability index of ``found`` over deciles of ``expected``; >= 0, 0 for equal ones.

    Unknown values are a bin of their own. Source: Siddiqi 2006, "Credit Risk Scorecards".

    Example:
        >>> round(psi(np.arange(100.0), np.arange(100.0)), 6)
        0.0
    """
    if not len(expected) or not len(found):
        return 0.0
    known = expected[np.isfinite(expected)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
    a, b = _shares(expected, edges), _shares(found, edges)
    return float(((b - a) * np.log(b / a)).sum())


def ks(expected: Values, found: Values) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples, in [0, 1]; unknown values are left out."""
    a, b = np.sort(expected[np.isfinite(expected)]), np.sort(found[np.isfinite(found)])
    if not len(a) or not len(b):
        return 0.0
    at = np.concatenate([a, b])
    below = np.searchsorted(a, at, side="right") / len(a) - np.searchsorted(b, at, side="right") / len(b)
    return float(np.abs(below).max())


def drift(now: Mapping[str, Values], before: Sequence[Mapping[str, Values]], least: float) -> tuple[Drift, ...]:
    """Compare columns with the same columns of earlier weeks, largest index over its bound first.

    Args:
        now: Values by column.
        before: The same columns on the same weekday of earlier weeks.
        least: Smallest index that counts; the bound is the largest one among the earlier weeks if that is more.
    """
    found = []
    for name, values in now.items():
        weeks = [one[name] for one in before if name in one]
        if not weeks:
            continue
        pooled = np.concatenate(weeks)
        usual = (
            max((psi(_others(weeks, n), week) for n, week in enumerate(weeks)), default=0.0) if len(weeks) > 1 else 0.0
        )
        found.append(Drift(name=name, psi=psi(pooled, values), distance=ks(pooled, values), bound=max(least, usual)))
    return tuple(sorted(found, key=lambda one: -one.psi / one.bound)[:MOST])


def skew(logged: pa.Table, computed: pa.Table) -> float:
    """Return the largest difference of any feature between scoring and now, in its standard deviations.

    Only entities of both are compared. Observations that were restated in between show up here too.
    """
    both = logged.join(computed, keys=ENTITY, join_type="inner", right_suffix=" now")
    worst = 0.0
    for name in logged.column_names:
        if name == ENTITY or f"{name} now" not in both.column_names:
            continue
        a, b = (both[column].to_numpy().astype(np.float64) for column in (name, f"{name} now"))
        if (np.isnan(a) != np.isnan(b)).any():
            return float("inf")
        known = np.isfinite(a)
        if known.any():
            worst = max(worst, float(np.abs(a[known] - b[known]).max()) / max(float(a[known].std()), SMALLEST))
    return worst


def columns(table: pa.Table) -> dict[str, Values]:
    """Return the numeric columns of model input, all but the entity."""
    return {name: table[name].to_numpy().astype(np.float64) for name in table.column_names if name != ENTITY}


def _shares(values: Values, edges: Values) -> Values:
    index = np.where(np.isfinite(values), np.searchsorted(edges, values, side="left"), len(edges) + 1)
    share = np.bincount(index, minlength=len(edges) + 2) / len(values)
    return np.maximum(share, SMALLEST)


def _others(weeks: Sequence[Values], n: int) -> Values:
    return np.concatenate([*weeks[:n], *weeks[n + 1 :]])
