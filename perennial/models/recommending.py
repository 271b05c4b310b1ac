"""How a recommender is trained: items from all that is known, clues from earlier windows; see its module."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from perennial.errors import TrainingError
from perennial.features.choices import Choices, Doubles, Ints, Known
from perennial.models.ranked import largest
from perennial.models.recommender import BLOCK, CLUES, Clues, ItemSide, Recommender

Estimator = Literal["blend", "neighbours", "factors"]
_MIN_FACTORS_ITEMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Settings of a training.

    Attributes:
        estimator: ``blend`` weighs all clues; the others rank by one of them alone.
        window_days: Days after an origin in which a choice counts for a list.
        windows: Earlier windows that ``blend`` learns from.
        neighbours: Nearest items kept for each item.
        shrinkage: Similarities are multiplied by n / (n + shrinkage), n the users who chose both.
        factors: Rank of the reconstruction.
        negatives: Items not chosen that are drawn for each user and window.
        ridge: Inverse strength of the logistic regression's penalty, as scikit-learn's ``C``.
        recent_days: Days of the popularity that newcomers are listed.
    """

    estimator: Estimator = "blend"
    window_days: int = 7
    windows: int = 12
    neighbours: int = 200
    shrinkage: float = 20.0
    factors: int = 24
    negatives: int = 300
    ridge: float = 1.0
    recent_days: int = 14
    seed: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model and how it came about.

    Attributes:
        rows: Pairs that the weights were learnt from; choices known if there are no weights to learn.
        spread: Standard deviation of each clue in training, by name.
        example: Clues of a few pairs, shape (n, n_clues).
    """

    model: Recommender
    rows: int
    spread: dict[str, float]
    example: Doubles


Pairs = tuple[Doubles, Doubles, Doubles]
"""Clues, labels and weights of one window."""


def train(
    choices: Choices, day: int, fit: Fit, settings: str = "{}", memory: dict[int, Pairs | None] | None = None
) -> Trained:
    """Train on what was known at the end of ``day``.

    Args:
        choices: Rows; those after ``day`` are not looked at.
        day: Days since 1970-01-01.
        fit: Settings.
        settings: Kept with the model.
        memory: Keeps what each window taught, for who trains on many days under the same settings.

    Raises:
        TrainingError: Nothing was chosen up to then, or too little for the weights to be learnt.
    """
    known = choices.known(day)
    if not len(known):
        raise TrainingError("nothing was chosen up to the end of training; give earlier rows or a later date")
    side = item_side(known, fit)
    pairs = list(_windows(choices, day, fit, {} if memory is None else memory)) if fit.estimator == "blend" else []
    if fit.estimator == "blend":
        X, y, weight = (np.concatenate(parts) for parts in zip(*pairs, strict=True)) if pairs else _nothing()
        log_odds, spread = _weigh(X, y, weight, fit)
    else:
        X = np.empty((0, len(CLUES)))
        log_odds = (np.array(CLUES) == fit.estimator).astype(np.float64)
        spread = log_odds.copy()
    here = np.flatnonzero(known.popularity > 0)
    near = side.similar[here][:, here].tocsr()
    near.sort_indices()
    model = Recommender(
        settings=settings,
        items=choices.items[here],
        data=near.data.astype(np.float32),
        indices=near.indices.astype(np.int32),
        indptr=near.indptr.astype(np.int32),
        factors=np.ascontiguousarray(side.factors[here]),
        weight=log_odds,
        recent_days=fit.recent_days,
    )
    by_name = dict(zip(CLUES, spread.tolist(), strict=True))
    return Trained(model=model, rows=len(X) or len(known), spread=by_name, example=X[:5])


def item_side(known: Known, fit: Fit) -> ItemSide:
    """Learn similarities and factors from what is known."""
    return ItemSide(similar=similarities(known.taken, fit.neighbours, fit.shrinkage), factors=_factors(known, fit))


def similarities(taken: sp.csr_array, neighbours: int, shrinkage: float) -> sp.csr_array:
    """Return shrunk cosine similarities between items, the nearest of each kept.

    Args:
        taken: Who chose what, 0 or 1, shape (n_users, n_items).
        neighbours: Entries kept in each column, >= 1; of equals, those of the first items.
        shrinkage: >= 0; see :class:`Fit`.

    Returns:
        Shape (n_items, n_items); entry (i, j) says how much having i speaks for j; zero diagonal.
    """
    columns = taken.tocsc()
    size = np.asarray(taken.sum(axis=0), np.float64).ravel()
    parts = []
    for start in range(0, taken.shape[1], BLOCK):
        block = (columns[:, start : start + BLOCK].T @ taken).toarray().astype(np.float64)  # users with both
        own = np.arange(start, start + len(block))
        scale = np.sqrt(np.outer(size[own], size)) * (block + shrinkage)
        value = np.divide(block * block, scale, out=np.zeros_like(block), where=scale > 0)
        value[np.arange(len(own)), own] = 0.0
        if neighbours < value.shape[1]:
            value[~largest(value, neighbours)] = 0.0
        parts.append(sp.csr_array(value.astype(np.float32)))
    return sp.csr_array(sp.vstack(parts).T) if parts else sp.csr_array((0, 0), dtype=np.float32)


def _factors(known: Known, fit: Fit) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    from sklearn.decomposition import TruncatedSVD
    from threadpoolctl import threadpool_limits

    here = np.flatnonzero(known.popularity > 0)
    out = np.zeros((len(known.popularity), fit.factors), np.float32)
    rank = min(fit.factors, len(here) - 1, int((known.activity > 0).sum()) - 1)
    if rank < 1 or len(here) < _MIN_FACTORS_ITEMS:
        return out
    svd = TruncatedSVD(rank, n_iter=7, random_state=fit.seed)
    with threadpool_limits(1):  # sums in another order would give another digest
        svd.fit(known.taken[:, here].astype(np.float64))
    out[here, :rank] = svd.components_.T
    return out


def _windows(choices: Choices, day: int, fit: Fit, memory: dict[int, Pairs | None]) -> Iterator[Pairs]:
    """Yield clues, labels and weights of each earlier window that taught something, the newest first."""
    for n in range(1, fit.windows + 1):
        origin = day - n * fit.window_days
        if origin not in memory:
            memory[origin] = _window(choices, origin, fit)
        if (found := memory[origin]) is not None:
            yield found


def _window(choices: Choices, origin: int, fit: Fit) -> Pairs | None:
    known = choices.known(origin)
    chosen = choices.chosen(origin, origin + fit.window_days)
    able = chosen.copy()  # what was never chosen before could not be listed
    able.data *= known.popularity[able.indices] > 0
    busy = np.flatnonzero((able.sum(axis=1) > 0) & (known.activity > 0)).astype(np.int32)
    if not len(busy):
        return None
    clues, rng = Clues(known, item_side(known, fit)), np.random.default_rng([fit.seed, abs(origin)])
    parts = [_pairs(known, clues, chosen, busy[n : n + BLOCK], fit, rng) for n in range(0, len(busy), BLOCK)]
    X, y, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return X, y, weight


def _pairs(known: Known, clues: Clues, chosen: sp.csr_array, users: Ints, fit: Fit, rng: np.random.Generator) -> Pairs:
    """Return every choice that a list could have named, and items drawn from those not chosen."""
    rows: list[Ints] = []
    items: list[Ints] = []
    labels: list[Doubles] = []
    weights: list[Doubles] = []
    possible = known.popularity > 0
    for n, user in enumerate(users):
        open_ = possible.copy()
        open_[known.taken.indices[known.taken.indptr[user] : known.taken.indptr[user + 1]]] = False
        wanted = chosen.indices[chosen.indptr[user] : chosen.indptr[user + 1]]
        wanted = wanted[open_[wanted]]
        open_[wanted] = False
        others = np.flatnonzero(open_)
        others = rng.choice(others, min(fit.negatives, len(others)), replace=False)
        picked = np.concatenate([wanted, others]).astype(np.int32)
        rows.append(np.full(len(picked), n, np.int32))
        items.append(picked)
        labels.append((np.arange(len(picked)) < len(wanted)).astype(np.float64))
        weights.append(np.full(len(picked), 1.0 / len(wanted)))  # each user counts the same, as in NDCG
    row, label = np.concatenate(rows), np.concatenate(labels)
    table = clues.table(users, row, np.concatenate(items))
    return table - _usual(table, row, label, len(users))[row], label, np.concatenate(weights)


def _usual(table: Doubles, row: Ints, label: Doubles, n_users: int) -> Doubles:
    """Return the mean clues of each user's items that were not chosen, shape (n_users, n_clues).

    Less these, clues compare items and not users: otherwise who chooses much would weigh what is popular.
    """
    other = label == 0
    count = np.maximum(np.bincount(row[other], minlength=n_users), 1)
    sums = [np.bincount(row[other], weights=column[other], minlength=n_users) for column in table.T]
    return np.stack(sums, axis=1) / count[:, None]


def _weigh(X: Doubles, y: Doubles, weight: Doubles, fit: Fit) -> tuple[Doubles, Doubles]:
    """Return the log odds for one unit and the spread of each clue."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    if not 0 < y.sum() < len(y):
        raise TrainingError(
            f"{len(y):,} pairs of users and items of earlier windows hold {int(y.sum()):,} choices: too little to "
            "learn from; give more history, a longer window, or estimator: neighbours"
        )
    spread = X.std(axis=0)
    scaled = X / np.where(spread > 0, spread, 1.0)
    with threadpool_limits(1):
        found = LogisticRegression(C=fit.ridge, max_iter=500).fit(scaled, y, sample_weight=weight)
    return found.coef_[0] / np.where(spread > 0, spread, np.inf), spread


def _nothing() -> Sequence[Doubles]:
    return np.empty((0, len(CLUES))), np.empty(0), np.empty(0)
