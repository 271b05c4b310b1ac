"""One writer a pipeline: the lock, its death with its holder, and the token that outlives it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perennial.errors import Busy, Fenced
from perennial.ledger import Ledger
from perennial.ledger.lock import file_lock
from tests import ledgers, pg
from tests.ledgers import DAY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server for the whole file."""
    with pg.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with pg.database(request.getfixturevalue("server")) as database:
        yield database


def fork(work: Callable[[], object]) -> int:
    """Run ``work`` in a child process that ends with it, and return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def all_succeed(children: list[int]) -> bool:
    """Wait for every child; whether all of them ended well."""
    return not any([os.waitpid(child, 0)[1] for child in children])  # noqa: C419 - waits for all


def hold_until_killed(url: str, locks: Path, ready: Path) -> None:
    """Take the lock, say so, and keep it."""
    with Ledger.open(url).hold("demand", locks=locks) as lease:
        Ledger.open(url).begin_run(lease, "retrain", DAY)
        ready.touch()
        time.sleep(60)


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    for _ in range(1000):
        if path.exists():
            return
        time.sleep(0.01)
    raise TimeoutError(path)


def test_many_processes_open_a_new_ledger_at_once(url: str) -> None:
    """Creation is idempotent under a race of 50."""

    def work() -> None:
        assert Ledger.open(url).models() == ()

    assert all_succeed([fork(work) for _ in range(50)])


def test_sixteen_processes_give_one_run_key_one_version(url: str, tmp_path: Path) -> None:
    """Whoever comes second finds the version of the first; tokens are never given twice."""

    def work() -> None:
        ledger = Ledger.open(url)
        with ledger.hold("demand", locks=tmp_path, wait_s=60) as lease:
            (tmp_path / f"token-{lease.token}").touch(exist_ok=False)
            assert ledgers.promoted(ledger, lease).version == 1

    assert all_succeed([fork(work) for _ in range(16)])
    ledger = Ledger.open(url)
    assert len(ledger.versions("demand")) == len(ledger.role_history("demand")) == 1
    assert len(list(tmp_path.glob("token-*"))) == 16
    assert ledger.verify_audit() == ()


def test_writers_of_different_pipelines_keep_one_audit_chain(url: str, tmp_path: Path) -> None:
    """Pipelines do not wait for one another, and still every entry follows the one before."""

    def work(name: str) -> None:
        ledger = Ledger.open(url)
        with ledger.hold(name, locks=tmp_path) as lease:
            for n in range(5):
                ledgers.promoted(ledger, lease, f"{name}-{n}", f"d{n}")

    assert all_succeed([fork(lambda name=f"p{i}": work(name)) for i in range(6)])  # type: ignore[misc]
    assert Ledger.open(url).verify_audit() == ()
    assert len(Ledger.open(url).models()) == 6


def test_a_killed_holder_frees_the_lock_at_once(url: str, tmp_path: Path) -> None:
    """``kill -9`` of the holder: the next run has the lock within a second, and finds the dead run lost."""
    child = fork(lambda: hold_until_killed(url, tmp_path, tmp_path / "ready"))
    wait_for(tmp_path / "ready")
    ledger = Ledger.open(url)
    with (
        pytest.raises(Busy, match=f"demand is held by .*:{child} since"),
        ledger.hold("demand", locks=tmp_path, wait_s=0.1),
    ):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with ledger.hold("demand", locks=tmp_path, wait_s=1) as lease:
        assert lease.token == 2
        ledger.begin_run(lease, "retrain", DAY)
    assert [run.status for run in ledger.runs("demand")] == ["lost", "running"]


def test_an_overtaken_holder_can_write_nothing_more(url: str, tmp_path: Path) -> None:
    """A process that was suspended while another took over is refused at every write."""
    ledger = Ledger.open(url)
    with ledger.hold("demand", locks=tmp_path) as stale:
        version = ledgers.trained(ledger, stale)
        newer = ledger.overtake("demand")
        with pytest.raises(Fenced, match="token 1 was overtaken by 2"):
            ledger.commit_decision(stale, version, ledgers.decision(), as_of=DAY, actor="t")
        with pytest.raises(Fenced):
            ledger.record_landing(stale, ledgers.landing())
        ledger.commit_decision(newer, version, ledgers.decision(), as_of=DAY, actor="t")
    assert ledger.landings("demand") == ()
    assert ledger.in_force("demand") == version


def test_a_child_that_outlives_the_holder_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A forked worker closes its copy of the lock file."""
    with file_lock(tmp_path / "lock", wait_s=0):
        child = fork(lambda: time.sleep(30))
    try:
        with file_lock(tmp_path / "lock", wait_s=2):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_the_lock_excludes_threads_of_one_process_too(url: str, tmp_path: Path) -> None:
    """Prefect may run two flows in one process."""
    ledger = Ledger.open(url)
    with (
        ledger.hold("demand", locks=tmp_path),
        pytest.raises(Busy, match=r"waited 0\.05 s"),
        ledger.hold("demand", locks=tmp_path, wait_s=0.05),
    ):
        pass


def test_pipelines_do_not_wait_for_one_another(url: str, tmp_path: Path) -> None:
    """The lock is one pipeline's."""
    ledger = Ledger.open(url)
    with ledger.hold("demand", locks=tmp_path), ledger.hold("prices", locks=tmp_path, wait_s=0.1) as lease:
        assert lease.pipeline == "prices"


def test_a_crash_inside_a_transaction_leaves_nothing_of_it(url: str, tmp_path: Path) -> None:
    """Killed between two statements of a promotion: neither decision nor role nor event nor audit entry."""
    ledger = Ledger.open(url)
    with ledger.hold("demand", locks=tmp_path) as lease:
        version = ledgers.trained(ledger, lease)
        lease_now = lease

        def work() -> None:
            mine = Ledger.open(url)
            mine._change = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment, method-assign]
            mine.commit_decision(lease_now, version, ledgers.decision(), as_of=DAY, actor="t")

        assert not all_succeed([fork(work)])
    assert ledger.decision("k1") is None
    assert ledger.role_history("demand") == ()
    assert ledger.pending() == ()
    assert ledger.verify_audit() == ()
