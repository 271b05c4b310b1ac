"""Who may write for a pipeline: one lock that dies with its holder, and a token that outlives it.

The lock is ``flock`` beside a SQLite ledger and a session-level advisory lock on PostgreSQL: both are free within
milliseconds of a ``kill -9``. A lock alone does not stop a process that was suspended and wakes up after another
has taken over; the *fencing token*, compared in every write transaction, does.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from perennial.errors import Busy

_POLL_S = 0.02
_LOCK_NOT_AVAILABLE = "55P03"
_held: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write for one pipeline, until somebody else acquires it.

    Attributes:
        token: Grows by one with every acquisition; a write with an older one is refused.
        holder: ``user@host:pid``, for the message that others read while they wait.
    """

    pipeline: str
    token: int
    holder: str


@contextmanager
def file_lock(path: Path, wait_s: float) -> Iterator[None]:
    """Hold an exclusive ``flock`` on ``path``, waiting at most ``wait_s`` seconds.

    Raises:
        Busy: Somebody else held it all that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _wait_for(fd, path, wait_s)
        _forget_in_children(fd)
        yield
    finally:
        _held.discard(fd)
        os.close(fd)


def _wait_for(fd: int, path: Path, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise Busy(f"{path} was locked by another process for {wait_s:g} s") from None
            time.sleep(_POLL_S)


def _forget_in_children(fd: int) -> None:
    """Close the lock in forked children, or one that outlives us would keep it."""
    _register_once()
    _held.add(fd)


@cache
def _register_once() -> None:
    os.register_at_fork(after_in_child=_close_held)


def _close_held() -> None:
    for fd in _held:
        os.close(fd)
    _held.clear()


@contextmanager
def advisory_lock(engine: Engine, name: str, wait_s: float) -> Iterator[None]:
    """Hold PostgreSQL's session-level advisory lock called ``name`` on a connection of its own.

    Raises:
        Busy: Somebody else held it for ``wait_s`` seconds.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        wait_ms = max(1, round(wait_s * 1000))
        connection.execute(text("SELECT set_config('lock_timeout', :ms, false)"), {"ms": f"{wait_ms}ms"})
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Busy(f"{name} was locked by another process for {wait_s:g} s") from error
        yield  # closing the connection ends the session, and with it the lock
