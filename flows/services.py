"""Processes that are started together, watched, and ended together, with all that they have started themselves."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from perennial.errors import PerennialError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 15.0
"""How long a process may take to end once it is asked to; then it is killed."""
KIN_S = 1.0
"""How long its children have before they are asked too: a worker leaves its runs alone when it ends."""


class ServiceEnded(PerennialError):
    """A process ended that should go on."""


class Stopped(KeyboardInterrupt):
    """Somebody asked for the end: Ctrl-C, or a signal that ends processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process, in a session of its own so that Ctrl-C reaches it through us alone.

    Attributes:
        log: What it writes.
    """

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path


class Services:
    """While it is entered, services may be started; however it is left, they are ended, the newest first."""

    def __init__(self) -> None:
        self._running: list[Service] = []
        self._before: dict[signal.Signals, Any] = {}
        self._starting = self._asked = False

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave processes behind
        for service in reversed(self._running):
            _end(service.process)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, name: str, command: list[str], log: Path, *, env: Mapping[str, str], cwd: Path) -> Service:
        """Start a process whose output goes to ``log``."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with self.starting(), log.open("ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, start_new_session=True
            )
            return self.add(name, process, log)

    def add(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> Service:
        """Take over a process that somebody else started in a session of its own."""
        service = Service(name=name, process=process, log=log)
        self._running.append(service)
        return service

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Hold signals back between the start of a process and the note of it, or it could be left behind."""
        self._starting = True
        try:
            yield
        finally:
            self._starting = False
        if self._asked:
            raise Stopped

    def check(self) -> None:
        """See that all still run.

        Raises:
            ServiceEnded: One does not; the message says which and where its log is.
        """
        for service in self._running:
            code = service.process.poll()
            if code is not None:
                raise ServiceEnded(f"{service.name} ended by itself (exit code {code}); see {service.log}")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        if not self._starting:
            raise Stopped


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and everything below it: ask, wait, kill."""
    kin = _below(process.pid)
    if process.poll() is None:
        process.terminate()
    asked = time.monotonic()
    kin_asked = False
    while time.monotonic() < asked + GRACE_S:
        kin |= _below(process.pid)
        ended = process.poll() is not None
        if ended and not _alive(kin):
            return
        if not kin_asked and (ended or time.monotonic() > asked + KIN_S):
            _send(_alive(kin), signal.SIGTERM)
            kin_asked = True
        time.sleep(0.05)
    if process.poll() is None:
        process.kill()
        process.wait()
    _send(_alive(kin), signal.SIGKILL)


def _send(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:  # it was faster
            continue


def _below(pid: int) -> set[int]:
    """Return the processes that a process has started, and those that they have, also in other sessions."""
    parents = _parents()
    found, more = set[int](), {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def _alive(pids: set[int]) -> set[int]:
    return pids & _parents().keys() if pids else pids


def _parents() -> dict[int, int]:
    """Return the parent of every process that has not ended yet."""
    proc = Path("/proc")
    if not (proc / "self" / "stat").exists():  # not Linux
        lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True).stdout
        rows = [line.split() for line in lines.splitlines()]
        return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
    found = {}
    for folder in proc.glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended meanwhile
            continue
        if state != "Z":
            found[int(folder.name)] = int(parent)
    return found
