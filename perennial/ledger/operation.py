"""What was measured day by day, and what people were told of it."""

from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import select

from perennial.contracts import Alert, Measurement, to_json
from perennial.errors import LedgerError
from perennial.ledger.codec import canonical, decode, encode
from perennial.ledger.lock import Lease
from perennial.ledger.outbox import enqueue
from perennial.ledger.schema import alerts, measurements
from perennial.ledger.store import Store

WATCH = ".watch"
"""Ends the name of the lease under which another process may alert, without fencing a run."""


class OperationFacts(Store):
    """The part of the ledger that speaks of daily operation."""

    def record_measurement(self, lease: Lease, measured: Measurement) -> None:
        """Record what was measured as of a date; a later measurement of the same date replaces it.

        Raises:
            LedgerError: The lease is for another pipeline.
        """
        _owned(lease, measured.pipeline)
        with self._write(lease, "measured") as tx:
            row = {"pipeline": measured.pipeline, "as_of": measured.as_of, "fact": encode(measured)}
            self._put(tx, measurements, row, action="measured", actor=lease.holder)

    def measurement(self, pipeline: str, as_of: date) -> Measurement | None:
        """Return what was measured as of a date; ``None`` if nothing was."""
        of_date = (measurements.c.pipeline == pipeline, measurements.c.as_of == as_of)
        row = self._first(select(measurements.c.fact).where(*of_date))
        return decode(Measurement, row["fact"]) if row else None

    def measurements(self, pipeline: str, last: int | None = None) -> tuple[Measurement, ...]:
        """Return the measurements of a pipeline, oldest as-of date first; with ``last`` only the newest so many."""
        found = select(measurements.c.fact).where(measurements.c.pipeline == pipeline)
        rows = self._rows(found.order_by(measurements.c.as_of.desc()).limit(last))
        return tuple(decode(Measurement, row["fact"]) for row in reversed(rows))

    def open_alert(self, lease: Lease, alert: Alert) -> bool:
        """Record an alert together with the message that tells people; the same key is told once.

        Returns:
            Whether it is new.

        Raises:
            LedgerError: The lease is for another pipeline.
        """
        _owned(lease, alert.pipeline)
        with self._write(lease, "alerted") as tx:
            if tx.scalar(select(alerts.c.key).where(alerts.c.key == alert.key)) is not None:
                return False
            self._put(tx, alerts, _row(alert), action="alert opened", actor=lease.holder)
            payload = canonical(to_json(alert))
            enqueue(tx, topic="alert", key=alert.key, payload=payload, at=self._now())
        return True

    def close_alert(self, lease: Lease, key: str, as_of: date) -> None:
        """Record that an alert's finding is over; one that is closed stays as it is.

        Raises:
            LedgerError: There is no such alert, or the lease is for another pipeline.
        """
        with self._write(lease, "alert.closed") as tx:
            row = tx.execute(select(alerts).where(alerts.c.key == key)).mappings().one_or_none()
            if row is None:
                raise LedgerError(f"alert {key!r} was never opened")
            _owned(lease, row["pipeline"])
            if row["closed"] is None:
                self._put(tx, alerts, {"key": key, "closed": as_of}, action="alert closed", actor=lease.holder)

    def alerts(self, pipeline: str | None = None, *, open_only: bool = False) -> tuple[Alert, ...]:
        """Return alerts, oldest first."""
        found = select(alerts)
        if pipeline is not None:
            found = found.where(alerts.c.pipeline == pipeline)
        if open_only:
            found = found.where(alerts.c.closed.is_(None))
        return tuple(_alert(row) for row in self._rows(found.order_by(alerts.c.opened, alerts.c.key)))


def _owned(lease: Lease, pipeline: str) -> None:
    if lease.pipeline not in (pipeline, pipeline + WATCH):
        raise LedgerError(f"the lease is for {lease.pipeline!r} and cannot write facts of {pipeline!r}")


def _row(alert: Alert) -> dict[str, Any]:
    row = {"key": alert.key, "pipeline": alert.pipeline, "cause": alert.finding.cause}
    return row | {"opened": alert.opened, "closed": alert.closed, "fact": encode(alert)}


def _alert(row: Any) -> Alert:
    return replace(decode(Alert, row["fact"]), closed=row["closed"])
