"""Local files of a source: found inside the folders that an environment allows, pinned by digest where they are."""

import difflib
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from perennial.config.models import Environment, FileSource
from perennial.contracts import StoredFile
from perennial.errors import ConfigError, SourceError, SourceUnusable, sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file, object or query that a source consists of, before its bytes are known.

    Attributes:
        uri: Path (relative to the project where possible), ``s3://bucket/key`` or ``sql:connection/table``.
        identity: What tells new from old: size and time of change, ETag, or row count and range of dates.
    """

    uri: str
    identity: str


def list_files(source: FileSource, env: Environment, base: Path) -> tuple[Item, ...]:
    """Find the files of a source, in order of their paths.

    Args:
        source: A file, a glob, or a folder that is searched below; names that start with ``_`` or ``.`` in it
            are skipped, as Spark and Hive do.
        env: Holds ``data_roots``, the folders that may be read.
        base: Project root that relative paths start from.

    Raises:
        ConfigError: The path, or a link in it, leads outside the allowed folders.
        SourceUnusable: Nothing is there.
    """
    path = confine(source.path, env, base)
    found = sorted({confine(str(p), env, base) for p in _candidates(path, source) if p.is_file()})
    if not found:
        raise SourceUnusable(f"no {source.kept_as} file at {source.path!r} below {base}{_nearby(path)}")
    return tuple(Item(uri=_uri(p, base), identity=fingerprint(p.stat())) for p in found)


def confine(path: str, env: Environment, base: Path) -> Path:
    """Return the absolute path with links resolved, if it is inside one of the environment's data roots.

    Raises:
        ConfigError: It is not.
    """
    if "\0" in path or "://" in path or ".." in Path(path).parts:
        raise ConfigError(f"path {path!r} must be a plain path without '..', '://' or NUL; write it from the root")
    roots = [(base / root).resolve() for root in env.data_roots]
    resolved = (base / path).resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        raise ConfigError(
            f"path {path!r} leads to {resolved}, outside the folders that may be read: "
            f"{', '.join(map(str, roots)) or 'none'}. "
            "Move the file, or add its folder to data_roots of the environment."
        )
    return resolved


def _candidates(path: Path, source: FileSource) -> Iterable[Path]:
    if path.is_dir():
        below = path.rglob(f"*.{source.kept_as}")
        return (p for p in below if not any(part[0] in "_." for part in p.relative_to(path).parts))
    if not re.search(r"[*?\[]", str(path)) or path.exists():
        return (path,)
    fixed = next(parent for parent in path.parents if not re.search(r"[*?\[]", str(parent)))
    return fixed.glob(str(path.relative_to(fixed)))


def _nearby(path: Path) -> str:
    before, _, world = path.as_posix().partition("/data/simulated/")
    if world and before:
        return f"; `perennial simulate {world.partition('/')[0]}` writes it"
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    names = sorted(p.name for p in path.parent.iterdir())
    close = difflib.get_close_matches(path.name, names, n=3) or names
    return f"; {path.parent} holds {sample(close) or 'nothing'}"


def _uri(path: Path, base: Path) -> str:
    root = base.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def fingerprint(stat: os.stat_result) -> str:
    """Return size and time of change as text: a file that was written to since has another."""
    return f"size={stat.st_size} mtime_ns={stat.st_mtime_ns}"


def stage_file(item: Item, env: Environment, base: Path) -> StoredFile:
    """Pin a local file where it is.

    Raises:
        SourceError: It is gone, or changed since it was listed.
    """
    path = confine(item.uri, env, base)
    try:
        stored = digest_file(path)
        same = fingerprint(path.stat()) == item.identity
    except OSError as error:
        raise SourceError(f"{item.uri} cannot be read: {error.strerror}; list the source again") from error
    if not same:
        raise SourceError(f"{item.uri} changed while it was being read; wait until it is complete, then run again")
    return stored


def digest_file(path: Path) -> StoredFile:
    """Return path, size and SHA-256 of a file."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return StoredFile(path=str(path), sha256=digest, size=handle.tell())
