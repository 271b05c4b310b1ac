"""What every part of the ledger stands on: leases, fenced transactions, audited rows."""

import getpass
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, RowMapping, Table, select
from sqlalchemy.exc import DBAPIError

from perennial.clock import Now, system_now
from perennial.errors import Busy, Fenced, LedgerError
from perennial.faults import fault_point
from perennial.ledger.audit import anchor, anchored, append, verify, verify_anchors
from perennial.ledger.engine import connect, create, transaction, where
from perennial.ledger.lock import Lease, advisory_lock, file_lock
from perennial.ledger.schema import leases


class Store:
    """One database, opened; see :class:`perennial.ledger.Ledger` for what can be asked of it."""

    def __init__(self, engine: Engine, *, anchors: Path | None, now: Now):
        self._engine = engine
        self._anchors = anchors
        self._now = now

    @classmethod
    def open(cls, url: str, *, anchors: Path | None = None, now: Now = system_now) -> Self:
        """Open the ledger, creating its tables if they are not there.

        Args:
            url: ``sqlite:///path`` or ``postgresql://user:password@host/database``.
            anchors: Folder outside the database for heads of the audit trail; ``None`` keeps none.
            now: Clock that stamps every fact.

        Raises:
            ConfigError: The URL is not one of these.
            LedgerError: The database cannot be reached, or belongs to a newer program.
        """
        engine = connect(url)
        create(engine)
        return cls(engine, anchors=anchors, now=now)

    @contextmanager
    def hold(self, pipeline: str, *, locks: Path, wait_s: float = 900.0) -> Iterator[Lease]:
        """Hold the right to write for ``pipeline``; the lock is free within milliseconds of our death.

        Args:
            pipeline: Its name.
            locks: Folder of the lock files; PostgreSQL needs none.
            wait_s: How long to wait for the present holder.

        Raises:
            Busy: Another process held it all that time; the message names it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._exclusive(pipeline, locks, wait_s))
            except Busy as error:
                raise Busy(self._held_by(pipeline, wait_s)) from error
            except DBAPIError as error:
                raise LedgerError(f"the ledger at {where(self._engine)} failed: {error.orig}") from error
            yield self._acquire(pipeline)

    def overtake(self, pipeline: str) -> Lease:
        """Take over the right to write without waiting for the lock: the present holder is fenced from now on.

        For what cannot wait, such as a rollback during a long run; everything the holder still writes is refused.
        """
        return self._acquire(pipeline)

    def pipelines(self) -> tuple[str, ...]:
        """Return every pipeline that ever held a lease, sorted."""
        return tuple(row["pipeline"] for row in self._rows(select(leases.c.pipeline).order_by("pipeline")))

    def require_anchored(self) -> None:
        """Refuse to go on with a ledger that lacks what this machine has seen in it: recovery would undo all of it.

        Raises:
            LedgerError: It was lost, or replaced by an older copy or by another one.
        """
        newest = anchored(self._anchors)[-1:]
        with self._read() as tx:
            problems = verify_anchors(tx, newest)
        if problems:
            raise LedgerError(
                f"{problems[0]}; restore the ledger at {where(self._engine)} from a backup, "
                f"or, to begin anew, move the lake and {self._anchors} away"
            )

    def verify_audit(self) -> tuple[str, ...]:
        """Check the audit trail, the facts it covers and its anchors; one sentence for each disagreement."""
        anchors = anchored(self._anchors)  # first: a head anchored meanwhile is not in our view of the chain
        with self._read() as tx:
            return verify(tx, anchors)

    # --- for the parts of the ledger -----------------------------------------------------------------------

    def _read(self) -> AbstractContextManager[Connection]:
        return transaction(self._engine, write=False)

    @contextmanager
    def _write(self, lease: Lease, name: str) -> Iterator[Connection]:
        """Run one write transaction that only the present holder of the lease may commit."""
        with transaction(self._engine, write=True) as tx:
            token = tx.scalar(select(leases.c.token).where(leases.c.pipeline == lease.pipeline))
            if token != lease.token:
                raise Fenced(
                    f"{lease.pipeline}: token {lease.token} was overtaken by {token}; another run has taken over, "
                    "and nothing of this one was recorded"
                )
            yield tx
        fault_point(f"ledger.{name}")

    def _put(self, tx: Connection, table: Table, values: Mapping[str, Any], *, action: str, actor: str) -> None:
        """Insert or update one row by its primary key, and cover it by an audit entry; no change, no entry."""
        key = [column == values[column.name] for column in table.primary_key]
        found = tx.execute(select(table).where(*key)).mappings().one_or_none()
        if found is None:
            tx.execute(table.insert().values(values))
        elif any(found[name] != value for name, value in values.items()):
            tx.execute(table.update().where(*key).values(values))
        else:
            return
        row = tx.execute(select(table).where(*key)).mappings().one()
        append(tx, table, row, action=action, actor=actor, at=self._now())

    def _rows(self, statement: Any) -> list[RowMapping]:
        with self._read() as tx:
            return list(tx.execute(statement).mappings())

    def _first(self, statement: Any) -> RowMapping | None:
        rows = self._rows(statement.limit(1))
        return rows[0] if rows else None

    def _anchor(self) -> None:
        """Keep the head of the audit trail outside the database."""
        if self._anchors is not None:
            with self._read() as tx:
                anchor(tx, self._anchors)

    # --- the lock ------------------------------------------------------------------------------------------

    def _exclusive(self, pipeline: str, locks: Path, wait_s: float) -> AbstractContextManager[None]:
        if self._engine.dialect.name == "postgresql":
            return advisory_lock(self._engine, f"perennial:{pipeline}", wait_s)
        return file_lock(locks / f"{pipeline}.lock", wait_s)

    def _acquire(self, pipeline: str) -> Lease:
        with transaction(self._engine, write=True) as tx:
            last = tx.scalar(select(leases.c.token).where(leases.c.pipeline == pipeline))
            lease = Lease(pipeline=pipeline, token=(last or 0) + 1, holder=_whoami())
            row = {"token": lease.token, "holder": lease.holder, "acquired_at": self._now()}
            if last is None:
                tx.execute(leases.insert().values({**row, "pipeline": pipeline}))
            else:
                tx.execute(leases.update().where(leases.c.pipeline == pipeline).values(row))
        return lease

    def _held_by(self, pipeline: str, wait_s: float) -> str:
        row = self._first(select(leases).where(leases.c.pipeline == pipeline))
        who = f"{row['holder']} since {row['acquired_at']:%Y-%m-%d %H:%M:%S} UTC" if row else "another process"
        return f"{pipeline} is held by {who}; waited {wait_s:g} s. Wait for it to end, or end that process"


def _whoami() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no name for this user id, as in some containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}:{os.getpid()}"
