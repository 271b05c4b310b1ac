"""Connections to the ledger's database, with the settings that make a commit mean what it says."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from perennial.errors import ConfigError, LedgerError
from perennial.ledger.lock import file_lock
from perennial.ledger.schema import SCHEMA, SCHEMA_VERSION, UPGRADABLE, meta, metadata

_BUSY_S = 60
_CREATION_KEY = 7_363_202_101
_POSTGRES = {
    "connect_timeout": 10,
    # a statement that waits for a row longer than this reports it; a dead client's session ends within a minute
    "options": f"-c lock_timeout={_BUSY_S}s -c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10",
}


def connect(url: str) -> Engine:
    """Return an engine for a SQLite or PostgreSQL URL; nothing is opened yet.

    Connections are not pooled: they cost about a millisecond, and none is ever shared with a forked process
    or outlives a restart of the server.

    Raises:
        ConfigError: The URL is not one of these two.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("ledger is not a database URL; write sqlite:///path or postgresql://...") from None
    if parsed.get_backend_name() == "postgresql":
        psycopg = parsed.set(drivername="postgresql+psycopg")
        return create_engine(psycopg, poolclass=NullPool, connect_args=_POSTGRES)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    raise ConfigError(f"ledger: {parsed.get_backend_name()!r} is not supported; use sqlite or postgresql")


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("ledger: SQLite needs a file that outlives the process; write sqlite:///path")
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine.execution_options(schema_translate_map={SCHEMA: None})


def _configure_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's implicit one is deferred
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns into a writer fails at once when another has written meanwhile.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@contextmanager
def transaction(engine: Engine, *, write: bool) -> Iterator[Connection]:
    """Run one transaction; writers of one ledger take turns on both databases.

    Raises:
        LedgerError: The database did not answer, or refused.
    """
    try:
        with _prepared(engine, write).begin() as tx:
            if write and engine.dialect.name == "postgresql":
                tx.execute(select(meta.c.id).with_for_update())
            yield tx
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        raise LedgerError(f"the ledger at {where(engine)} failed: {reason}; see `perennial doctor`") from error


def _prepared(engine: Engine, write: bool) -> Engine:
    if engine.dialect.name == "sqlite":
        return engine.execution_options(immediate=write)
    # a reader sees one state of the ledger, whatever is committed meanwhile; SQLite gives that anyway
    return engine.execution_options(isolation_level="READ COMMITTED" if write else "REPEATABLE READ")


def where(engine: Engine) -> str:
    """Name the database without its password."""
    return engine.url.render_as_string(hide_password=True)


def create(engine: Engine) -> None:
    """Create the tables unless they are there; safe when many processes do so at once.

    Raises:
        LedgerError: The database cannot be reached, or a newer program has changed the tables.
    """
    found = _found_version(engine)
    if found is None and engine.dialect.name == "sqlite":
        _create_sqlite(engine)
    elif found is None:
        _create_postgres(engine)
    elif found is not None and found in UPGRADABLE:
        _upgrade(engine)
    elif found != SCHEMA_VERSION:
        known = f"this program knows version {SCHEMA_VERSION}"
        raise LedgerError(f"the ledger at {where(engine)} has version {found}, {known}; upgrade Perennial")


def _found_version(engine: Engine) -> int | None:
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return None
    with transaction(engine, write=False) as tx:
        schema = None if engine.dialect.name == "sqlite" else SCHEMA
        if not inspect(tx).has_table(meta.name, schema=schema):
            return None
        return tx.scalar(select(meta.c.schema_version))


def _create_sqlite(engine: Engine) -> None:
    path = Path(engine.url.database or "")
    with file_lock(path.with_name(path.name + ".lock"), _BUSY_S):
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # outside any transaction; the file remembers it
        with engine.execution_options(immediate=True).begin() as tx:
            _create_tables(tx)


def _create_postgres(engine: Engine) -> None:
    with engine.begin() as tx:
        tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CREATION_KEY})
        tx.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        _create_tables(tx)


def _upgrade(engine: Engine) -> None:
    """Add the tables that are new since the ledger was created; nothing that is recorded changes."""
    with transaction(engine, write=True) as tx:
        metadata.create_all(tx)
        if engine.dialect.name == "postgresql":  # SQLite does not mind
            tx.execute(text(f"ALTER TABLE {SCHEMA}.leases ALTER COLUMN pipeline TYPE varchar(80)"))
        tx.execute(meta.update().values(schema_version=SCHEMA_VERSION))


def _create_tables(tx: Connection) -> None:
    metadata.create_all(tx)
    if tx.scalar(select(meta.c.id)) is None:
        tx.execute(meta.insert().values(id=1, schema_version=SCHEMA_VERSION))
