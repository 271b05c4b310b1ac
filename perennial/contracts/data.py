"""What was read, landed, checked and pinned; and the names of the columns every table shares."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # commands that ask the ledger alone need neither
    import pyarrow as pa


ENTITY = "entity"
"""Column: what is forecast, for example a product in a store. String, never null."""
TIME = "ds"
"""Column: the business date of a row. ``date32``, never null."""
TARGET = "y"
"""Column: the observed value, in the user's unit. ``float64``, null where unknown."""
AVAILABLE_AT = "available_at"
"""Column: when the row could first be known. ``timestamp[us, UTC]``, never null."""

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One immutable file: where it is and what its bytes must hash to."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """What became of every row that was read; ``rows_in`` is conserved.

    Attributes:
        rows_in: Rows read from the source that no earlier landing has taken.
        accepted: Rows appended to the observations.
        quarantined: Rows set aside with a reason.
        duplicates: Exact repetitions that were dropped.
        deferred: Rows left for a later as-of date, because they could not be known yet.
        reasons: Quarantined rows by reason; sums to ``quarantined``.
        nulls: Accepted rows whose target is null.
        restated: Accepted rows that replace an earlier one of the same entity and day.
    """

    rows_in: int = 0
    accepted: int = 0
    quarantined: int = 0
    duplicates: int = 0
    deferred: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    nulls: int = 0
    restated: int = 0

    @property
    def conserved(self) -> bool:
        """Whether every row that came in is accounted for."""
        out = self.accepted + self.quarantined + self.duplicates + self.deferred
        return self.rows_in == out and sum(self.reasons.values()) == self.quarantined


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """New rows that one run appended to one table, not yet accepted by the checks.

    Attributes:
        landing_id: Digest of (table, as-of, source files, content); equal input, equal id.
        table: Logical table name, for example ``demand`` or ``demand.prices``.
        version_before: Delta version that a rejected landing is restored to; -1 when the table was new.
        version_after: Delta version that holds the new rows.
        files: Delta data files this landing added to its table and to the quarantine, with digests.
        sources: The source files or query it came from, with digests; ``path`` is the item's identity.
        first_visible: Earliest as-of date whose run may see any of its rows; ``None`` for no rows.
        settings: Digest of the settings the sources were read with; under others they are read again.
        finished: SHA-256 of the sources that hold no further rows: none of theirs was deferred.
    """

    landing_id: str
    pipeline: str
    table: str
    as_of: date
    version_before: int
    version_after: int
    files: tuple[StoredFile, ...]
    sources: tuple[StoredFile, ...]
    counts: RowCounts
    first_visible: date | None
    settings: str = ""
    finished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The answer of one guard or expectation.

    Attributes:
        origin: ``guard`` (our own, runs first) or ``expectation`` (Great Expectations).
        observed: What was found, as short text, for example ``"3.2 % null"``.
        expected: What was asked for, as short text.
        samples: At most five offending values, each at most 40 characters.
    """

    name: str
    table: str
    column: str | None
    origin: Literal["guard", "expectation"]
    severity: Severity
    passed: bool
    observed: str
    expected: str
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """All checks of what one run landed, and of the table it will train on.

    Attributes:
        docs: Path of the browsable Data Docs page, relative to the home folder; ``None`` if no suite ran.
        seconds: Wall time of the checks.
        rules: Digest of the guards and expectations that were asked for.
    """

    checks: tuple[Check, ...]
    docs: str | None = None
    seconds: float = 0.0
    rules: str = ""

    @property
    def failures(self) -> tuple[Check, ...]:
        """Critical checks that did not pass: any of them fails the run."""
        return tuple(c for c in self.checks if not c.passed and c.severity == "critical")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Checks of severity ``warning`` that did not pass: recorded, never fatal."""
        return tuple(c for c in self.checks if not c.passed and c.severity == "warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePin:
    """One table as a snapshot sees it: a Delta version and the landings that are visible.

    Attributes:
        version: Delta version to read; ``-1`` for a table without rows.
        landings: Ids of the visible landings, in order of landing.
    """

    table: str
    version: int
    landings: tuple[str, ...]


Read = Callable[[TablePin], "Iterator[pa.RecordBatch]"]
"""Yields the visible rows of one pinned table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The immutable input of a run: what was known at the cut-off of its as-of date.

    Attributes:
        snapshot_id: Digest of as-of and the landings' ids; later landings do not change it.
        cutoff: Rows with ``available_at`` after this moment are not part of it.
        main: The observations.
        known: Tables of covariates known in advance, by configured name.
    """

    snapshot_id: str
    pipeline: str
    as_of: date
    cutoff: datetime
    main: TablePin
    known: Mapping[str, TablePin]
