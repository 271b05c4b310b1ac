"""Ranked lists: the best items of every user without what the user has had, ties broken by the item's place."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from perennial.features.choices import Doubles, Floats, Ints, Known

NOTHING = -1
"""Item at a place of a list that could not be filled."""


def top(scores: npt.NDArray[np.floating], taken: sp.csr_array | None, size: int) -> tuple[Ints, Floats]:
    """Return the ``size`` best items of each row and their scores, best first.

    Args:
        scores: Shape (n_users, n_items); ``-inf`` for what may not be listed. Overwritten where ``taken``.
        taken: What each of the users has had, shape (n_users, n_items); ``None`` for nothing.
        size: Places in a list, >= 1.

    Returns:
        Items, shape (n_users, size), ``NOTHING`` where nothing is left to list, and their scores (``-inf`` there).
    """
    n, n_items = scores.shape
    if taken is not None:
        scores[np.repeat(np.arange(n), np.diff(taken.indptr)), taken.indices] = -np.inf
    k = min(size, n_items)
    items = np.full((n, size), NOTHING, np.int32)
    best = np.full((n, size), -np.inf, np.float32)
    if not n or not k:
        return items, best
    found = np.nonzero(largest(scores, k))[1].reshape(n, k)
    value = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-value, axis=1, kind="stable")
    best[:, :k] = np.take_along_axis(value, order, axis=1)
    items[:, :k] = np.take_along_axis(found, order, axis=1)
    items[~np.isfinite(best)] = NOTHING
    return items, best


def largest(values: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.bool_]:
    """Return where the ``k`` largest values of each row stand; of equals the first are taken.

    Args:
        values: Shape (n_rows, n_columns), without nan.
        k: 1 <= k <= n_columns.
    """
    worst = np.partition(values, -k, axis=1)[:, [-k]]
    better, equal = values > worst, values == worst
    room = k - better.sum(axis=1, keepdims=True, dtype=np.int32)
    kept: npt.NDArray[np.bool_] = better | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= room))
    return kept


def popularity(known: Known, _days: int) -> Doubles:
    """Return the choices of each item ever, shape (n_items,)."""
    return known.popularity


def recent_popularity(known: Known, days: int) -> Doubles:
    """Return the choices of each item in the last days, shape (n_items,); less than one for older ones.

    The fraction orders what was not chosen lately by its choices ever, so that lists are full.
    """
    ever = known.popularity
    return np.asarray(known.recent(days) + ever / (1.0 + ever.sum()))


BASELINES = {"popularity": popularity, "recent_popularity": recent_popularity}
"""What everybody is shown alike: (known, days of ``recent``) -> score of each item; zero for items never chosen."""


def same_for_all(score: Doubles, known: Known, users: Ints, size: int) -> tuple[Ints, Floats]:
    """List the same items for every user but for what each has had; items without a score are not listed."""
    listed = np.where(score > 0, score, -np.inf).astype(np.float64)
    return top(np.tile(listed, (len(users), 1)), known.taken[users], size)
