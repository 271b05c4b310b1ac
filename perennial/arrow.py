"""Small operations on Arrow tables that the library of Arrow lacks."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def with_values(rows: pa.Table, values: Mapping[str, Any]) -> pa.Table:
    """Return the rows with the same value in all of some columns."""
    for name, value in values.items():
        at = rows.schema.get_field_index(name)
        column = pa.repeat(pa.scalar(value, rows.schema.field(at).type), rows.num_rows)
        rows = rows.set_column(at, name, column)
    return rows
