"""What was trained, registered, put in force and published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from perennial.contracts.data import StoredFile
from perennial.contracts.evaluation import Score, Verdict

Role = Literal["champion", "canary"]
Rung = Literal["challenger", "champion", "stale_features", "last_forecast", "naive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBlob:
    """Canonical model bytes and their SHA-256; equal models have equal digests."""

    data: bytes
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a model came about; the model itself stands beside it.

    Attributes:
        params: Every setting of the fit, flat, for MLflow.
        rows: Training rows used.
        features: Names of the model's input columns, in order.
        importance: Share of total split gain or |coefficient| by feature, summing to 1; may be empty.
        mode: ``refit`` or ``update`` (the champion continued).
        example: A few rows of the model's input, shape (n, n_features); nan where unknown.
    """

    params: Mapping[str, str | int | float | bool]
    rows: int
    features: tuple[str, ...]
    importance: Mapping[str, float]
    mode: Literal["refit", "update"]
    example: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of a model as the ledger knows it.

    Attributes:
        version: 1, 2, ...; one per run key.
        digest: SHA-256 of the canonical bytes.
        mlflow_run: MLflow run id, ``""`` until registered.
        mlflow_version: MLflow's own version number, ``0`` until registered.
        as_of: Date the model stands on.
    """

    model: str
    version: int
    run_key: str
    digest: str
    snapshot_id: str
    as_of: date
    mlflow_run: str
    mlflow_version: int
    state: Literal["trained", "registered", "retired"]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A freshly trained model, its bytes stored and its version number allocated."""

    version: ModelVersion
    model: Any
    training: Training
    blob: ModelBlob


@dataclass(frozen=True, slots=True, kw_only=True)
class Incumbent:
    """The version in force and its model, loaded from verified bytes."""

    version: ModelVersion
    model: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleChange:
    """One change of what is in force; ``version`` is ``None`` when the role was vacated."""

    model: str
    role: Role
    version: int | None
    previous: int | None
    as_of: date
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One atomically visible partition of predictions.

    Attributes:
        rungs: Rows by the rung of the delivery ladder that produced them.
        files: Delta data files of the partition, with digests.
        fresh: False when the partition had already been there and nothing was done.
    """

    pipeline: str
    as_of: date
    version: int
    digest: str
    table_version: int
    rows: int
    entities: int
    first: date
    last: date
    rungs: Mapping[str, int]
    files: tuple[StoredFile, ...]
    published_at: datetime
    fresh: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a finished run reports to a person, to Prefect and to MLflow; every field comes from a returned object."""

    run_id: str
    run_key: str
    pipeline: str
    as_of: date
    outcome: Literal["promoted", "kept champion", "not promoted", "already done"]
    version: int
    champion: int | None
    summary: str
    report: str | None
    scores: tuple[Score, ...]
    verdicts: tuple[Verdict, ...]
    seconds: Mapping[str, float]
    peak_mib: float
