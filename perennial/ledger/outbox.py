"""Publications, and effects outside the ledger that are still to happen."""

import json
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, func, select

from perennial.contracts import Publication, StoredFile
from perennial.errors import LedgerError
from perennial.ledger.codec import decode, encode
from perennial.ledger.engine import transaction
from perennial.ledger.facts import Event
from perennial.ledger.lock import Lease
from perennial.ledger.schema import outbox, publications
from perennial.ledger.store import Store

_MAX_BACKOFF_S = 3600


def alias_key(model: str, position: int) -> str:
    """Return the key of the event that the nth change of a model's roles (from 1) causes."""
    return f"alias/{model}/{position}"


def enqueue(tx: Connection, *, topic: str, key: str, payload: str, at: datetime) -> None:
    """Add an event in the transaction of the fact it follows from; a key is queued once."""
    if tx.scalar(select(outbox.c.id).where(outbox.c.key == key)) is None:
        row = {"topic": topic, "key": key, "payload": payload, "created_at": at, "due_at": at}
        tx.execute(outbox.insert().values({**row, "attempts": 0, "error": ""}))


class DeliveryFacts(Store):
    """The part of the ledger that speaks of what was delivered."""

    def record_publication(self, lease: Lease, publication: Publication) -> None:
        """Record a partition of predictions: from here on readers may see it. The first of a date stands.

        Raises:
            LedgerError: Another partition is recorded for this date, or the version does not exist.
        """
        if lease.pipeline != publication.pipeline:
            raise LedgerError(f"the lease is for {lease.pipeline!r}, not for {publication.pipeline!r}")
        with self._write(lease, "published") as tx:
            row = {"pipeline": publication.pipeline, "as_of": publication.as_of}
            known = select(publications.c.version).where(*(publications.c[k] == v for k, v in row.items()))
            found = tx.scalar(known)
            if found is None:
                row |= {"version": publication.version, "table_version": publication.table_version}
                row |= {"fact": encode(publication)}
                self._put(tx, publications, row, action="published", actor=lease.holder)
            elif found != publication.version:
                raise LedgerError(
                    f"{publication.pipeline} {publication.as_of} is published by version {found} and is not "
                    f"replaced by {publication.version}; publications are append-only"
                )

    def publication(self, pipeline: str, as_of: date) -> Publication | None:
        """Return the publication of a date; ``None`` if there is none."""
        of_date = (publications.c.pipeline == pipeline, publications.c.as_of == as_of)
        row = self._first(select(publications.c.fact).where(*of_date))
        return decode(Publication, row["fact"]) if row else None

    def publications(self, pipeline: str) -> tuple[Publication, ...]:
        """Return every publication of a pipeline, oldest as-of date first."""
        found = select(publications.c.fact).where(publications.c.pipeline == pipeline)
        rows = self._rows(found.order_by(publications.c.as_of))
        return tuple(decode(Publication, row["fact"]) for row in rows)

    def published_files(self, pipeline: str) -> tuple[StoredFile, ...]:
        """Return the data files of all publications, with digests."""
        return tuple(file for publication in self.publications(pipeline) for file in publication.files)

    def published_version(self, pipeline: str) -> int | None:
        """Return the newest Delta version of the predictions that is recorded; ``None`` if there is none."""
        with self._read() as tx:
            newest = select(func.max(publications.c.table_version)).where(publications.c.pipeline == pipeline)
            found: int | None = tx.scalar(newest)
            return found

    # --- outbox --------------------------------------------------------------------------------------------

    def pending(self, topic: str | None = None, *, due: bool = False) -> tuple[Event, ...]:
        """Return events that are not sent, oldest first; with ``due`` only those whose back-off is over."""
        found = select(outbox).where(outbox.c.sent_at.is_(None))
        if topic is not None:
            found = found.where(outbox.c.topic == topic)
        if due:  # beyond the longest back-off: the clock was set back meanwhile
            now = self._now()
            late = outbox.c.due_at > now + timedelta(seconds=_MAX_BACKOFF_S)
            found = found.where((outbox.c.due_at <= now) | late)
        return tuple(
            Event(**{**{n: row[n] for n in Event.__dataclass_fields__}, "payload": json.loads(row["payload"])})
            for row in self._rows(found.order_by(outbox.c.id))
        )

    def event_keys(self, topic: str) -> frozenset[str]:
        """Return the keys of all events of a topic, sent or not."""
        return frozenset(row["key"] for row in self._rows(select(outbox.c.key).where(outbox.c.topic == topic)))

    def mark_sent(self, event_id: int) -> None:
        """Record that an event has taken effect."""
        with transaction(self._engine, write=True) as tx:
            tx.execute(outbox.update().where(outbox.c.id == event_id).values(sent_at=self._now()))

    def mark_failed(self, event_id: int, error: str) -> None:
        """Record a vain attempt; the next one is due after a back-off that doubles, up to an hour."""
        with transaction(self._engine, write=True) as tx:
            attempts = (tx.scalar(select(outbox.c.attempts).where(outbox.c.id == event_id)) or 0) + 1
            due = self._now() + timedelta(seconds=min(2**attempts, _MAX_BACKOFF_S))
            row = {"attempts": attempts, "error": error[:500], "due_at": due}
            tx.execute(outbox.update().where(outbox.c.id == event_id).values(row))
