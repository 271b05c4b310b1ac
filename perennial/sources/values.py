"""Arrow columns of a source to canonical values, vectorised; what does not convert is marked, never raised.

Every converter takes an array of any type that :mod:`perennial.sources.columns` lets through and returns as many
values. Text is parsed once per distinct value, since days and keys repeat many times in a batch.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from perennial.errors import SchemaError

Role = Literal["key", "day", "moment", "number", "text"]
CELL_BYTES = 1_024
"""A longer text value is set aside: one such cell, repeated by a dictionary page, would fill the memory."""

_MOMENT = pa.timestamp("us", "UTC")
_DAY = pa.scalar(86_400_000_000, pa.duration("us"))
_NULL_WORDS = pa.array(["NA", "N/A", "null", "NULL", "None"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """Canonical values, and which of them could not be converted (``None``: all could)."""

    values: pa.Array
    bad: pa.Array | None = None


def is_text(type_: pa.DataType) -> bool:
    """Whether values are strings, in any of Arrow's layouts."""
    return bool(pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_))


def _by_value(array: pa.Array, parse: Callable[[pa.Array], Converted]) -> Converted:
    encoded = array if pt.is_dictionary(array.type) else array.dictionary_encode()
    made = parse(encoded.dictionary)
    values = made.values.take(encoded.indices)
    if made.bad is None:
        return Converted(values=values)
    return Converted(values=values, bad=pc.fill_null(made.bad.take(encoded.indices), False))


def _text(array: pa.Array) -> Converted:
    return _by_value(array, _clean)


def _clean(values: pa.Array) -> Converted:
    """One spelling for one key: NFC; refuse what no database or screen can hold."""
    text = values.cast(pa.string())
    try:
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        raise SchemaError("a text column is not valid UTF-8; convert the source to UTF-8") from error
    if not pc.all(pc.string_is_ascii(text)).as_py():
        # Arrow's own utf8_normalize (pyarrow 25) decomposes and never composes again
        composed = (v if v is None else unicodedata.normalize("NFC", v) for v in text.to_pylist())
        text = pa.array(composed, pa.string())
    bad = pc.or_(pc.match_substring(text, "\0"), pc.greater(pc.binary_length(text), CELL_BYTES))
    if not pc.any(bad).as_py():
        return Converted(values=text)
    return Converted(values=pc.if_else(bad, pa.scalar(None, pa.string()), text), bad=bad)


def _number(array: pa.Array) -> Converted:
    if pt.is_dictionary(array.type):
        return _by_value(array, _number)
    if not is_text(array.type):
        return Converted(values=array.cast(pa.float64(), safe=False))
    text = pc.if_else(pc.is_in(array, value_set=_NULL_WORDS), pa.scalar(None, array.type), array)
    return _parsed(text, cast_or_null(text, pa.float64()))


def _day(array: pa.Array) -> Converted:
    if is_text(array.type) or pt.is_dictionary(array.type):
        return _by_value(array, _parse_days)
    if pt.is_timestamp(array.type) and array.type.tz is not None:
        # the business date is the one that the owner of the clock saw
        array = array.cast(pa.timestamp(array.type.unit)) if array.type.tz == "UTC" else pc.local_timestamp(array)
    return Converted(values=array.cast(pa.date32(), safe=False))


def _parse_days(text: pa.Array) -> Converted:
    if not is_text(text.type):
        return _day(text)
    days = cast_or_null(pc.utf8_slice_codeunits(text, 0, 10), pa.date32())
    legible = pc.is_valid(_parse_moments(text).values)
    return _parsed(text, pc.if_else(legible, days, pa.scalar(None, pa.date32())))


def _moment(array: pa.Array) -> Converted:
    if is_text(array.type) or pt.is_dictionary(array.type):
        return _by_value(array, _parse_moments)
    moments = array.cast(_MOMENT, safe=False)
    # a bare date says "some time that day": only its end is safe, or the day before could see the row
    return Converted(values=pc.add(moments, _DAY) if pt.is_date(array.type) else moments)


def _parse_moments(text: pa.Array) -> Converted:
    if not is_text(text.type):
        return _moment(text)
    null = pa.scalar(None, text.type)
    zoned = pc.match_substring_regex(text, r":\d\d(\.\d+)?(Z|[+-]\d\d(:?\d\d)?)$")
    plain = cast_or_null(pc.if_else(zoned, null, text), pa.timestamp("us")).cast(_MOMENT)
    plain = pc.if_else(pc.equal(pc.binary_length(text), 10), pc.add(plain, _DAY), plain)
    return _parsed(text, pc.coalesce(cast_or_null(pc.if_else(zoned, text, null), _MOMENT), plain))


def _parsed(text: pa.Array, values: pa.Array) -> Converted:
    bad = pc.and_(pc.is_valid(text), pc.is_null(values))
    return Converted(values=values, bad=bad if pc.any(bad).as_py() else None)


def cast_or_null(text: pa.Array, to: pa.DataType) -> pa.Array:
    """Cast text; what does not parse becomes null. Halving finds k such values in O(k log n) casts.

    Example:
        >>> cast_or_null(pa.array(["1.5", "x"]), pa.float64()).to_pylist()
        [1.5, None]
    """
    try:
        return text.cast(to)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, to)
    half = len(text) // 2
    return pa.concat_arrays([cast_or_null(text[:half], to), cast_or_null(text[half:], to)])


CONVERTERS: dict[Role, Callable[[pa.Array], Converted]] = {
    "key": _text,
    "day": _day,
    "moment": _moment,
    "number": _number,
    "text": _text,
}
