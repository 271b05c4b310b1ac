"""Errors of ranked lists against what was chosen afterwards; lower is better for every one of them.

A *list* is what one user was shown from one origin on; its *hits* say at which places stood something that the
user then chose. Every metric is made from numbers per list, so that overall figures, slices and bootstrap draws
(of users, of days) are the same sums under other weights.

================== ================================================================== ======= ====================
metric             what it is                                                         range   undefined (nan) when
================== ================================================================== ======= ====================
ndcg_error         1 - mean over lists of DCG / DCG of the best possible list         [0, 1]  no list
recall_error       1 - mean over lists of hits / items chosen                         [0, 1]  no list
mrr_error          1 - mean over lists of 1 / place of the first hit (0 without)      [0, 1]  no list
hit_error          1 - hits / items chosen, over all lists together                   [0, 1]  no list
coverage_gap       1 - share of the catalogue that stands on some list                [0, 1]  no list, no items
popularity_bias    mean popularity of listed items less that of chosen ones, absolute [0, 1]  nothing listed
================== ================================================================== ======= ====================

Lists without a single choice have no best possible list; leave them out. An item's popularity is its rank among
all items by choices known at the origin, 0 for the least and 1 for the most chosen.

Sources: Jarvelin & Kekalainen 2002 (DCG, binary gains); Voorhees 1999 (reciprocal rank); Abdollahpouri 2020
(popularity bias).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Lists of one contender beside what was chosen.

    Attributes:
        hits: Whether the item at a place was chosen, shape (n_lists, size).
        items: Index of the item at a place, -1 where there is none, shape (n_lists, size).
        chosen: Items that the list's user chose, shape (n_lists,), >= 1.
        n_items: Items that could be listed: the catalogue.
        listed: Mean popularity of the items listed, shape (n_lists,); nan for an empty list.
        wanted: Mean popularity of the items chosen, shape (n_lists,).
    """

    hits: Flags
    items: Ints
    chosen: Ints
    n_items: int
    listed: Doubles
    wanted: Doubles

    def __len__(self) -> int:
        return len(self.chosen)


def hits(items: Ints, truth: sp.csr_array) -> Flags:
    """Return at which places of lists stand items that were chosen.

    Args:
        items: Index of the item at each place, -1 for none, shape (n_lists, size).
        truth: What was chosen, one row for each list, shape (n_lists, n_items); zeros are not stored.

    Returns:
        Shape (n_lists, size).
    """
    width = truth.shape[1] + 1
    rows = np.arange(len(items), dtype=np.int64)[:, None] * width
    wanted = np.repeat(rows.ravel(), np.diff(truth.indptr)) + truth.indices
    found: Flags = np.isin(np.where(items >= 0, rows + items, -1), wanted)
    return found


def compare(items: Ints, truth: sp.csr_array, popularity: Doubles) -> Lists:
    """Put lists beside what was chosen.

    Args:
        items: As in :func:`hits`.
        truth: As in :func:`hits`; every row holds at least one choice.
        popularity: Choices of each item known at the origin, shape (n_items,); those above 0 make the catalogue.
    """
    rank = popularity_rank(popularity)
    shown = items >= 0
    count = np.maximum(shown.sum(axis=1), 1)
    chosen = np.diff(truth.indptr)
    listed = np.where(shown, rank[np.maximum(items, 0)] if len(rank) else 0.0, 0.0).sum(axis=1) / count
    return Lists(
        hits=hits(items, truth),
        items=items,
        chosen=chosen.astype(np.int32),
        n_items=int((popularity > 0).sum()),
        listed=np.where(shown.any(axis=1), listed, np.nan),
        wanted=np.asarray(truth @ rank, np.float64) / np.maximum(chosen, 1),
    )


def popularity_rank(popularity: Doubles) -> Doubles:
    """Return the rank of each item by choices, from 0 (least) to 1 (most); equals share their mean rank."""
    from scipy.stats import rankdata

    n = len(popularity)
    return np.asarray((rankdata(popularity) - 1.0) / max(1, n - 1))


def ndcg(lists: Lists) -> Doubles:
    """Return normalised discounted cumulative gain of each list, in [0, 1], shape (n_lists,)."""
    size = lists.hits.shape[1]
    discount = 1.0 / np.log2(np.arange(2, size + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(lists.chosen, size)]
    return np.asarray((lists.hits * discount).sum(axis=1) / best)


def recall(lists: Lists) -> Doubles:
    """Return the share of each user's choices that stood on the list, in [0, 1], shape (n_lists,)."""
    return np.asarray(lists.hits.sum(axis=1) / lists.chosen)


def reciprocal_rank(lists: Lists) -> Doubles:
    """Return 1 / place of the first hit of each list, 0 without one, shape (n_lists,)."""
    return np.where(lists.hits.any(axis=1), 1.0 / (1.0 + lists.hits.argmax(axis=1)), 0.0)


def _mean_error(each: Callable[[Lists], Doubles]) -> Callable[[Lists, Doubles], Doubles]:
    def error(lists: Lists, weight: Doubles) -> Doubles:
        return _ratio(weight @ (1.0 - each(lists)), weight.sum(axis=1))

    return error


def _hit_error(lists: Lists, weight: Doubles) -> Doubles:
    return 1.0 - _ratio(weight @ lists.hits.sum(axis=1), weight @ lists.chosen)


def _coverage_gap(lists: Lists, weight: Doubles) -> Doubles:
    """One minus the share of the catalogue on lists of any weight."""
    shown = lists.items >= 0
    width = int(lists.items.max(initial=-1)) + 1
    row = np.repeat(np.arange(len(lists)), shown.sum(axis=1))
    where = sp.csr_array((np.ones(len(row), np.float32), (row, lists.items[shown])), shape=(len(lists), width))
    seen = ((weight > 0).astype(np.float32) @ where > 0).sum(axis=1).astype(np.float64)
    gap = 1.0 - np.minimum(1.0, seen / lists.n_items) if lists.n_items else np.full(len(weight), np.nan)
    return np.where(weight.sum(axis=1) > 0, gap, np.nan)


def _popularity_bias(lists: Lists, weight: Doubles) -> Doubles:
    known = np.isfinite(lists.listed)
    weight = weight[:, known]
    return np.abs(_ratio(weight @ (lists.listed - lists.wanted)[known], weight.sum(axis=1)))


def _ratio(total: Doubles, weight: Doubles) -> Doubles:
    return np.asarray(np.divide(total, weight, out=np.full(len(total), np.nan), where=weight > 0))


ERRORS: Mapping[str, Callable[[Lists, Doubles], Doubles]] = MappingProxyType(
    {
        "ndcg_error": _mean_error(ndcg),
        "recall_error": _mean_error(recall),
        "mrr_error": _mean_error(reciprocal_rank),
        "hit_error": _hit_error,
        "coverage_gap": _coverage_gap,
        "popularity_bias": _popularity_bias,
    }
)
"""Error by name: (lists, weight of each list under each weighting, shape (n_weightings, n_lists), >= 0) -> errors,
shape (n_weightings,)."""


def errors(lists: Lists) -> dict[str, float]:
    """Return every error of some lists, each list weighing the same."""
    return {name: float(error(lists, np.ones((1, len(lists))))[0]) for name, error in ERRORS.items()}


ACTIVITY = ((1, "1-19"), (20, "20-99"), (100, "100+"))
"""Least choices known at the origin, and the label of the slice; those with none are ``new``."""


def activity_slice(activity: Ints) -> npt.NDArray[np.str_]:
    """Return the slice of users by their choices known at the origin, shape (n_users,)."""
    edges = [least for least, _ in ACTIVITY]
    return np.array(["new", *(label for _, label in ACTIVITY)])[np.searchsorted(edges, activity, side="right")]
