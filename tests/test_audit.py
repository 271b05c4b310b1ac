"""The audit trail: nothing is edited, deleted, reordered, cut off or rewritten unseen."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from perennial.ledger import Ledger
from perennial.ledger.audit import GENESIS
from perennial.ledger.codec import canonical, digest
from perennial.ledger.engine import transaction
from perennial.ledger.schema import AUDITED, audit, decisions, landings, role_changes, versions
from tests import ledgers
from tests.ledgers import DAY, REPORT


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger with a little history: a landing, two champions, a rollback, a publication."""
    made = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", anchors=tmp_path / "anchors")
    with made.hold("demand", locks=tmp_path) as lease:
        run_id = made.begin_run(lease, "retrain", DAY)
        made.record_landing(lease, ledgers.landing())
        made.accept_landing(lease, ledgers.landing().landing_id, REPORT)
        made.pin_snapshot(lease, ledgers.snapshot())
        ledgers.promoted(made, lease, "k1", "d1")
        ledgers.promoted(made, lease, "k2", "d2")
        made.change_role(lease, "demand", "champion", 1, as_of=DAY, actor="t", reason="rollback")
        made.record_publication(lease, ledgers.publication())
        made.end_run(lease, run_id, "succeeded", {"version": 2})
    return made


def tamper(ledger: Ledger, change: Callable[[Connection], object]) -> tuple[str, ...]:
    """Change the database behind the ledger's back and return what the audit says."""
    with transaction(ledger._engine, write=True) as tx:
        change(tx)
    return ledger.verify_audit()


def rewrite(tx: Connection) -> None:
    """Replace the whole chain by a consistent one in which the actor is somebody else."""
    entries = [dict(row) for row in tx.execute(select(audit).order_by(audit.c.seq)).mappings()]
    tx.execute(delete(audit))
    previous = GENESIS
    for entry in entries:
        del entry["digest"]
        entry |= {"actor": "nobody", "previous": previous}
        previous = digest(canonical(entry))
        tx.execute(insert(audit).values({**entry, "digest": previous}))


def test_an_untouched_ledger_verifies(ledger: Ledger) -> None:
    """Chain, facts and anchors agree."""
    assert ledger.verify_audit() == ()


def test_every_state_change_has_an_entry(ledger: Ledger) -> None:
    """Every row of every audited table is the subject of an entry, with what was done and by whom."""
    with ledger._read() as tx:
        rows = sum(len(tx.execute(select(table)).all()) for table in AUDITED)
        entries = tx.execute(select(audit.c.subject, audit.c.actor)).all()
    assert len({entry.subject for entry in entries}) == rows
    assert all(entry.actor for entry in entries)


@pytest.mark.parametrize(
    "statement",
    [
        update(decisions).values(promote=False),
        update(versions).where(versions.c.version == 1).values(digest="evil"),
        update(role_changes).where(role_changes.c.position == 1).values(reason="nicer"),
        update(landings).values(report=None),
        update(landings).values(fact="{}"),
        update(landings).values(status="landed"),
    ],
    ids=lambda statement: str(statement)[:60],
)
def test_an_edited_fact_is_found(ledger: Ledger, statement: object) -> None:
    """Facts are covered by the digest of their row."""
    problems = tamper(ledger, lambda tx: tx.execute(statement))  # type: ignore[call-overload]
    assert any("was changed outside the audit trail" in problem for problem in problems)


def test_a_deleted_fact_is_found(ledger: Ledger) -> None:
    """A row that an entry speaks of must be there."""
    problems = tamper(ledger, lambda tx: tx.execute(delete(landings)))
    assert problems == (f"landings/{ledgers.landing().landing_id} is in the audit trail but no longer in the ledger",)


def test_an_inserted_fact_is_found(ledger: Ledger) -> None:
    """A row that no entry speaks of was written by somebody else."""
    row = {"model": "demand", "role": "champion", "position": 4, "version": 2, "previous": 1, "as_of": DAY}
    row |= {"at": ledger._now(), "actor": "me", "reason": "why not"}
    problems = tamper(ledger, lambda tx: tx.execute(insert(role_changes).values(row)))
    assert problems == ("role_changes/demand/4 is not in the audit trail",)


@pytest.mark.parametrize("column", ["actor", "action", "subject", "body", "row_digest", "previous", "digest"])
def test_an_edited_entry_is_found(ledger: Ledger, column: str) -> None:
    """Every column of an entry is covered by its digest."""
    change = update(audit).where(audit.c.seq == 5).values({column: "something else"})
    problems = tamper(ledger, lambda tx: tx.execute(change))
    assert any("audit entry 5" in problem for problem in problems)


def test_a_deleted_entry_is_found(ledger: Ledger) -> None:
    """Numbers are without gaps."""
    problems = tamper(ledger, lambda tx: tx.execute(delete(audit).where(audit.c.seq == 5)))
    assert "audit entries 5 to 5 are missing" in problems


def test_reordered_entries_are_found(ledger: Ledger) -> None:
    """Two entries that change places name the wrong ones before them."""

    def swap(tx: Connection) -> None:
        for old, new in ((5, 500), (6, 5), (500, 6)):
            tx.execute(update(audit).where(audit.c.seq == old).values(seq=new))

    assert any("audit entry 5" in problem for problem in tamper(ledger, swap))


def test_a_cut_off_tail_is_found(ledger: Ledger) -> None:
    """Rows without entries show it, and so do the anchors outside the database."""
    problems = tamper(ledger, lambda tx: tx.execute(delete(audit).where(audit.c.seq > 6)))
    assert any("was cut off" in problem for problem in problems)


def test_a_chain_rewritten_as_a_whole_is_found_by_its_anchors(ledger: Ledger, tmp_path: Path) -> None:
    """A chain that agrees with itself and with the facts still differs from its anchored heads."""
    problems = tamper(ledger, rewrite)
    assert problems
    assert all("was rewritten" in problem for problem in problems)
    assert Ledger.open(f"sqlite:///{tmp_path}/ledger.db").verify_audit() == ()  # without anchors nothing is seen


def test_the_head_is_anchored_at_each_change_of_a_role(ledger: Ledger, tmp_path: Path) -> None:
    """Two promotions and a rollback leave three anchors."""
    assert len(list((tmp_path / "anchors").glob("*.json"))) == 3
