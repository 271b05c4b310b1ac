"""Sources: files, S3 objects and SQL tables, each staged as a file whose bytes are pinned, then read in batches.

Three steps, so that a caller can skip what it has seen, and nothing is parsed before its digest is known::

    for item in inventory(table, env, base=root):  # what is there, cheaply
        file = stage(item, table, env, base=root, scratch=scratch, since=None, until=as_of)  # a file and its SHA-256
        for batch in read(file, table):  # canonical columns, at most table.batch_rows rows
            ...

Pipelines name folders, buckets, connections, tables and columns. Each is held against what the environment or
the database itself lists, and values are bound, so that no text of a pipeline file is ever executed.

``local``, ``s3`` and ``sql`` find and stage; ``reading`` parses; ``columns`` and ``values`` map to our names
and types. boto3 is imported in ``s3`` alone and SQLAlchemy, outside the ledger, in ``sql`` alone.
"""

import hashlib
from datetime import date
from pathlib import Path

from perennial.config.models import Environment, FileSource, PredictionsSource, S3Source, SqlSource, Table
from perennial.contracts import StoredFile
from perennial.errors import SourceUnusable
from perennial.sources import s3, sql
from perennial.sources.columns import BAD
from perennial.sources.local import Item, confine, list_files, stage_file
from perennial.sources.reading import read

__all__ = ["BAD", "Item", "inventory", "permit", "read", "stage"]


def inventory(table: Table, env: Environment, *, base: Path) -> tuple[Item, ...]:
    """List what a source consists of, sorted, without reading it.

    Args:
        table: Its ``source``: files, S3 objects, or one SQL table or view.
        env: Which folders, buckets and connections may be used.
        base: Project root; relative paths start here.

    Raises:
        ConfigError: The pipeline names something that the environment does not allow.
        SourceError: It cannot be reached, or (SourceUnusable) nothing is there.
        SchemaError: A SQL table lacks mapped columns.
    """
    source = table.source
    if isinstance(source, FileSource):
        return list_files(source, env, base)
    if isinstance(source, S3Source):
        return s3.list_objects(source, env)
    return (sql.describe(_database(source), table, env, base),)


def permit(table: Table, env: Environment, *, base: Path) -> None:
    """Refuse what the environment does not allow, without looking at the source itself.

    Args:
        table: Its ``source`` names a path, a bucket or a connection.
        env: Which of them may be used.
        base: Project root; relative paths start here.

    Raises:
        ConfigError: It may not be used.
    """
    source = table.source
    if isinstance(source, FileSource):
        confine(source.path, env, base)
    elif isinstance(source, S3Source):
        s3.allowed(source.bucket, env)
    elif not isinstance(source, PredictionsSource):  # these are our own
        sql.address(source, env)


def stage(
    item: Item, table: Table, env: Environment, *, base: Path, scratch: Path, since: date | None, until: date
) -> StoredFile:
    """Turn an item into a local file with a known digest.

    Args:
        item: From :func:`inventory`.
        table: The table it was listed for.
        env: Which folders, buckets and connections may be used.
        base: Project root; relative paths start here.
        scratch: Folder for downloads and SQL results; local files stay where they are.
        since: Earliest date to ask a database for, together with ``until``; ``None`` asks for every row. Rows
            without a legible date are only in the latter.
        until: Latest date to ask a database for.

    Raises:
        SourceError: The item is gone, has changed since it was listed, or its download keeps breaking off.
    """
    source = table.source
    if isinstance(source, FileSource):
        return stage_file(item, env, base)
    target = _target(item.uri, scratch)
    if isinstance(source, S3Source):
        return s3.download(item, env, target)
    return sql.spill(_database(source), table, env, base, target, sql.Days(since=since, until=until))


def _database(source: SqlSource | PredictionsSource) -> SqlSource:
    if isinstance(source, PredictionsSource):
        raise SourceUnusable("publications are read from the lake, by perennial.landing.feed")
    return source


def _target(uri: str, scratch: Path) -> Path:
    """Keep folders such as ``region=north``, which are columns, and nothing else that a key could smuggle in."""
    folders = [part for part in uri.split("/")[:-1] if "=" in part and "\0" not in part]
    path = scratch.joinpath(hashlib.sha256(uri.encode()).hexdigest()[:16], *folders, "staged")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
