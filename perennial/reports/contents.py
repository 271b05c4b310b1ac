"""What a report is made of: everything one retrain learned, gathered from the objects its stages returned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from perennial.config.models import Pipeline
from perennial.contracts import (
    CheckReport,
    Decision,
    Evaluation,
    Landing,
    ModelVersion,
    Snapshot,
    Split,
    Training,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """Rows of one table that were set aside for one reason.

    Attributes:
        table: Logical table name, for example ``demand``.
        reason: For example ``below_min_value``.
        rows: How many in all.
        samples: At most five of them as short text, for example ``"85123A 2011-11-28 y=-3"``.
    """

    table: str
    reason: str
    rows: int
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInput:
    """All that the page, the model card and the summary show; nothing in them comes from anywhere else.

    Attributes:
        landings: What this run landed; empty when the as-of date had landed before.
        quarantine: Rows set aside, by table and reason, of the visible landings.
        champion: The version in force when the run started; ``None`` before the first promotion.
        lineage: Digests and addresses to show, by readable name, for example ``run key``, ``code``,
            ``lock file``, ``configuration``, ``MLflow run``; shown in this order.
        seconds: Wall time by stage, in order of running.
        peak_mib: Highest resident memory of the process, in MiB.
        rows: Rows visible in the snapshot.
        generated_at: When the run reached the report; taken from the clock of the flow.
    """

    pipeline: Pipeline
    snapshot: Snapshot
    landings: tuple[Landing, ...]
    checks: CheckReport
    quarantine: tuple[Quarantined, ...]
    split: Split
    training: Training
    evaluation: Evaluation
    decision: Decision
    version: ModelVersion
    champion: ModelVersion | None
    lineage: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mib: float
    rows: int
    generated_at: datetime

    @property
    def outcome(self) -> Literal["first model", "promoted", "kept champion", "not promoted"]:
        """What the decision means for the forecast in use."""
        if self.decision.promote:
            return "first model" if self.champion is None else "promoted"
        return "not promoted" if self.champion is None else "kept champion"
