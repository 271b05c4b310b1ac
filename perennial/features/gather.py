"""Gather the rows of a snapshot into a :class:`~perennial.features.panel.Panel`, batch by batch.

Rows are reduced to codes and numbers as they stream in, so memory is 16 bytes a row and one dense matrix a
column, whatever the names of the entities are. Where a day was restated, the latest ``available_at`` wins.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.models import Forecast, KnownTable, Pipeline
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Snapshot, TablePin
from perennial.errors import TrainingError, sample
from perennial.features import kernels
from perennial.features.panel import Covariate, Floats, Ints, Labels, Panel, epoch_day

Read = Callable[[TablePin], Iterator[pa.RecordBatch]]
NEVER = np.iinfo(np.int64).min
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


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


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The numbers of one batch: codes, epoch days, availability, and values (n_columns, n_rows)."""

    entity: Ints
    day: Ints
    stamp: npt.NDArray[np.int64]
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
    names, statics = _Index(), {name: _Index() for name in forecast.static}
    attributes: dict[str, dict[int, int]] = {name: {} for name in forecast.static}
    chunks: list[_Chunk] = []
    for batch in read(snapshot.main):
        entity = names.encode(batch[ENTITY])
        chunks.append(_chunk(batch, entity, (TARGET, *forecast.observed)))
        for name, index in statics.items():
            _remember(attributes[name], entity, index.encode(batch[name]))
    if not sum(len(chunk.day) for chunk in chunks):
        raise TrainingError(f"{cfg.pipeline}: no row is visible at {snapshot.as_of}; check data.source and delay_days")
    order = np.argsort(np.array(list(names.codes), dtype=np.str_), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first_day = int(min(chunk.day.min() for chunk in chunks if len(chunk.day)))
    n_days = epoch_day(snapshot.as_of) - first_day + 1
    is_open = _open(first_day, n_days + forecast.horizon, forecast)
    cells, present = _dense(chunks, rank, first_day, (len(order), n_days))
    first = np.empty(len(order), dtype=np.int32)
    begin = np.empty(len(order), dtype=np.int32)
    kernels.settle(cells[0], present, is_open, forecast.absent == "zero", first, begin)
    for values in cells[1:]:
        kernels.carry_forward(values)
    fixed = _Index({name: int(rank[code]) for name, code in names.codes.items()}, fixed=True)
    return Panel(
        entities=np.array(list(names.codes), dtype=np.str_)[order],
        first_day=first_day,
        y=cells[0],
        first=first,
        begin=begin if forecast.trim_leading_zeros else first,
        open=is_open,
        static={name: _labels(statics[name], attributes[name], order) for name in forecast.static},
        observed={n: Covariate(values=v) for n, v in zip(forecast.observed, cells[1:], strict=True)},
        known=_known_columns(cfg, snapshot, read, fixed, first_day, n_days + forecast.horizon),
    )


def _chunk(batch: pa.RecordBatch, entity: Ints, columns: Sequence[str]) -> _Chunk:
    values = [_numbers(batch[name], name) for name in columns]
    return _Chunk(
        entity,
        batch[TIME].cast(pa.int32()).to_numpy(zero_copy_only=False),
        batch[AVAILABLE_AT].cast(pa.int64()).to_numpy(zero_copy_only=False),
        np.stack(values) if values else np.empty((0, len(entity)), dtype=np.float32),
    )


def _numbers(column: pa.Array, name: str) -> Floats:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise TrainingError(f"column {name!r} is {kind}, but a number is needed; map another one or drop it")
    values: Floats = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return values.astype(np.float32, copy=False)


def _remember(found: dict[int, int], entity: Ints, code: Ints) -> None:
    """Keep the last code of each entity of a batch."""
    known = code >= 0
    last, at = np.unique(entity[known][::-1], return_index=True)
    found.update(zip(last.tolist(), code[known][::-1][at].tolist(), strict=True))


def _labels(index: _Index, found: dict[int, int], order: npt.NDArray[np.int64]) -> Labels:
    names = list(index.codes)
    ranked = sorted(range(len(names)), key=names.__getitem__)
    rank = {code: i for i, code in enumerate(ranked)}
    codes = [rank.get(found.get(int(entity), -1), -1) for entity in order]
    return Labels(codes=np.array(codes, dtype=np.int32), names=tuple(names[i] for i in ranked))


def _open(first_day: int, columns: int, forecast: Forecast) -> npt.NDArray[np.bool_]:
    closed = [WEEKDAYS.index(day) for day in forecast.closed_weekdays]
    return ~np.isin((first_day + np.arange(columns) + 3) % 7, closed)


def _dense(
    chunks: list[_Chunk], rank: npt.NDArray[np.int64], first_day: int, shape: tuple[int, int]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Scatter chunks into (n_columns, *shape), freeing them on the way; also where any row was."""
    out = np.full((chunks[0].values.shape[0], *shape), np.nan, dtype=np.float32)
    latest = np.full(shape, NEVER, dtype=np.int64)
    while chunks:
        chunk = chunks.pop(0)
        row = np.where(chunk.entity >= 0, rank[chunk.entity], -1)
        kernels.scatter(row, chunk.day - first_day, chunk.stamp, chunk.values, out, latest)
    return out, latest != NEVER


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
    cells, _ = _dense(chunks, np.arange(rows), first_day, (rows, columns))
    if table.fill == "forward":
        for values in cells:
            kernels.carry_forward(values)
    return {name: _covariate(values, texts.get(name)) for name, values in zip(wanted, cells, strict=True)}


def _coded(column: pa.Array, name: str, texts: dict[str, _Index]) -> pa.Array:
    """Return numbers as they are and text as codes, null where there is none."""
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)):
        return column
    codes = texts.setdefault(name, _Index()).encode(column)
    return pa.array(codes, mask=codes < 0)


def _covariate(values: Floats, index: _Index | None) -> Covariate:
    if index is None:
        return Covariate(values=values)
    names = sorted(index.codes)
    rank = np.array([*np.argsort(np.argsort(list(index.codes))), np.nan], dtype=np.float32)
    codes = np.where(np.isnan(values), len(names), values).astype(np.int64)
    return Covariate(values=rank[codes], names=tuple(names))


def _before_start(chunk: _Chunk, first_day: int) -> _Chunk:
    """Move rows before the panel to its first column, the newest of them winning over older ones."""
    early = chunk.day < first_day
    stamp = np.where(early, NEVER + 1 + chunk.day.astype(np.int64) + 1_000_000, chunk.stamp)
    return _Chunk(chunk.entity, np.maximum(chunk.day, first_day), stamp, chunk.values)
