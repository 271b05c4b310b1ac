"""How well scores rank and how true they are, under many weightings of the rows at once; lower is better.

Every function takes ``y`` (0 or 1) and ``score`` (a probability), both of shape (n_rows,), and ``weight`` of shape
(n_weightings, n_rows), and returns one value per weighting, nan where undefined. A weight is how often a row counts:
a bootstrap draws the rows of a unit 0, 1, 2, ... times. Equal weights give the figures of scikit-learn.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
BINS = 10
"""Bins of equal numbers of rows that calibration is looked at in."""
SMALLEST = 1e-7
"""A probability is not taken for surer than this: one confident mistake must not decide the log loss alone."""


def ratio(above: Floats, below: Floats) -> Floats:
    """Return above / below, nan where below is not positive."""
    out = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def auc_error(y: Floats, score: Floats, weight: Floats) -> Floats:
    """Return 1 - area under the ROC curve: how often a negative outranks a positive, ties counting half.

    Example:
        >>> auc_error(np.array([0.0, 1, 0, 1]), np.array([0.1, 0.4, 0.5, 0.8]), np.ones((1, 4)))
        array([0.25])
    """
    positive, negative = _by_score(y, score, weight)
    above = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return ratio((positive * above).sum(axis=1), pairs)


def average_precision_error(y: Floats, score: Floats, weight: Floats) -> Floats:
    """Return 1 - the mean, over the positives, of the precision at their score.

    Example:
        >>> average_precision_error(np.array([0.0, 1, 0, 1]), np.array([0.1, 0.4, 0.5, 0.8]), np.ones((1, 4)))
        array([0.16666667])
    """
    positive, negative = _by_score(y, score, weight)
    found = np.cumsum(positive, axis=1)
    precision = np.nan_to_num(ratio(found, found + np.cumsum(negative, axis=1)))
    return 1 - ratio((positive * precision).sum(axis=1), found[:, -1] if found.size else np.zeros(len(weight)))


def _by_score(y: Floats, score: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the weight of positives and of negatives of each distinct score, the highest first.

    Shape (n_weightings, n_scores) each; a nan score makes everything nan.
    """
    if not len(y) or not np.isfinite(score).all():
        return np.full((len(weight), 1), np.nan), np.full((len(weight), 1), np.nan)
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    heads = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    heavy = weight[:, order]
    all_of = np.add.reduceat(heavy, heads, axis=1)
    positive = np.add.reduceat(heavy * y[order], heads, axis=1)
    return positive, all_of - positive


def brier(y: Floats, score: Floats, weight: Floats) -> Floats:
    """Return the mean squared difference of probability and outcome, in [0, 1]."""
    return ratio(weight @ (score - y) ** 2, weight.sum(axis=1))


def log_loss(y: Floats, score: Floats, weight: Floats) -> Floats:
    """Return the mean negative log-likelihood, in nats."""
    p = np.clip(score, SMALLEST, 1 - SMALLEST)
    return ratio(weight @ -(y * np.log(p) + (1 - y) * np.log1p(-p)), weight.sum(axis=1))


def calibration_error(y: Floats, score: Floats, weight: Floats) -> Floats:
    """Return the expected calibration error: mean over bins of |share of positives - mean probability|, in [0, 1].

    The bins hold equal numbers of rows; equal scores share a bin.
    """
    if not len(y) or not np.isfinite(score).all():
        return np.full(len(weight), np.nan)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    bin_of = np.searchsorted(edges, score, side="left")
    member = (bin_of[:, None] == np.arange(len(edges) + 1)).astype(np.float64)
    off = np.abs((weight * (y - score)) @ member).sum(axis=1)
    return ratio(off, weight.sum(axis=1))


def reliability(y: Floats, score: Floats, bins: int = BINS) -> tuple[Floats, Floats, Ints]:
    """Return the mean probability, the share of positives and the number of rows of bins of equal size."""
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    mean = np.array([score[part].mean() for part in parts])
    return mean, np.array([y[part].mean() for part in parts]), np.array([len(part) for part in parts])


def top_precision_error(
    y: Floats, score: Floats, weight: Floats, *, unit: Ints, day: Ints, day_weight: Floats, top: int
) -> Floats:
    """Return 1 - the mean, over days, of the share of positives among the ``top`` units of the day.

    A unit (a card) ranks by its highest score of the day and is positive if one of its events is; once it was found
    it is not looked at again on later days. The share is of ``top``, also on a day of fewer units.

    Args:
        y: Shape (n_rows,).
        score: Shape (n_rows,).
        weight: How often the unit of each row counts, shape (n_weightings, n_rows); a unit takes as many places.
        unit: Code of each row's unit, from 0, shape (n_rows,).
        day: Code of each row's day, from 0 in order of time, shape (n_rows,).
        day_weight: How often each day counts, shape (n_weightings, n_days).
        top: Units that can be looked into a day.

    Source: Le Borgne et al. 2022, Fraud Detection Handbook, "Precision top-k metrics" (card precision).
    """
    if not len(y) or not np.isfinite(score).all():
        return np.full(len(weight), np.nan)
    found = np.zeros((len(weight), int(unit.max()) + 1))  # how many copies of each unit
    total = np.zeros(len(weight))
    for today in range(day_weight.shape[1]):
        rows = np.flatnonzero(day == today)
        units, ranked, hit = _ranked_units(unit[rows], score[rows], y[rows])
        heavy = np.maximum(weight[:, rows[ranked]] - found[:, units], 0.0)
        heavy *= day_weight[:, today, None] > 0
        taken = np.clip(top - (np.cumsum(heavy, axis=1) - heavy), 0, heavy)
        total += day_weight[:, today] * (taken @ hit) / top
        found[:, units] += taken * hit
    return 1 - ratio(total, day_weight.sum(axis=1))


def _ranked_units(unit: Ints, score: Floats, y: Floats) -> tuple[Ints, Ints, Floats]:
    """Return the units of a day by falling highest score, the row that is the place of each, and whether it is hit."""
    order = np.lexsort((unit, -score))
    names, first = np.unique(unit[order], return_index=True)
    rank = np.argsort(first, kind="stable")
    hit = np.zeros(len(names))
    np.maximum.at(hit, np.searchsorted(names, unit), y)
    return names[rank], order[first[rank]], hit[rank]
