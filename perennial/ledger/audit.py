"""The audit trail: every change of a fact, in a chain of digests whose head is anchored outside the database.

An entry covers the changed row by its digest, so that neither the trail nor the facts can be edited alone. The
chain shows edits, deletions, insertions and reordering; a cut-off tail or a chain that was rewritten as a whole is
shown by the anchors, small files that are written at each change of a role.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, func, select

from perennial.durable import write_atomically
from perennial.ledger.codec import canonical, digest
from perennial.ledger.schema import AUDITED, Json, audit

GENESIS = "0" * 64
"""What the first entry names as the one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last entry of the chain."""

    seq: int
    digest: str


def append(tx: Connection, table: Table, row: RowMapping, *, action: str, actor: str, at: datetime) -> None:
    """Add one entry that covers ``row`` as it now stands in ``table``; part of the caller's transaction."""
    last = head(tx)
    entry: dict[str, Any] = {
        "seq": last.seq + 1,
        "at": at,
        "actor": actor,
        "action": action,
        "subject": subject(table, row),
        "body": canonical({c.name: row[c.name] for c in table.c if not isinstance(c.type, Json)}),
        "row_digest": digest(canonical(row)),
        "previous": last.digest,
    }
    tx.execute(audit.insert().values({**entry, "digest": digest(canonical(entry))}))


def head(tx: Connection) -> Head:
    """Return the last entry, or the genesis of an empty chain."""
    last = tx.execute(select(audit.c.seq, audit.c.digest).order_by(audit.c.seq.desc()).limit(1)).first()
    return Head(seq=last.seq, digest=last.digest) if last else Head(seq=0, digest=GENESIS)


def subject(table: Table, row: RowMapping) -> str:
    """Name a row by its table and primary key, for example ``versions/demand/3``."""
    return "/".join([table.name, *(str(row[c.name]) for c in table.primary_key)])


def anchor(tx: Connection, folder: Path) -> None:
    """Write the head of the chain to a file of its own below ``folder``, unless it is there."""
    last = head(tx)
    path = folder / f"{last.seq:012d}.json"
    if last.seq and not path.exists():
        write_atomically(path, canonical({"seq": last.seq, "digest": last.digest}).encode())


def anchored(folder: Path | None) -> tuple[Head, ...]:
    """Read the heads that were kept outside the database, oldest first."""
    files = sorted(folder.glob("*.json")) if folder else ()
    return tuple(Head(**json.loads(path.read_text(encoding="utf-8"))) for path in files)


def verify(tx: Connection, anchors: Iterable[Head]) -> tuple[str, ...]:
    """Return one sentence for everything that does not agree; empty when chain, facts and anchors do."""
    return (*_chain_problems(tx), *_fact_problems(tx), *_anchor_problems(tx, anchors))


def verify_anchors(tx: Connection, anchors: Iterable[Head]) -> tuple[str, ...]:
    """Return one sentence for every anchored head that the chain does not hold."""
    return tuple(_anchor_problems(tx, anchors))


def _chain_problems(tx: Connection) -> Iterator[str]:
    seq, previous = 0, GENESIS
    for entry in tx.execute(select(audit).order_by(audit.c.seq)).mappings():
        if entry["seq"] != seq + 1:
            yield f"audit entries {seq + 1} to {entry['seq'] - 1} are missing"
        elif entry["previous"] != previous:
            yield f"audit entry {entry['seq']} does not follow entry {seq}"
        if entry["digest"] != digest(canonical({k: v for k, v in entry.items() if k != "digest"})):
            yield f"audit entry {entry['seq']} ({entry['action']} {entry['subject']}) was changed"
        seq, previous = entry["seq"], entry["digest"]


def _fact_problems(tx: Connection) -> Iterator[str]:
    latest = select(audit.c.subject, func.max(audit.c.seq).label("seq")).group_by(audit.c.subject).subquery()
    covered = select(audit.c.subject, audit.c.row_digest).join(latest, latest.c.seq == audit.c.seq)
    expected = {entry.subject: entry.row_digest for entry in tx.execute(covered)}
    for table in AUDITED:
        for row in tx.execute(select(table)).mappings():
            name = subject(table, row)
            if name not in expected:
                yield f"{name} is not in the audit trail"
            elif expected.pop(name) != digest(canonical(row)):
                yield f"{name} was changed outside the audit trail"
    yield from (f"{name} is in the audit trail but no longer in the ledger" for name in sorted(expected))


def _anchor_problems(tx: Connection, anchors: Iterable[Head]) -> Iterator[str]:
    for known in anchors:
        found = tx.scalar(select(audit.c.digest).where(audit.c.seq == known.seq))
        if found is None:
            yield f"the audit trail was cut off: entry {known.seq} is anchored, but gone"
        elif found != known.digest:
            yield f"the audit trail was rewritten: entry {known.seq} is not the one that is anchored"
