"""Gather the rows of a snapshot into :class:`~perennial.features.events.Events`, batch by batch."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Read, Snapshot
from perennial.errors import TrainingError
from perennial.features.events import DAY, Events
from perennial.features.panel import Labels, epoch_day

Codes = npt.NDArray[np.int32]


@dataclass(slots=True)
class _Names:
    """Codes of texts in order of first appearance; a null is -1."""

    codes: dict[str, int] = field(default_factory=dict)
    parts: list[Codes] = field(default_factory=list)

    def take(self, column: pa.Array) -> None:
        """Encode one batch."""
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        lookup = [self.codes.setdefault(str(name), len(self.codes)) for name in column.dictionary.to_pylist()]
        table = np.array([*lookup, -1], dtype=np.int32)
        self.parts.append(table[column.indices.fill_null(len(lookup)).to_numpy(zero_copy_only=False)])

    def labels(self, order: npt.NDArray[np.intp]) -> Labels:
        """Return the codes in an order of the rows, the names sorted."""
        names = sorted(self.codes)
        rank = np.empty(len(names) + 1, dtype=np.int32)
        rank[[self.codes[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        rank[-1] = -1
        return Labels(codes=rank[np.concatenate(self.parts)][order], names=tuple(names))


def read_events(cfg: Pipeline, snapshot: Snapshot, read: Read) -> Events:
    """Build the events of a snapshot; of an event that was restated the newest row counts.

    Args:
        cfg: Names the columns.
        snapshot: What to read; events after its as-of date are left out.
        read: Yields the visible rows of one pinned table, canonical columns, any order.

    Raises:
        TrainingError: There is no row, or a column is not of the kind that is needed.
    """
    settings = cfg.classify
    ids, texts = _Names(), {name: _Names() for name in texts_of(cfg)}
    columns: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in (TARGET, *settings.numbers())}
    days, stamps = [], []
    for batch in read(snapshot.main):
        ids.take(batch[ENTITY])
        days.append(batch[TIME].cast(pa.int32()).to_numpy(zero_copy_only=False))
        stamps.append(batch[AVAILABLE_AT].cast(pa.int64()).to_numpy(zero_copy_only=False))
        for name, parts in columns.items():
            parts.append(_numbers(batch, name))
        for name, one in texts.items():
            one.take(batch[name])
    if not sum(map(len, days)):
        raise TrainingError(f"{cfg.pipeline}: no row is visible at {snapshot.as_of}; check data.source and delay_days")
    day, stamp = np.concatenate(days), np.concatenate(stamps)
    values = {name: np.concatenate(parts) for name, parts in columns.items()}
    second = np.zeros(len(day))
    if settings.time is not None:
        second = np.clip(np.nan_to_num(values[settings.time]), 0, DAY - 1)
    time = day.astype(np.int64) * DAY + second.astype(np.int64)
    names = ids.labels(np.arange(len(day)))
    order = _order(names.codes, day, stamp, time, epoch_day(snapshot.as_of))
    return Events(
        ids=np.array(names.names, dtype=np.str_)[names.codes[order]],
        time=time[order],
        y=values[TARGET][order],
        numbers={name: values[name][order] for name in settings.numbers()},
        labels={name: one.labels(order) for name, one in texts.items()},
        as_of=epoch_day(snapshot.as_of),
    )


def texts_of(cfg: Pipeline) -> tuple[str, ...]:
    """Return the text columns that are needed: of the features, the unit, slices and cohorts."""
    gated = (gate.slices for gate in cfg.gates if gate.slices)
    more = (*cfg.evaluation.slices, *gated, *((cfg.rollout.by,) if cfg.rollout.by else ()))
    return tuple(sorted({*cfg.classify.texts(), *more}))


def _order(
    code: Codes, day: Codes, stamp: npt.NDArray[np.int64], time: npt.NDArray[np.int64], as_of: int
) -> npt.NDArray[np.intp]:
    """Return the newest row of each event up to a day, in order of time, then of its name."""
    by_event = np.lexsort((stamp, day, code))
    code_, day_ = code[by_event], day[by_event]
    newest = np.r_[(code_[1:] != code_[:-1]) | (day_[1:] != day_[:-1]), True]
    kept = by_event[newest & (day_ <= as_of)]
    return np.asarray(kept[np.lexsort((code[kept], time[kept]))])


def _numbers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    column = batch[name]
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
        raise TrainingError(
            f"column {name!r} is {column.type}, but is used as a number; map a number, or use it as text"
        )
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(values, dtype=np.float64)
