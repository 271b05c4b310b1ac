"""SQL as a source: one table or view of SQLite or PostgreSQL, streamed into a Parquet file.

The connection is read-only and comes from the environment. Table and columns must be among those that the
database lists, dates are bound, and rows come in a fixed order, so that equal content gives equal bytes.
"""

import difflib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

import pyarrow as pa

from perennial.config.models import Environment, SqlSource, Table
from perennial.contracts import StoredFile
from perennial.errors import ConfigError, SourceError, SourceUnusable, sample
from perennial.sources.columns import LOOSE, resolve, wanted
from perennial.sources.local import Item, digest_file

if TYPE_CHECKING:
    import sqlalchemy as sa

CONNECT_S, STATEMENT_S = 5, 900
SPILL_ROWS = 50_000
"""Rows held as Python objects at a time, about 25 MB."""
_ARROW: dict[type, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    Decimal: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
    UUID: pa.string(),
    date: pa.date32(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """The dates to ask for, both included; without ``since`` every row."""

    since: date | None
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column that exists, how to select it, and what it is in Arrow."""

    field: pa.Field
    select: "sa.ColumnElement[Any]"


def describe(source: SqlSource, table: Table, env: Environment, base: Path) -> Item:
    """Return the table as an item whose identity is its number of rows and range of dates.

    Raises:
        ConfigError: The connection is unknown, or of another database.
        SourceError: The database does not answer.
        SourceUnusable: It has no such table.
        SchemaError: Mapped columns are missing or of another type.
    """
    import sqlalchemy as sa

    with _connected(source, env, base) as connection:
        columns = _columns(connection, source, table)
        ds = columns[table.columns.ds].select
        summary = sa.select(sa.func.count(), sa.func.min(ds), sa.func.max(ds)).select_from(_relation(source))
        rows, first, last = connection.execute(summary).one()
    return Item(uri=f"sql:{source.connection}/{source.table}", identity=f"rows={rows} ds={first}..{last}")


def spill(source: SqlSource, table: Table, env: Environment, base: Path, target: Path, days: Days) -> StoredFile:
    """Stream the mapped columns into a Parquet file under their own names.

    Raises:
        SourceError: The database does not answer, or stopped while answering.
    """
    import pyarrow.parquet as pq
    import sqlalchemy as sa

    with _connected(source, env, base) as connection:
        columns = _columns(connection, source, table)
        picked = [c.select.label(name) for name, c in columns.items()]
        query = sa.select(*picked).select_from(_relation(source)).order_by(*(c.select for c in columns.values()))
        query = query.where(*_between(columns[table.columns.ds], days))
        schema = pa.schema([c.field for c in columns.values()])
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for rows in connection.execution_options(yield_per=SPILL_ROWS).execute(query).partitions():
                writer.write_batch(_batch(rows, schema))
    return digest_file(target)


def _batch(rows: Sequence[Any], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(schema, zip(*rows, strict=True), strict=True)
    return pa.RecordBatch.from_arrays([_array(values, f) for f, values in columns], schema=schema)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if pa.types.is_string(field.type):  # SQLite keeps numbers in text columns and text in number columns
        values = [v if v is None or isinstance(v, str) else str(v) for v in values]
    return pa.array(values, field.type)


def _between(column: _Column, days: Days) -> "list[sa.ColumnElement[bool]]":
    """Half-open, or a row of the last day with a time of day would be left out."""
    if days.since is None:
        return []
    first, after = (_bound(day, column.field.type) for day in (days.since, days.until + timedelta(days=1)))
    return [column.select >= first, column.select < after]


def _bound(day: date, type_: pa.DataType) -> str | date:
    if pa.types.is_string(type_):
        return day.isoformat()
    if pa.types.is_timestamp(type_):
        return datetime.combine(day, time.min, UTC if type_.tz else None)
    return day


def _relation(source: SqlSource) -> "sa.TableClause":
    import sqlalchemy as sa

    schema, _, name = source.table.rpartition(".")
    return sa.table(name, schema=schema or None)


def _columns(connection: "sa.Connection", source: SqlSource, table: Table) -> dict[str, _Column]:
    """Look the mapped columns up in the database's own catalogue."""
    found = _catalogue(connection, source)
    mapped = resolve(wanted(table), [column.field for column in found.values()])
    return {column.theirs: found[column.theirs] for column in mapped}


def _catalogue(connection: "sa.Connection", source: SqlSource) -> dict[str, _Column]:
    import sqlalchemy as sa

    relation, inspector = _relation(source), sa.inspect(connection)
    if not inspector.has_table(relation.name, relation.schema):
        there = inspector.get_table_names(relation.schema) + inspector.get_view_names(relation.schema)
        near = difflib.get_close_matches(relation.name, there) or sorted(there)
        raise SourceUnusable(f"connection {source.connection!r} has no table {source.table!r}; it has {sample(near)}")
    typed = _typed_as_text if connection.dialect.name == "sqlite" else _typed
    return {c["name"]: typed(c["name"], c["type"]) for c in inspector.get_columns(relation.name, relation.schema)}


def _python_type(type_: "sa.types.TypeEngine[Any]") -> type | None:
    try:
        return type_.python_type
    except NotImplementedError:
        return None


def _typed_as_text(name: str, type_: "sa.types.TypeEngine[Any]") -> _Column:
    """SQLite keeps any value in any column: take all as text, and parse where no text was declared."""
    import sqlalchemy as sa

    declared = _python_type(type_) in {str, date, datetime}
    return _Column(field=pa.field(name, pa.string(), metadata=None if declared else LOOSE), select=sa.column(name))


def _typed(name: str, type_: "sa.types.TypeEngine[Any]") -> _Column:
    import sqlalchemy as sa

    column: sa.ColumnElement[Any] = sa.column(name)
    python = _python_type(type_)
    if python is datetime:
        return _Column(field=pa.field(name, _timestamp(type_)), select=column)
    if python in (str, UUID):  # enumerations too; the order must not depend on the server's language
        column = sa.cast(column, sa.Text).collate("C")
    elif python is Decimal:
        column = sa.cast(column, sa.Double)
    return _Column(field=pa.field(name, _ARROW.get(python or object, pa.binary())), select=column)


def _timestamp(type_: "sa.types.TypeEngine[Any]") -> pa.DataType:
    return pa.timestamp("us", "UTC" if getattr(type_, "timezone", False) else None)


@contextmanager
def _connected(source: SqlSource, env: Environment, base: Path) -> "Iterator[sa.Connection]":
    import sqlalchemy as sa

    try:
        engine = _engine(source, env, base)
        with engine.connect() as connection:
            yield connection
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
        raise SourceError(f"connection {source.connection!r}, table {source.table!r}: {reason}") from error


def address(source: SqlSource, env: Environment) -> str:
    """Return the URL of the connection.

    Raises:
        ConfigError: The environment has none of that name.
    """
    if source.connection not in env.connections:
        known = sample(sorted(env.connections)) or "none"
        raise ConfigError(f"unknown connection {source.connection!r}; connections of the environment lists {known}")
    return env.connections[source.connection]


def _engine(source: SqlSource, env: Environment, base: Path) -> "sa.Engine":
    import sqlalchemy as sa

    url = sa.make_url(address(source, env))
    backend = url.get_backend_name()
    if backend == "sqlite":
        return sa.create_engine("sqlite://", creator=lambda: _sqlite(url, base), poolclass=sa.NullPool)
    if backend == "postgresql":
        options = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_S}s -c timezone=UTC"
        limits = {"connect_timeout": CONNECT_S, "options": options}
        return sa.create_engine(url.set(drivername="postgresql+psycopg"), connect_args=limits, poolclass=sa.NullPool)
    raise ConfigError(f"connection {source.connection!r} is of {backend!r}; SQLite and PostgreSQL are supported")


def _sqlite(url: "sa.URL", base: Path) -> sqlite3.Connection:
    """Open read-only: SQLite would otherwise create the file that is missing."""
    return sqlite3.connect(f"file:{quote(str(base / (url.database or '')))}?mode=ro", uri=True)


# --- a whole table that no pipeline describes yet -----------------------------------------------------------


def apart(given: str, table: str | None) -> tuple[str, str]:
    """Divide ``sqlite:///shop.db?table=sales`` into the address of the database and the name of the table.

    Raises:
        ConfigError: The address is not legible, or neither names a table.
    """
    import sqlalchemy as sa

    try:
        url = sa.make_url(given)
    except sa.exc.ArgumentError as error:
        raise ConfigError(
            "the address is not legible; write sqlite:///file.db?table=name or postgresql://..."
        ) from error
    name = table or url.query.get("table")
    if not isinstance(name, str) or not name:
        raise ConfigError("which table? add --table NAME, or ?table=NAME to the address")
    return url.difference_update_query(["table"]).render_as_string(hide_password=False), name


_SECRET = ("password", "passfile", "sslpassword", "sslkey")


def shown(url: str) -> str:
    """Return an address without its password, wherever that stands; what is no address of a database as it is."""
    import sqlalchemy as sa

    try:
        made = sa.make_url(url)
    except sa.exc.ArgumentError:
        return re.sub(r"(://[^/:@]*):[^@/]*@", r"\1@", url)
    plain = sa.URL.create(made.drivername, made.username, None, made.host, made.port, made.database, made.query)
    return plain.difference_update_query(_SECRET).render_as_string()


def dump(url: str, table: str, base: Path, target: Path) -> int:
    """Stream every column of a table into a Parquet file; return the number of rows.

    Raises:
        ConfigError: The name of the table is not one, or the database is neither SQLite nor PostgreSQL.
        SourceError: The database does not answer, or has no such table.
    """
    import pyarrow.parquet as pq
    import sqlalchemy as sa

    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?", table):
        raise ConfigError(f"{table!r} is not a name of a table; letters, digits, underscores, one dot at most")
    source = SqlSource(type="sql", connection="given", table=table)
    with _connected(source, Environment(environment="given", connections={"given": url}), base) as connection:
        columns = list(_catalogue(connection, source).values())
        schema, rows = pa.schema([c.field for c in columns]), 0
        query = sa.select(*(c.select.label(c.field.name) for c in columns)).select_from(_relation(source))
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for part in connection.execution_options(yield_per=SPILL_ROWS).execute(query).partitions():
                writer.write_batch(_batch(part, schema))
                rows += len(part)
    return rows
