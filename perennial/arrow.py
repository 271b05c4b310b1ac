"""Small operations on Arrow tables that the library of Arrow lacks."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ESCAPES = (("%", "%25"), ("/", "%2F"))
"""How the parts of a composite key are written, in this order: a/b + c and a + b/c are two entities."""


def escape(values: pa.Array) -> pa.Array:
    """Return texts as parts of a composite key, in which a slash joins the parts."""
    for plain, escaped in ESCAPES:
        values = pc.replace_substring(values, plain, escaped)
    return values


def unescape(values: pa.Array) -> pa.Array:
    """Return parts of a composite key as they were before :func:`escape`."""
    for plain, escaped in reversed(ESCAPES):
        values = pc.replace_substring(values, escaped, plain)
    return values


def with_values(rows: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    """Return the rows with the same value in all of some columns."""
    for name, value in values.items():
        at = rows.schema.get_field_index(name)
        column = pa.repeat(pa.scalar(value, rows.schema.field(at).type), rows.num_rows)
        rows = rows.set_column(at, name, column)
    return rows
