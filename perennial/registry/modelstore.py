"""Model bytes by digest, in a folder or on S3; what is read is what was judged."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial.config.models import S3Settings
from perennial.contracts import Incumbent, ModelBlob, ModelVersion, Role
from perennial.durable import write_atomically
from perennial.errors import ConfigError, IntegrityError, RegistryError
from perennial.registry.canonical import loads

if TYPE_CHECKING:
    from datetime import date

    from perennial.ledger import Ledger


class ModelStore:
    """Content-addressed: the name of a blob is its SHA-256, so that a blob never changes and none is written twice.

    Args:
        root: Local folder or ``s3://bucket/prefix``.
        s3: How to reach S3.

    Raises:
        ConfigError: The bucket is not one of those the environment allows.
    """

    def __init__(self, root: str, s3: S3Settings | None = None) -> None:
        self._root = root.removeprefix("s3://").rstrip("/")
        self._s3 = (s3 or S3Settings()) if root.startswith("s3://") else None
        bucket = self._root.split("/")[0]
        if self._s3 and bucket not in self._s3.buckets:
            raise ConfigError(f"models: bucket {bucket!r} is not one of s3.buckets {list(self._s3.buckets)}; add it")

    def put(self, blob: ModelBlob) -> str:
        """Keep a blob durably and return where; bytes that are there already stay untouched.

        Raises:
            RegistryError: The store did not take it.
        """
        path = self._path(blob.digest)
        if self._s3:
            self._put_s3(path, blob)
            return f"s3://{path}"
        if not self._intact(Path(path), blob.digest):
            write_atomically(Path(path), blob.data)
        return path

    def get(self, digest: str) -> bytes:
        """Return the bytes of a digest, verified.

        Raises:
            IntegrityError: They are missing, or are others.
            RegistryError: The store did not answer.
        """
        path = self._path(digest)
        data = self._read(path)
        if data is None:
            raise IntegrityError(f"model {digest[:12]} is not in the store ({path}); restore it from a backup")
        if hashlib.sha256(data).hexdigest() != digest:
            raise IntegrityError(f"model {digest[:12]} was altered in the store ({path}); restore it from a backup")
        return data

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}.skops"

    def _intact(self, path: Path, digest: str) -> bool:
        return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest

    def _read(self, path: str) -> bytes | None:
        try:
            if self._s3:
                with self._filesystem().open_input_stream(path) as file:
                    return bytes(file.read())
            return Path(path).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RegistryError(f"the model store at {self._root} did not answer: {error}") from error

    def _put_s3(self, path: str, blob: ModelBlob) -> None:
        if self._read(path) == blob.data:
            return
        try:
            with self._filesystem().open_output_stream(path) as file:  # visible only once it is closed
                file.write(blob.data)
        except OSError as error:
            raise RegistryError(f"the model store at {self._root} did not take the model: {error}") from error

    def _filesystem(self) -> Any:
        from perennial.lake.files import s3_filesystem

        return s3_filesystem(self._s3 or S3Settings())


def incumbent(
    ledger: "Ledger", store: ModelStore, model: str, role: Role = "champion", on: "date | None" = None
) -> Incumbent | None:
    """Resolve a role through the ledger and load its model by digest; ``None`` while it is vacant.

    With ``on``, the version that held the role for a run that stands on that date.

    Raises:
        IntegrityError: The stored bytes are not those that were judged.
    """
    version = ledger.in_force(model, role, on)
    return loaded(store, version) if version else None


def loaded(store: ModelStore, version: ModelVersion) -> Incumbent:
    """Load a version's model by digest.

    Raises:
        IntegrityError: The stored bytes are not those that were judged.
    """
    return Incumbent(version=version, model=loads(store.get(version.digest), version.digest))
