"""The data behind a run as tables: checks, what landed, and what was set aside."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from perennial.contracts import Check
from perennial.reports.contents import ReportInput
from perennial.reports.text import count, plain
from perennial.reports.words import reason_words, sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One data check."""

    status: Literal["passed", "warning", "failed"]
    name: str
    where: str
    origin: str
    observed: str
    expected: str
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LandingRow:
    """What became of the rows of one landing; the counts add up to ``read``."""

    table: str
    read: str
    accepted: str
    quarantined: str
    duplicates: str
    deferred: str
    conserved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """Rows set aside for one reason."""

    table: str
    reason: str
    code: str
    rows: str
    samples: tuple[str, ...]


def check_rows(checks: Iterable[Check]) -> tuple[CheckRow, ...]:
    """Return checks as rows, failures first, then warnings."""
    rows = [_check_row(c) for c in checks]
    return tuple(sorted(rows, key=lambda row: ("failed", "warning", "passed").index(row.status)))


def _check_row(check: Check) -> CheckRow:
    return CheckRow(
        status="passed" if check.passed else "warning" if check.severity == "warning" else "failed",
        name=plain(sentence(check.name)),
        where=plain(f"{check.table} · {check.column}" if check.column else check.table),
        origin="Guard" if check.origin == "guard" else "Expectation",
        observed=plain(check.observed),
        expected=plain(check.expected),
        samples=tuple(plain(s, 40) for s in check.samples[:5]),
    )


def landing_rows(report: ReportInput) -> tuple[LandingRow, ...]:
    """Return one row per landing of this run."""
    return tuple(
        LandingRow(
            table=plain(landing.table),
            read=count(landing.counts.rows_in),
            accepted=count(landing.counts.accepted),
            quarantined=count(landing.counts.quarantined),
            duplicates=count(landing.counts.duplicates),
            deferred=count(landing.counts.deferred),
            conserved=landing.counts.conserved,
        )
        for landing in report.landings
    )


def quarantine_rows(report: ReportInput) -> tuple[QuarantineRow, ...]:
    """Return rows set aside by reason, the most frequent first."""
    return tuple(
        QuarantineRow(
            table=plain(q.table),
            reason=plain(reason_words(q.reason)),
            code=plain(q.reason),
            rows=count(q.rows),
            samples=tuple(plain(s, 60) for s in q.samples[:5]),
        )
        for q in sorted(report.quarantine, key=lambda q: -q.rows)
    )
