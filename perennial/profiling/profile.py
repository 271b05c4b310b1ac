"""What a table is like: facts of every column, and whether its days lie side by side (a wide table)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from perennial.errors import SourceUnusable
from perennial.profiling.opening import Opened
from perennial.profiling.parsing import Reading, reading, typed

KEPT_CELLS = 30_000_000
"""Cells that are looked at; of a larger table every second, fourth, ... block of rows."""
MIN_WIDE = 14
"""So many columns that are days, two weeks, make a wide table."""
_COUNTED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)")
_SPELLINGS = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%m/%d/%y", "%Y%m%d", "%Y/%m/%d")

Tell = Callable[[int, int], None]
"""Hears how many rows have been read, and of how many (0: not known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """One column as it was found.

    Attributes:
        nulls: Share of values that are missing or do not parse.
        distinct: Number of distinct values.
        low: Smallest number; nan for others.
        high: Largest number; nan for others.
        whole: Whether all numbers are integers.
    """

    name: str
    reading: Reading
    nulls: float
    distinct: int
    low: float
    high: float
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide:
    """Days side by side.

    Attributes:
        ids: Columns that name a series.
        days: Columns that are days, in order of time.
        first: The first day, where the names of the columns tell it.
    """

    ids: tuple[str, ...]
    days: tuple[str, ...]
    first: datetime | None
    spelling: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A table and what was found in it.

    Attributes:
        frame: The rows that were looked at, typed (of a wide table only the columns that name series).
        rows: Rows of the whole table.
        columns: Facts by name, in the order of the table.
    """

    opened: Opened
    frame: pd.DataFrame
    rows: int
    columns: dict[str, ColumnFacts]
    wide: Wide | None

    @property
    def sampled(self) -> bool:
        """Whether only a part of the rows was looked at."""
        return len(self.frame) < self.rows

    def numbers(self) -> tuple[str, ...]:
        """Return the number columns."""
        return tuple(name for name, c in self.columns.items() if c.reading.role == "number")


def profile(opened: Opened, tell: Tell = lambda _done, _of: None) -> Profile:
    """Read a table once and describe it.

    Raises:
        SourceUnusable: It has no rows.
    """
    table, rows = _thinned(opened, tell)
    if not rows:
        raise SourceUnusable(f"{opened.label} has no rows")
    wide = _wide(table.column_names)
    names = [*wide.ids, wide.days[0], wide.days[-1]] if wide else table.column_names
    readings = {name: reading(name, table.column(name), loose=opened.loose) for name in names}
    frame = pd.DataFrame({name: typed(table.column(name), how) for name, how in readings.items()})
    columns = {name: _facts(frame[name], how) for name, how in readings.items()}
    if wide and any(columns[day].reading.role != "number" for day in (wide.days[0], wide.days[-1])):
        wide = None
    return Profile(opened=opened, frame=frame, rows=rows, columns=columns, wide=wide)


def _thinned(opened: Opened, tell: Tell) -> tuple[pa.Table, int]:
    kept: list[pa.RecordBatch] = []
    stride = 1
    rows = 0
    for at, batch in enumerate(opened.batches()):
        rows += batch.num_rows
        tell(rows, opened.rows)
        if at % stride == 0:
            kept.append(batch)
        if sum(b.num_rows for b in kept) * max(batch.num_columns, 1) > KEPT_CELLS and len(kept) > 1:
            kept, stride = kept[::2], stride * 2
    return pa.Table.from_batches(kept) if kept else pa.table({}), rows


def _facts(values: "pd.Series[float]", how: Reading) -> ColumnFacts:
    found = values.dropna()
    number = how.role == "number"
    finite = found[np.isfinite(found)] if number else found[:0]
    return ColumnFacts(
        name=how.name,
        reading=how,
        nulls=1 - len(found) / max(len(values), 1),
        distinct=int(found.nunique()),
        low=float(finite.min()) if len(finite) else float("nan"),
        high=float(finite.max()) if len(finite) else float("nan"),
        whole=bool(number and len(finite) and (finite == finite.round()).all()),
    )


def _wide(names: Sequence[str]) -> Wide | None:
    """Find columns that are named like days in a row: ``d_1`` ... ``d_1941``, or dates."""
    for spelling in _SPELLINGS:
        dated = {name: day for name in names if (day := _day(name, spelling)) is not None}
        if len(dated) >= MIN_WIDE:
            days = tuple(sorted(dated, key=lambda name: dated[name]))
            ids = tuple(name for name in names if name not in dated)
            return Wide(ids=ids, days=days, first=dated[days[0]], spelling=spelling)
    counted = {name: m for name in names if (m := _COUNTED.fullmatch(name)) and len(m["number"]) <= 5}
    stems = [m["stem"] for m in counted.values()]
    stem = max(set(stems), key=stems.count, default="")
    run = sorted((int(m["number"]), name) for name, m in counted.items() if m["stem"] == stem)
    numbers = [number for number, _ in run]
    likely = re.fullmatch(r"(d|day|t|w|week|f|m|month)?[_\- ]?", stem.lower()) is not None
    if len(run) < MIN_WIDE or not likely or numbers != list(range(numbers[0], numbers[0] + len(run))):
        return None
    ids = tuple(name for name in names if name not in {n for _, n in run})
    return Wide(ids=ids, days=tuple(name for _, name in run), first=None, spelling="") if ids else None


def _day(name: str, spelling: str) -> datetime | None:
    try:
        return datetime.strptime(name.strip(), spelling)
    except ValueError:
        return None
