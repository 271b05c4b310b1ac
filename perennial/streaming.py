"""Choices as they come in, minute by minute, against the lists that are served: degradation is told within the minute.

A writer puts files of choices (columns ``user`` and ``item``; Parquet, CSV or one JSON object a line) into a folder,
each under its final name once it is whole. Every file is one batch. What was seen is kept beside the ledger, written
after the alert that follows from it: a process that dies in between reads the batch again, finds the alert's key
taken and tells nobody twice. It needs the ledger and the lake, neither Prefect nor MLflow, and does not touch the
lease of the pipeline's runs.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.audience import Audience, audience
from perennial.choicefiles import files, read
from perennial.contracts import Alert, Cause, Finding, Publication
from perennial.durable import write_atomically
from perennial.errors import Refused, SourceUnusable
from perennial.monitoring.alerting import alert_of
from perennial.monitoring.stream import Alarm, Stream, advance, proven, recovered, tally

if TYPE_CHECKING:
    from perennial.context import Workspace

log = logging.getLogger(__name__)
CAUSE: Cause = "accuracy"
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one file of choices said.

    Attributes:
        file: Its name.
        stream: What has been seen, this batch included; on an alarm the state that proved it.
        alert: The alert that it opened, if it did.
        problem: Why it could not be read; empty if it could.
        seconds: From the file's last change until whoever listens was told, or until it was read.
    """

    file: str
    stream: Stream
    alert: Alert | None = None
    problem: str = ""
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class _State:
    """What is kept between two looks into the folder: files by digest, and the stream of one version."""

    version: int = 0
    stream: Stream = field(default_factory=Stream)
    files: dict[str, str] = field(default_factory=dict)


class Follower:
    """Follows one pipeline's folder of choices.

    A choice counts once, and only of users with a history who had not had the item: as when the version was judged.
    Files should stay in the folder until the next publication, or a choice that a file of today repeats counts again.

    Args:
        workspace: Where everything is kept.
        pipeline: Its name.
        folder: Where the files of choices arrive.
    """

    def __init__(self, workspace: "Workspace", pipeline: str, folder: Path) -> None:
        self._workspace, self._pipeline, self._folder = workspace, pipeline, folder
        self._path = workspace.home / "streams" / f"{pipeline}.json"
        self._audience: Audience | None = None
        self._alarm: Alarm | None = None
        self._since: dict[str, set[str]] = {}
        self._caught_up = False
        """Whether ``since``, the items by user that came in since the publication, holds what was read before."""

    def look(self) -> tuple[Batch, ...]:
        """Read every file that is new, in order of name, and tell of what it proves.

        Files wait while it is not known how often the version that is served is hit usually: the monitor says so.

        Raises:
            Refused: There is no such folder, or nothing was ever published or measured.
            LedgerError: The ledger does not answer.
        """
        if not self._folder.is_dir():
            raise Refused(f"{self._folder} is no folder; name the one that the files of choices arrive in")
        shown = self._serve()
        if self._alarm is None:
            log.warning("version %d is not measured yet: choices wait for the monitor", shown.publication.version)
            return ()
        state = self._restored(shown.publication)
        found = []
        for path in files(self._folder):
            try:
                data, changed = path.read_bytes(), path.stat().st_mtime
            except OSError as error:  # gone again, or not ours to read: the next look tries once more
                log.warning("%s cannot be read now: %s", path.name, error)
                continue
            digest = hashlib.sha256(data).hexdigest()
            if state.files.get(path.name) != digest:
                batch = self._take(state, path.name, data, shown, self._alarm)
                found.append(replace(batch, seconds=self._workspace.now().timestamp() - changed))
                state.files[path.name] = digest
                self._keep(state)
        return tuple(found)

    def _take(self, state: _State, file: str, data: bytes, shown: Audience, alarm: Alarm) -> Batch:
        try:
            chosen = read(file, data)
        except SourceUnusable as error:
            log.warning("%s is left out: %s", file, error)
            return Batch(file=file, stream=state.stream, problem=str(error))
        tallies = tally(chosen, shown.shown, lambda user: shown.had(user) | self._since.get(user, set()))
        seen = advance(state.stream, tallies, alarm)
        alert = self._tell(seen, alarm) if proven(seen, alarm) else None
        state.stream = recovered(seen) if proven(seen, alarm) else seen
        _note(self._since, chosen)
        return Batch(file=file, stream=seen, alert=alert)

    def _tell(self, seen: Stream, alarm: Alarm) -> Alert | None:
        """Open the alert, unless people know already, and send it."""
        from perennial.alerts import deliver
        from perennial.ledger.operation import WATCH

        ledger, name = self._workspace.ledger, self._pipeline
        day = self._workspace.now().date()
        with ledger.hold(f"{name}{WATCH}", locks=self._workspace.home / "locks", wait_s=_PATIENCE_S) as lease:
            told = any(one.finding.cause == CAUSE for one in ledger.alerts(name, open_only=True))
            alert = alert_of(name, self._workspace.pipeline(name).config.owner, day, self._finding(seen, alarm, day))
            fresh = not told and ledger.open_alert(lease, alert)
        deliver(ledger, self._workspace.env)  # also what an interrupted process left unsent
        return alert if fresh else None

    def _finding(self, seen: Stream, alarm: Alarm, day: date) -> Finding:
        return Finding(
            cause=CAUSE,
            level="critical",
            since=day,
            summary=(
                f"served lists are hit less often than {alarm.floor:.3g} of the choices: {seen.rate:.3g} of "
                f"{seen.choices:,} so far, {alarm.usual:.3g} when the version was judged; the last "
                f"{seen.since:,} observations prove it"
            ),
            likely="What users choose has moved, or lists of another day or of other users are shown.",
            command=f"perennial monitor {self._pipeline}",
        )

    def _serve(self) -> Audience:
        """Return who is shown what by the newest publication, and learn what that is compared with."""
        published = self._workspace.ledger.publications(self._pipeline)
        if not published:
            raise Refused(f"{self._pipeline} has published nothing yet; run `perennial score {self._pipeline}` first")
        if self._audience is None or published[-1] != self._audience.publication:
            self._audience = audience(self._workspace, published[-1])
            self._alarm, self._since, self._caught_up = None, {}, False
        if self._alarm is None:
            self._alarm = alarm_for(self._workspace, self._pipeline, published[-1].version)
        return self._audience

    def _restored(self, publication: Publication) -> _State:
        """Return the state as it was kept; what another version did says nothing about this one."""
        state = _State()
        if self._path.exists():
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            state = _State(version=kept["version"], stream=Stream(**kept["stream"]), files=kept["files"])
        if state.version != publication.version:
            state.version, state.stream = publication.version, Stream()
        here = {path.name: path for path in files(self._folder)}
        state.files = {name: digest for name, digest in state.files.items() if name in here}
        if not self._caught_up:
            self._caught_up = True
            for name in state.files:
                with suppress(SourceUnusable, OSError):
                    _note(self._since, read(name, here[name].read_bytes()))
        return state

    def _keep(self, state: _State) -> None:
        kept = {"version": state.version, "stream": asdict(state.stream), "files": state.files}
        write_atomically(self._path, json.dumps(kept, sort_keys=True).encode())


def follower(workspace: "Workspace", pipeline: str, folder: Path) -> Follower:
    """Return what follows a pipeline's folder as its settings say.

    Raises:
        Refused: It makes no lists, or it is not known yet how often these are hit usually.
    """
    cfg = workspace.pipeline(pipeline).config
    if cfg.kind != "recommend":
        raise Refused(f"{pipeline} is of kind {cfg.kind!r}; only lists of kind 'recommend' are hit by choices")
    if not any("hit_error" in one.expected for one in workspace.ledger.measurements(cfg.pipeline)):
        raise Refused(f"it is not known yet how often {pipeline} is hit usually: run `perennial monitor {pipeline}`")
    return Follower(workspace, cfg.pipeline, folder)


def alarm_for(workspace: "Workspace", pipeline: str, version: int) -> Alarm | None:
    """Return what a version's lists are compared with: hits per choice when it was judged; ``None`` if not measured."""
    settings = workspace.pipeline(pipeline).config.recommend.stream
    for one in reversed(workspace.ledger.measurements(pipeline)):
        if one.champion == version and "hit_error" in one.expected:
            return Alarm(
                usual=1.0 - one.expected["hit_error"],
                tolerated=settings.tolerated,
                degraded=settings.degraded,
                after=settings.false_alarms,
            )
    return None


def follow(
    follower: Follower, *, every_s: float, sleep: Callable[[float], None] = time.sleep, looks: int | None = None
) -> Iterator[Batch]:
    """Look again and again, and yield what every new batch said.

    Args:
        follower: Of a folder.
        every_s: Seconds between two looks.
        sleep: Waits; tests give their own.
        looks: End after so many; ``None`` for never.
    """
    done = 0
    while looks is None or done < looks:
        if done:
            sleep(every_s)
        yield from follower.look()
        done += 1


def _note(since: dict[str, set[str]], chosen: Iterable[tuple[str, str]]) -> None:
    for user, item in chosen:
        since.setdefault(user, set()).add(item)
