"""Runs, landings and snapshots: what was done to the data."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, select

from perennial.contracts import CheckReport, Landing, Snapshot, StoredFile
from perennial.errors import LedgerError
from perennial.ledger.codec import canonical, decode, encode
from perennial.ledger.facts import LandingStatus, Run
from perennial.ledger.lock import Lease
from perennial.ledger.schema import landings, runs, snapshots
from perennial.ledger.store import Store


class DataFacts(Store):
    """The part of the ledger that speaks of runs and their input."""

    # --- runs ----------------------------------------------------------------------------------------------

    def begin_run(self, lease: Lease, flow: str, as_of: date) -> str:
        """Record that a run has begun, and that those before it are lost if they have not ended.

        Returns:
            The run id: one for each (lease, flow, date), so that a repeated call is the same run.
        """
        run_id = f"{lease.pipeline}.{flow}.{as_of}.{lease.token}"
        with self._write(lease, "run.begun") as tx:
            self._lose_older(tx, lease)
            if tx.scalar(select(runs.c.run_id).where(runs.c.run_id == run_id)) is None:
                row = {"run_id": run_id, "pipeline": lease.pipeline, "flow": flow, "as_of": as_of}
                row |= {"token": lease.token, "status": "running", "started_at": self._now(), "record": "{}"}
                self._put(tx, runs, row, action="run begun", actor=lease.holder)
        return run_id

    def _lose_older(self, tx: Connection, lease: Lease) -> None:
        dead = select(runs.c.run_id).where(
            runs.c.pipeline == lease.pipeline, runs.c.status == "running", runs.c.token < lease.token
        )
        for run_id in tx.scalars(dead).all():
            row = {"run_id": run_id, "status": "lost", "ended_at": self._now()}
            self._put(tx, runs, row, action="run lost", actor=lease.holder)

    def end_run(self, lease: Lease, run_id: str, status: str, record: Mapping[str, Any]) -> None:
        """Record how a run ended; the first answer stands.

        Args:
            lease: The lease of the run.
            run_id: From :meth:`begin_run`.
            status: One word, for example ``done`` or ``failed``.
            record: Plain JSON values.

        Raises:
            LedgerError: There is no such run.
        """
        with self._write(lease, "run.ended") as tx:
            found = tx.scalar(select(runs.c.status).where(runs.c.run_id == run_id))
            if found is None:
                raise LedgerError(f"run {run_id!r} was never begun; call begin_run first")
            if found == "running":
                row = {"run_id": run_id, "status": status, "ended_at": self._now(), "record": canonical(record)}
                self._put(tx, runs, row, action=f"run {status}", actor=lease.holder)

    def runs(self, pipeline: str) -> tuple[Run, ...]:
        """Return every run of a pipeline, oldest first."""
        rows = self._rows(select(runs).where(runs.c.pipeline == pipeline).order_by(runs.c.token, runs.c.started_at))
        return tuple(Run(**{**row, "record": json.loads(row["record"])}) for row in rows)

    # --- landings ------------------------------------------------------------------------------------------

    def record_landing(self, lease: Lease, landing: Landing) -> None:
        """Record rows that were appended to a table and are not checked yet.

        A landing that was rejected before may land again; the same landing twice is recorded once.

        Raises:
            LedgerError: A landing with this id stands, and says something else.
        """
        with self._write(lease, "landing") as tx:
            found = self._landing(tx, landing.landing_id)
            if found and found["status"] != "rejected":
                _same(landing.landing_id, found["fact"], encode(landing))
                return
            last = tx.scalar(select(func.max(landings.c.position)).where(landings.c.table == landing.table))
            row = {
                "landing_id": landing.landing_id,
                "pipeline": landing.pipeline,
                "table": landing.table,
                "position": (last or 0) + 1,
                "as_of": landing.as_of,
                "version_after": landing.version_after,
                "status": "landed",
                "fact": encode(landing),
                "report": None,
                "recorded_at": self._now(),
            }
            self._put(tx, landings, row, action="landing landed", actor=lease.holder)

    def accept_landing(self, lease: Lease, landing_id: str, report: CheckReport) -> None:
        """Record that the checks let a landing pass: snapshots may show it.

        Raises:
            LedgerError: It was never recorded, or was rejected.
        """
        self._judge(lease, landing_id, "accepted", report)

    def judge_again(self, lease: Lease, landing_id: str, report: CheckReport) -> None:
        """Record what other checks than those that let a landing pass say of it, and of all before it.

        Raises:
            LedgerError: It was never accepted.
        """
        with self._write(lease, "landing.again") as tx:
            found = self._landing(tx, landing_id)
            if found is None or found["status"] != "accepted":
                was = found["status"] if found else "never recorded"
                raise LedgerError(f"landing {landing_id[:12]} is {was}; only an accepted one is judged again")
            row = {"landing_id": landing_id, "report": encode(report)}
            self._put(tx, landings, row, action="landing judged again", actor=lease.holder)

    def reject_landing(self, lease: Lease, landing_id: str, report: CheckReport) -> None:
        """Record that the checks refused a landing; its rows are to be restored away.

        Raises:
            LedgerError: It was never recorded, or was accepted.
        """
        self._judge(lease, landing_id, "rejected", report)

    def _judge(self, lease: Lease, landing_id: str, status: LandingStatus, report: CheckReport) -> None:
        with self._write(lease, f"landing.{status}") as tx:
            found = self._landing(tx, landing_id)
            if found is None or found["status"] not in ("landed", status):
                was = found["status"] if found else "never recorded"
                raise LedgerError(f"landing {landing_id[:12]} is {was} and cannot become {status}")
            if found["status"] == "landed":
                row = {"landing_id": landing_id, "status": status, "report": encode(report)}
                self._put(tx, landings, row, action=f"landing {status}", actor=lease.holder)

    @staticmethod
    def _landing(tx: Connection, landing_id: str) -> RowMapping | None:
        return tx.execute(select(landings).where(landings.c.landing_id == landing_id)).mappings().one_or_none()

    def landings(self, table: str, status: LandingStatus | None = None) -> tuple[Landing, ...]:
        """Return the landings of a table in order; without ``status`` those that stand (landed or accepted)."""
        return tuple(decode(Landing, row["fact"]) for row in self._rows(_of(table, status).order_by("position")))

    def table_version(self, table: str) -> int | None:
        """Return the newest Delta version that a landing left and still stands; ``None`` if there is none."""
        with self._read() as tx:
            found: int | None = tx.scalar(_of(table, None, func.max(landings.c.version_after)))
            return found

    def files(self, table: str) -> tuple[StoredFile, ...]:
        """Return the data files of a table, with digests: those of every landing that stands."""
        return tuple(file for landing in self.landings(table) for file in landing.files)

    def check_report(self, landing_id: str) -> CheckReport | None:
        """Return what the checks said of a landing; ``None`` until they have."""
        row = self._first(select(landings.c.report).where(landings.c.landing_id == landing_id))
        return decode(CheckReport, row["report"]) if row and row["report"] else None

    def check_reports(self, table: str) -> Mapping[str, CheckReport]:
        """Return what the checks said of every landing of a table that was let pass, by id, in order of landing."""
        rows = self._rows(_of(table, "accepted", landings.c.landing_id, landings.c.report).order_by("position"))
        return {row["landing_id"]: decode(CheckReport, row["report"]) for row in rows if row["report"]}

    # --- snapshots -----------------------------------------------------------------------------------------

    def pin_snapshot(self, lease: Lease, snapshot: Snapshot) -> None:
        """Record the input of a run; the first pin of an id stands."""
        key = {"pipeline": snapshot.pipeline, "snapshot_id": snapshot.snapshot_id}
        with self._write(lease, "snapshot") as tx:
            known = select(snapshots.c.as_of).where(*(snapshots.c[name] == value for name, value in key.items()))
            if tx.scalar(known) is None:
                last = tx.scalar(select(func.max(snapshots.c.position)).where(snapshots.c.pipeline == lease.pipeline))
                row = {
                    **key,
                    "position": (last or 0) + 1,
                    "as_of": snapshot.as_of,
                    "fact": encode(snapshot),
                    "pinned_at": self._now(),
                }
                self._put(tx, snapshots, row, action="snapshot pinned", actor=lease.holder)

    def snapshot(self, pipeline: str, as_of: date) -> Snapshot | None:
        """Return the snapshot of a date that was pinned last; ``None`` if there is none."""
        of_date = (snapshots.c.pipeline == pipeline, snapshots.c.as_of == as_of)
        row = self._first(select(snapshots.c.fact).where(*of_date).order_by(snapshots.c.position.desc()))
        return decode(Snapshot, row["fact"]) if row else None

    def snapshot_by_id(self, pipeline: str, snapshot_id: str) -> Snapshot | None:
        """Return one snapshot by its id; ``None`` if there is none."""
        by_id = (snapshots.c.pipeline == pipeline, snapshots.c.snapshot_id == snapshot_id)
        row = self._first(select(snapshots.c.fact).where(*by_id))
        return decode(Snapshot, row["fact"]) if row else None

    def snapshots(self, pipeline: str) -> tuple[Snapshot, ...]:
        """Return every snapshot of a pipeline, in the order they were pinned."""
        rows = self._rows(select(snapshots.c.fact).where(snapshots.c.pipeline == pipeline).order_by("position"))
        return tuple(decode(Snapshot, row["fact"]) for row in rows)

    def tables(self, pipeline: str) -> tuple[str, ...]:
        """Return the tables that anything ever landed in, sorted."""
        rows = self._rows(select(landings.c.table).where(landings.c.pipeline == pipeline).distinct())
        return tuple(sorted(row["table"] for row in rows))


def _of(table: str, status: LandingStatus | None, *columns: Any) -> Select[Any]:
    wanted = (status,) if status else ("landed", "accepted")
    return select(*columns or (landings,)).where(landings.c.table == table, landings.c.status.in_(wanted))


def _same(landing_id: str, recorded: str, claimed: str) -> None:
    if recorded != claimed:
        raise LedgerError(
            f"landing {landing_id[:12]} is recorded with other contents; restore its table to the recorded "
            "version and land again"
        )
