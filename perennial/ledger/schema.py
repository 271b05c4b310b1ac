"""The tables of the ledger: one definition for SQLite and PostgreSQL.

Columns that identify, order or constrain a fact are columns; the fact itself is a contract as canonical JSON.
Facts are never deleted: a landing is rejected, a version is retired, a role is given to another version.
On PostgreSQL the tables live in a schema of their own, so that MLflow may share the database.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    Dialect,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

SCHEMA = "perennial"
"""Name of the PostgreSQL schema; SQLite has none."""
SCHEMA_VERSION = 2
"""Raised with every change of the tables; an older program refuses a newer ledger."""
UPGRADABLE = (1,)
"""Earlier versions that only lack tables."""


class UtcTime(TypeDecorator[datetime]):
    """A moment as ISO text in UTC with microseconds: sorts, hashes and reads alike on every database."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Write a moment; one without a time zone is a mistake of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """Read a moment back, in UTC."""
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[str]):
    """Canonical JSON text, left out of the body of audit entries (its digest is not)."""

    impl = Text
    cache_ok = True


metadata = MetaData(schema=SCHEMA)

meta = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schema_version", Integer, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("pipeline", String(80), primary_key=True),  # a pipeline's name, perhaps with a suffix
    Column("token", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("acquired_at", UtcTime, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(160), primary_key=True),
    Column("pipeline", String(64), nullable=False, index=True),
    Column("flow", String(64), nullable=False),
    Column("as_of", Date, nullable=False),
    Column("token", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Column("record", Json, nullable=False),
)

landings = Table(
    "landings",
    metadata,
    Column("landing_id", String(64), primary_key=True),
    Column("pipeline", String(64), nullable=False),
    Column("table", String(128), nullable=False),
    Column("position", Integer, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("version_after", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("fact", Json, nullable=False),
    Column("report", Json),
    Column("recorded_at", UtcTime, nullable=False),
    UniqueConstraint("table", "position"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("pipeline", String(64), primary_key=True),
    Column("snapshot_id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("fact", Json, nullable=False),
    Column("pinned_at", UtcTime, nullable=False),
    UniqueConstraint("pipeline", "position"),
)

versions = Table(
    "versions",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("run_key", String(64), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("snapshot_id", String(64), nullable=False),
    Column("as_of", Date, nullable=False),
    Column("mlflow_run", String(64), nullable=False),
    Column("mlflow_version", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("run_key", String(64), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("as_of", Date, nullable=False),
    Column("promote", Boolean, nullable=False),
    Column("fact", Json, nullable=False),
    Column("decided_at", UtcTime, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["perennial.versions.model", "perennial.versions.version"]),
)

role_changes = Table(
    "role_changes",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("version", Integer),
    Column("previous", Integer),
    Column("as_of", Date, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["perennial.versions.model", "perennial.versions.version"]),
)

publications = Table(
    "publications",
    metadata,
    Column("pipeline", String(64), primary_key=True),
    Column("as_of", Date, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("table_version", Integer, nullable=False),
    Column("fact", Json, nullable=False),
    ForeignKeyConstraint(["pipeline", "version"], ["perennial.versions.model", "perennial.versions.version"]),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("topic", String(64), nullable=False),
    Column("key", String(160), nullable=False, unique=True),
    Column("payload", Json, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("row_digest", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("audit_subject", "subject", "seq"),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("run_key", String(64), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("strategy", String(16), nullable=False),
    Column("approval", Boolean, nullable=False),
)

reviews = Table(
    "reviews",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("verdict", String(16), nullable=False),
    Column("as_of", Date, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcTime, nullable=False),
)

measurements = Table(
    "measurements",
    metadata,
    Column("pipeline", String(64), primary_key=True),
    Column("as_of", Date, primary_key=True),
    Column("fact", Json, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("key", String(160), primary_key=True),
    Column("pipeline", String(64), nullable=False, index=True),
    Column("cause", String(32), nullable=False),
    Column("opened", Date, nullable=False),
    Column("closed", Date),
    Column("fact", Json, nullable=False),
)

AUDITED = (
    *(runs, landings, snapshots, versions, decisions, role_changes, publications),
    *(rollouts, reviews, measurements, alerts),
)
"""Tables whose every change is in the audit chain; leases and the outbox carry no facts of their own."""
