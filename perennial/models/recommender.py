"""A recommender that holds what it learnt about items and nothing about any user.

Three things are learnt: which items are chosen by the same people (cosine similarity, shrunk where few chose
both, the nearest kept), a low-rank reconstruction of the matrix of choices (truncated SVD), and how much each
*clue* about a pair of user and item says about whether it is chosen in the days that follow (logistic regression
on earlier windows, within users, each with clues made from what was known at its origin). A user's history comes
from the data at hand, so that a list follows what the user did since training, and the model names nobody.

The clues ``since`` and ``trend`` ask what others chose since the user's last visit: a popular item that was there
on that visit and was passed over is likely not wanted, one that came since could not be.

Somebody without a history is listed what is popular lately.

Sources: Sarwar et al. 2001 (item neighbourhoods); Bell & Koren 2007 (shrinkage); Cremonesi et al. 2010 (PureSVD).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from perennial.features.choices import Choices, Doubles, Floats, Ints, Known
from perennial.models.ranked import recent_popularity, top

CLUES = (
    "neighbours", "factors", "faded_3", "faded_7", "faded_14", "faded_30", "popularity", "age", "since", "trend",
    "known_well",
)  # fmt: skip
"""What is known of a pair of user and item, in the order of ``Recommender.weight``."""
GAPS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 45, 60, 90, 120, 180, 365, 730], dtype=np.int32)
"""Days since a user's last visit are rounded down to one of these."""
BLOCK = 256
"""Users scored at a time: bounds memory to a few arrays of (BLOCK, n_items)."""
_FADED = (3.0, 7.0, 14.0, 30.0)


class Recommender:
    """Plain arrays and numbers, so that :mod:`perennial.registry.canonical` stores it.

    Attributes:
        settings: JSON of the settings it was trained under.
        items: Names of the items it knows, shape (n_items,), sorted.
        data: Similarities, ``indices`` and ``indptr`` with it: a CSR matrix (n_items, n_items).
        factors: Right singular vectors, shape (n_items, n_factors).
        weight: Log odds for one unit of each clue, shape (n_clues,); zero for one that is not used.
        recent_days: Days of the popularity that newcomers are listed.
    """

    def __init__(self, **attributes: Any) -> None:
        self.settings: str = attributes["settings"]
        self.items: npt.NDArray[np.str_] = attributes["items"]
        self.data: Floats = attributes["data"]
        self.indices: Ints = attributes["indices"]
        self.indptr: Ints = attributes["indptr"]
        self.factors: Floats = attributes["factors"]
        self.weight: Doubles = attributes["weight"]
        self.recent_days: int = attributes["recent_days"]

    def lists(self, known: Known, users: Ints, size: int) -> tuple[Ints, Floats]:
        """List the best items for users; those without any choice are listed what is popular lately.

        Args:
            known: What was known; its items may be others than the model's: new ones are scored by popularity.
            users: Indices into ``known.choices.users``, shape (n,).
            size: Places in a list.

        Returns:
            Items as indices into ``known.choices.items`` and scores (log odds up to a constant; for newcomers
            choices lately), each (n, size); see :func:`perennial.models.ranked.top`.
        """
        clues = Clues(known, self.aligned(known.choices))
        items, best = np.empty((len(users), size), np.int32), np.empty((len(users), size), np.float32)
        ever = known.popularity > 0
        cold = np.where(ever, recent_popularity(known, self.recent_days), -np.inf)
        for start in range(0, len(users), BLOCK):
            block = users[start : start + BLOCK]
            scores = clues.score(block, self.weight)
            scores[:, ~ever] = -np.inf
            scores[known.activity[block] == 0] = cold
            items[start : start + BLOCK], best[start : start + BLOCK] = top(scores, known.taken[block], size)
        return items, best

    def aligned(self, choices: Choices) -> "ItemSide":
        """Return what was learnt, in the order of the items of ``choices``; nothing of items that are new."""
        place = np.searchsorted(choices.items, self.items)
        place = np.minimum(place, max(0, len(choices.items) - 1))
        here = choices.items[place] == self.items if len(choices.items) else np.zeros(len(self.items), bool)
        own = np.flatnonzero(here)
        n, shape = len(choices.items), (len(self.items), len(self.items))
        near = sp.csr_array((self.data, self.indices, self.indptr), shape=shape)[own][:, own].tocoo()
        to = place[own]
        factors = np.zeros((n, self.factors.shape[1]), np.float32)
        factors[to] = self.factors[own]
        similar = sp.csr_array((near.data, (to[near.row], to[near.col])), shape=(n, n))
        return ItemSide(similar=similar, factors=factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemSide:
    """What is learnt about items.

    Attributes:
        similar: Shrunk cosine similarities, the nearest of each column kept, shape (n_items, n_items).
        factors: Shape (n_items, n_factors).
    """

    similar: sp.csr_array
    factors: Floats


class Clues:
    """The clues of pairs of users and items at the end of one day."""

    def __init__(self, known: Known, side: ItemSide) -> None:
        self._known, self._side = known, side
        ever = known.popularity
        age = np.log1p(np.where(ever > 0, known.day - known.first.astype(np.float64), 0.0))
        faded = [np.log(known.faded(half_life) + 0.1) for half_life in _FADED]
        self.same = np.stack([*faded, np.log(ever + 0.1), age])  # of every user, shape (6, n_items)
        self._ever = ever
        self._since = np.stack([known.recent(int(gap)) for gap in GAPS])

    def of_user(self, users: Ints) -> Iterator[Doubles]:
        """Yield the clues that differ between users in the order of ``CLUES``, each (n_users, n_items)."""
        known, side = self._known, self._side
        taken, activity = known.taken[users], np.maximum(known.activity[users], 1)[:, None]
        yield np.asarray((taken @ side.similar).todense(), np.float64) / np.sqrt(activity)
        yield np.asarray((taken @ side.factors) @ side.factors.T, np.float64)
        gap = np.maximum(known.day - known.last[users].astype(np.int64), 0)
        since = self._since[np.searchsorted(GAPS, gap, side="right") - 1]
        before = self._ever - since
        yield np.log(since + 0.1)
        yield np.log((since + 0.5) / (before + 5.0))
        yield np.log1p(before) * np.log(activity)

    def score(self, users: Ints, weight: Doubles) -> Doubles:
        """Return the weighted sum of all clues, shape (n_users, n_items), without building the clues' table."""
        at = _places()
        total = (weight[at.same] @ self.same)[None]
        out = np.repeat(total, len(users), axis=0)
        for place, clue in zip(at.own, self.of_user(users), strict=True):
            if weight[place]:
                out += weight[place] * clue
        return out

    def table(self, users: Ints, row: Ints, item: Ints) -> Doubles:
        """Return the clues of chosen pairs, shape (n_pairs, n_clues); ``row`` is an index into ``users``."""
        at, out = _places(), np.empty((len(row), len(CLUES)))
        out[:, at.same] = self.same[:, item].T
        for place, clue in zip(at.own, self.of_user(users), strict=True):
            out[:, place] = clue[row, item]
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    same: list[int]
    own: list[int]


def _places() -> _Places:
    """Return where the clues of items and those of pairs stand in ``CLUES``."""
    same = list(range(2, 8))
    return _Places(same=same, own=[n for n in range(len(CLUES)) if n not in same])


def importance(model: Recommender, spread: Mapping[str, float]) -> dict[str, float]:
    """Return each clue's share of |weight x standard deviation|, summing to 1; empty if nothing weighs."""
    size = {name: abs(w) * spread[name] for name, w in zip(CLUES, model.weight.tolist(), strict=True)}
    total = sum(size.values())
    return {name: value / total for name, value in size.items()} if total > 0 else {}
