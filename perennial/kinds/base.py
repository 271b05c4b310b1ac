"""What a kind of problem must be able to do; flows and tasks know nothing else about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import Evaluation, Read, Snapshot, Split, Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model and how it came about.

    Attributes:
        model: What :mod:`perennial.registry.canonical` stores: plain attributes, arrays and estimators only.
    """

    model: Any
    training: Training


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
