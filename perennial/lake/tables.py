"""The lake: append-only Delta tables, the only door to ``deltalake``.

The data files are ours (:mod:`perennial.lake.files`), the commit is Delta's: a version appears as a whole or
not at all, and Spark, DuckDB, Polars and pandas read the same tables. What a file must hash to is known by
the ledger, never by the table itself.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from perennial.clock import system_now
from perennial.config.models import S3Settings
from perennial.contracts import TIME, StoredFile
from perennial.errors import IntegrityError, LakeError, SchemaError, sample
from perennial.lake.files import Files, Part

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

LANDING = "landing"
"""Column: id of the landing that brought the row."""
_KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}  # a snapshot may pin any version, for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What one append committed: the version that holds the rows, and its new files."""

    version: int
    files: tuple[StoredFile, ...]


class Lake:
    """Tables below one root, by logical name (``demand``, ``demand.prices``, ``demand.quarantine`` ...).

    A ``StoredFile`` of the lake has a path relative to the root, ``<table>/<file>``, so that one list may
    name files of several tables; every method picks those of its own table.

    Args:
        root: Folder or ``s3://bucket/prefix``.
        s3: How to reach S3; its ``buckets`` must name the bucket of ``root``.

    Raises:
        ConfigError: ``root`` is neither a folder nor in an allowed bucket.
    """

    def __init__(self, root: str, s3: S3Settings | None = None) -> None:
        self._files = Files(root, s3)

    def require(self) -> None:
        """Do nothing if tables can be kept here.

        Raises:
            LakeError: There is no such bucket, or it does not answer.
        """
        self._files.require()

    def version(self, table: str) -> int:
        """Return the newest version of a table, -1 if there is no such table."""
        if not self._files.exists(f"{table}/_delta_log"):
            return -1
        return int(self._open(table).version())

    def columns(self, table: str, version: int) -> tuple[str, ...]:
        """Return the column names of a table at a version; none if there is no table."""
        return () if version < 0 else tuple(_schema(self._open(table, version)).names)

    def append(self, table: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, once: str = "") -> Appended:
        """Append rows in one atomic commit; the table is created, and new columns are added, as needed.

        Args:
            table: Logical name.
            batches: Rows; consumed once, a few batches in memory.
            schema: The columns of every batch, in order.
            once: Names this append: if the table already holds rows appended under the same name, nothing is
                read or written and their files are returned. Letters and digits.

        Returns:
            The new version (or the present one, if there were no rows) and its files with their digests.

        Raises:
            SchemaError: A column exists with another type.
        """
        version = self.version(table)
        present = None if version < 0 else self._open(table, version)
        if once and present and (mine := sorted(p for p in _paths(present) if p.startswith(f"{once}-"))):
            return Appended(version=version, files=tuple(self._files.stored(f"{table}/{name}") for name in mine))
        missing = _new_fields(table, _schema(present), schema) if present else []
        parts = self._files.write(table, batches, schema, once or uuid.uuid4().hex)
        if parts:
            version = self._commit(table, present, parts, schema, missing)
        return Appended(version=version, files=tuple(part.file for part in parts))

    def restore(self, table: str, version: int) -> None:
        """Make the rows of ``version`` the present ones again; -1 removes the table.

        Nothing happens if they already are. The version number itself goes on rising: Delta records the
        restoration as one more version, and versions that readers pinned stay readable.

        Raises:
            IntegrityError: The table has no such version any more.
        """
        newest = self.version(table)
        if newest < version:
            raise IntegrityError(f"{table} has version {newest}, but {version} was recorded; restore the lake's folder")
        if newest == version:
            return
        if version < 0:
            self._files.remove_table(table)
            return
        present = self._open(table)
        extra = _paths(present) - _paths(self._open(table, version))
        if extra:
            self._transact(table, present, [_removal(name) for name in sorted(extra)])

    def scan(
        self,
        table: str,
        version: int,
        *,
        files: Sequence[StoredFile],
        columns: Sequence[str] | None = None,
        where: pc.Expression | None = None,
        landings: Sequence[str] | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Read rows in the order they were appended, one data file in memory at a time.

        Args:
            table: Logical name.
            version: Version the files belong to; its columns are read, null where an older file lacks one.
            files: What the ledger says may be read: only these files are, each verified before it is parsed.
            columns: Names to read; all by default.
            where: Rows to keep.
            landings: Ids of the landings whose rows to keep.

        Yields:
            Non-empty batches.

        Raises:
            IntegrityError: A file is missing, differs from its digest, or is not part of this version.
            SchemaError: There is no such column.
        """
        own = [file for file in files if file.path.startswith(f"{table}/")]
        if not own:
            return
        pinned = self._open(table, version)
        strangers = {file.path.partition("/")[2] for file in own} - _paths(pinned)
        if strangers:
            raise IntegrityError(
                f"{table} version {version} does not hold the recorded files {sample(strangers)}; "
                "restore it from a backup"
            )
        if landings is not None:
            wanted = pc.field(LANDING).isin(list(landings))
            where = wanted if where is None else wanted & where
        schema = _schema(pinned)
        if unknown := sorted(set(columns or ()) - set(schema.names)):
            raise SchemaError(f"{table} has no column {sample(unknown)}; it has {sample(schema.names, limit=20)}")
        for file in own:
            yield from _parse(self._files.read(file), schema, columns, where)

    def verify(self, table: str, version: int, files: Sequence[StoredFile]) -> tuple[str, ...]:
        """Return the paths of files that are missing, differ, or (of this table) are not part of the version."""
        paths = _paths(self._open(table, version)) if 0 <= version <= self.version(table) else frozenset()
        lost = {f.path for f in files if f.path.startswith(f"{table}/") and f.path.partition("/")[2] not in paths}
        return tuple(f.path for f in files if f.path in lost or not self._intact(f))

    def _intact(self, file: StoredFile) -> bool:
        try:
            self._files.read(file)
        except IntegrityError:
            return False
        return True

    def _open(self, table: str, version: int | None = None) -> "DeltaTable":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self._files.uri(table), version=version, storage_options=self._files.options)
        except DeltaError as error:
            raise IntegrityError(
                f"{table} cannot be read{f' at version {version}' if version is not None else ''}: "
                f"{str(error).splitlines()[0][:200]}; restore the lake's folder from a backup"
            ) from error

    def _commit(
        self,
        table: str,
        present: "DeltaTable | None",
        parts: Sequence[Part],
        schema: pa.Schema,
        missing: Sequence[pa.Field],
    ) -> int:
        from deltalake import Schema
        from deltalake.transaction import create_table_with_add_actions

        actions = [_action(part) for part in parts]
        if present is None:
            uri, options = self._files.uri(table), self._files.options
            with _committing(table):
                create_table_with_add_actions(
                    uri, Schema.from_arrow(schema), actions, configuration=_KEEP_LOG, storage_options=options
                )
        else:
            if missing:
                present.alter.add_columns(list(Schema.from_arrow(pa.schema(missing)).fields))
            self._transact(table, self._open(table), actions)
        return self._synced(table)

    def _transact(self, table: str, present: "DeltaTable", actions: Sequence["AddAction | RemoveAction"]) -> None:
        """Commit one version. Unlike other calls of deltalake, this one lets other threads run meanwhile."""
        with _committing(table):
            present.create_write_transaction(list(actions), "append", present.schema())
        self._synced(table)

    def _synced(self, table: str) -> int:
        """Force the newest commit to disk and return its number."""
        version = self.version(table)
        self._files.sync(f"{table}/_delta_log/{version:020d}.json")
        return version


@contextmanager
def _committing(table: str) -> Iterator[None]:
    from deltalake.exceptions import DeltaError

    try:
        yield
    except DeltaError as error:
        raise LakeError(f"{table} could not be committed: {str(error)[:300]}; run again") from error


def _parse(
    data: pa.Buffer, schema: pa.Schema, columns: Sequence[str] | None, where: pc.Expression | None
) -> Iterator[pa.RecordBatch]:
    fragment = ds.ParquetFileFormat().make_fragment(pa.BufferReader(data))
    names = list(columns) if columns is not None else None
    scanner = fragment.scanner(schema=schema, columns=names, filter=where, batch_readahead=2, batch_size=1 << 18)
    for batch in scanner.to_batches():
        if batch.num_rows:
            yield batch


def _schema(table: "DeltaTable") -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _paths(table: "DeltaTable") -> frozenset[str]:
    return frozenset(pa.table(table.get_add_actions())["path"].to_pylist())


def _new_fields(table: str, present: pa.Schema, wanted: pa.Schema) -> list[pa.Field]:
    """Return the columns a table lacks.

    Raises:
        SchemaError: It has one of them with another type.
    """
    types = {field.name: field.type for field in present}
    clashes = [f"{f.name} is {types[f.name]}, not {f.type}" for f in wanted if types.get(f.name, f.type) != f.type]
    if clashes:
        raise SchemaError(
            f"{table} already holds other types ({'; '.join(clashes)}); map the column to a new name, "
            "or convert it at the source"
        )
    return [field for field in wanted if field.name not in present.names]


def _removal(name: str) -> "RemoveAction":
    from deltalake.transaction import RemoveAction

    return RemoveAction(name, True, _now_ms())


def _now_ms() -> int:
    return int(system_now().timestamp() * 1000)


def _action(part: Part) -> "AddAction":
    from deltalake.transaction import AddAction

    stats: dict[str, object] = {"numRecords": part.rows}
    if part.days:
        stats |= {"minValues": {TIME: part.days[0].isoformat()}, "maxValues": {TIME: part.days[1].isoformat()}}
    name = part.file.path.partition("/")[2]
    return AddAction(name, part.file.size, {}, _now_ms(), True, json.dumps(stats))
