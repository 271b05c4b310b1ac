"""What a kind of problem must be able to do; flows and tasks know nothing else about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol, runtime_checkable

import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import Evaluation, Read, Snapshot, Split, TestRows, Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained model and how it came about.

    Attributes:
        model: What :mod:`perennial.registry.canonical` stores: plain attributes, arrays and estimators only.
    """

    model: Any
    training: Training


class Kind(Protocol):
    """One kind of problem: a module with these functions.

    Its settings are a section named like it (:mod:`perennial.config`), its metrics and naive contenders stand in
    :mod:`perennial.evaluation.catalogue`.
    """

    def check(self, cfg: Pipeline) -> None:
        """Refuse settings that could only fail later, without reading data."""

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

    def backtest(self, data: Any, cfg: Pipeline, model: Any, as_of: date, *, threads: int) -> TestRows:
        """Forecast again, as contender ``served``, what a version of ``as_of`` was judged on."""

    def mature(self, data: Any, cfg: Pipeline, published: pa.Table) -> TestRows:
        """Put published predictions, as contender ``served``, beside the truth that is known and the baselines."""

    def inputs(self, data: Any, cfg: Pipeline, model: Any, as_of: date, *, threads: int) -> pa.Table:
        """Return the model's input, one row per entity, for the period after ``as_of``, knowing only up to it."""

    def naive(self, data: Any, cfg: Pipeline, as_of: date) -> Iterator[pa.RecordBatch]:
        """Yield predictions for the horizon after ``as_of`` that need no model."""

    def moved(self, rows: pa.Table, cfg: Pipeline, as_of: date) -> pa.Table:
        """Return the last published predictions as those of ``as_of``; an error where that makes no sense."""

    def units(self, data: Any, cfg: Pipeline, as_of: date) -> pa.Table:
        """Return ``entity``, ``unit`` (what a cohort is made of) and ``size`` of all that was known on ``as_of``."""


@runtime_checkable
class Stocked(Protocol):
    """A kind that knows when there was nothing to sell."""

    def spirals(self, data: Any, cfg: Pipeline, published: pa.Table) -> tuple[str, ...]:
        """Return entities that are out of stock, are expected to sell nothing, and used to sell; largest first."""
