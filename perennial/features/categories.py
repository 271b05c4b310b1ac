"""Text columns as numbers for a classifier: how often each value went with the event, learnt on training rows only.

A value's number is its smoothed log-odds, so that a tree splits the values of a column in the order of their risk
(optimal for two classes: Fisher 1958) and a linear model gets one coefficient a column, whatever its cardinality.
Training rows take theirs from the *other* folds of units (patients, customers): with its own label inside, a code
that occurs once would give its row's answer away. Null stays nan; a value never seen is given the column's mean.

Source: Micci-Barreca 2001, "A preprocessing scheme for high-cardinality categorical attributes", eq. 3-5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FOLDS = 5
SMOOTHING = 20.0
"""Rows with the column's mean rate that every value is given beside its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What one text column was found to say.

    Attributes:
        values: Values that enough rows had, sorted.
        scores: Smoothed log-odds of the event for each of them, shape (n_values,).
        other: Score of every other value: rare ones pooled.
    """

    values: Sequence[str]
    scores: Floats
    other: float


def text_codes(column: pa.Array | pa.ChunkedArray, values: Sequence[str]) -> Ints:
    """Return each row's position in ``values`` (sorted), ``len(values)`` for any other text, -1 for null.

    Example:
        >>> text_codes(pa.array(["b", None, "z"]), ["a", "b"]).tolist()
        [1, -1, 2]
    """
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = flat if pa.types.is_dictionary(flat.type) else flat.dictionary_encode()
    place = {value: at for at, value in enumerate(values)}
    found = np.array([*(place.get(v, len(values)) for v in coded.dictionary.to_pylist()), -1], dtype=np.int64)
    indices = coded.indices.cast(pa.int64()).fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
    codes: Ints = found[indices]
    return codes


def fit_encoding(
    column: pa.Array | pa.ChunkedArray, y: Floats, fold: Ints, *, min_rows: int
) -> tuple[Encoding, Floats]:
    """Learn the scores of one text column.

    Args:
        column: Training rows, text with nulls.
        y: 0 or 1, shape (n_rows,).
        fold: Of each row's unit, from 0, shape (n_rows,); rows of one unit share one.
        min_rows: Values with fewer rows are pooled: of a rare one nothing is learnt, and none is remembered.

    Returns:
        The encoding for new rows, and the numbers of the training rows, each from the other folds.
    """
    flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    counted = flat.value_counts()
    frequent = sorted(
        one["values"] for one in counted.to_pylist() if one["values"] is not None and one["counts"] >= min_rows
    )
    codes = text_codes(flat, frequent)
    known, n = codes >= 0, len(frequent) + 1
    prior = float(y.mean()) if len(y) else 0.0
    rows = np.zeros((int(fold.max(initial=0)) + 1, n))
    events = np.zeros_like(rows)
    np.add.at(rows, (fold[known], codes[known]), 1.0)
    np.add.at(events, (fold[known], codes[known]), y[known])
    whole = _log_odds(events.sum(axis=0), rows.sum(axis=0), prior)
    others = _log_odds(events.sum(axis=0) - events, rows.sum(axis=0) - rows, prior)
    numbers = np.full(len(codes), np.nan)
    numbers[known] = others[fold[known], codes[known]]
    return Encoding(values=frequent, scores=whole[:-1], other=float(whole[-1])), numbers


def encode(column: pa.Array | pa.ChunkedArray, encoding: Encoding) -> Floats:
    """Return the numbers of new rows, nan for null, shape (n_rows,)."""
    table = np.append(np.append(encoding.scores, encoding.other), np.nan)
    numbers: Floats = table[text_codes(column, encoding.values)]
    return numbers


def folds(units: npt.NDArray[np.int64], seed: int, n: int = FOLDS) -> Ints:
    """Return a fold for each row such that rows of one unit share one; units are dealt in order of appearance.

    Args:
        units: Code of each row's unit, shape (n_rows,).
        seed: Equal seeds deal equal folds.
        n: Folds.
    """
    _, first, inverse = np.unique(units, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))  # by appearance, so that what a unit is called does not matter
    dealt: Ints = np.random.default_rng(seed).permutation(len(first)) % n
    return dealt[rank[inverse]]


def stored(encodings: Mapping[str, Encoding]) -> dict[str, dict[str, object]]:
    """Return encodings as the plain values that a model holds."""
    return {
        name: {"values": list(one.values), "scores": one.scores, "other": one.other} for name, one in encodings.items()
    }


def _log_odds(events: Floats, rows: Floats, prior: float) -> Floats:
    mean = min(max(prior, 1e-6), 1 - 1e-6)
    rate = (events + SMOOTHING * mean) / (rows + SMOOTHING)
    odds: Floats = np.log(rate / (1 - rate))
    return odds
