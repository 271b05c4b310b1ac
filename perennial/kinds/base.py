"""What a kind of problem must be able to do; flows and tasks know nothing else about it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import Evaluation, Snapshot, Split, TablePin

Read = Callable[[TablePin], Iterator[pa.RecordBatch]]
"""Yields the visible rows of one pinned table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model and how it came about.

    Attributes:
        model: What :mod:`perennial.registry.tracking` stores: plain attributes, arrays and estimators only.
        params: Every setting of the fit, flat, for MLflow.
        rows: Training rows used.
        features: Names of the model's input columns, in order.
        importance: Share of total split gain or |coefficient| by feature, summing to 1; may be empty.
        seconds: Wall time by part, for example ``features`` and ``fit``.
        mode: ``refit``, or ``update`` if the champion was continued.
        example: A few rows of the model's input, shape (n, n_features); nan where unknown.
    """

    model: Any
    params: Mapping[str, str | int | float | bool]
    rows: int
    features: tuple[str, ...]
    importance: Mapping[str, float]
    seconds: Mapping[str, float]
    mode: Literal["refit", "update"]
    example: npt.NDArray[np.float32]


class Kind(Protocol):
    """One kind of problem: a module with these five functions."""

    def load(self, cfg: Pipeline, snapshot: Snapshot, read: Read) -> Any:
        """Bring the rows of a snapshot into the form the other functions take."""

    def split(self, data: Any, cfg: Pipeline) -> Split:
        """Decide where training ends and which windows judge."""

    def train(self, data: Any, split: Split, cfg: Pipeline, *, champion: Any | None, threads: int) -> Fitted:
        """Fit a candidate on what lies before ``split.train_end``, or continue the champion."""

    def evaluate(self, data: Any, split: Split, cfg: Pipeline, models: Mapping[str, Any], threads: int) -> Evaluation:
        """Score models (``candidate``, perhaps ``champion``) and baselines on the same rows."""

    def predict(self, data: Any, cfg: Pipeline, model: Any, *, threads: int) -> Iterator[pa.RecordBatch]:
        """Yield the forecast of every entity that follows the as-of date."""
