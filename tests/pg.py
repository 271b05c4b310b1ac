"""A private PostgreSQL server on loopback, for as long as a ``with`` block lasts."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

STOP_S = 30.0


@contextmanager
def postgres() -> Iterator[str]:
    """Start a server with an empty data folder and stop it at the end.

    Skips the test where PostgreSQL is not installed (``apt-get install postgresql``).

    Yields:
        SQLAlchemy URL of the superuser, for example ``postgresql+psycopg://postgres@127.0.0.1:40001/postgres``.
    """
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="perennial-pg-"))
    user = _user(home)
    try:
        _initialise(programs, home, user)
        port = free_port()
        server = _start(programs, home, port, user)
        try:
            _wait(programs, port, server, home / "log")
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        finally:
            _stop(server)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def database(server: str) -> Iterator[str]:
    """Create an empty database on a running server, so that tests can share it; drop it at the end."""
    name = f"t{uuid.uuid4().hex}"
    _admin(server, f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        return folder
    found = shutil.which("initdb")
    if found is None:
        pytest.skip("PostgreSQL is not installed; apt-get install postgresql")
    return Path(found).parent


def _user(home: Path) -> str | None:
    """PostgreSQL refuses to run as root: hand the folder to the user that the package made."""
    if os.geteuid() != 0:
        return None
    shutil.chown(home, "postgres", "postgres")
    return "postgres"


def _initialise(programs: Path, home: Path, user: str | None) -> None:
    options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    command = [str(programs / "initdb"), "-D", str(home / "data"), *options]
    subprocess.run(command, check=True, capture_output=True, user=user, group=user, cwd="/")


def _start(programs: Path, home: Path, port: int, user: str | None) -> subprocess.Popen[bytes]:
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",  # the folder dies with the test; a killed client loses nothing by it
        "max_connections": 200,
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    command = [str(programs / "postgres"), "-D", str(home / "data"), *options]
    with (home / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, user=user, group=user, cwd=home)


def _wait(programs: Path, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
        if subprocess.run(ready, check=False).returncode == 0:
            return
        try:
            server.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    raise RuntimeError("PostgreSQL did not answer within 30 s")


def _stop(server: subprocess.Popen[bytes]) -> None:
    for step in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast shutdown, immediate, and force
        server.send_signal(step)
        try:
            server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            continue
        return


def _admin(server: str, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
