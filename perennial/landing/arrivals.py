"""What of a source a landing has to take: rows that can be known by now and that no earlier landing took.

A row is *visible* from a business day on. Observations are so from the day of their date, or of their
``available_at`` if that is later; covariates known in advance from the day of their ``available_at`` alone. Where
the source does not say when a row became known, that is ``delay_days`` after its date, or, for a row that an
earlier landing should already have seen, the as-of date of the landing that does see it. Nothing depends on the
wall clock: the same bytes and the same as-of dates give the same rows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.checks.guards import FIRST_DAY, LAST_DAY, REASON, screen
from perennial.config.models import Guards, Table
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, RowCounts, StoredFile
from perennial.landing.dedupe import hash_rows
from perennial.sources import read
from perennial.sources.pseudonyms import Pseudonyms

Days = npt.NDArray[np.int32]

DAY_US = 86_400_000_000
ALWAYS = np.iinfo(np.int32).min
"""Visible from the beginning: a row without a legible date, which is to be set aside at once."""
QUARANTINE = pa.schema(
    [
        ("landing", pa.string()),
        ("table", pa.string()),
        ("as_of", pa.date32()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("entity", pa.string()),
        ("ds", pa.string()),
        ("y", pa.string()),
        ("available_at", pa.string()),
        ("extra", pa.string()),
        ("fingerprint", pa.int64()),
    ]
)
"""Columns of ``<pipeline>.quarantine``: the row as text, ``extra`` as ``name=value`` pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A staged source that may hold new rows.

    Attributes:
        uri: Where it came from.
        label: ``uri`` and what tells this state of it from others.
        taken: As-of date up to which an earlier landing took what this very file holds; ``None`` if none did.
    """

    uri: str
    label: str
    file: StoredFile
    taken: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What one landing is to read, and by which rules.

    Attributes:
        newest: Newest as-of date of an earlier landing of this table; ``None`` for the first one.
        set_aside: Sorted fingerprints of the rows that earlier landings quarantined: they are repetitions.
        pseudonyms: Replaces the columns that name people.
    """

    table: Table
    name: str
    main: bool
    as_of: date
    landing_id: str
    guards: Guards
    due: tuple[Due, ...]
    newest: date | None
    set_aside: npt.NDArray[np.int64]
    pseudonyms: Pseudonyms | None = None


class Walk:
    """One walk over the arrivals: yields the good rows, spools the bad ones, counts all of them.

    Args:
        arrivals: What to read.
        spool: File for the quarantined rows; the caller removes it.
    """

    def __init__(self, arrivals: Arrivals, spool: Path) -> None:
        self._arrivals = arrivals
        self._spool = pa.OSFile(str(spool), "wb")
        self._writer = pa.ipc.new_stream(self._spool, QUARANTINE)
        self._path = spool
        self._reasons: Counter[str] = Counter()
        self._deferred_by: Counter[str] = Counter()
        self._due = arrivals.due[0] if arrivals.due else None
        self._first_visible: int | None = None
        self._rows_in = self._accepted = self._duplicates = self._nulls = self._restated = 0

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._writer.close()
        self._spool.close()

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows to take, as far as each can be judged alone, with ``available_at``, in source order."""
        for due in self._arrivals.due:
            self._due = due
            for batch in read(due.file, self._arrivals.table, pseudonyms=self._arrivals.pseudonyms):
                screened = screen(self._arrived(batch, due), self._arrivals.guards, main=self._arrivals.main)
                self.reject(screened.rejected)
                if len(screened.accepted):
                    yield screened.accepted

    def _arrived(self, batch: pa.RecordBatch, due: Due) -> pa.RecordBatch:
        """Return the rows that are visible now and were not taken before; count those left for later."""
        stamped = stamp(batch, self._arrivals)
        new = np.ones(len(batch), dtype=np.bool_) if due.taken is None else stamped.could_be > _epoch(due.taken)
        now = stamped.visible <= _epoch(self._arrivals.as_of)
        self._rows_in += int(new.sum())
        self._deferred_by[due.file.sha256] += int((new & ~now).sum())
        take = new & now
        return stamped.rows if take.all() else stamped.rows.filter(pa.array(take))

    def accept(self, batch: pa.RecordBatch, restated: int = 0) -> None:
        """Count rows that are appended, ``restated`` of which replace earlier ones."""
        self._accepted += len(batch)
        self._restated += restated
        if TARGET in batch.schema.names:
            self._nulls += batch[TARGET].null_count
        if len(batch):
            first = int(_visible_from(batch, main=self._arrivals.main).min())
            self._first_visible = first if self._first_visible is None else min(first, self._first_visible)

    def repeat(self, rows: int) -> None:
        """Count rows that are dropped because they say what was known."""
        self._duplicates += rows

    def reject(self, batch: pa.RecordBatch) -> None:
        """Set rows aside, each with its ``reason``, unless an earlier landing has done so."""
        if not len(batch) or self._due is None:
            return
        rows = as_text(batch, self._arrivals, self._due.uri)
        at = np.searchsorted(self._arrivals.set_aside, (prints := rows["fingerprint"].to_numpy()))
        known = np.append(self._arrivals.set_aside, 0)[at] == prints
        known &= at < len(self._arrivals.set_aside)
        self.repeat(int(known.sum()))
        rows = rows.filter(pa.array(~known))
        self._reasons.update(rows[REASON].to_pylist())
        self._writer.write_batch(rows)

    def quarantined(self) -> Iterator[pa.RecordBatch]:
        """Read the spooled rows back, after the walk."""
        with pa.OSFile(str(self._path), "rb") as file, pa.ipc.open_stream(file) as stream:
            yield from stream

    @property
    def counts(self) -> RowCounts:
        """What became of the rows so far."""
        return RowCounts(
            rows_in=self._rows_in,
            accepted=self._accepted,
            quarantined=self._reasons.total(),
            duplicates=self._duplicates,
            deferred=self._deferred_by.total(),
            reasons=dict(sorted(self._reasons.items())),
            nulls=self._nulls,
            restated=self._restated,
        )

    @property
    def finished(self) -> tuple[str, ...]:
        """Digests of the sources of which nothing was left for later."""
        digests = dict.fromkeys(due.file.sha256 for due in self._arrivals.due)
        return tuple(digest for digest in digests if not self._deferred_by[digest])

    @property
    def first_visible(self) -> date | None:
        """The earliest as-of date that may see one of the accepted rows."""
        return None if self._first_visible is None else date.fromordinal(self._first_visible + _EPOCH)


_EPOCH = date(1970, 1, 1).toordinal()


def _epoch(day: date) -> int:
    return day.toordinal() - _EPOCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """A batch in which every row has its ``available_at``; days count from 1970-01-01, each of shape (n_rows,).

    Attributes:
        could_be: Day each row is visible from if it was there in time.
        visible: Day each is visible from in fact; later for a row that an earlier landing should have seen.
    """

    rows: pa.RecordBatch
    could_be: Days
    visible: Days


def stamp(batch: pa.RecordBatch, arrivals: Arrivals) -> Stamped:
    """Say when each row became known.

    A row whose date or ``available_at`` is not legible counts as visible always, so that it is set aside at once.
    """
    days = _days(batch)
    legible = (days >= _epoch(FIRST_DAY)) & (days <= _epoch(LAST_DAY))
    if AVAILABLE_AT in batch.schema.names:
        legible &= batch[AVAILABLE_AT].is_valid().to_numpy(zero_copy_only=False)
        visible = np.where(legible, _visible_from(batch, main=arrivals.main), ALWAYS).astype(np.int32)
        return Stamped(rows=batch, could_be=visible, visible=visible)
    days = np.where(legible, days, ALWAYS).astype(np.int32)
    known = np.where(legible, days + arrivals.table.delay_days, ALWAYS).astype(np.int32)
    could_be = np.maximum(known, days) if arrivals.main else known
    if arrivals.newest is not None:
        # a run for the past learns of a late row only after the runs for later dates have missed it
        late = legible & (could_be <= _epoch(arrivals.newest))
        known = np.where(late, _epoch(max(arrivals.as_of, arrivals.newest)), known).astype(np.int32)
    moments = pa.array((known.astype(np.int64) + 1) * DAY_US, mask=~legible).cast(pa.timestamp("us", "UTC"))
    return Stamped(
        rows=batch.append_column(AVAILABLE_AT, moments),
        could_be=could_be,
        visible=np.maximum(known, days) if arrivals.main else known,
    )


def _visible_from(batch: pa.RecordBatch, *, main: bool) -> Days:
    """Return the first as-of date whose cut-off is not before ``available_at`` (nor, for observations, ``ds``)."""
    moments = batch[AVAILABLE_AT].cast(pa.int64()).fill_null(0).to_numpy()
    known = (-(-moments // DAY_US) - 1).astype(np.int32)
    visible: Days = np.maximum(known, _days(batch)) if main else known
    return visible


def _days(batch: pa.RecordBatch) -> Days:
    days: Days = batch[TIME].cast(pa.int32()).fill_null(ALWAYS).to_numpy()
    return days


def as_text(batch: pa.RecordBatch, arrivals: Arrivals, source: str) -> pa.RecordBatch:
    """Write rejected rows (with ``reason``) as rows of the quarantine table."""
    texts = {name: batch[name].cast(pa.string()) for name in batch.schema.names}
    extra = [name for name in texts if name not in (ENTITY, TIME, TARGET, AVAILABLE_AT, REASON)]
    rows = {
        "landing": pa.repeat(arrivals.landing_id, len(batch)),
        "table": pa.repeat(arrivals.name, len(batch)),
        "as_of": pa.repeat(pa.scalar(arrivals.as_of, pa.date32()), len(batch)),
        "source": pa.repeat(source, len(batch)),
        "extra": _pairs(texts, extra),
        **{name: texts.get(name) or pa.nulls(len(batch), pa.string()) for name in QUARANTINE.names if name in texts},
    }
    missing = {name: pa.nulls(len(batch), QUARANTINE.field(name).type) for name in QUARANTINE.names if name not in rows}
    text = pa.RecordBatch.from_pydict(rows | missing).select(QUARANTINE.names)
    # when a row became known may depend on when it was looked at, so it does not tell one bad row from another
    prints = hash_rows(text, ("table", "reason", "entity", "ds", "y", "extra")).view(np.int64)
    return text.set_column(text.schema.get_field_index("fingerprint"), "fingerprint", pa.array(prints))


def _pairs(texts: dict[str, pa.Array], names: Sequence[str]) -> pa.Array:
    if not names:
        return pa.nulls(len(next(iter(texts.values()))), pa.string())
    pairs = [pc.binary_join_element_wise(name, texts[name].fill_null(""), "=") for name in names]
    return pc.binary_join_element_wise(*pairs, ", ")
