"""One event of the outbox becomes several, each delivered, repeated and marked by itself."""

from collections.abc import Iterable

from perennial.ledger.codec import canonical
from perennial.ledger.engine import transaction
from perennial.ledger.facts import Event
from perennial.ledger.outbox import enqueue
from perennial.ledger.schema import outbox
from perennial.ledger.store import Store


def fan_out(store: Store, event: Event, keys: Iterable[str]) -> None:
    """Replace an event by one of the same topic and payload for each key, in one transaction.

    A key that was queued before stays as it is, so that nothing is sent anew.
    """
    now = store._now()
    with transaction(store._engine, write=True) as tx:
        for key in keys:
            enqueue(tx, topic=event.topic, key=key, payload=canonical(event.payload), at=now)
        tx.execute(outbox.update().where(outbox.c.id == event.id).values(sent_at=now))
