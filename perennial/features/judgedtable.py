"""Gather the rows of a snapshot into :class:`~perennial.features.unusual.Events`, each as it was known last."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.models import Pipeline
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Read, Snapshot
from perennial.errors import TrainingError
from perennial.features.panel import epoch_day
from perennial.features.peers import Codes, Doubles
from perennial.features.unusual import Events

HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTable:
    """Everything that was known of the events up to a date.

    Attributes:
        as_of: Business date.
        names: Id of each event, in the order of ``events``.
        events: Their numbers, oldest first.
        verdict: 1 confirmed, 0 dismissed, nan not looked at, shape (n_events,).
        groups: Name of what one alert speaks for, by code.
    """

    as_of: date
    names: pa.Array
    events: Events
    verdict: Doubles
    groups: pa.Array

    def column(self, day: date) -> int:
        """Return a date as days since 1970-01-01."""
        return epoch_day(day)


def read_events(cfg: Pipeline, snapshot: Snapshot, read: Read) -> EventTable:
    """Read the events of a snapshot; of a restated one the latest version counts.

    Raises:
        TrainingError: There is no row, or a measured column is not numeric.
    """
    mine = cfg.anomaly
    batches = list(read(snapshot.main))
    rows = pa.Table.from_batches(batches) if batches else None
    if rows is None or not rows.num_rows:
        raise TrainingError(f"{cfg.pipeline}: no row is visible at {snapshot.as_of}; check data.source and delay_days")
    rows = _newest(rows.filter(pc.less_equal(rows[TIME], pa.scalar(snapshot.as_of, pa.date32()))), mine.seconds)
    measures = {
        name: np.prod([_numbers(cfg, rows, column) for column in one.columns], axis=0)
        for name, one in mine.measures.items()
    }
    seconds = np.nan_to_num(_numbers(cfg, rows, mine.seconds)) if mine.seconds else np.empty(0)
    entity = rows[ENTITY].combine_chunks().cast(pa.string())
    group = rows[mine.group].combine_chunks().cast(pa.string()) if mine.group else entity
    groups = pc.coalesce(group, entity).dictionary_encode()  # an event of no group speaks for itself
    events = Events(
        day=rows[TIME].cast(pa.int32()).to_numpy().astype(np.int32),
        measures=measures,
        peers={name: _codes(rows[name]) for name in mine.peers},
        same=_same([rows[name] for name in mine.repeats]),
        hour=np.clip(seconds // HOUR_S, 0, 23).astype(np.int32),
        group=groups.indices.to_numpy().astype(np.int32),
    )
    verdict = pc.fill_null(rows[TARGET].cast(pa.float64()), float("nan")).to_numpy()
    names = rows[ENTITY].combine_chunks().cast(pa.string())
    return EventTable(as_of=snapshot.as_of, names=names, events=events, verdict=verdict, groups=groups.dictionary)


def _newest(rows: pa.Table, seconds: str | None) -> pa.Table:
    """Keep the latest version of each event, and sort by day, second and id: the order they became known in."""
    stamp = rows[AVAILABLE_AT].cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
    entity = _codes(rows[ENTITY])
    day = rows[TIME].cast(pa.int32()).to_numpy()
    order = np.lexsort((stamp, entity, day))
    last = np.ones(len(order), bool)
    last[:-1] = (entity[order][1:] != entity[order][:-1]) | (day[order][1:] != day[order][:-1])
    rows = rows.take(pa.array(order[last]))
    keys = [(TIME, "ascending"), *([(seconds, "ascending")] if seconds else []), (ENTITY, "ascending")]
    return rows.take(pc.sort_indices(rows, sort_keys=keys))


def _numbers(cfg: Pipeline, rows: pa.Table, name: str) -> Doubles:
    column = rows[name]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise TrainingError(f"{cfg.pipeline}: `{name}` holds {column.type}, not numbers; map a numeric column")
    out: Doubles = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return out


def _codes(column: pa.ChunkedArray) -> Codes:
    """Return the code of each value, -1 for null."""
    flat = column.combine_chunks()
    found = flat if pa.types.is_dictionary(flat.type) else flat.dictionary_encode()
    codes: Codes = pc.fill_null(found.indices.cast(pa.int32()), -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return codes


def _same(columns: list[pa.ChunkedArray]) -> Codes:
    """Return one code for each combination of values that occurs."""
    if not columns:
        return np.empty(0, np.int32)
    code: npt.NDArray[np.int64] = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        own = _codes(column).astype(np.int64) + 1
        code = np.unique(code * (int(own.max(initial=0)) + 1) + own, return_inverse=True)[1].ravel()
    return code.astype(np.int32)
