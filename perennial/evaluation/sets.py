"""Evaluation sets: parts of the test rows, and the same rows under stress, each judged by itself."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from perennial.config.classify import EvaluationSet
from perennial.contracts import TestRows
from perennial.errors import MetricMissing, sample
from perennial.evaluation.metrics import MAIN

Marks = npt.NDArray[np.bool_]


def marks(one: EvaluationSet, texts: Mapping[str, npt.NDArray[np.str_]], day: npt.NDArray[np.int32]) -> Marks:
    """Return which test rows belong to a set, shape (n_rows,), whatever it takes as unknown.

    Args:
        one: The set.
        texts: Text columns of the rows, ``""`` where nothing is known, each of shape (n_rows,).
        day: Target day of each row, shape (n_rows,).

    Raises:
        MetricMissing: It names a column that is not there.
    """
    inside = np.ones(len(day), dtype=np.bool_)
    for column, values in one.where.items():
        if column not in texts:
            known = sample(sorted(texts), limit=20) or "none"
            raise MetricMissing(f"an evaluation set asks for column {column!r}, but the text columns are {known}")
        inside &= np.isin(texts[column], values)
    if one.last_days is not None and len(day):
        inside &= day > day.max() - one.last_days
    return inside


def with_sets(rows: TestRows, parts: Mapping[str, Marks], stressed: Mapping[str, TestRows]) -> TestRows:
    """Return test rows with named sets: parts of them, and the same rows forecast under stress.

    Args:
        rows: Behind the overall figures.
        parts: Rows of each set that is a part of them, by name.
        stressed: Rows of each set with forecasts of their own, over the same entities and contenders.

    Returns:
        All rows one after another; ``main`` are the given ones, so that no stress changes an overall figure.
    """
    blocks = [rows, *stressed.values()]
    begin = np.cumsum([0, *(len(block.y) for block in blocks)])
    total = int(begin[-1])

    def spread(mask: Marks, at: int) -> Marks:
        whole = np.zeros(total, dtype=np.bool_)
        whole[begin[at] : begin[at] + len(mask)] = mask
        return whole

    sets = {name: spread(mask, 0) for name, mask in {MAIN: np.ones(len(rows.y), np.bool_), **parts}.items()}
    sets |= {name: spread(np.ones(len(one.y), np.bool_), k) for k, (name, one) in enumerate(stressed.items(), start=1)}
    return replace(
        rows,
        entity=np.concatenate([block.entity for block in blocks]),
        window=np.concatenate([block.window for block in blocks]),
        horizon=np.concatenate([block.horizon for block in blocks]),
        day=np.concatenate([block.day for block in blocks]),
        y=np.concatenate([block.y for block in blocks]),
        forecasts={name: np.concatenate([block.forecasts[name] for block in blocks]) for name in rows.forecasts},
        quantiles={name: np.concatenate([block.quantiles[name] for block in blocks]) for name in rows.quantiles},
        extra={name: np.concatenate([block.extra[name] for block in blocks]) for name in rows.extra},
        sets=sets,
    )
