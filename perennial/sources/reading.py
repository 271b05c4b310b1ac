"""Staged files to canonical batches: digest first, then Parquet or CSV, in memory bounded by the batch.

Everything that a pipeline extracts passes through here: S3 objects and SQL results are staged as files too
(see :mod:`perennial.sources`), so that one reader and one digest serve all three.
"""

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

from perennial.config.models import Table
from perennial.contracts import StoredFile
from perennial.errors import IntegrityError, SchemaError, SourceUnusable
from perennial.sources.columns import LOOSE, MAX_COLUMNS, canonical, resolve, wanted
from perennial.sources.local import fingerprint
from perennial.sources.pseudonyms import Pseudonyms
from perennial.sources.values import is_text

HEADER_BYTES = 1 << 20
FOOTER_BYTES = 64 << 20
"""A Parquet footer is held in memory whole; a larger one is a file of absurdly many columns or row groups."""
CSV_BLOCK_BYTES = 1 << 20
"""Bytes of CSV parsed at a time; no row may be longer than two blocks. Arrow reads 32 of them ahead."""
_NO_PARTITION_VALUE = "__HIVE_DEFAULT_PARTITION__"


def read(
    file: StoredFile, table: Table, *, keys_only: bool = False, pseudonyms: Pseudonyms | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a staged file as canonical batches, at least one, so that the columns of an empty file are known too.

    The digest is verified before a byte is parsed, through the same open file: replacing the path meanwhile
    changes nothing, and writing into the file is noticed at the end. Columns that lie in the names of folders
    (``region=north``) count as columns of the file.

    Args:
        file: From :func:`perennial.sources.stage`.
        table: Which columns are wanted, and ``batch_rows``, the largest batch.
        keys_only: Leave out the target and the extra columns.
        pseudonyms: Replaces the columns that name people; errors then quote no value.

    Yields:
        The mapped columns under canonical names and types, and ``_bad``.

    Raises:
        IntegrityError: The bytes are not those that were staged.
        SchemaError: A column is missing, retyped, or there are too many.
        SourceUnusable: The file is damaged.
    """
    with _pinned(file) as handle, _parsing(file, quote=pseudonyms is None):
        raw = _open_csv(handle) if _is_csv(table) else _open_parquet(handle)
        folders = {k: v for k, v in partitions(file.path).items() if k not in {f.name for f in raw.fields}}
        fields = [*raw.fields, *(pa.field(name, pa.string(), metadata=LOOSE) for name in folders)]
        columns = resolve(wanted(table, keys_only=keys_only, pseudonyms=pseudonyms), fields)
        names = list(dict.fromkeys(c.theirs for c in columns if c.theirs not in folders))
        for batch in _never_none(raw.batches(names, table.batch_rows), raw.fields, names):
            yield canonical(_with_folders(batch, folders), columns, table, pseudonyms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Raw:
    """An open file: its fields, and a way to read some of them in batches of at most so many rows."""

    fields: Sequence[pa.Field]
    batches: Callable[[list[str], int], Iterator[pa.RecordBatch]]


def _is_csv(table: Table) -> bool:
    return table.source.type != "sql" and table.source.kept_as == "csv"


@contextmanager
def _pinned(file: StoredFile) -> Iterator[io.BufferedReader]:
    with _open(file) as handle:
        before = fingerprint(os.fstat(handle.fileno()))
        found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != file.sha256:
            raise IntegrityError(f"{file.path} has SHA-256 {found[:12]}..., staged was {file.sha256[:12]}...")
        handle.seek(0)
        yield handle
        if fingerprint(os.fstat(handle.fileno())) != before:
            raise IntegrityError(f"{file.path} was written to while it was being read; run again")


def _open(file: StoredFile) -> io.BufferedReader:
    try:
        return Path(file.path).open("rb")
    except OSError as error:
        raise IntegrityError(f"{file.path} was staged and cannot be opened: {error.strerror}") from error


@contextmanager
def _parsing(file: StoredFile, *, quote: bool) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200] if quote and str(error) else type(error).__name__
        raise SourceUnusable(
            f"{file.path} is damaged or not what its format says: {reason}. "
            "Write it anew at the source, or move it away, and run again."
        ) from (error if quote else None)  # what Arrow says may quote a row
    except SchemaError as error:
        raise SchemaError(f"{file.path}: {error}") from error


def partitions(path: str) -> dict[str, str | None]:
    """Return the columns that lie in the names of the folders of a path.

    Example:
        >>> partitions("data/region=north/day=2024-01-01/part.parquet")
        {'region': 'north', 'day': '2024-01-01'}
    """
    pairs = [part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part]
    return {unquote(key): None if value == _NO_PARTITION_VALUE else unquote(value) for key, value in pairs}


def _with_folders(batch: pa.RecordBatch, folders: dict[str, str | None]) -> pa.RecordBatch:
    for name, value in folders.items():
        column = pa.repeat(pa.scalar(value, pa.string()), batch.num_rows)
        batch = batch.append_column(name, column)
    return batch


def _never_none(
    batches: Iterator[pa.RecordBatch], fields: Sequence[pa.Field], names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    first = next(batches, None)
    if first is None:
        kept = pa.schema([f for f in fields if f.name in names])
        first = pa.RecordBatch.from_arrays([pa.array([], f.type) for f in kept], schema=kept)
    return chain([first], batches)


def _open_parquet(handle: io.BufferedReader) -> _Raw:
    import pyarrow.parquet as pq

    _refuse_large_footer(handle)
    file = pq.ParquetFile(handle)
    schema = file.schema_arrow

    def batches(names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        # text stays a dictionary until it is cleaned; a buffer instead of whole column chunks bounds the memory
        text = [name for name in names if is_text(schema.field(name).type)]
        reader = pq.ParquetFile(
            handle,
            metadata=file.metadata,
            read_dictionary=text,
            buffer_size=1 << 20,
            pre_buffer=False,
            page_checksum_verification=True,  # where the writer left checksums, as Spark does
        )
        yield from reader.iter_batches(batch_size=rows, columns=names, use_threads=False)

    return _Raw(fields=list(schema), batches=batches)


def _refuse_large_footer(handle: io.BufferedReader) -> None:
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, size - 8))
    footer = int.from_bytes(handle.read(4), "little")
    handle.seek(0)
    if FOOTER_BYTES < footer < size:
        raise SchemaError(f"its Parquet footer takes {footer:,} bytes, at most {FOOTER_BYTES:,} are read")


def _open_csv(handle: io.BufferedReader) -> _Raw:
    line = handle.readline(HEADER_BYTES)
    if len(line) == HEADER_BYTES or line.count(b",") >= MAX_COLUMNS:
        raise SchemaError(f"its first line names more than {MAX_COLUMNS:,} columns or never ends")
    names = next(csv.reader([line.decode("utf-8-sig", errors="replace")]), [])
    handle.seek(0)

    def batches(wanted_names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        for block in _csv_blocks(handle, wanted_names):
            for start in range(0, block.num_rows, rows):
                yield block.slice(start, rows)

    return _Raw(fields=[pa.field(name, pa.string(), metadata=LOOSE) for name in names], batches=batches)


def _csv_blocks(handle: io.BufferedReader, names: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.csv as pacsv

    reader = pacsv.open_csv(
        handle,
        read_options=pacsv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=names,
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    yield from reader
