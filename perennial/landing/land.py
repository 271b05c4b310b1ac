"""Landing: what one run appends to one table, and what a snapshot later sees of it.

Effects come in this order: rows, quarantined rows, and then the ledger's record (the caller's). A run killed in
between is undone by restoring the table to the version that the ledger knows; the next run lands the same rows
under the same id.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.clock import cutoff
from perennial.config.models import Environment, Guards, Table
from perennial.contracts import AVAILABLE_AT, ENTITY, TIME, Landing, Snapshot, StoredFile, TablePin
from perennial.errors import IntegrityError
from perennial.faults import fault_point
from perennial.identity import digest_text
from perennial.lake.tables import LANDING, Appended, Lake
from perennial.landing.appending import RESTATES, Appending
from perennial.landing.arrivals import QUARANTINE, Arrivals, Due, Walk
from perennial.landing.dedupe import hash_keys, repeats
from perennial.sources import inventory, stage
from perennial.sources.pseudonyms import Pseudonyms

_OWN = (LANDING, RESTATES)


def land(
    table: Table,
    name: str,
    *,
    main: bool,
    pipeline: str,
    as_of: date,
    earlier: Sequence[Landing],
    lake: Lake,
    env: Environment,
    guards: Guards,
    base: Path,
    scratch: Path,
    pseudonyms: Pseudonyms | None = None,
) -> Landing:
    """Append the rows of a source that are visible at ``as_of`` and that no earlier landing took.

    Args:
        table: The source, and what its columns mean.
        name: Logical table name, for example ``demand`` or ``demand.prices``.
        main: Whether these are the observations.
        pipeline: Its name; bad rows go to ``<pipeline>.quarantine``.
        as_of: Date the run stands on.
        earlier: Landings of this table that stand, oldest first.
        lake: Where rows go.
        env: Where sources may lie.
        guards: What makes a single row bad.
        base: Project root.
        scratch: Folder for temporary files; memory stays bounded by the batch.
        pseudonyms: Replaces the columns that name people.

    Returns:
        The landing. Without new rows ``version_after`` equals ``version_before`` and ``first_visible`` is ``None``.

    Raises:
        SourceError: The source cannot be read, or (SchemaError) is not what was configured.
        IntegrityError: Landed rows that the new ones must be compared with are not those that were recorded.
    """
    settings, quarantine = settings_digest(table, guards, main=main), f"{pipeline}.quarantine"
    settings += f":{pseudonyms.settings}" if pseudonyms else ""
    before = lake.version(name)
    with TemporaryDirectory(dir=scratch) as folder:
        due = _due(table, env, _known(earlier, settings), base=base, scratch=Path(folder), until=as_of)
        arrivals = Arrivals(
            table=table,
            name=name,
            main=main,
            as_of=as_of,
            landing_id=_landing_id(name, as_of, settings, due, earlier),
            guards=guards,
            due=due,
            newest=_newest(earlier),
            set_aside=_set_aside(lake, quarantine, earlier),
            pseudonyms=pseudonyms,
        )
        append = Appending(arrivals=arrivals, lake=lake, earlier=tuple(earlier), version=before, folder=Path(folder))
        walk, appended = append()
        fault_point("landing.appended")
        aside = lake.append(quarantine, walk.quarantined(), QUARANTINE, once=arrivals.landing_id)
        fault_point("landing.quarantined")
    return _record(arrivals, walk, appended, aside, pipeline=pipeline, settings=settings, before=before)


def _record(
    arrivals: Arrivals, walk: Walk, appended: Appended, aside: Appended, *, pipeline: str, settings: str, before: int
) -> Landing:
    counts = walk.counts
    if not counts.conserved:
        raise IntegrityError(f"{arrivals.name} as of {arrivals.as_of}: rows went astray, {counts}; please report this")
    return Landing(
        landing_id=arrivals.landing_id,
        pipeline=pipeline,
        table=arrivals.name,
        as_of=arrivals.as_of,
        version_before=before,
        version_after=appended.version,
        files=appended.files + aside.files,
        sources=tuple(StoredFile(path=d.label, sha256=d.file.sha256, size=d.file.size) for d in arrivals.due),
        counts=counts,
        first_visible=walk.first_visible,
        settings=settings,
        finished=walk.finished,
    )


# --- what to read ------------------------------------------------------------------------------------------


def settings_digest(table: Table, guards: Guards, *, main: bool) -> str:
    """Return the digest of what decides how a row is read; under other settings a source is read again."""
    columns = table.columns.model_dump(mode="json")
    bounds = [guards.min_value, guards.max_value] if main else []
    return digest_text(json.dumps([columns, table.delay_days, bounds], sort_keys=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What earlier landings read, under the same settings.

    Attributes:
        labels: Newest state of each place, by URI.
        digests: SHA-256 of these states, by URI.
        finished: Digests of the sources that nothing is left of.
        taken: As-of date up to which rows were taken, by digest.
    """

    labels: Mapping[str, str]
    digests: Mapping[str, str]
    finished: frozenset[str]
    taken: Mapping[str, date]


def _known(earlier: Sequence[Landing], settings: str) -> _Known:
    labels, digests, taken, newest = {}, {}, {}, date.min
    for landing in earlier:
        newest = max(newest, landing.as_of)
        for file in landing.sources if landing.settings == settings else ():
            uri = file.path.rpartition(" (")[0]
            labels[uri], digests[uri] = file.path, file.sha256
            if landing.as_of == newest:  # one that stood on an earlier date left late rows to those after it
                taken[file.sha256] = newest
    finished = frozenset(digest for one in earlier if one.settings == settings for digest in one.finished)
    return _Known(labels=labels, digests=digests, finished=finished, taken=taken)


def _due(table: Table, env: Environment, known: _Known, *, base: Path, scratch: Path, until: date) -> tuple[Due, ...]:
    """Stage the sources that may hold something new; those that are known to hold nothing are left alone."""
    due = []
    for item in inventory(table, env, base=base):
        label = f"{item.uri} ({item.identity})"
        same = known.labels.get(item.uri) == label and known.digests[item.uri] in known.finished
        if same and table.source.type != "sql":  # a database may change rows behind an equal number of them
            continue
        file = stage(item, table, env, base=base, scratch=scratch, since=None, until=until)
        # bytes that came back after others had been in their place are news; those that only moved are not
        back = known.digests.get(item.uri, file.sha256) != file.sha256
        if back or file.sha256 not in known.finished:
            taken = None if back else known.taken.get(file.sha256)
            due.append(Due(uri=item.uri, label=label, file=file, taken=taken))
    return tuple(due)


def _newest(earlier: Sequence[Landing]) -> date | None:
    return max((one.as_of for one in earlier), default=None)


def _landing_id(name: str, as_of: date, settings: str, due: Sequence[Due], earlier: Sequence[Landing]) -> str:
    """Return the digest of all that decides which rows land; neither paths nor version numbers do."""
    sources = [[d.file.sha256, str(d.taken), [part for part in d.uri.split("/") if "=" in part]] for d in due]
    before = [one.landing_id for one in earlier if one.files]
    return digest_text(json.dumps([name, str(as_of), settings, sources, before, str(_newest(earlier))]))[:32]


def _set_aside(lake: Lake, quarantine: str, earlier: Sequence[Landing]) -> npt.NDArray[np.int64]:
    """Return the sorted fingerprints of the rows that standing landings quarantined (not those of rejected ones)."""
    files = [file for one in earlier for file in one.files]
    batches = lake.scan(quarantine, lake.version(quarantine), files=files, columns=["fingerprint"])
    return np.sort(np.concatenate([np.empty(0, np.int64), *(batch["fingerprint"].to_numpy() for batch in batches)]))


# --- what a snapshot sees ----------------------------------------------------------------------------------


def pin(pipeline: str, as_of: date, main: Sequence[Landing], known: Mapping[str, Sequence[Landing]]) -> Snapshot:
    """Say what a run that stands on ``as_of`` may know of these landings; later landings do not change it.

    Args:
        pipeline: Its name.
        as_of: Date the run stands on.
        main: Landings of the observations that stand, oldest first.
        known: The same of the other tables, by configured name.
    """
    pins = {name: _pin(f"{pipeline}.{name}", as_of, landings) for name, landings in sorted(known.items())}
    first = _pin(pipeline, as_of, main)
    content = [pipeline, str(as_of), first.landings, {name: p.landings for name, p in pins.items()}]
    return Snapshot(
        snapshot_id=digest_text(json.dumps(content)),
        pipeline=pipeline,
        as_of=as_of,
        cutoff=cutoff(as_of),
        main=first,
        known=pins,
    )


def _pin(table: str, as_of: date, landings: Sequence[Landing]) -> TablePin:
    visible = [one for one in landings if one.first_visible is not None and one.first_visible <= as_of]
    version = max((one.version_after for one in visible), default=-1)
    return TablePin(table=table, version=version, landings=tuple(one.landing_id for one in visible))


def read_pin(
    lake: Lake,
    pin: TablePin,
    landings: Sequence[Landing],
    cutoff: datetime,
    *,
    main: bool,
    columns: Sequence[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a pinned table that were known at the cut-off: one for each entity and day.

    Of an observation that was restated, only the version that became known last is read. Rows come in the order
    in which they landed.

    Args:
        lake: Where the table is.
        pin: Version and landings.
        landings: Landings of the table, at least the pinned ones.
        cutoff: First moment that is not known any more; see :func:`perennial.clock.cutoff`.
        main: Whether these are the observations, whose dates end with the as-of date.
        columns: Names to read; by default the canonical columns and the configured extra ones.

    Raises:
        IntegrityError: A data file is not the one that was recorded, or a pinned landing is not among ``landings``.
    """
    chosen = [one for one in landings if one.landing_id in set(pin.landings)]
    if len(chosen) != len(pin.landings):
        raise IntegrityError(
            f"{pin.table}: the snapshot names {len(pin.landings)} landings, {len(chosen)} are recorded"
        )
    where = pc.field(AVAILABLE_AT) <= cutoff
    if main:
        where &= pc.field(TIME) <= (cutoff - timedelta(days=1)).date()
    files = [file for one in chosen for file in one.files]
    present = lake.columns(pin.table, pin.version)
    names = list(columns) if columns is not None else [name for name in present if name not in _OWN]
    keys = [name for name in (ENTITY, TIME) if name in present]
    restating = [file for one in chosen if one.counts.restated for file in one.files]
    again = lake.scan(
        pin.table,
        pin.version,
        files=restating,
        columns=[*keys, AVAILABLE_AT],
        where=where & pc.field(RESTATES),
    )
    restated, newest = repeats(again)
    if not len(restated):
        yield from lake.scan(pin.table, pin.version, files=files, columns=names, where=where)
        return
    wanted = [*names, *(name for name in (*keys, RESTATES) if name not in names)]
    rows = lake.scan(pin.table, pin.version, files=files, columns=wanted, where=where)
    for batch in _in_force(rows, restated, newest):
        yield batch.select(names)


def _in_force(
    batches: Iterable[pa.RecordBatch], restated: npt.NDArray[np.uint64], newest: npt.NDArray[np.int64]
) -> Iterator[pa.RecordBatch]:
    """Drop the rows that another replaces: ``newest`` is the position, among restating rows, of what stands."""
    position = 0
    for batch in batches:
        keys = hash_keys(batch)
        at = np.minimum(np.searchsorted(restated, keys), len(restated) - 1)
        replaces = batch[RESTATES].to_numpy(zero_copy_only=False)
        here = position + np.cumsum(replaces) - 1
        stands = (restated[at] != keys) | (replaces & (newest[at] == here))
        position += int(replaces.sum())
        yield batch if stands.all() else batch.filter(pa.array(stands))
