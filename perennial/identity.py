"""What a result depends on, as digests: two runs with the same run key must give the same bytes."""

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes; memory stays small whatever its size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Return one digest for every Python file below ``package``: a change in any helper changes the run key.

    Flows and tasks are left out: they say when the library is called, never what it computes.
    """
    return _digest_files(package, sorted(package.rglob("*.py")))


def lock_digest(root: Path) -> str:
    """Return the digest of the project's lock file, or of nothing when a project has none."""
    lock = root / "requirements.lock"
    return digest_file(lock) if lock.exists() else digest_text("")


def run_key(*, snapshot: str, config: str, seed: int, as_of: date, root: Path, base: str = "") -> str:
    """Return the key under which a training is done once: same key, same result, one version.

    ``base`` is the digest of the model that the training continues, if it does.
    """
    parts = {
        "snapshot": snapshot,
        "code": code_digest(),
        "lock": lock_digest(root),
        "config": config,
        "seed": seed,
        "as_of": as_of.isoformat(),
    }
    if base:
        parts["base"] = base
    return digest_text(json.dumps(parts, sort_keys=True))


def _digest_files(root: Path, files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.relative_to(root).as_posix()} {digest_file(path)}\n".encode())
    return total.hexdigest()
