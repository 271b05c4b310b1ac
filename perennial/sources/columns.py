"""Foreign columns to ours: the one place where the names and types of a source are mapped.

A source calls a product ``StockCode`` and stores units as ``int16``; behind this border there are only
``entity`` (string), ``ds`` (date32), ``y`` (float64), ``available_at`` (timestamp[us, UTC]) and extra columns
that are either numbers (float64) or text (string). A column that the pipeline does not map is absent.

A *retyped* column (text where the file promises numbers) is a :class:`SchemaError`. A single value that does
not parse, in a format that cannot promise types, becomes null and its row carries the reason in ``_bad``.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from perennial.arrow import escape
from perennial.config.models import KnownTable, Table
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME
from perennial.errors import SchemaError, sample
from perennial.sources.pseudonyms import Pseudonyms
from perennial.sources.values import CONVERTERS, Converted, Role, is_text

BAD = "_bad"
"""Column: why a row cannot be used (``bad_key``, ``bad_date``, ``bad_number``, ``bad_text``); null when it can."""
ONLY_ENTITY = "all"
"""Entity of every row of a main table that maps no entity column."""
LOOSE = {b"perennial": b"loose"}
"""Metadata of a string field whose format has no types (CSV, folder names, SQLite): numbers are parsed from it."""
MAX_COLUMNS = 10_000
WHOLE_COLUMN = 100
"""So many values without a single one that parses: the column is of another type, not its values broken."""

_EXPECTED: dict[Role, str] = {
    "key": "text or integers",
    "day": "dates (YYYY-MM-DD)",
    "moment": "timestamps (YYYY-MM-DD HH:MM:SS, UTC unless a zone is given)",
    "number": "numbers",
    "text": "text or integers",
}
_REASON: dict[Role, str] = {
    "key": "bad_key",
    "day": "bad_date",
    "moment": "bad_date",
    "number": "bad_number",
    "text": "bad_text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One column of the source that the pipeline maps.

    Attributes:
        ours: Canonical name; the parts of a composite entity share one.
        theirs: Name in the source.
        role: What its values must be.
        open: An extra column: :func:`resolve` makes it ``text`` if the source says that it holds text.
    """

    ours: str
    theirs: str
    role: Role
    open: bool = False


def wanted(table: Table, *, keys_only: bool = False, pseudonyms: Pseudonyms | None = None) -> tuple[Wanted, ...]:
    """List the mapped columns in canonical order; ``keys_only`` leaves out target and extra columns."""
    people = pseudonyms.columns if pseudonyms else frozenset()
    names = table.columns
    entity = (names.entity,) if isinstance(names.entity, str) else names.entity or ()
    keys = [Wanted(ours=ENTITY, theirs=part, role="key") for part in entity]
    keys.append(Wanted(ours=TIME, theirs=names.ds, role="day"))
    target = [Wanted(ours=TARGET, theirs=names.y, role="number")] if names.y else []
    moment = [Wanted(ours=AVAILABLE_AT, theirs=names.available_at, role="moment")] if names.available_at else []
    extra = [
        Wanted(ours=ours, theirs=theirs, role="text" if ours in names.text or ours in people else "number", open=True)
        for ours, theirs in names.extra.items()
    ]
    return tuple(keys + moment if keys_only else keys + target + moment + extra)


def resolve(columns: Sequence[Wanted], fields: Iterable[pa.Field]) -> tuple[Wanted, ...]:
    """Match the mapped columns with those a source has, and settle the role of every extra column.

    Args:
        columns: From :func:`wanted`.
        fields: Every field of the source.

    Raises:
        SchemaError: A column is missing, there twice, or of another type; or there are too many columns.
    """
    found = list(fields)
    if len(found) > MAX_COLUMNS:
        raise SchemaError(f"it has {len(found):,} columns, at most {MAX_COLUMNS:,} are read; select fewer")
    _refuse_missing(columns, Counter(field.name for field in found))
    by_name = {field.name: field for field in found}
    return tuple(_settle(column, by_name[column.theirs]) for column in columns)


def _refuse_missing(columns: Sequence[Wanted], counts: Counter[str]) -> None:
    problems = [_absence(c, counts) for c in columns if counts[c.theirs] == 0]
    problems += [f"column {c.theirs!r} is there {counts[c.theirs]} times" for c in columns if counts[c.theirs] > 1]
    if problems:
        raise SchemaError(
            f"{'; '.join(problems)}. It has the columns {sample(counts, limit=20)}. "
            "Correct `columns` in the pipeline file, or ask the owner of the source what changed."
        )


def _absence(column: Wanted, counts: Counter[str]) -> str:
    near = difflib.get_close_matches(column.theirs, list(counts), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"no column {column.theirs!r} for {column.ours!r}{hint}"


def _settle(column: Wanted, field: pa.Field) -> Wanted:
    type_ = field.type.value_type if pt.is_dictionary(field.type) else field.type
    loose = (field.metadata or {}).items() >= LOOSE.items()
    role: Role = "text" if column.open and is_text(type_) and not loose else column.role
    if not (pt.is_null(type_) or _fits(role, type_, loose=loose)):
        raise SchemaError(
            f"column {field.name!r} for {column.ours!r} holds {type_}, expected {_EXPECTED[role]}. "
            "Convert it at the source, or map another column."
        )
    return replace(column, role=role, open=False)


def _fits(role: Role, type_: pa.DataType, *, loose: bool) -> bool:
    if role in ("key", "text"):
        return is_text(type_) or bool(pt.is_integer(type_))
    if role in ("day", "moment"):
        return is_text(type_) or bool(pt.is_date(type_) or pt.is_timestamp(type_))
    number = pt.is_integer(type_) or pt.is_floating(type_) or pt.is_decimal(type_) or pt.is_boolean(type_)
    return bool(number) or (loose and is_text(type_))


def canonical(
    batch: pa.RecordBatch, columns: Sequence[Wanted], table: Table, pseudonyms: Pseudonyms | None = None
) -> pa.RecordBatch:
    """Convert one batch of a source.

    Args:
        batch: Rows with the source's names and types.
        columns: From :func:`resolve`.
        table: Tells observations, which always have an entity, from a known table.
        pseudonyms: Which columns name people; nobody behind this function sees their values.

    Returns:
        As many rows, in the same order, with the canonical columns and ``_bad`` last.

    Raises:
        SchemaError: A text column is not UTF-8, or not one value of a column is of the expected type.
    """
    out: dict[str, Converted] = {}
    quote = pseudonyms is None
    parts = [_convert(batch, c, quote=quote) for c in columns if c.ours == ENTITY]
    if parts:
        out[ENTITY] = parts[0] if len(parts) == 1 else _join(parts)
    elif not isinstance(table, KnownTable):
        out[ENTITY] = Converted(values=pa.repeat(ONLY_ENTITY, batch.num_rows))
    out |= {c.ours: _convert(batch, c, quote=quote) for c in columns if c.ours != ENTITY}
    if pseudonyms:
        people = pseudonyms.columns & out.keys()
        out |= {name: replace(out[name], values=pseudonyms.replace(out[name].values)) for name in people}
    arrays = [*(c.values for c in out.values()), _reasons(batch.num_rows, out, columns)]
    return pa.RecordBatch.from_arrays(arrays, names=[*out, BAD])


def _reasons(rows: int, out: Mapping[str, Converted], columns: Sequence[Wanted]) -> pa.Array:
    """One reason a row, the first, so that the reasons add up to rows."""
    roles = {c.ours: c.role for c in columns}
    reasons = pa.nulls(rows, pa.string())
    for name, made in out.items():
        if made.bad is not None:
            reasons = pc.if_else(pc.and_(made.bad, pc.is_null(reasons)), _REASON[roles[name]], reasons)
    return reasons


def _join(parts: Sequence[Converted]) -> Converted:
    """Join a composite key; a slash inside a part is escaped, or a/b + c and a + b/c would be one entity."""
    escaped = [escape(part.values) for part in parts]
    bad = [part.bad for part in parts if part.bad is not None]
    return Converted(values=pc.binary_join_element_wise(*escaped, "/"), bad=reduce(pc.or_, bad) if bad else None)


def _convert(batch: pa.RecordBatch, column: Wanted, *, quote: bool) -> Converted:
    array = batch.column(column.theirs)
    made = CONVERTERS[column.role](array)
    if made.bad is not None and column.role not in ("key", "text"):
        _refuse_retyped(column, array, made.bad, quote=quote)
    return made


def _refuse_retyped(column: Wanted, array: pa.Array, bad: pa.Array, *, quote: bool) -> None:
    count = pc.sum(bad).as_py()
    if count >= WHOLE_COLUMN and count == len(array) - array.null_count:
        shown = sample(array.drop_null()[:3].to_pylist()) if quote else "other values"
        raise SchemaError(
            f"column {column.theirs!r} for {column.ours!r} holds {shown}, "
            f"expected {_EXPECTED[column.role]}. "
            f"Convert it at the source, or list {column.ours!r} under columns.text if it is meant to be text."
        )
