"""Opening a table that nobody has described: Parquet, CSV in any of its dialects, a folder, or a SQL table."""

import csv
import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import ConfigError, SourceUnusable, sample
from perennial.sources import sql

ENDINGS = (".parquet", ".csv", ".tsv", ".txt", ".csv.gz")
BATCH_ROWS = 65_536
_HEAD_BYTES = 1 << 16
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A table that can be read, again and again.

    Attributes:
        label: What messages call it, without a password.
        batches: Reads it from the start, with the names and types of the source.
        rows: How many there are, where that can be told without reading; else 0.
        loose: Whether all values are text that numbers are parsed from.
        obstacle: Why a pipeline cannot read this source as it is; ``""`` if it can.
    """

    label: str
    kept_as: Literal["parquet", "csv", "sql"]
    files: tuple[Path, ...]
    batches: Callable[[], Iterator[pa.RecordBatch]]
    rows: int = 0
    loose: bool = False
    obstacle: str = ""


def open_table(given: str, *, table: str | None, base: Path, scratch: Path) -> Opened:
    """Open what a user named.

    Args:
        given: Path of a file or folder, or ``sqlite:///file.db?table=name``, or a PostgreSQL address.
        table: Table of a database, instead of ``?table=``.
        base: Folder that relative paths of databases start from.
        scratch: Folder for what is read out of a database.

    Raises:
        ConfigError: It cannot be opened by this command; the message says what can.
        SourceUnusable: Nothing is there, or it is damaged.
    """
    scheme = given.partition("://")[0].lower() if "://" in given else ""
    if scheme in ("http", "https", "ftp", "s3", "gs"):
        raise ConfigError(
            f"{scheme}:// is not fetched: runs promise to need no network. Download the file and name it here"
            + ("; a bucket can be read live by a pipeline whose `data.source` has `type: s3`" if scheme == "s3" else "")
        )
    if scheme:
        return _database(given, table, base, scratch)
    path = Path(given).expanduser()
    files = _files(path)
    return _parquet(path, files) if files[0].suffix == ".parquet" else _csv(path, files)


def _files(path: Path) -> tuple[Path, ...]:
    if path.is_file() and path.name.lower().endswith(ENDINGS):
        return (path,)
    if path.is_file():
        if path.suffix in (".db", ".sqlite", ".sqlite3"):
            raise ConfigError(f"{path} looks like a database of SQLite; say 'sqlite:///{path}?table=NAME'")
        raise ConfigError(f"{path} ends with {path.suffix!r}; {', '.join(ENDINGS)} are read. Export it as CSV")
    inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(ENDINGS) and p.name[0] not in "._")
    for ending in (".parquet", ".csv", ".csv.gz", ".tsv", ".txt"):
        if found := tuple(p for p in inside if p.name.endswith(ending)):
            return found
    raise SourceUnusable(f"there is no table at {str(path)!r}; name a file or a folder with {', '.join(ENDINGS)}")


def _parquet(path: Path, files: tuple[Path, ...]) -> Opened:
    parts = []
    for file in files:
        try:
            parts.append(pq.ParquetFile(file))
        except (pa.ArrowException, OSError) as error:
            raise SourceUnusable(f"{file} is damaged or no Parquet: {str(error).splitlines()[0][:200]}") from error
    schema = parts[0].schema_arrow
    if other := next((f for f, p in zip(files, parts, strict=True) if p.schema_arrow.names != schema.names), None):
        raise SourceUnusable(f"{other} has other columns than {files[0]}; name one folder for each table")

    def batches() -> Iterator[pa.RecordBatch]:
        wide = max(1, len(schema.names) // 50)
        for file in files:
            yield from pq.ParquetFile(file).iter_batches(batch_size=max(BATCH_ROWS // wide, 64))

    rows = sum(part.metadata.num_rows for part in parts)
    return Opened(label=str(path), kept_as="parquet", files=files, batches=batches, rows=rows)


def _csv(path: Path, files: tuple[Path, ...]) -> Opened:
    head = _head(files[0])
    encoding = "utf-8" if _is_utf8(head) else "cp1252"
    text = head.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    delimiter = _delimiter(text)
    names = next(csv.reader([text.splitlines()[0]], delimiter=delimiter), []) if text.strip() else []
    if not text.strip():
        raise SourceUnusable(f"{path} is empty")
    if len(names) == 1:
        raise SourceUnusable(
            f"{path} has one column, {names[0][:60]!r}; name a table with a target and a date, or more"
        )
    if len(names) < 2 or len(set(names)) < len(names):
        raise SourceUnusable(f"{path}: the first line must name two or more columns, each once; it has {sample(names)}")
    obstacle = "" if encoding == "utf-8" else "it is not UTF-8"
    obstacle = obstacle or ("" if delimiter == "," else f"its columns are divided by {delimiter!r}")
    obstacle = obstacle or ("" if files[0].suffix == ".csv" else f"it ends with {files[0].suffix}")

    def batches() -> Iterator[pa.RecordBatch]:
        for file in files:
            yield from _csv_batches(file, names, delimiter, encoding)

    return Opened(label=str(path), kept_as="csv", files=files, batches=batches, loose=True, obstacle=obstacle)


def _csv_batches(file: Path, names: list[str], delimiter: str, encoding: str) -> Iterator[pa.RecordBatch]:
    import pyarrow.csv as pacsv

    columns = dict.fromkeys(names, pa.string())
    try:
        yield from pacsv.open_csv(
            file,
            read_options=pacsv.ReadOptions(block_size=4 << 20, encoding=encoding, use_threads=False),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(column_types=columns, null_values=[""], strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise SourceUnusable(f"{file} does not read as a table: {reason}. Mend the file and run again") from error


def _head(file: Path) -> bytes:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as handle:
            return bytes(handle.read(_HEAD_BYTES))
    except OSError as error:
        raise SourceUnusable(f"{file} cannot be read: {error}") from error


def _is_utf8(head: bytes) -> bool:
    try:
        head[: _HEAD_BYTES - 4].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 8 and len(head) == _HEAD_BYTES  # cut within a letter
    return True


def _delimiter(text: str) -> str:
    """Return the character that divides every line into the same number of parts, the most parts first."""
    lines = [line for line in text.splitlines()[:50] if line][:-1] or text.splitlines()[:1]

    def parts(delimiter: str) -> tuple[bool, int]:
        counts = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
        return len(counts) == 1, max(counts, default=0)

    return max(_DELIMITERS, key=lambda d: (parts(d)[1] > 1, *parts(d)))


def _database(given: str, table: str | None, base: Path, scratch: Path) -> Opened:
    url, name = sql.apart(given, table)
    target = scratch / f"{name}.parquet"
    rows = sql.dump(url, name, base, target)
    label = f"{sql.shown(url)}, table {name}"

    def batches() -> Iterator[pa.RecordBatch]:
        yield from pq.ParquetFile(target).iter_batches(batch_size=BATCH_ROWS)

    loose = url.startswith("sqlite")
    return Opened(label=label, kept_as="sql", files=(target,), batches=batches, rows=rows, loose=loose)
