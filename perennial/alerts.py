"""Alerts from the outbox to people, through Apprise.

An alert's event becomes one *message* for each channel that wants it, with the key ``<alert key>/<channel>``. Each
message is sent, repeated after a back-off and marked by itself: a channel that is down neither holds up the others
nor has them told twice. What is sent and not yet marked when the process dies is sent again, so every message shows
its key, by which a receiver can tell the repetition.

A channel's address is a secret. It is not written to the ledger, to a log or into an error: all name the channel.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from perennial.config.models import Environment
from perennial.config.operation import Channel
from perennial.contracts import Alert, Level
from perennial.errors import Busy, PerennialError
from perennial.faults import fault_point

if TYPE_CHECKING:
    from perennial.ledger import Event, Ledger

log = logging.getLogger(__name__)
TOPIC = "alert"
LEVELS: tuple[Level, ...] = get_args(Level)
"""Least first."""
NAMED = 5
"""Slices that a message names."""
_LEASE = "alerts.deliver"
_PATIENCE_S = 30.0
_TALKATIVE = ("apprise", "urllib3", "requests")


class NotTaken(PerennialError):
    """A channel did not take a message; it is tried again."""


def deliver(ledger: "Ledger", env: Environment) -> tuple[int, int]:
    """Send every alert that is due to the channels that want it.

    One process sends at a time, so that none sends what another is sending. A channel that fails is left alone for
    the rest of the call: one that hangs costs one timeout, not one for each message.

    Args:
        ledger: The record, whose outbox holds the alerts.
        env: Its channels.

    Returns:
        Messages that were sent, and messages that will be tried again.
    """
    if not ledger.pending(TOPIC, due=True):
        return 0, len(ledger.pending(TOPIC))
    try:
        with ledger.hold(_LEASE, locks=Path(env.home) / "locks", wait_s=_PATIENCE_S):
            sent = _deliver(ledger, env.channels)
    except Busy as error:
        log.warning("alerts are left to the process that is sending: %s", error)
        sent = 0
    return sent, len(ledger.pending(TOPIC))


def _deliver(ledger: "Ledger", channels: Mapping[str, Channel]) -> int:
    """Send until nothing is due but what channels that failed are to have."""
    sent, failed = 0, set[str]()
    while events := [one for one in ledger.pending(TOPIC, due=True) if _channel(one) not in failed]:
        for event in events:
            name = _channel(event)
            if name not in channels:
                _route(ledger, event, channels)
            elif name not in failed:
                try:
                    _send(channels[name], name, alert(event))
                except NotTaken as error:
                    log.warning("%s will be tried again: %s", event.key, error)
                    ledger.mark_failed(event.id, str(error))
                    failed.add(name)
                else:
                    fault_point("alert.sent")
                    ledger.mark_sent(event.id)
                    sent += 1
    return sent


def alert(event: "Event") -> Alert:
    """Return the alert that an event of the outbox tells of."""
    from perennial.ledger.codec import canonical, decode

    return decode(Alert, canonical(event.payload))


def _channel(event: "Event") -> str:
    """Return the channel that an event is a message for; empty if it is an alert that is still to be routed."""
    return event.key.removeprefix(str(event.payload["key"])).removeprefix("/")


def _route(ledger: "Ledger", event: "Event", channels: Mapping[str, Channel]) -> None:
    """Turn an alert into messages; one for a channel that is gone goes to those that did not have it."""
    from perennial.ledger.fanout import fan_out

    one = alert(event)
    names = [name for name, channel in channels.items() if wants(channel, one)]
    if not names:
        log.warning("nobody was told of %s: no channel takes %s alerts of %s", one.key, one.finding.level, one.owner)
    fan_out(ledger, event, [f"{one.key}/{name}" for name in names])


def wants(channel: Channel, one: Alert) -> bool:
    """Return whether a channel takes an alert: it is bad enough, and of one of its owners."""
    bad_enough = LEVELS.index(one.finding.level) >= LEVELS.index(channel.at_least)
    return bad_enough and (not channel.owners or one.owner in channel.owners)


def title(one: Alert) -> str:
    """Return an alert in a few words."""
    return f"{one.finding.level.capitalize()}: {one.pipeline}, {one.finding.cause.replace('_', ' ')}"


def body(one: Alert) -> str:
    """Return what broke, since when, how badly, where, the likely cause, what to run next, and the key."""
    found, more = one.finding, len(one.finding.parts) - NAMED
    named = ", ".join(found.parts[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
    lines = {
        "What": found.summary,
        "Since": f"{found.since}, told on {one.opened}",
        "Where": named or "everything",
        "Likely": found.likely,
        "Next": found.command,
        "Owner": one.owner,
        "Key": one.key,
    }
    return "\n".join(f"{name}: {text}" for name, text in lines.items() if text)


def _send(channel: Channel, name: str, one: Alert) -> None:
    """Send one message; the address's own ``cto`` and ``rto`` bound the wait, else four seconds each.

    Raises:
        NotTaken: The address means nothing to Apprise, or its receiver did not take the message.
    """
    with _quiet():
        import apprise

        kinds = {"warning": apprise.NotifyType.WARNING, "critical": apprise.NotifyType.FAILURE}
        target = apprise.Apprise.instantiate(channel.url)
        if target is None:
            raise NotTaken(f"the address of channel {name!r} is none that Apprise knows; correct `channels.{name}.url`")
        target.optional = False  # or a failure would count as success, and the alert would be lost
        outbox = apprise.Apprise()
        outbox.add(target)
        taken = outbox.notify(
            body=body(one),
            title=title(one),
            notify_type=kinds.get(one.finding.level, apprise.NotifyType.INFO),
            body_format=apprise.NotifyFormat.TEXT,
        )
    if not taken:
        raise NotTaken(f"channel {name!r} did not take it; see whether its receiver is up")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries from logging addresses, which hold secrets, and from warning of what they import themselves."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
