"""Appending what arrives: in one pass where order proves that rows are new, in two where they must be compared."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.checks.guards import REASON
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Landing
from perennial.errors import SchemaError, sample
from perennial.lake.tables import LANDING, Appended, Lake
from perennial.landing.arrivals import Arrivals, Walk
from perennial.landing.dedupe import CONFLICT, DUPLICATE, RESTATE, SUPERSEDED, Fingerprints, InOrder, verdicts

RESTATES = "restates"
"""Column: whether the row replaces an earlier one of the same entity and day."""


class _NotProvenError(Exception):
    """The order of the rows does not show that none of them repeats another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appending:
    """One append: first in the hope that the order of the rows proves them new, else by comparing all of them.

    Attributes:
        earlier: Landings of the table that stand.
        version: Version of the table that holds their rows; -1 without a table.
        folder: Empty scratch folder.
    """

    arrivals: Arrivals
    lake: Lake
    earlier: tuple[Landing, ...]
    version: int
    folder: Path

    def __call__(self) -> tuple[Walk, Appended]:
        """Append the rows that are new; also return the walk that counted every row and spooled the bad ones."""
        try:
            with Walk(self.arrivals, self.folder / "ordered.arrow") as walk:
                return walk, self._write(self._ordered(walk))
        except _NotProvenError:
            found = self._verdicts()
            with Walk(self.arrivals, self.folder / "compared.arrow") as walk:
                return walk, self._write(self._compared(walk, found))

    def _write(self, batches: Iterator[pa.RecordBatch]) -> Appended:
        first = next(batches, None)
        if first is None:
            return Appended(version=self.version, files=())
        rows = _alike(chain((first,), batches), first.schema, self.arrivals.name)
        return self.lake.append(self.arrivals.name, rows, first.schema)

    def _ordered(self, walk: Walk) -> Iterator[pa.RecordBatch]:
        order = InOrder()
        for batch in walk.rows():
            if self._may_have_landed(batch) or not order.holds(batch):
                raise _NotProvenError
            walk.accept(batch)
            yield self._finished(batch, np.zeros(len(batch), dtype=np.bool_))

    def _may_have_landed(self, batch: pa.RecordBatch) -> bool:
        """Whether an earlier landing may hold a row of the same key: none of observations is newer than it was."""
        if not any(one.counts.accepted for one in self.earlier):
            return False
        return not self.arrivals.main or pc.min(batch[TIME]).as_py() <= self.arrivals.newest

    def _verdicts(self) -> npt.NDArray[np.uint8]:
        columns = self.arrivals.table.columns
        values = [TARGET] * bool(columns.y) + sorted(columns.extra)
        prints = Fingerprints(self.folder, values)
        with Walk(self.arrivals, self.folder / "first.arrow") as walk:
            for batch in walk.rows():
                prints.add(batch)
        for batch in self._landed(prints.days, values):
            prints.add(batch, landed=True)
        return verdicts(prints, stamped=columns.available_at is not None)

    def _landed(self, days: tuple[int, int] | None, values: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read the rows that earlier landings appended for the days in question."""
        if days is None or self.version < 0:
            return iter(())
        first, last = (pa.scalar(day, pa.int32()).cast(pa.date32()) for day in days)
        present = self.lake.columns(self.arrivals.name, self.version)
        return self.lake.scan(
            self.arrivals.name,
            self.version,
            files=[file for one in self.earlier for file in one.files],
            columns=[name for name in (ENTITY, TIME, AVAILABLE_AT, *values) if name in present],
            where=(pc.field(TIME) >= first) & (pc.field(TIME) <= last),
        )

    def _compared(self, walk: Walk, found: npt.NDArray[np.uint8]) -> Iterator[pa.RecordBatch]:
        at = 0
        for batch in walk.rows():
            verdict, at = found[at : at + len(batch)], at + len(batch)
            walk.repeat(int((verdict == DUPLICATE).sum()))
            for code, reason in ((CONFLICT, "conflict"), (SUPERSEDED, "superseded")):
                rows = batch.filter(pa.array(verdict == code))
                walk.reject(rows.append_column(REASON, pa.repeat(reason, len(rows))))
            kept = verdict <= RESTATE
            if kept.any():
                restates = verdict[kept] == RESTATE
                batch = batch if kept.all() else batch.filter(pa.array(kept))
                walk.accept(batch, int(restates.sum()))
                yield self._finished(batch, restates)

    def _finished(self, batch: pa.RecordBatch, restates: npt.NDArray[np.bool_]) -> pa.RecordBatch:
        landing = pa.repeat(self.arrivals.landing_id, len(batch))
        return batch.append_column(LANDING, landing).append_column(RESTATES, pa.array(restates))


def _alike(batches: Iterable[pa.RecordBatch], schema: pa.Schema, table: str) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.schema != schema:
            here = {f"{f.name}: {f.type}" for f in batch.schema} ^ {f"{f.name}: {f.type}" for f in schema}
            raise SchemaError(f"{table}: files of one source disagree about {sample(sorted(here))}; make them alike")
        yield batch
