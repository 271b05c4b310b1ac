"""Gather the rows of a snapshot into a :class:`~perennial.features.panel.Panel`, batch by batch.

Rows are reduced to codes and numbers as they stream in, so memory is 16 bytes a row and one dense matrix a
column, whatever the names of the entities are. Where a day was restated, the latest ``available_at`` wins.
Covariates known in advance keep, in two bytes a cell, when that was: see :class:`~perennial.features.panel.Covariate`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.forecast import Forecast
from perennial.config.models import KnownTable, Pipeline
from perennial.config.types import WEEKDAYS
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Read, Snapshot
from perennial.errors import TrainingError, sample
from perennial.features import kernels
from perennial.features.censoring import censored
from perennial.features.panel import Covariate, Days, Floats, Ints, Labels, Panel, epoch_day

NEVER = np.iinfo(np.int64).min
DAY_US = 86_400_000_000


@dataclass(slots=True)
class _Index:
    """Codes of names in order of first appearance; ``fixed`` ones take no new names."""

    codes: dict[str, int] = field(default_factory=dict)
    fixed: bool = False

    def encode(self, column: pa.Array) -> Ints:
        """Return the code of each value, -1 for null (and for new names if fixed)."""
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        codes = self.codes
        if not self.fixed:
            for name in column.dictionary.to_pylist():
                codes.setdefault(name, len(codes))
        lookup = np.array([*(codes.get(n, -1) for n in column.dictionary.to_pylist()), -1], dtype=np.int32)
        found: Ints = lookup[pc.fill_null(column.indices.cast(pa.int32()), -1).to_numpy(zero_copy_only=False)]
        return found


@dataclass(slots=True)
class _Newest:
    """The code of a static column on each entity's newest day, as it was known last; -1 without any."""

    codes: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    days: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    stamps: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def see(self, entity: Ints, day: Ints, stamp: npt.NDArray[np.int64], code: Ints) -> None:
        """Take the codes of a batch, in whatever order its rows come."""
        self._grow(int(entity.max(initial=-1)) + 1 - len(self.codes))
        if (code < 0).any():
            known = code >= 0
            entity, day, stamp, code = entity[known], day[known], stamp[known], code[known]
        before = self.days.copy()
        np.maximum.at(self.days, entity, day)
        self.stamps[self.days > before] = NEVER
        newest = np.flatnonzero(day == self.days[entity])
        np.maximum.at(self.stamps, entity[newest], stamp[newest])
        newest = newest[stamp[newest] == self.stamps[entity[newest]]]
        self.codes[entity[newest]] = code[newest]

    def _grow(self, by: int) -> None:
        if by > 0:
            self.codes = np.append(self.codes, np.full(by, -1, dtype=np.int32))
            self.days = np.append(self.days, np.full(by, np.iinfo(np.int32).min, dtype=np.int32))
            self.stamps = np.append(self.stamps, np.full(by, NEVER, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The numbers of one batch: codes, epoch days, availability, and values (n_columns, n_rows).

    Of one entity and day the latest ``stamp`` wins; ``lead`` is how many days before the day that was.
    """

    entity: Ints
    day: Ints
    stamp: npt.NDArray[np.int64]
    lead: Days
    values: Floats


def read_panel(cfg: Pipeline, snapshot: Snapshot, read: Read) -> Panel:
    """Build the panel of a snapshot.

    Args:
        cfg: Names the covariates and says what absence means.
        snapshot: What to read.
        read: Yields the visible rows of one pinned table, canonical columns, any order.

    Raises:
        TrainingError: There is no row, or a covariate is not numeric (or text, if known in advance).
    """
    forecast = cfg.forecast
    columns = dict.fromkeys((TARGET, *forecast.observed, *_stock(forecast)))
    names, statics = _Index(), {name: _Index() for name in forecast.static}
    newest = {name: _Newest() for name in forecast.static}
    chunks: list[_Chunk] = []
    for batch in read(snapshot.main):
        entity = names.encode(batch[ENTITY])
        chunks.append(_chunk(batch, entity, tuple(columns)))
        for name, index in statics.items():
            newest[name].see(entity, chunks[-1].day, chunks[-1].stamp, index.encode(batch[name]))
    if not sum(len(chunk.day) for chunk in chunks):
        raise TrainingError(f"{cfg.pipeline}: no row is visible at {snapshot.as_of}; check data.source and delay_days")
    order = np.argsort(np.array(list(names.codes), dtype=np.str_), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first_day = int(min(chunk.day.min() for chunk in chunks if len(chunk.day)))
    n_days = epoch_day(snapshot.as_of) - first_day + 1
    is_open = _open(first_day, n_days + forecast.horizon, forecast)
    cells, present, _ = _dense(chunks, rank, first_day, (len(order), n_days))
    first = np.empty(len(order), dtype=np.int32)
    begin = np.empty(len(order), dtype=np.int32)
    kernels.settle(cells[0], present, is_open, forecast.absent == "zero", first, begin)
    for values in cells[1:]:
        kernels.carry_forward(values)
    named = dict(zip(columns, cells, strict=True))
    hidden = _mask(named, forecast)
    fixed = _Index({name: int(rank[code]) for name, code in names.codes.items()}, fixed=True)
    return Panel(
        entities=np.array(list(names.codes), dtype=np.str_)[order],
        first_day=first_day,
        y=cells[0],
        first=first,
        begin=begin if forecast.trim_leading_zeros else first,
        open=is_open,
        static={name: _labels(statics[name], newest[name].codes[order]) for name in forecast.static},
        observed=_observed({name: named[name] for name in forecast.observed}),
        known=_known_columns(cfg, snapshot, read, fixed, first_day, n_days + forecast.horizon),
        censored=hidden,
    )


def _stock(forecast: Forecast) -> tuple[str, ...]:
    return (forecast.stockouts.on_hand,) if forecast.stockouts.on_hand else ()


def _mask(named: Mapping[str, Floats], forecast: Forecast) -> npt.NDArray[np.bool_] | None:
    """Make the target of days on which there was nothing to sell missing, in place, and return which they are."""
    if not forecast.stockouts.watched:
        return None
    y, on_hand = named[TARGET], [named[name] for name in _stock(forecast)]
    hidden = censored(y, on_hand[0] if on_hand else None, forecast.stockouts)
    y[hidden] = np.nan
    return hidden


def _chunk(batch: pa.RecordBatch, entity: Ints, columns: Sequence[str]) -> _Chunk:
    values = [_numbers(batch[name], name) for name in columns]
    day = batch[TIME].cast(pa.int32()).to_numpy(zero_copy_only=False)
    stamp = batch[AVAILABLE_AT].cast(pa.int64()).to_numpy(zero_copy_only=False)
    return _Chunk(
        entity, day, stamp, _lead(day, stamp), np.stack(values) if values else np.empty((0, len(entity)), np.float32)
    )


def _lead(day: Ints, stamp: npt.NDArray[np.int64]) -> Days:
    """Return the days from the first whose :func:`~perennial.clock.cutoff` is not before ``stamp`` to ``day``."""
    lead = np.clip(day + 1 - -(-stamp // DAY_US), -kernels.MOST, kernels.MOST)
    return lead.astype(np.int16)  # type: ignore[no-any-return]


def _observed(named: Mapping[str, Floats]) -> dict[str, Covariate]:
    """Return covariates known on their day, which is why no day after an origin may be asked of them."""
    return {name: Covariate(values=v, ahead=np.zeros((1, v.shape[1]), dtype=np.int16)) for name, v in named.items()}


def _numbers(column: pa.Array, name: str) -> Floats:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise TrainingError(f"column {name!r} is {kind}, but a number is needed; map another one or drop it")
    values: Floats = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return values.astype(np.float32, copy=False)


def _labels(index: _Index, codes: Ints) -> Labels:
    names = list(index.codes)
    ranked = sorted(range(len(names)), key=names.__getitem__)
    rank = np.full(len(names) + 1, -1, dtype=np.int32)
    rank[ranked] = np.arange(len(names))
    return Labels(codes=rank[codes], names=tuple(names[i] for i in ranked))


def _open(first_day: int, columns: int, forecast: Forecast) -> npt.NDArray[np.bool_]:
    closed = [WEEKDAYS.index(day) for day in forecast.closed_weekdays]
    return ~np.isin((first_day + np.arange(columns) + 3) % 7, closed)


def _dense(
    chunks: list[_Chunk],
    rank: npt.NDArray[np.int64],
    first_day: int,
    shape: tuple[int, int],
    *,
    leads: bool = False,
) -> tuple[Floats, npt.NDArray[np.bool_], Days]:
    """Scatter chunks into (n_columns, *shape), freeing them on the way; also where any row was, and its lead.

    That there is no row was always known, so that no value is sought before it.
    """
    out = np.full((chunks[0].values.shape[0], *shape), np.nan, dtype=np.float32)
    latest = np.full(shape, NEVER, dtype=np.int64)
    ahead = np.full(shape if leads else (0, 0), kernels.MOST, dtype=np.int16)
    while chunks:
        chunk = chunks.pop(0)
        row = np.where(chunk.entity >= 0, rank[chunk.entity], -1)
        kernels.scatter(row, chunk.day - first_day, chunk.stamp, chunk.lead, chunk.values, out, latest, ahead)
    return out, latest != NEVER, ahead


def _known_columns(
    cfg: Pipeline, snapshot: Snapshot, read: Read, names: _Index, first_day: int, columns: int
) -> dict[str, Covariate]:
    out: dict[str, Covariate] = {}
    for table, settings in cfg.known.items():
        wanted = [name for name in (*cfg.forecast.known, *_price(cfg)) if name in settings.columns.extra]
        if wanted and table in snapshot.known:
            batches = read(snapshot.known[table])
            out |= _covariates(batches, settings, tuple(dict.fromkeys(wanted)), names, first_day, columns)
    missing = [name for name in cfg.forecast.known if name not in out]
    if missing:
        raise TrainingError(
            f"{cfg.pipeline}: no rows for known covariates {sample(missing)}; "
            "name their table under `known` or drop them from forecast.known"
        )
    return out


def _price(cfg: Pipeline) -> tuple[str, ...]:
    return (cfg.evaluation.price,) if cfg.evaluation.price else ()


def _covariates(
    batches: Iterable[pa.RecordBatch],
    table: KnownTable,
    wanted: tuple[str, ...],
    names: _Index,
    first_day: int,
    columns: int,
) -> dict[str, Covariate]:
    texts: dict[str, _Index] = {}
    chunks: list[_Chunk] = []
    shared = table.columns.entity is None
    for batch in batches:
        entity = np.zeros(len(batch), dtype=np.int32) if shared else names.encode(batch[ENTITY])
        numeric = pa.RecordBatch.from_arrays(
            [_coded(batch[name], name, texts) for name in wanted] + [batch[TIME], batch[AVAILABLE_AT]],
            names=[*wanted, TIME, AVAILABLE_AT],
        )
        chunk = _chunk(numeric, entity, wanted)
        chunks.append(_before_start(chunk, first_day) if table.fill == "forward" else chunk)
    if not chunks:
        return {}
    rows = 1 if shared else len(names.codes)
    cells, _, ahead = _dense(chunks, np.arange(rows), first_day, (rows, columns), leads=True)
    return {
        name: _covariate(values, ahead, texts.get(name), forward=table.fill == "forward")
        for name, values in zip(wanted, cells, strict=True)
    }


def _coded(column: pa.Array, name: str, texts: dict[str, _Index]) -> pa.Array:
    """Return numbers as they are and text as codes, null where there is none."""
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
        return column
    codes = texts.setdefault(name, _Index()).encode(column)
    return pa.array(codes, mask=codes < 0)


def _covariate(values: Floats, ahead: Days, index: _Index | None, *, forward: bool) -> Covariate:
    if forward:
        ahead = ahead.copy()  # the columns of a table need not be empty on the same days
        kernels.hold(values, ahead)
    if index is None:
        return Covariate(values=values, ahead=ahead, forward=forward)
    names = sorted(index.codes)
    rank = np.array([*np.argsort(np.argsort(list(index.codes))), np.nan], dtype=np.float32)
    codes = np.where(np.isnan(values), len(names), values).astype(np.int64)
    return Covariate(values=rank[codes], ahead=ahead, names=tuple(names), forward=forward)


def _before_start(chunk: _Chunk, first_day: int) -> _Chunk:
    """Move rows before the panel to its first column, the newest of them winning over older ones."""
    early = chunk.day < first_day
    stamp = np.where(early, NEVER + 1 + chunk.day.astype(np.int64) + 1_000_000, chunk.stamp)
    day = np.maximum(chunk.day, first_day)
    return _Chunk(chunk.entity, day, stamp, _lead(day, chunk.stamp), chunk.values)
