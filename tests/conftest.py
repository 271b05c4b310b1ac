"""Fixtures that several files share: a real Prefect server for the whole session, a shop to retrain."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.server import flush_logs, settings
from tests import shop

SERVER_SECONDS = 300
# Once any test has imported Prefect, its handler would warn of each line that is logged outside a flow.
os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start one Prefect server on loopback for all workers of this session; the last one to leave stops it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    state = shared / "prefect-server.json"
    with Locked(shared):
        server = json.loads(state.read_text()) if state.exists() else _start(shared)
        state.write_text(json.dumps(server | {"users": server["users"] + 1}))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**settings(shared), "PREFECT_API_URL": server["url"]}.items():
            patch.setenv(name, value)
        yield server["url"]
    with Locked(shared):
        server = json.loads(state.read_text())
        state.write_text(json.dumps(server | {"users": server["users"] - 1}))
        flush_logs()
        if server["users"] == 1:
            os.killpg(server["pid"], signal.SIGTERM)
            state.unlink()


@pytest.fixture
def shop_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a shop below a temporary folder and stand in it."""
    monkeypatch.chdir(shop.project(tmp_path))
    return tmp_path


def _start(folder: Path) -> dict[str, object]:
    from flows.server import free_port

    port = free_port(0)  # another session may be about to take the usual one
    environment = os.environ | settings(folder)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}/api"
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    process.returncode = 0  # another worker may end it; nobody here waits
                    return {"url": url, "pid": process.pid, "users": 0}
        except OSError:
            time.sleep(0.2)
    raise RuntimeError((folder / "server.log").read_text()[-2000:])


class Locked:
    """Hold a file lock below a folder."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "fixtures.lock").open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
