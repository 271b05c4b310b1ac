"""Metrics of kind ``recommend``: :mod:`perennial.evaluation.topk` on test rows; lower is better for every one.

A test row is a place of a list. Its ``y`` is 1 where the best possible list has a hit, its forecast 1 where the
contender's list has one, ``horizon`` the place from 1; the places of a list follow one another. ``extra`` holds
``chosen`` (items the user chose), ``catalogue`` (items that could be listed), ``wanted`` (their mean popularity), and
for each contender ``item/<contender>`` (code of the item, -1 for none) and ``listed/<contender>`` (mean popularity).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation.metrics import Part
from perennial.evaluation.sums import Grid
from perennial.evaluation.topk import ERRORS, Lists

CELLS = 4_000_000
"""Weights in memory at a time (32 MB)."""
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a metric sees of one contender.

    Attributes:
        entity: Index of the entity of each list, shape (n_lists,).
        day: Index of the day of each list, shape (n_lists,).
    """

    lists: Lists
    entity: npt.NDArray[np.int32]
    day: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One metric of lists.

    Attributes:
        error: From lists and their weights to values; see :data:`perennial.evaluation.topk.ERRORS`.
        parts: Where it is defined.
    """

    name: str
    error: Callable[[Lists, Doubles], Doubles]
    parts: frozenset[Part] = frozenset({"overall", "slice", "set"})
    quantiles: bool = False

    def has(self, rows: TestRows, contender: str) -> bool:
        """Whether it can be computed for this contender."""
        return contender in rows.forecasts and f"item/{contender}" in rows.extra

    def prepare(self, grid: Grid, contender: str) -> View:
        """Return what :meth:`weighted` needs of one contender."""
        rows = grid.rows
        first = np.flatnonzero(rows.horizon == 1)
        return View(lists=lists_of(rows, contender), entity=rows.entity[first], day=grid.day[first])

    def weighted(self, prepared: View, entities: Doubles, days: Doubles) -> Doubles:
        """Evaluate it under several weightings of entities and days, a few at a time; nan where undefined."""
        step = max(1, CELLS // max(1, len(prepared.lists)))
        parts = [np.empty(0)]
        for at in range(0, len(entities), step):
            block = slice(at, at + step)
            weight = entities[block][:, prepared.entity] * days[block][:, prepared.day]
            parts.append(self.error(prepared.lists, weight))
        return np.concatenate(parts)


def lists_of(rows: TestRows, contender: str) -> Lists:
    """Return the lists that rows are the places of."""
    first = np.flatnonzero(rows.horizon == 1)
    size = int(rows.horizon.max(initial=1))
    shape = len(first), size
    items = rows.extra[f"item/{contender}"].reshape(shape)
    return Lists(
        hits=(rows.forecasts[contender] > 0).reshape(shape),
        items=items.astype(np.int32),
        chosen=rows.extra["chosen"][first].astype(np.int32),
        n_items=int(rows.extra["catalogue"].max(initial=0)),
        listed=rows.extra[f"listed/{contender}"][first].astype(np.float64),
        wanted=rows.extra["wanted"][first].astype(np.float64),
    )


def losses(rows: TestRows, contender: str) -> Doubles:
    """Return what each place takes from the list's NDCG: over a list they add up to 1 - NDCG."""
    discount = 1.0 / np.log2(rows.horizon + 1.0)
    list_of = np.cumsum(rows.horizon == 1) - 1
    best = np.bincount(list_of, discount * rows.y, minlength=1)
    return np.asarray(discount * (rows.y - rows.forecasts[contender]) / best[list_of])


METRICS: Mapping[str, Listed] = MappingProxyType(
    {name: Listed(name=name, error=error) for name, error in ERRORS.items()}
)
"""Every metric by name, in the order reports show them."""
BASELINES = ("popularity", "recent_popularity")
"""Naive contenders: what was chosen most ever, and in the last days; everybody is listed the same."""
USUAL = "ndcg_error"
