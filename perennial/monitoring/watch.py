"""The dead man's switch: another process than the one that publishes sees whether anything was published.

It needs the ledger and the configuration, not Prefect and not MLflow: it works while they are down, and while a run
holds its pipeline, whose lease it does not touch.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from perennial.config.modelerrors import redact
from perennial.config.operation import Delivery
from perennial.contracts import Alert, Finding
from perennial.errors import Busy, ConfigError
from perennial.monitoring.alerting import LATE, alert_of

if TYPE_CHECKING:
    from perennial.context import Workspace
    from perennial.ledger import Ledger, Run

log = logging.getLogger(__name__)
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Promise:
    """What a pipeline promises: forecasts of each date by a local time on the next day.

    Attributes:
        broken: Why its settings cannot be read, so that these are the defaults; empty if they can.
    """

    pipeline: str
    owner: str = ""
    timezone: str = "UTC"
    deadline: str = Delivery().deadline
    broken: str = ""


def watch_once(workspace: "Workspace") -> tuple[Alert, ...]:
    """Alert for every pipeline whose forecasts are missing after their deadline, and send what is unsent.

    Pipelines that never published are not expected to, nor are those whose data has ended (a fixed ``as_of``).

    Returns:
        The alerts that are new.

    Raises:
        LedgerError: The ledger does not answer.
    """
    from perennial.alerts import deliver

    opened = tuple(one for path in _files(workspace.root) for one in _look(workspace, path))
    sent, unsent = deliver(workspace.ledger, workspace.env)
    log.info("%d alerts opened, %d messages sent, %d will be tried again", len(opened), sent, unsent)
    return opened


def _files(root: Path) -> list[Path]:
    """Return the pipelines' files."""
    return sorted(path for path in (root / "configs").glob("*.yaml") if not path.name.endswith(".checks.yaml"))


def _look(workspace: "Workspace", path: Path) -> tuple[Alert, ...]:
    """Open or close the alert of one pipeline; return it if it is new."""
    promise = _promise(workspace, path)
    if promise is None:
        return ()
    from perennial.ledger.operation import WATCH

    ledger, day = workspace.ledger, expected(workspace, promise.timezone, promise.deadline)
    late = _late(ledger, promise.pipeline, day)
    if late == bool(_open(ledger, promise.pipeline)):
        return ()
    try:
        with ledger.hold(f"{promise.pipeline}{WATCH}", locks=workspace.home / "locks", wait_s=_PATIENCE_S) as lease:
            known = _open(ledger, promise.pipeline)  # another watch may have been faster
            if not late:
                for one in known:
                    ledger.close_alert(lease, one.key, day)
                return ()
            alert = alert_of(promise.pipeline, _owner(ledger, promise), day, _finding(ledger, promise, day))
            return (alert,) if not known and ledger.open_alert(lease, alert) else ()
    except Busy as error:
        log.warning("%s is left to another watch: %s", promise.pipeline, error)
        return ()


def _promise(workspace: "Workspace", path: Path) -> _Promise | None:
    """Return what a pipeline promises; ``None`` if its data has ended."""
    try:
        cfg = workspace.pipeline(path.stem).config
    except ConfigError as error:  # it cannot run like this, which is when a dead man's switch is needed
        return _Promise(pipeline=path.stem, broken=" ".join(str(error).split())[:300])
    if isinstance(cfg.as_of, date):
        return None
    return _Promise(pipeline=cfg.pipeline, owner=cfg.owner, timezone=cfg.timezone, deadline=cfg.delivery.deadline)


def expected(workspace: "Workspace", timezone: str, deadline: str) -> date:
    """Return the newest business date whose forecasts should be there by now."""
    local = workspace.now().astimezone(ZoneInfo(timezone))
    return local.date() - timedelta(days=1 if local.time() >= time.fromisoformat(deadline) else 2)


def _late(ledger: "Ledger", pipeline: str, day: date) -> bool:
    """Return whether a pipeline that published before has neither this date nor a newer one."""
    if ledger.publication(pipeline, day) is not None:
        return False
    dates = [one.as_of for one in ledger.publications(pipeline)]
    return bool(dates) and dates[-1] < day


def _owner(ledger: "Ledger", promise: _Promise) -> str:
    """Return who is told; where the settings cannot be read, who was told last."""
    before = ledger.alerts(promise.pipeline) if promise.broken else ()
    return before[-1].owner if before else promise.owner


def _open(ledger: "Ledger", pipeline: str) -> list[Alert]:
    return [one for one in ledger.alerts(pipeline, open_only=True) if one.finding.cause == LATE]


def _finding(ledger: "Ledger", promise: _Promise, day: date) -> Finding:
    newest = ledger.publications(promise.pipeline)[-1].as_of
    due = f"{day + timedelta(days=1)} {promise.deadline} {promise.timezone}"
    return Finding(
        cause=LATE,
        level="critical",
        since=day,
        summary=f"no forecasts of {day} were published by {due}; the newest are of {newest}",
        likely=_likely(promise, ledger.runs(promise.pipeline), day),
        command=f"perennial {'validate' if promise.broken else 'day'} {promise.pipeline}"
        + ("" if promise.broken else f" --as-of {day}"),
    )


def _likely(promise: _Promise, runs: Sequence["Run"], day: date) -> str:
    """Return what the ledger knows of the date: settings that are wrong, a run that failed, or none at all."""
    if promise.broken:
        return f"Its settings are not valid: {promise.broken}"
    mine = [one for one in runs if one.as_of == day]
    if not mine:
        return f"No run was begun for {day}: see whether the schedule and its worker run."
    last = mine[-1]
    if last.status == "running":
        return f"The run {last.flow!r} was begun at {last.started_at:%Y-%m-%d %H:%M} UTC and has not ended."
    error = redact(" ".join(str(last.record.get("error", "")).split()))[:300]  # it leaves the house
    return f"The run {last.flow!r} ended as {last.status}{f': {error}' if error else ''}"
