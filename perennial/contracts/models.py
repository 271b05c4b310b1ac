"""What was trained, registered, put in force and published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from perennial.contracts.data import StoredFile
from perennial.contracts.evaluation import Score, Verdict

if TYPE_CHECKING:  # commands that ask the ledger alone need neither
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Role = Literal["champion", "canary", "shadow"]
ROLES: tuple[Role, ...] = get_args(Role)
Strategy = Literal["immediate", "canary", "shadow"]
"""How a version that passed its gates comes into force."""
Outcome = Literal["promoted", "kept champion", "not promoted", "already done", "canary", "shadow", "awaiting approval"]
"""How a retrain ended; from ``canary`` on every gate was passed, and the version is not in force for all."""
Rung = Literal["challenger", "champion", "stale_features", "last_forecast", "naive"]
NOBODY = 0
"""Stamped as the version of predictions that no model made."""


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
    example: "npt.NDArray[np.float32] | None" = None


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
class Serving:
    """What a date is scored with.

    Attributes:
        champion: The version in force.
        trial: A version on trial beside it, if there is one.
        role: ``canary`` (published for its cohort) or ``shadow`` (published to nobody); "" without a trial.
    """

    champion: Incumbent
    trial: Incumbent | None = None
    role: Literal["", "canary", "shadow"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """What a date's scoring made.

    Attributes:
        published: Stamped rows for readers.
        beside: Stamped rows that nobody is shown, to judge a trial by: the champion's for a canary's cohort, or
            a shadow's; ``None`` without a trial.
        inputs: What the champion's model was given, for some entities; ``None`` if no model was asked.
    """

    published: "pa.Table"
    beside: "pa.Table | None" = None
    inputs: "pa.Table | None" = None


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
        versions: Rows by model version: the champion's, a canary's for its cohort, ``"0"`` for none.
        kept: Files of what was kept beside it: predictions that nobody is shown, and logged model input.
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
    versions: Mapping[str, int] = field(default_factory=dict)
    kept: tuple[StoredFile, ...] = ()
    fresh: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a finished run reports to a person, to Prefect and to MLflow; every field comes from a returned object."""

    run_id: str
    run_key: str
    pipeline: str
    as_of: date
    outcome: Outcome
    version: int
    champion: int | None
    summary: str
    report: str | None
    scores: tuple[Score, ...]
    verdicts: tuple[Verdict, ...]
    seconds: Mapping[str, float]
    peak_mib: float
    doubt: str = ""
