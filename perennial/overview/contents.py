"""What the overview of all pipelines, and the history of one, hold; how they look is decided elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from perennial.config.models import Pipeline
from perennial.contracts import (
    Alert,
    DailyError,
    Health,
    Measurement,
    ModelVersion,
    Publication,
    RoleChange,
    Snapshot,
)
from perennial.ledger.survey import Judged

DecisionOutcome = Literal[
    "none", "promoted", "kept champion", "not promoted", "awaiting approval", "on trial", "rejected", "reverted"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One table that a pipeline reads.

    Attributes:
        table: Where it lands, for example ``demand`` or ``demand.prices``.
        place: Where it comes from, without a secret: a path, an S3 address, or connection and table.
        producer: The pipeline whose predictions these are; "" for anything else.
    """

    table: str
    type: Literal["files", "s3", "sql", "predictions"]
    place: str
    producer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOverview:
    """How one pipeline is: its newest facts. ``None``, nan and empty text stand where nothing is known.

    Attributes:
        model: Name of the pipeline and of its model.
        configured: Whether a configuration file is there.
        broken: What is wrong with it; empty if it is valid.
        champion: Version in force.
        champion_as_of: Date that version stands on.
        champion_since: Business date on which it came into force.
        age_days: Days between its date and the newest date that was done.
        age_limit: Days that the policy allows; ``None`` if it allows any.
        versions: How many were ever trained.
        health: What the newest measurement says; ``unknown`` without one.
        measured: Its as-of date.
        decision: What the newest decision led to; ``decided`` is its date and ``decided_version`` its subject.
        metric: The error that decides about health.
        error: It, over the forecasts that matured in the last ``monitor.window_days``; ``baseline`` is that of the
            best naive baseline, ``baseline_name``, on the same rows.
        daily: The error of each of the last matured days over all forecasts, oldest first.
        alerts: Those that are open, worst first.
        data_age_days: Days between the newest measurement's date and the newest observation.
        published: As-of date of the newest publication, ``rows`` its rows, ``rungs`` its rows by rung.
        behind_days: Days between it and the newest date whose deadline has passed; ``None`` if nothing is expected.
        retrain_s: Seconds of the last training; ``score_s`` of the last scoring, ``s_per_1000`` for 1,000 forecasts.
        canary: Version in force for a cohort; ``shadow`` is scored beside the champion, ``waiting`` wait for approval.
        unused: Why nobody can be using it; empty if somebody can.
        stale: Why its model is too old; empty if it is not.
        trouble: How the newest run ended, if it did not end well.
        reads: What it reads; ``publishes`` is the table it writes, ``readers`` the pipelines that read that.
    """

    model: str
    owner: str = ""
    description: str = ""
    configured: bool = True
    broken: str = ""
    champion: int | None = None
    champion_as_of: date | None = None
    champion_since: date | None = None
    age_days: int | None = None
    age_limit: int | None = None
    versions: int = 0
    health: Health = "unknown"
    measured: date | None = None
    decision: DecisionOutcome = "none"
    decided: date | None = None
    decided_version: int | None = None
    metric: str = "wape"
    error: float = float("nan")
    baseline: float = float("nan")
    baseline_name: str = ""
    daily: tuple[DailyError, ...] = ()
    alerts: tuple[Alert, ...] = ()
    data_age_days: int | None = None
    published: date | None = None
    rows: int = 0
    rungs: Mapping[str, int]
    behind_days: int | None = None
    retrain_s: float = float("nan")
    score_s: float = float("nan")
    s_per_1000: float = float("nan")
    canary: int | None = None
    shadow: int | None = None
    waiting: tuple[int, ...] = ()
    unused: str = ""
    stale: str = ""
    trouble: str = ""
    reads: tuple[Source, ...] = ()
    publishes: str = ""
    readers: tuple[str, ...] = ()

    @property
    def needs(self) -> bool:
        """Whether a person should look at it."""
        return bool(self.alerts or self.broken or self.waiting or self.trouble) or self.health == "degraded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Every pipeline, by name, and what concerns all of them.

    Attributes:
        alerts: The newest alerts of all pipelines, open and closed, newest first.
        unsent: Messages that no channel has taken yet.
        lake: Address of the tables; a folder of the project as seen from there.
    """

    pipelines: tuple[PipelineOverview, ...]
    alerts: tuple[Alert, ...]
    unsent: int
    lake: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What one run of scoring or training took.

    Attributes:
        seconds: Wall time of its stages.
        peak_mib: Highest resident memory; nan where unknown.
    """

    flow: str
    as_of: date
    status: str
    seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One pipeline from its beginning: everything newest first, but for the errors, which run with time.

    Attributes:
        config: Its settings; ``None`` if there are none, or none that are valid.
        judged: Decisions with their versions.
        outcomes: What each of them led to.
        reports: Page of the run that trained a version, relative to the home folder, by version.
        errors: Error of each matured day and part, oldest first.
        measured: The newest measurement.
        snapshot: What the champion was trained on, ``landings`` of how many landings.
    """

    overview: PipelineOverview
    config: Pipeline | None
    champion: ModelVersion | None
    roles: tuple[RoleChange, ...]
    judged: tuple[Judged, ...]
    outcomes: tuple[DecisionOutcome, ...]
    reports: Mapping[int, str]
    publications: tuple[Publication, ...]
    errors: tuple[DailyError, ...]
    alerts: tuple[Alert, ...]
    measured: Measurement | None
    spent: tuple[Spend, ...]
    snapshot: Snapshot | None
