"""Facts for tests of the ledger and of what stands on it."""

from datetime import date

from perennial.clock import cutoff
from perennial.contracts import (
    Check,
    CheckReport,
    Decision,
    Landing,
    ModelVersion,
    Publication,
    RowCounts,
    Snapshot,
    StoredFile,
    TablePin,
    Verdict,
)
from perennial.ledger import Lease, Ledger

DAY = date(2011, 11, 1)
REPORT = CheckReport(
    checks=(
        Check(
            name="min_rows",
            table="demand",
            column=None,
            origin="guard",
            severity="critical",
            passed=True,
            observed="3",
            expected=">= 1",
        ),
    ),
    seconds=0.5,
)


def landing(n: int = 1, *, table: str = "demand", landing_id: str = "") -> Landing:
    """Return the nth landing of a table: three rows, one of them set aside."""
    return Landing(
        landing_id=landing_id or f"{table}-{n}".ljust(64, "0"),
        pipeline="demand",
        table=table,
        as_of=DAY,
        version_before=n - 2,
        version_after=n - 1,
        files=(StoredFile(path=f"{table}/{n}.parquet", sha256="ab" * 32, size=n),),
        sources=(),
        counts=RowCounts(rows_in=3, accepted=2, quarantined=1, reasons={"null_key": 1}),
        first_visible=DAY,
    )


def snapshot(snapshot_id: str = "s1", *, landings: tuple[str, ...] = (), day: date = DAY) -> Snapshot:
    """Return a snapshot of one table."""
    main = TablePin(table="demand", version=0, landings=landings)
    return Snapshot(snapshot_id=snapshot_id, pipeline="demand", as_of=day, cutoff=cutoff(day), main=main, known={})


def decision(*, promote: bool = True, value: float = 0.3) -> Decision:
    """Return a decision with one verdict."""
    verdict = Verdict(
        gate="wape vs bound",
        metric="wape",
        against="bound",
        key="",
        value=value,
        bound=0.5,
        passed=promote,
        reason="0.300 <= 0.500",
    )
    return Decision(verdicts=(verdict,))


def trained(ledger: Ledger, lease: Lease, key: str = "k1", digest: str = "d1") -> ModelVersion:
    """Record a training of the model that the lease is for."""
    return ledger.record_training(lease, model=lease.pipeline, run_key=key, digest=digest, snapshot_id="s1", as_of=DAY)


def promoted(ledger: Ledger, lease: Lease, key: str = "k1", digest: str = "d1") -> ModelVersion:
    """Record a training and put it in force."""
    version = trained(ledger, lease, key, digest)
    ledger.commit_decision(lease, version, decision(), as_of=DAY, actor="test")
    return version


def publication(version: int = 1, day: date = DAY) -> Publication:
    """Return a publication of two days for three entities."""
    return Publication(
        pipeline="demand",
        as_of=day,
        version=version,
        digest="d1",
        table_version=4,
        rows=6,
        entities=3,
        first=day,
        last=day,
        rungs={"champion": 6},
        files=(StoredFile(path="p/1.parquet", sha256="cd" * 32, size=9),),
        published_at=cutoff(day),
    )
