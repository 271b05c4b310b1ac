"""Alerts reach every channel that wants them: once, through an outage, and without a secret in any record."""

import json
import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from perennial import alerts, faults
from perennial.clock import cutoff
from perennial.config.models import Environment
from perennial.contracts import Alert, Finding, Level
from perennial.ledger import Ledger
from perennial.monitoring.alerting import alert_of
from tests import pg

DAY = date(2011, 11, 1)
EVENING = cutoff(DAY)
SECRET = "T0123SECRET"


@dataclass
class Sink:
    """A webhook on loopback that keeps what it took, and refuses everything while it is ``down``."""

    server: ThreadingHTTPServer
    taken: list[dict[str, str]] = field(default_factory=list)
    asked: int = 0
    down: bool = False
    answering: threading.Event = field(default_factory=threading.Event)
    """Set while it answers."""

    @property
    def url(self) -> str:
        """Apprise's address of it, with a secret in its path."""
        return f"json://127.0.0.1:{self.server.server_port}/hook/{SECRET}"

    @property
    def keys(self) -> list[str]:
        """The dedupe keys of what it took."""
        return [line[5:] for one in self.taken for line in one["message"].splitlines() if line.startswith("Key: ")]


@contextmanager
def webhook() -> Iterator[Sink]:
    """Serve a sink for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            sink.asked += 1
            if not sink.answering.wait(10):
                return
            if not sink.down:
                sink.taken.append(json.loads(content))
            self.send_response(503 if sink.down else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sink = Sink(server)
    sink.answering.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A webhook."""
    with webhook() as one:
        yield one


@pytest.fixture
def other() -> Iterator[Sink]:
    """Another webhook."""
    with webhook() as one:
        yield one


@dataclass
class Clock:
    """A time that a test moves."""

    at: datetime = EVENING

    def __call__(self) -> datetime:
        """Return it."""
        return self.at

    def wait(self, **span: float) -> None:
        """Let time pass."""
        self.at += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    """The ledger's time."""
    return Clock()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server for the whole file."""
    with pg.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """An empty ledger, once in each kind of database."""
    if request.param == "sqlite":
        yield Ledger.open(f"sqlite:///{tmp_path}/ledger.db", now=clock)
        return
    with pg.database(request.getfixturevalue("server")) as url:
        yield Ledger.open(url, now=clock)


def environment(home: Path, **channels: object) -> Environment:
    """Return an environment with channels; a text is an address."""
    found = {name: {"url": one} if isinstance(one, str) else one for name, one in channels.items()}
    text = json.dumps({"environment": "local", "home": str(home), "channels": found})
    return Environment.model_validate_json(text)


def raised(
    ledger: Ledger, home: Path, cause: str = "accuracy", *, level: Level = "critical", owner: str = "planning"
) -> Alert:
    """Open an alert as a monitor run does."""
    finding = Finding(
        cause=cause,  # type: ignore[arg-type]
        level=level,
        since=DAY - timedelta(days=2),
        summary="wape of all forecasts was 0.812 on 2011-11-01 (usual 0.489, bad beyond 0.611)",
        parts=tuple(f"range={n}" for n in range(20, 28)),
        likely="The model is old: it stands on 2011-08-01, 92 days ago.",
        command="perennial run demand --as-of 2011-11-01",
    )
    one = alert_of("demand", owner, DAY, finding)
    with ledger.hold("demand", locks=home / "locks") as lease:
        assert ledger.open_alert(lease, one)
    return one


def test_an_alert_says_what_a_person_must_know(ledger: Ledger, sink: Sink, tmp_path: Path) -> None:
    """What broke, since when, how badly, where, the likely cause, the next command and the dedupe key."""
    one = raised(ledger, tmp_path)
    assert alerts.deliver(ledger, environment(tmp_path, hook=sink.url)) == (1, 0)
    (message,) = sink.taken
    assert message["title"] == "Critical: demand, accuracy"
    assert message["type"] == "failure"
    assert message["message"].splitlines() == [
        "What: wape of all forecasts was 0.812 on 2011-11-01 (usual 0.489, bad beyond 0.611)",
        "Since: 2011-10-30, told on 2011-11-01",
        "Where: range=20, range=21, range=22, range=23, range=24 and 3 more",
        "Likely: The model is old: it stands on 2011-08-01, 92 days ago.",
        "Next: perennial run demand --as-of 2011-11-01",
        "Owner: planning",
        f"Key: {one.key}",
    ]


def test_what_was_sent_is_not_sent_again(ledger: Ledger, sink: Sink, tmp_path: Path, clock: Clock) -> None:
    """A second delivery has nothing to do."""
    env = environment(tmp_path, hook=sink.url)
    raised(ledger, tmp_path)
    assert alerts.deliver(ledger, env) == (1, 0)
    clock.wait(days=1)
    assert alerts.deliver(ledger, env) == (0, 0)
    assert sink.asked == 1


def test_nothing_is_lost_in_an_outage(ledger: Ledger, sink: Sink, tmp_path: Path, clock: Clock) -> None:
    """Alerts wait while the receiver is down, with a growing pause, and then arrive once each, oldest first."""
    env = environment(tmp_path, hook=sink.url)
    sink.down = True
    first = raised(ledger, tmp_path, "accuracy")
    assert alerts.deliver(ledger, env) == (0, 1)
    second = raised(ledger, tmp_path, "fallback")
    assert alerts.deliver(ledger, env) == (0, 2)
    assert sink.asked == 2  # the first message waits for its back-off
    clock.wait(hours=1)
    assert alerts.deliver(ledger, env) == (0, 2)
    assert sink.asked == 3  # a channel that is down costs one attempt, not one for each message

    sink.down = False
    clock.wait(hours=2)
    assert alerts.deliver(ledger, env) == (2, 0)
    assert sink.keys == [first.key, second.key]


def test_a_message_is_not_tried_before_its_back_off_is_over(
    ledger: Ledger, sink: Sink, tmp_path: Path, clock: Clock
) -> None:
    """The pause doubles; a call in between leaves the receiver in peace."""
    env = environment(tmp_path, hook=sink.url)
    sink.down = True
    raised(ledger, tmp_path)
    for seconds in (0, 2, 4, 8):
        clock.wait(seconds=seconds)
        assert alerts.deliver(ledger, env) == (0, 1)
        assert alerts.deliver(ledger, env) == (0, 1)
    assert sink.asked == 4


def test_a_channel_that_fails_does_not_touch_the_others(
    ledger: Ledger, sink: Sink, other: Sink, tmp_path: Path, clock: Clock
) -> None:
    """The one that took a message is not sent it again when the other one recovers."""
    env = environment(tmp_path, a_down=other.url, b_up=sink.url)
    other.down = True
    one = raised(ledger, tmp_path)
    assert alerts.deliver(ledger, env) == (1, 1)
    assert (sink.keys, other.keys) == ([one.key], [])

    other.down = False
    clock.wait(hours=2)
    assert alerts.deliver(ledger, env) == (1, 0)
    assert (sink.keys, other.keys) == ([one.key], [one.key])
    assert sink.asked == 1


def test_a_receiver_that_never_answers_costs_one_timeout(
    ledger: Ledger, sink: Sink, other: Sink, tmp_path: Path
) -> None:
    """The others get theirs all the same, and its second message is not tried in the same call."""
    env = environment(tmp_path, a_silent=f"{other.url}?rto=0.3", b_up=sink.url)
    keys = [raised(ledger, tmp_path, cause).key for cause in ("accuracy", "skew")]
    other.answering.clear()
    begun = time.monotonic()
    assert alerts.deliver(ledger, env) == (2, 2)
    assert time.monotonic() - begun < 30
    other.answering.set()
    assert (sink.keys, other.asked) == (keys, 1)


def test_a_channel_takes_what_is_bad_enough_and_of_its_owners(
    ledger: Ledger, sink: Sink, other: Sink, tmp_path: Path
) -> None:
    """Levels and owners choose the channels of an alert."""
    env = environment(
        tmp_path,
        pager={"url": sink.url, "at_least": "critical"},
        team={"url": other.url, "owners": ["prices", "planning"]},
    )
    warned = raised(ledger, tmp_path, "drift", level="warning")
    critical = raised(ledger, tmp_path, "accuracy")
    foreign = raised(ledger, tmp_path, "run", owner="marketing")
    assert alerts.deliver(ledger, env) == (4, 0)
    assert sink.keys == [critical.key, foreign.key]
    assert other.keys == [warned.key, critical.key]


def test_an_alert_that_no_channel_wants_is_done_with_and_logged(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a channel nothing waits for ever; the log says that nobody was told."""
    one = raised(ledger, tmp_path)
    assert alerts.deliver(ledger, environment(tmp_path)) == (0, 0)
    assert f"nobody was told of {one.key}" in caplog.text
    assert ledger.alerts("demand", open_only=True) == (one,)


def test_a_message_for_a_channel_that_is_gone_goes_to_its_successor(
    ledger: Ledger, sink: Sink, other: Sink, tmp_path: Path, clock: Clock
) -> None:
    """Renaming a channel in an outage loses nothing, and tells nobody twice."""
    other.down = True
    one = raised(ledger, tmp_path)
    assert alerts.deliver(ledger, environment(tmp_path, chat=other.url, mail=sink.url)) == (1, 1)
    other.down = False
    clock.wait(hours=1)
    assert alerts.deliver(ledger, environment(tmp_path, chat_two=other.url, mail=sink.url)) == (1, 0)
    assert (sink.keys, other.keys) == ([one.key], [one.key])


@pytest.mark.parametrize("address", [f"nonsense://{SECRET}", f"json://127.0.0.1:1/{SECRET}", f"slack://{SECRET}"])
def test_no_record_holds_an_address(
    address: str, ledger: Ledger, sink: Sink, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the log at its most talkative nor the outbox holds the secret, whether a channel works or fails."""
    caplog.set_level(logging.NOTSET)
    raised(ledger, tmp_path)
    assert alerts.deliver(ledger, environment(tmp_path, bad_one=address, hook=sink.url)) == (1, 1)
    (waiting,) = ledger.pending("alert")
    assert "'bad_one'" in waiting.error
    assert waiting.attempts == 1
    assert "bad_one" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(ledger.pending()) + repr(ledger.event_keys("alert"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_an_address_that_calls_failures_optional_still_loses_nothing(
    ledger: Ledger, sink: Sink, tmp_path: Path
) -> None:
    """Apprise's own ``optional`` would turn a failure into a success."""
    sink.down = True
    raised(ledger, tmp_path)
    assert alerts.deliver(ledger, environment(tmp_path, hook=f"{sink.url}?optional=yes")) == (0, 1)


def test_the_libraries_may_talk_again_afterwards(ledger: Ledger, sink: Sink, tmp_path: Path) -> None:
    """Levels of foreign loggers are those from before."""
    logger = logging.getLogger("urllib3")
    before = logger.level
    raised(ledger, tmp_path)
    alerts.deliver(ledger, environment(tmp_path, hook=sink.url))
    assert logger.level == before


def test_a_process_that_died_after_sending_sends_the_same_key_again(
    ledger: Ledger, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: the repetition carries the key by which a receiver drops it."""
    env = environment(tmp_path, hook=sink.url)
    one = raised(ledger, tmp_path)
    faults._passed.clear()
    monkeypatch.setenv("PERENNIAL_FAULT", "alert.sent:raise")
    with pytest.raises(RuntimeError):
        alerts.deliver(ledger, env)
    monkeypatch.delenv("PERENNIAL_FAULT")
    assert alerts.deliver(ledger, env) == (1, 0)
    assert sink.keys == [one.key, one.key]


def _deliver(url: str, env: Environment, gate: "multiprocessing.synchronize.Barrier") -> None:
    ledger = Ledger.open(url)
    gate.wait()
    alerts.deliver(ledger, env)


@pytest.mark.slow
def test_processes_that_deliver_at_the_same_time_send_once(sink: Sink, tmp_path: Path) -> None:
    """A monitor run and the watch share the work instead of doubling it."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = Ledger.open(url)
    for cause in ("accuracy", "drift", "skew", "cost", "run"):
        raised(ledger, tmp_path, cause)
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(3)
    env = environment(tmp_path, hook=sink.url)
    processes = [context.Process(target=_deliver, args=(url, env, gate)) for _ in range(3)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    assert [one.exitcode for one in processes] == [0, 0, 0]
    assert len(sink.keys) == 5
    assert len(set(sink.keys)) == 5
    assert ledger.pending("alert") == ()
