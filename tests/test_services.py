"""Processes started together: ended together, whatever they started themselves, and told apart when they die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows import server
from flows.services import ServiceEnded, Services, Stopped

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(0, flush=True); time.sleep(60)"


def start(services: Services, folder: Path, code: str) -> tuple[int, Path]:
    """Start a process that runs some code, wait for its first line, and return its id and its log."""
    log = folder / "one.log"
    one = services.start("one", [sys.executable, "-c", code], log, env=os.environ, cwd=folder)
    wait_for(lambda: bool(log.read_text()))
    return one.process.pid, log


def wait_for(true: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Return whether a process has ended, be it that nobody has waited for it yet."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_a_signal_ends_children_in_sessions_of_their_own(tmp_path: Path, number: int) -> None:
    """Their parent's group does not hold them: they are found by descent and ended by id."""
    before = signal.getsignal(number)
    with pytest.raises(Stopped), Services() as services:  # noqa: PT012
        parent, log = start(services, tmp_path, PARENT)
        child = int(log.read_text())
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert gone(parent)
    assert gone(child)
    assert signal.getsignal(number) is before


def test_who_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time is over; the end never hangs."""
    monkeypatch.setattr("flows.services.GRACE_S", 0.3)
    with Services() as services:
        pid, _ = start(services, tmp_path, STUBBORN)
    assert gone(pid)


def test_one_that_ends_by_itself_is_named_with_its_log(tmp_path: Path) -> None:
    """And the others are ended."""
    said = rf"one ended by itself \(exit code 3\); see {tmp_path}/one\.log"
    with pytest.raises(ServiceEnded, match=said), Services() as services:  # noqa: PT012
        other = services.start("two", ["sleep", "60"], tmp_path / "two.log", env=os.environ, cwd=tmp_path)
        start(services, tmp_path, "print(0, flush=True); raise SystemExit(3)")
        wait_for(lambda: services.check() is not None)
    assert other.process.returncode == -signal.SIGTERM


def test_a_signal_while_one_is_started_leaves_none_behind(tmp_path: Path) -> None:
    """It waits until the process is known, and then ends it too."""
    with pytest.raises(Stopped), Services() as services, services.starting():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        process = subprocess.Popen(["sleep", "60"], start_new_session=True)
        services.add("late", process, tmp_path / "late.log")
    assert process.returncode == -signal.SIGTERM


def test_a_port_in_use_is_left_to_whom_it_belongs() -> None:
    """Another one is taken, on loopback."""
    import socket

    with socket.socket() as taken:
        taken.bind((server.HOST, 0))
        taken.listen()
        assert server.free_port(taken.getsockname()[1]) != taken.getsockname()[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_projects_that_start_at_once_have_servers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find the usual port free; the one that comes second does not take the other's server for its own."""
    monkeypatch.setattr(server, "PORT", server.free_port(0))
    for name, value in server.settings(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    homes = (tmp_path / "one", tmp_path / "two")
    try:
        with ThreadPoolExecutor() as pool:
            urls = [found.url for found in pool.map(server._start, homes)]
        assert len(set(urls)) == 2
        assert [found.url for home in homes if (found := server.running(home))] == urls
    finally:
        assert [server.stop(home) for home in homes] == [True, True]
    assert [server.running(home) for home in homes] == [None, None]
