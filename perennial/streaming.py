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
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.contracts import Alert, Cause, Finding, Publication
from perennial.durable import write_atomically
from perennial.errors import Refused, SchemaError, SourceUnusable, sample
from perennial.monitoring.alerting import alert_of
from perennial.monitoring.stream import Alarm, Stream, advance, proven, recovered, tally

if TYPE_CHECKING:
    import pyarrow as pa

    from perennial.context import Workspace
    from perennial.ledger import Ledger

log = logging.getLogger(__name__)
COLUMNS = ("user", "item")
ENDINGS = (".parquet", ".csv", ".ndjson")
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

    Args:
        workspace: Where everything is kept.
        pipeline: Its name.
        folder: Where the files of choices arrive.
        alarm: When the stream counts as degraded; ``usual`` says what it is compared with.
    """

    def __init__(self, workspace: "Workspace", pipeline: str, folder: Path, alarm: Alarm) -> None:
        self._workspace, self._pipeline, self._folder, self._alarm = workspace, pipeline, folder, alarm
        self._path = workspace.home / "streams" / f"{pipeline}.json"
        self._lists: dict[str, frozenset[str]] = {}
        self._shown: date | None = None

    def look(self) -> tuple[Batch, ...]:
        """Read every file that is new, in order of name, and tell of what it proves.

        Raises:
            Refused: There is no such folder, or nothing was ever published.
            LedgerError: The ledger does not answer.
        """
        if not self._folder.is_dir():
            raise Refused(f"{self._folder} is no folder; name the one that the files of choices arrive in")
        state = self._restored(self._serve())
        found = []
        for path in _files(self._folder):
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if state.files.get(path.name) != digest:
                found.append(self._take(state, path, data))
                state.files[path.name] = digest
                self._keep(state)
        return tuple(found)

    def _take(self, state: _State, path: Path, data: bytes) -> Batch:
        try:
            chosen = read(path.name, data)
        except SourceUnusable as error:
            log.warning("%s is left out: %s", path.name, error)
            return Batch(file=path.name, stream=state.stream, problem=str(error))
        seen = advance(state.stream, tally(chosen, self._lists), self._alarm)
        alert = self._tell(seen) if proven(seen, self._alarm) else None
        state.stream = recovered(seen) if proven(seen, self._alarm) else seen
        seconds = self._workspace.now().timestamp() - path.stat().st_mtime
        return Batch(file=path.name, stream=seen, alert=alert, seconds=seconds)

    def _tell(self, seen: Stream) -> Alert | None:
        """Open the alert, unless people know already, and send it."""
        from perennial.alerts import deliver
        from perennial.ledger.operation import WATCH

        ledger, name = self._workspace.ledger, self._pipeline
        day = self._workspace.now().date()
        with ledger.hold(f"{name}{WATCH}", locks=self._workspace.home / "locks", wait_s=_PATIENCE_S) as lease:
            told = any(one.finding.cause == CAUSE for one in ledger.alerts(name, open_only=True))
            alert = alert_of(name, self._workspace.pipeline(name).config.owner, day, self._finding(seen, day))
            fresh = not told and ledger.open_alert(lease, alert)
        deliver(ledger, self._workspace.env)  # also what an interrupted process left unsent
        return alert if fresh else None

    def _finding(self, seen: Stream, day: date) -> Finding:
        return Finding(
            cause=CAUSE,
            level="critical",
            since=day,
            summary=(
                f"served lists are hit less often than {self._alarm.floor:.3g} of the choices: {seen.rate:.3g} of "
                f"{seen.choices:,} so far, {self._alarm.usual:.3g} when the version was judged; the last "
                f"{seen.since:,} observations prove it"
            ),
            likely="What users choose has moved, or lists of another day or of other users are shown.",
            command=f"perennial monitor {self._pipeline}",
        )

    def _serve(self) -> Publication:
        """Return the newest publication and hold its lists."""
        published = self._workspace.ledger.publications(self._pipeline)
        if not published:
            raise Refused(f"{self._pipeline} has published nothing yet; run `perennial score {self._pipeline}` first")
        newest = published[-1]
        if newest.as_of != self._shown:
            self._lists, self._shown = served(self._workspace, newest), newest.as_of
        return newest

    def _restored(self, publication: Publication) -> _State:
        """Return the state as it was kept; what another version did says nothing about this one."""
        state = _State()
        if self._path.exists():
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            state = _State(version=kept["version"], stream=Stream(**kept["stream"]), files=kept["files"])
        if state.version != publication.version:
            state.version, state.stream = publication.version, Stream()
        here = {path.name for path in _files(self._folder)}
        state.files = {name: digest for name, digest in state.files.items() if name in here}
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
    settings = cfg.recommend.stream
    alarm = Alarm(
        usual=usual_rate(workspace.ledger, cfg.pipeline),
        tolerated=settings.tolerated,
        degraded=settings.degraded,
        after=settings.false_alarms,
    )
    return Follower(workspace, cfg.pipeline, folder, alarm)


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


def served(workspace: "Workspace", publication: Publication) -> dict[str, frozenset[str]]:
    """Return the items listed by user in a publication, verified by digest."""
    from perennial.publishing import predictions

    table = predictions(publication.pipeline)
    lists: dict[str, set[str]] = {}
    scan = workspace.lake.scan(table, publication.table_version, files=publication.files, columns=COLUMNS)
    for batch in scan:
        for user, item in _pairs(batch):
            lists.setdefault(user, set()).add(item)
    return {user: frozenset(items) for user, items in lists.items()}


def usual_rate(ledger: "Ledger", pipeline: str) -> float:
    """Return the hits per choice that the version in force had when it was judged.

    Raises:
        Refused: It was not measured yet.
    """
    measured = ledger.measurements(pipeline, last=1)
    error = measured[-1].expected.get("hit_error") if measured else None
    if error is None:
        raise Refused(f"it is not known yet how often {pipeline} is hit usually: run `perennial monitor {pipeline}`")
    return 1.0 - error


def read(name: str, data: bytes) -> list[tuple[str, str]]:
    """Return user and item of every choice in a file; rows without either are left out.

    Raises:
        SourceUnusable: It is damaged or of another kind.
        SchemaError: A column is missing.
    """
    import pyarrow as pa

    try:
        table = _parse(name, pa.BufferReader(data))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise SourceUnusable(f"{name} cannot be read: {str(error).splitlines()[0][:200]}") from error
    if missing := [column for column in COLUMNS if column not in table.column_names]:
        raise SchemaError(f"{name} has no column {sample(missing)}; it has {sample(table.column_names)}")
    return [pair for batch in table.select(COLUMNS).to_batches() for pair in _pairs(batch)]


def _parse(name: str, source: Any) -> "pa.Table":
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        return pq.read_table(source)
    import pyarrow as pa

    if name.endswith(".csv"):
        from pyarrow import csv

        text = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
        return csv.read_csv(source, convert_options=text)
    from pyarrow import json as lines

    return lines.read_json(source)


def _pairs(batch: "pa.RecordBatch") -> list[tuple[str, str]]:
    import pyarrow as pa

    users, items = (batch[name].cast(pa.string()).to_pylist() for name in COLUMNS)
    return [(u, i) for u, i in zip(users, items, strict=True) if u is not None and i is not None]


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in ENDINGS and not p.name.startswith("."))
