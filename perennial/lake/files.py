"""Data files of the lake: written once, hashed while they are written, verified before they are parsed.

Works the same on a local folder and on S3. A file is never overwritten, so a reader that pinned an older
version keeps reading the bytes it pinned.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from perennial.config.models import S3Settings
from perennial.contracts import TIME, StoredFile
from perennial.errors import ConfigError, IntegrityError, LakeError, sample

FILE_BYTES = 64 << 20
"""A data file is closed when it has this size; a reader holds one at a time."""
ROW_GROUP = 1 << 18
"""Small batches are gathered until they have this many rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A data file that was written but belongs to no version yet; ``days`` are its first and last date, if any."""

    file: StoredFile
    rows: int
    days: tuple[date, date] | None


class Files:
    """The folder of all tables, addressed by paths relative to it such as ``demand/0a1b.parquet``."""

    def __init__(self, root: str, s3: S3Settings | None) -> None:
        scheme, _, rest = root.rpartition("://")
        self.local = scheme == ""
        if self.local:
            self._root = str(Path(root).absolute())
            self._fs: fs.FileSystem = fs.LocalFileSystem()
            self.options: dict[str, str] = {}
        else:
            settings = _allowed(root, rest, s3)
            self._root = rest.rstrip("/")
            self._fs = s3_filesystem(settings)
            self.options = _delta_options(settings)

    def uri(self, table: str) -> str:
        """Return the address of a table as Delta readers know it."""
        path = f"{self._root}/{table}"
        return path if self.local else f"s3://{path}"

    def require(self) -> None:
        """Do nothing if the bucket is there; a local folder is made when it is needed.

        Raises:
            LakeError: It is not, or does not answer.
        """
        bucket = self._root.split("/")[0]
        with reaching(self._root):
            if not self.local and self._fs.get_file_info(bucket).type == fs.FileType.NotFound:
                raise LakeError(f"there is no bucket {bucket!r}; create it, or correct the environment")

    def exists(self, path: str) -> bool:
        """Return whether there is such a file, or a folder with anything in it."""
        with reaching(self._root):
            return bool(self._fs.get_file_info(f"{self._root}/{path}").type != fs.FileType.NotFound)

    def read(self, file: StoredFile) -> pa.Buffer:
        """Return the bytes of a file, which are those that were recorded.

        Raises:
            IntegrityError: The file is missing or its bytes differ.
        """
        try:
            with reaching(self._root), self._fs.open_input_file(f"{self._root}/{file.path}") as stream:
                data = stream.read_buffer()
        except FileNotFoundError as error:
            raise IntegrityError(f"{file.path} is missing from the lake; restore it from a backup") from error
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise IntegrityError(
                f"{file.path} is not the file that was recorded: SHA-256 differs from {file.sha256[:12]}...; "
                "restore it from a backup (`perennial verify` lists every such file)"
            )
        return data

    def stored(self, path: str) -> StoredFile:
        """Return what a file holds now: its digest and size."""
        with reaching(self._root), self._fs.open_input_file(f"{self._root}/{path}") as stream:
            data = stream.read_buffer()
        return StoredFile(path=path, sha256=hashlib.sha256(data).hexdigest(), size=data.size)

    def write(self, table: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, prefix: str) -> list[Part]:
        """Write batches to new Parquet files below ``table``; after an error no file is left.

        Args:
            table: Folder of the files, relative to the root.
            batches: Rows; small batches are gathered into row groups.
            schema: The columns of every batch, in order.
            prefix: First part of the file names; a random part makes them unique.
        """
        parts: list[Part] = []
        groups = gathered(batches, ROW_GROUP)
        try:
            for first in groups:
                path = f"{table}/{prefix}-{uuid.uuid4().hex[:12]}.parquet"
                parts.append(Part(file=StoredFile(path=path, sha256="", size=0), rows=0, days=None))
                parts[-1] = self._write_one(path, first, groups, schema)
        except BaseException:
            self.remove([part.file.path for part in parts])
            raise
        return parts

    def remove(self, paths: Sequence[str]) -> None:
        """Delete files that no version refers to; those that are not there are skipped."""
        for path in paths:
            full = f"{self._root}/{path}"
            if self._fs.get_file_info(full).type != fs.FileType.NotFound:
                self._fs.delete_file(full)

    def remove_table(self, table: str) -> None:
        """Delete a table and all its files, so that a kill half-way leaves it whole or gone."""
        folder = f"{self._root}/{table}"
        if self.local:
            doomed = Path(f"{self._root}/.removed-{uuid.uuid4().hex}")
            Path(folder).rename(doomed)
            shutil.rmtree(doomed)
            return
        with reaching(self._root):
            log = self._fs.get_file_info(fs.FileSelector(f"{folder}/_delta_log", recursive=True))
            for entry in sorted(log, key=lambda info: info.path, reverse=True):  # newest first: always a valid table
                if entry.is_file:
                    self._fs.delete_file(entry.path)
            self._fs.delete_dir(folder)

    def sync(self, path: str) -> None:
        """Force a file and its name to disk (S3 has done so when it answers)."""
        if self.local:
            for target in (Path(self._root, path), Path(self._root, path).parent):
                descriptor = os.open(target, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)

    def _write_one(self, path: str, first: pa.RecordBatch, more: Iterator[pa.RecordBatch], schema: pa.Schema) -> Part:
        """Write ``first`` and as many of ``more`` as fit into one file."""
        if self.local:
            Path(self._root, path).parent.mkdir(parents=True, exist_ok=True)
        with reaching(self._root):
            sink = _Sink(self._fs.open_output_stream(f"{self._root}/{path}"), self._root)
        coded = [f.name for f in schema if not pa.types.is_floating(f.type)]  # measurements rarely repeat
        options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True, "use_dictionary": coded}
        with sink, pq.ParquetWriter(sink, schema, **options) as writer:
            writer.write_batch(first)
            while sink.size < FILE_BYTES and (batch := next(more, None)) is not None:
                writer.write_batch(batch)
        self.sync(path)
        return Part(
            file=StoredFile(path=path, sha256=sink.digest, size=sink.size),
            rows=writer.writer.metadata.num_rows,
            days=_days(writer.writer.metadata, schema),
        )


class _Sink:
    """A file that hashes and counts what passes through; Arrow calls it as it would a Python file."""

    def __init__(self, stream: Any, root: str) -> None:
        self._stream = stream
        self._root = root
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> "_Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        with reaching(self._root):
            return int(self._stream.write(data))

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        with reaching(self._root):
            self._stream.close()


@contextmanager
def reaching(root: str) -> Iterator[None]:
    """Turn what a file system or S3 refuses into our error; that a file is missing is for the caller to judge.

    Raises:
        LakeError: It did not answer, denied access or is full.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        reason = str(error)[:300]
        raise LakeError(f"the lake at {root} failed: {reason}; see `perennial doctor`, then run again") from error


def gathered(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Join small batches until they have ``rows`` rows; larger ones pass as they are.

    Example:
        Batches of 3, 4 and 9 rows with ``rows=5`` come out as 7 and 9.
    """
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= rows:
            yield _joined(waiting)
            waiting = []
    if waiting and any(map(len, waiting)):
        yield _joined(waiting)


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _days(metadata: pq.FileMetaData, schema: pa.Schema) -> tuple[date, date] | None:
    """Return the first and last date of a file, which lets Delta readers skip it."""
    at = schema.get_field_index(TIME)
    groups = [metadata.row_group(i).column(at).statistics for i in range(metadata.num_row_groups)] if at >= 0 else []
    if not groups or not pa.types.is_date(schema.field(at).type) or not all(g and g.has_min_max for g in groups):
        return None
    return min(cast(date, g.min) for g in groups), max(cast(date, g.max) for g in groups)


def _allowed(root: str, path: str, s3: S3Settings | None) -> S3Settings:
    bucket = path.split("/")[0]
    if not root.startswith("s3://"):
        raise ConfigError(f"the lake cannot be kept at {root!r}; give a folder or an s3:// address")
    if s3 is None or bucket not in s3.buckets:
        raise ConfigError(
            f"the lake is in bucket {bucket!r}, but only [{sample(s3.buckets if s3 else ())}] may be used; "
            "add it to s3.buckets of the environment"
        )
    return s3


def s3_filesystem(s3: S3Settings) -> fs.FileSystem:
    """Return how pyarrow reaches S3: with limits, so that a silent server ends in an error."""
    scheme, _, host = (s3.endpoint_url or "https://").partition("://")
    return fs.S3FileSystem(
        region=s3.region,
        scheme=scheme,
        endpoint_override=host.rstrip("/") or None,
        connect_timeout=5,
        request_timeout=30,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=5),
    )


def _delta_options(s3: S3Settings) -> dict[str, str]:
    """Commits are conditional puts: two writers can never both create the same version."""
    options = {"aws_region": s3.region, "aws_conditional_put": "etag", "timeout": "30s", "connect_timeout": "5s"}
    if s3.endpoint_url:
        options |= {"aws_endpoint": s3.endpoint_url, "aws_allow_http": str(s3.endpoint_url.startswith("http:")).lower()}
    return options
