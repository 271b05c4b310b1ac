"""How the text of a column reads: as numbers (also 1.234,5), as dates in many spellings, or as text.

One table has one spelling: a column is read by the first format that all its values follow. Where 03/04/2024 could be
March or April, the reading under which the dates lie closer together wins, and the guess says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from perennial.sources.values import is_text

Role = Literal["number", "day", "moment", "text"]
ISO = "iso"
EUROPEAN, AMERICAN = "1.234,5", "1,234.5"
NULL_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-", "?")
_LOOKED_AT = 3_000
"""Distinct values that settle how a column is spelled."""
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_AMERICAN = re.compile(r"[+-]?\d{1,3}(,\d{3})*(\.\d+)?")
_EUROPEAN = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?")
_DAYS: tuple[str, ...] = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %b %Y",
    "%d-%b-%Y",
)
_DAYS += ("%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%y", "%Y%m%d", "%Y-%m")
_CLOCKS = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S", " %I:%M %p")
FIRST, LAST = datetime(1900, 1, 1), datetime(2200, 12, 31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How one column is read.

    Attributes:
        format: ``""`` where the values are typed already, ``iso``, a ``strptime`` format, or a way to write numbers.
        as_is: Whether the sources of a pipeline read it so too; otherwise the table has to be converted.
        doubt: What else it could mean; ``""`` if nothing.
    """

    name: str
    role: Role
    format: str = ""
    as_is: bool = True
    doubt: str = ""


def reading(name: str, values: pa.ChunkedArray, *, loose: bool) -> Reading:
    """Settle how a column is read.

    Args:
        name: Of the column.
        values: A good part of it.
        loose: Whether the format has no types (CSV, SQLite), so that a pipeline parses numbers from text.
    """
    kind = values.type.value_type if pt.is_dictionary(values.type) else values.type
    if pt.is_boolean(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return Reading(name=name, role="number")
    if pt.is_integer(kind):
        return _integers(name, values)
    if pt.is_date(kind) or pt.is_timestamp(kind):
        return Reading(name=name, role="moment" if pt.is_timestamp(kind) and _has_clock(values) else "day")
    if not is_text(kind):
        return Reading(name=name, role="text", as_is=False)
    return _text(name, _distinct(values), loose)


def typed(values: pa.ChunkedArray, how: Reading) -> "pd.Series[Any]":
    """Return a column as float64, text or naive timestamps, of the same length; what does not parse is null."""
    if how.role == "text":
        return _pandas(values.cast(pa.string()))
    if how.format == "":
        return _native(values, how)
    text = values.cast(pa.string()).dictionary_encode().combine_chunks()
    words = [_clean(word) for word in text.dictionary.to_pylist()]
    codes = text.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    parsed = _numbers(words, how.format) if how.role == "number" else _dates(words, how.format)
    column: pd.Series[Any] = parsed.reindex(range(-1, len(words))).iloc[codes + 1].reset_index(drop=True)
    return column


def _pandas(values: pa.ChunkedArray) -> "pd.Series[Any]":
    column: pd.Series[Any] = values.to_pandas()
    return column


def _native(values: pa.ChunkedArray, how: Reading) -> "pd.Series[Any]":
    if how.role == "number":
        kind = values.type
        plain = values.cast(pa.float64(), safe=False) if not pt.is_boolean(kind) else values.cast(pa.int8())
        return _pandas(plain.cast(pa.float64()))
    if pt.is_timestamp(values.type) and values.type.tz is not None:
        values = pc.local_timestamp(values)
    return _pandas(values.cast(pa.timestamp("us"), safe=False))


def _integers(name: str, values: pa.ChunkedArray) -> Reading:
    """Integers such as 20240131 are dates, if every one of them is."""
    ends = pc.min_max(values).as_py()
    if ends["min"] is not None and 19_000_101 <= ends["min"] <= ends["max"] <= 22_001_231:
        words = _distinct(values.cast(pa.string()))
        if len(words) > 1 and _all_parse(words, "%Y%m%d"):
            return Reading(name=name, role="day", format="%Y%m%d", as_is=False)
    return Reading(name=name, role="number")


def _text(name: str, words: list[str], loose: bool) -> Reading:
    if not words:
        return Reading(name=name, role="number" if loose else "text")
    if all(_ISO.fullmatch(word) for word in words) and _all_parse([w[:10] for w in words], "%Y-%m-%d"):
        clock = any(word[10:].strip("T 0:.Z") for word in words)
        return Reading(name=name, role="moment" if clock else "day", format=ISO)
    found = _date_format(words)
    if found is not None:
        return Reading(name=name, role=found[0], format=found[1], as_is=False, doubt=found[2])
    if any(re.fullmatch(r"[+-]?0\d+", word) for word in words):
        return Reading(name=name, role="text")  # 007 is a name
    if all(_PLAIN.fullmatch(word) for word in words):
        return Reading(name=name, role="number", format=AMERICAN, as_is=loose)
    for pattern, spelling in ((_EUROPEAN, EUROPEAN), (_AMERICAN, AMERICAN)):
        if all(pattern.fullmatch(word) for word in words):
            return Reading(name=name, role="number", format=spelling, as_is=False)
    return Reading(name=name, role="text")


def _date_format(words: Sequence[str]) -> tuple[Role, str, str] | None:
    """Return role, format and doubt of the dates, or ``None`` if these are no dates."""
    if not re.search(r"\d", words[0]) or (words[0].isdigit() and len(words[0]) != 8):
        return None
    fits = [day + clock for day in _DAYS for clock in _CLOCKS if _all_parse(words, day + clock)]
    if not fits:
        return None
    best = min(fits, key=lambda fmt: _spread(words, fmt))
    doubt = f"it could be {next(f for f in fits if f != best)} too" if len(fits) > 1 else ""
    clock = "%H" in best or "%I" in best
    return ("moment" if clock else "day"), best, doubt


def _all_parse(words: Sequence[str], fmt: str) -> bool:
    try:
        return all(FIRST <= datetime.strptime(word, fmt) <= LAST for word in words)
    except ValueError:
        return False


def _spread(words: Sequence[str], fmt: str) -> float:
    """Return the mean step between neighbouring dates, in days: the right reading leaves the fewest holes."""
    days = sorted({datetime.strptime(word, fmt).toordinal() for word in words})
    return (days[-1] - days[0]) / max(len(days) - 1, 1)


def _distinct(values: pa.ChunkedArray) -> list[str]:
    found = pc.unique(values.cast(pa.string())).to_pylist()
    step = max(1, len(found) // _LOOKED_AT)
    return [word for word in map(_clean, found[::step]) if word is not None]


def _clean(word: str | None) -> str | None:
    text = (word or "").strip()
    return None if text in NULL_WORDS else text


def _numbers(words: Sequence[str | None], spelling: str) -> "pd.Series[Any]":
    out = ",." if spelling == EUROPEAN else ".,"
    plain = [None if w is None else w.replace(out[1], "").replace(out[0], ".") for w in words]
    return pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce").astype("float64")


def _dates(words: Sequence[str | None], fmt: str) -> "pd.Series[Any]":
    text: pd.Series[Any] = pd.Series(list(words), dtype=object)
    if fmt == ISO:
        text = text.map(lambda w: None if w is None else w[:10] + re.sub(r"(Z|[+-]\d\d:?\d\d)$", "", w[10:]))
        found = pd.to_datetime(text, format="ISO8601", errors="coerce")
    else:
        found = pd.to_datetime(text, format=fmt, errors="coerce")
    return found.astype("datetime64[us]")


def _has_clock(values: pa.ChunkedArray) -> bool:
    found = values.drop_null()
    if not len(found):
        return False
    plain = found.cast(pa.timestamp("us", found.type.tz), safe=False).cast(pa.int64()).to_numpy()
    return bool(np.any(plain % 86_400_000_000))
