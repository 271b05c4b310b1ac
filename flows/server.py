"""One Prefect server on loopback for runs from the shell: found, or started in the background, never exposed."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from perennial.errors import PerennialError
from perennial.registry.projection import answers

HOST = "127.0.0.1"
PORT = 4200
START_SECONDS = 300.0


class ServerError(PerennialError):
    """The Prefect server could not be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers.

    Attributes:
        url: Address of its API.
        pid: Process id, if it was started from this home folder; 0 when it is somebody else's.
        started: Whether this call started it.
    """

    url: str
    pid: int = 0
    started: bool = False

    @property
    def ui(self) -> str:
        """Address of its pages."""
        return self.url.removesuffix("/api")


def settings(home: Path) -> dict[str, str]:
    """Return the Prefect settings of a home folder: nothing leaves the machine, logs go to the server alone."""
    return {
        "PREFECT_HOME": str((home / "prefect").resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_ROOT_LEVEL": "INFO",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


def connect(home: Path, *, configured: bool) -> Server:
    """Point this process at a server, before Prefect is imported.

    Args:
        home: Folder of the server's own database and state file.
        configured: Use ``PREFECT_API_URL`` and never start anything.

    Raises:
        ServerError: None is configured, or none could be started.
    """
    found = find(home, configured=configured)
    if found:
        return found
    with one_at_a_time(home):
        server = running(home) or _start(home)
    os.environ["PREFECT_API_URL"] = server.url
    return server


def find(home: Path, *, configured: bool) -> Server | None:
    """Return the server that ``PREFECT_API_URL`` names, having given this process the settings of the home folder.

    Raises:
        ServerError: It does not answer, or none is named where the environment asks for that.
    """
    for name, value in settings(home).items():
        os.environ.setdefault(name, value)
    (home / "prefect").mkdir(parents=True, exist_ok=True)
    given = os.environ.get("PREFECT_API_URL")
    if given:
        if not answers(given):
            raise ServerError(f"no Prefect server answers at {given}; start it, or correct or unset PREFECT_API_URL")
        return Server(url=given)
    if configured:
        raise ServerError("the environment says `prefect: configured`, but PREFECT_API_URL is not set; set it")
    return None


def running(home: Path) -> Server | None:
    """Return the server that was started from this home folder, if it still answers."""
    try:
        found = Server(**json.loads(_state(home).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if alive(found.pid) and _healthy(found.url, home, tries=3) else None


def stop(home: Path) -> bool:
    """Stop the server that was started from this home folder; ``False`` when there is none."""
    server = running(home)
    if server is None:
        return False
    flush_logs()
    os.kill(server.pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while alive(server.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    if alive(server.pid):
        os.kill(server.pid, signal.SIGKILL)
    _state(home).unlink(missing_ok=True)
    return True


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Run flows without heartbeats, whose thread would hold up each flow's end by up to a second.

    They tell a server that a process died; for a run from the shell the ledger finds that out by itself.
    """
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings(updates={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def flush_logs() -> None:
    """Send what this process still has to say to a server that is about to be stopped."""
    handlers = sys.modules.get("prefect.logging.handlers")
    if handlers is not None:
        handlers.APILogHandler().flush()


def launch(home: Path, preferred: int) -> "tuple[subprocess.Popen[bytes], Server]":
    """Start a server in a session of its own; it does not answer yet."""
    port = free_port(preferred)
    folder = home / "prefect"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(folder.resolve()), "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api"}
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    return process, Server(url=f"http://{HOST}:{port}/api", pid=process.pid, started=True)


def settle(home: Path, process: "subprocess.Popen[bytes]", server: Server) -> Server:
    """Wait until a launched server answers, and let others find it.

    Raises:
        ServerError: It ended, for example since another one took its port meanwhile, or did not answer for too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while not _healthy(server.url, home):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            log = home / "prefect" / "server.log"
            raise ServerError(f"no Prefect server came up at {server.url}; see {log} and run again")
        time.sleep(0.1)
    _write(_state(home), json.dumps(asdict(replace(server, started=False))))
    return server


def _start(home: Path) -> Server:
    try:
        process, launched = launch(home, PORT)
        server = settle(home, process, launched)
    except ServerError:
        if free_port(PORT) == PORT:  # else another project's server was quicker there
            raise
        process, launched = launch(home, 0)
        server = settle(home, process, launched)
    # The child outlives this process on purpose; without this, Python warns that nobody waits for it.
    process.returncode = 0
    return server


def _state(home: Path) -> Path:
    return home / "prefect" / "server.json"


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


def free_port(preferred: int) -> int:
    """Return a port of loopback that nobody listens on: the preferred one, or any."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError(f"no free port on {HOST}")


def _healthy(url: str, home: Path, tries: int = 1) -> bool:
    """Return whether the server of this home folder answers; that of another project may have the port by now."""
    for attempt in range(tries):
        try:
            with urllib.request.urlopen(_asking(f"{url}/admin/settings"), timeout=2.0) as answer:
                return Path(json.load(answer)["home"]) == (home / "prefect").resolve()
        except (OSError, ValueError, LookupError, TypeError):
            if attempt + 1 < tries:
                time.sleep(0.5)
    return False


def _asking(url: str) -> urllib.request.Request:
    """Return a request with the name and password that Prefect's own client would use, if any."""
    secret = os.environ.get("PREFECT_API_AUTH_STRING", "")
    basic = {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"} if secret else {}
    return urllib.request.Request(url, headers=basic)


def alive(pid: int) -> bool:
    """Return whether a process runs; one of our own children that has ended does not, though nobody waited for it."""
    with suppress(ChildProcessError):  # somebody else's child
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


@contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Let one process at a time look for the server of a home folder and start it."""
    from perennial.ledger.lock import file_lock

    (home / "locks").mkdir(parents=True, exist_ok=True)
    with file_lock(home / "locks" / "server.lock", START_SECONDS * 2):
        yield
