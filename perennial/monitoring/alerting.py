"""From findings to alerts: one for each cause, opened once, closed when it has stayed away for long enough.

Alerts speak of now. A measurement of an earlier date that arrives late (a repeated run, a replay) is recorded, but
neither opens nor closes anything: what was so then may be over, and what is so now was judged already. A measurement
that is repeated for the newest date finds the same alerts open, or their keys taken, and changes nothing.
"""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from perennial.config.models import Pipeline
from perennial.contracts import Alert, Cause, Finding, Measurement

if TYPE_CHECKING:
    from perennial.ledger import Lease, Ledger

LATE: Cause = "late"
"""Belongs to :mod:`perennial.monitoring.watch`, another process."""
BLIND: Cause = "monitor"
"""The monitor run failed: nothing is known of the other causes."""
SAME_EVENT: dict[Cause, frozenset[Cause]] = {
    "fallback": frozenset({"data", "run"}),
    "stale_data": frozenset({"data", "run"}),
}
"""Causes that follow from others: while one of those is told, people know already."""


def raise_alerts(ledger: "Ledger", lease: "Lease", cfg: Pipeline, measured: Measurement) -> tuple[Alert, ...]:
    """Open an alert for what is newly wrong, each with its message in one commit, and close those that have cleared.

    A finding of level ``info`` never alerts. A cause that is told stays one alert until it clears, whatever its
    level becomes meanwhile: nobody is told twice of one event.

    Args:
        ledger: The record.
        lease: The right to write for the pipeline.
        cfg: Its settings.
        measured: The judged measurement.

    Returns:
        The alerts that are new.

    Raises:
        Fenced: Another run has taken over.
    """
    recent = ledger.measurements(cfg.pipeline, last=cfg.monitor.clear_after)
    if any(one.as_of > measured.as_of for one in recent):
        return ()
    told = {one.finding.cause: one for one in ledger.alerts(cfg.pipeline, open_only=True)}
    dates = [*(one for one in recent if one.as_of != measured.as_of), measured][-cfg.monitor.clear_after :]
    for cause, alert in told.items():
        if alert.opened == measured.as_of:
            continue  # told of this very date, perhaps by what comes after its measurement
        if cause != LATE and len(dates) == cfg.monitor.clear_after and _cleared(cause, dates):
            ledger.close_alert(lease, alert.key, measured.as_of)
    fresh = [one for one in measured.findings if one.level != "info" and one.cause not in told]
    known = {*told, *(one.cause for one in fresh)}
    alerts = [
        alert_of(cfg.pipeline, cfg.owner, measured.as_of, one)
        for one in fresh
        if not SAME_EVENT.get(one.cause, frozenset()) & known
    ]
    return tuple(one for one in alerts if ledger.open_alert(lease, one))


def alert_of(pipeline: str, owner: str, day: date, finding: Finding) -> Alert:
    """Return the alert that tells of a finding for the first time on business date ``day``."""
    key = f"alert/{pipeline}/{finding.cause}/{day}"
    return Alert(key=key, pipeline=pipeline, owner=owner or pipeline, opened=day, finding=finding)


def _cleared(cause: Cause, dates: Sequence[Measurement]) -> bool:
    """Return whether a cause stayed away; a date that could not be measured is no proof of that."""
    present = {cause, BLIND}
    return not any(one.cause in present and one.level != "info" for day in dates for one in day.findings)
