"""Files of choices: columns ``user`` and ``item``, as Parquet, CSV or one JSON object a line."""

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.errors import SchemaError, SourceUnusable, sample

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("user", "item")
ENDINGS = (".parquet", ".csv", ".ndjson")


def files(folder: Path) -> list[Path]:
    """Return the files of choices in a folder, in order of name; what is hidden is still being written."""
    return sorted(p for p in folder.iterdir() if p.suffix in ENDINGS and p.name[0] != "." and p.is_file())


def read(name: str, data: bytes) -> list[tuple[str, str]]:
    """Return user and item of every choice in a file, spelled as in ``entity``; rows without either are left out.

    Raises:
        SourceUnusable: It is damaged, of another kind, or its columns hold no names.
        SchemaError: A column is missing.
    """
    import pyarrow as pa

    try:
        table = _parse(name, pa.BufferReader(data))
        if missing := [column for column in COLUMNS if column not in table.column_names]:
            raise SchemaError(f"{name} has no column {sample(missing)}; it has {sample(table.column_names)}")
        users, items = (_keys(table[column]) for column in COLUMNS)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:  # KeyError: a column that is there twice
        raise SourceUnusable(f"{name} cannot be read: {str(error).splitlines()[0][:200]}") from error
    return [(user, item) for user, item in zip(users, items, strict=True) if user and item]


def _keys(column: "pa.ChunkedArray") -> list[str | None]:
    """Return names as landing spells them."""
    import pyarrow as pa

    from perennial.arrow import escape

    return [name and unicodedata.normalize("NFC", name) for name in escape(column.cast(pa.string())).to_pylist()]


def _parse(name: str, source: Any) -> "pa.Table":
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        return pq.read_table(source)
    import pyarrow as pa

    if name.endswith(".csv"):
        from pyarrow import csv

        text = csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string()))
        return csv.read_csv(source, convert_options=text)
    from pyarrow import json as lines

    return lines.read_json(source)
