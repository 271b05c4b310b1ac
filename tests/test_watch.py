"""The dead man's switch: a publication that is missing after its deadline is told, once, by another process."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from perennial.config.files import load_environment
from perennial.context import Workspace, open_run
from perennial.ledger import Ledger
from perennial.monitoring.alerting import raise_alerts
from perennial.monitoring.watch import expected, watch_once
from tests import ledgers, shop
from tests.test_alerts import Clock, Sink, webhook

DAY = ledgers.DAY
LONDON = ZoneInfo("Europe/London")
PIPELINE = shop.PIPELINE.replace("pipeline: shop", "pipeline: demand\ntimezone: Europe/London\nowner: planning")


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A webhook."""
    with webhook() as one:
        yield one


@pytest.fixture
def clock() -> Clock:
    """The workspace's time: the evening of the day after ``DAY``, whose forecasts are published."""
    return Clock(datetime(2011, 11, 2, 20, tzinfo=UTC))


@pytest.fixture
def workspace(tmp_path: Path, sink: Sink, clock: Clock) -> Workspace:
    """A project whose pipeline published the forecasts of ``DAY``; MLflow and Prefect are not there."""
    channels = f"channels: {{hook: {{url: '{sink.url}'}}}}\ntracking: http://127.0.0.1:1\n"
    root = shop.write_project(tmp_path, PIPELINE, shop.LOCAL + channels, "demand")
    place = Workspace(root, load_environment("local", root), clock)
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        ledgers.promoted(place.ledger, lease)
    publish(place, DAY)
    return place


def publish(place: Workspace, day: date) -> None:
    """Record the forecasts of a date."""
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        place.ledger.record_publication(lease, replace(ledgers.publication(day=day), files=()))


def local(day: date, clock: str) -> datetime:
    """Return a moment of London's clock."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=LONDON).astimezone(UTC)


def rewrite(place: Workspace, text: str) -> None:
    """Change the pipeline's file."""
    (place.root / "configs" / "demand.yaml").write_text(text)


def test_nothing_is_told_while_everything_is_there(workspace: Workspace, sink: Sink) -> None:
    """The newest date whose deadline has passed is published."""
    assert watch_once(workspace) == ()
    assert sink.asked == 0
    assert workspace.ledger.alerts() == ()


def test_a_missing_publication_is_told_once_at_its_deadline(workspace: Workspace, sink: Sink, clock: Clock) -> None:
    """Not a second before; not again each minute, nor for the next date that is missing too."""
    clock.at = local(DAY + timedelta(days=2), "06:59:59")
    assert watch_once(workspace) == ()
    clock.at = local(DAY + timedelta(days=2), "07:00")
    (one,) = watch_once(workspace)
    assert (one.key, one.owner) == ("alert/demand/late/2011-11-02", "planning")
    assert (one.finding.cause, one.finding.level, one.finding.since) == ("late", "critical", date(2011, 11, 2))
    assert one.finding.summary == (
        "no forecasts of 2011-11-02 were published by 2011-11-03 07:00 Europe/London; the newest are of 2011-11-01"
    )
    assert one.finding.likely == "No run was begun for 2011-11-02: see whether the schedule and its worker run."
    assert one.finding.command == "perennial day demand --as-of 2011-11-02"
    assert sink.keys == [one.key]
    for _ in range(3):
        clock.wait(days=1)
        assert watch_once(workspace) == ()
    assert sink.keys == [one.key]


@pytest.mark.parametrize(
    ("moment", "zone", "day"),
    [
        ("2011-07-01T05:59", "Europe/London", "2011-06-29"),  # 06:59 in summer
        ("2011-07-01T06:00", "Europe/London", "2011-06-30"),
        ("2011-12-01T06:59", "Europe/London", "2011-11-29"),
        ("2011-12-01T07:00", "Europe/London", "2011-11-30"),
        ("2011-03-27T06:00", "Europe/London", "2011-03-26"),  # the clock was put forward that night
        ("2011-10-30T06:59", "Europe/London", "2011-10-28"),  # and back
        ("2011-11-02T20:00", "Pacific/Auckland", "2011-11-02"),  # tomorrow already
        ("2011-11-02T02:00", "America/Los_Angeles", "2011-10-31"),  # still the evening before
        ("2011-11-01T13:59", "America/Los_Angeles", "2011-10-30"),
    ],
)
def test_the_deadline_is_by_the_pipelines_own_clock(
    moment: str, zone: str, day: str, workspace: Workspace, clock: Clock
) -> None:
    """Whatever the machine's zone is, and on the days on which clocks are changed."""
    clock.at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert expected(workspace, zone, "07:00") == date.fromisoformat(day)


def test_another_deadline_holds_where_the_settings_say_so(workspace: Workspace, clock: Clock) -> None:
    """`delivery.deadline` replaces the default."""
    rewrite(workspace, f"{PIPELINE}\ndelivery: {{deadline: '11:30'}}\n")
    clock.at = local(DAY + timedelta(days=2), "11:29")
    assert watch_once(workspace) == ()
    clock.at = local(DAY + timedelta(days=2), "11:30")
    assert len(watch_once(workspace)) == 1


def test_the_alert_closes_when_the_date_is_published(workspace: Workspace, sink: Sink, clock: Clock) -> None:
    """The publication that was late ends it, and the next one that is late is told anew."""
    clock.at = local(DAY + timedelta(days=2), "07:01")
    watch_once(workspace)
    publish(workspace, DAY + timedelta(days=1))
    assert watch_once(workspace) == ()
    assert workspace.ledger.alerts("demand", open_only=True) == ()
    clock.wait(days=1)
    (again,) = watch_once(workspace)
    assert sink.keys == ["alert/demand/late/2011-11-02", again.key]


def test_a_newer_publication_is_as_good(workspace: Workspace, clock: Clock) -> None:
    """A date that was left out on purpose is not late once a newer one is there."""
    publish(workspace, DAY + timedelta(days=2))
    clock.at = local(DAY + timedelta(days=2), "12:00")
    assert watch_once(workspace) == ()


def test_it_does_not_disturb_a_run(workspace: Workspace, clock: Clock) -> None:
    """While a run holds the pipeline, the watch neither waits for it nor takes its right to write."""
    clock.at = local(DAY + timedelta(days=2), "07:01")
    with open_run("day", "demand", DAY + timedelta(days=1), workspace=workspace) as run:
        (one,) = watch_once(workspace)
        assert one.finding.likely.startswith("The run 'day' was begun at 2011-11-03 07:01 UTC and has not ended.")
        run.ledger.record_publication(run.lease, replace(ledgers.publication(day=run.as_of), files=()))
    assert [one.status for one in workspace.ledger.runs("demand")] == ["succeeded"]


def test_the_error_of_a_run_that_failed_is_told(workspace: Workspace, clock: Clock) -> None:
    """The likely cause is what the ledger has recorded of the date."""

    def fail() -> None:
        with open_run("day", "demand", DAY + timedelta(days=1), workspace=workspace):
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        fail()
    clock.at = local(DAY + timedelta(days=2), "07:01")
    (one,) = watch_once(workspace)
    assert one.finding.likely == "The run 'day' ended as failed: RuntimeError: the disk is full"


@pytest.mark.parametrize("change", ["as_of: 2011-11-01", "as_of: 2011-12-09"])
def test_a_pipeline_whose_data_has_ended_is_not_expected(change: str, workspace: Workspace, clock: Clock) -> None:
    """A fixed as-of date has no tomorrow."""
    rewrite(workspace, f"{PIPELINE}\n{change}\n")
    clock.wait(days=100)
    assert watch_once(workspace) == ()


def test_a_pipeline_that_never_published_is_not_expected(workspace: Workspace, clock: Clock) -> None:
    """A file that was just written alarms nobody; what it says of one pipeline holds for it alone."""
    shop.write_project(workspace.root, PIPELINE.replace("demand", "fresh"), name="fresh")
    clock.wait(days=1)
    assert [one.pipeline for one in watch_once(workspace)] == ["demand"]


def test_settings_that_cannot_be_read_do_not_silence_it(workspace: Workspace, sink: Sink, clock: Clock) -> None:
    """Such a pipeline cannot run; after the default deadline somebody is told why, and who was told before."""
    clock.at = local(DAY + timedelta(days=2), "07:01")
    watch_once(workspace)
    publish(workspace, DAY + timedelta(days=1))
    watch_once(workspace)
    rewrite(workspace, PIPELINE.replace("kind: forecast", "kind: forcast"))
    clock.wait(days=1)
    (one,) = watch_once(workspace)
    assert one.owner == "planning"
    assert one.finding.likely.startswith("Its settings are not valid: ")
    assert "forcast" in one.finding.likely
    assert one.finding.command == "perennial validate demand"
    assert sink.keys[-1] == one.key


def test_what_another_run_could_not_send_is_sent(workspace: Workspace, sink: Sink, clock: Clock) -> None:
    """The watch empties the outbox, whoever filled it."""
    from tests.test_judge import finding, measured

    found = measured(DAY, findings=(finding("skew", "warning", DAY),))
    with workspace.ledger.hold("demand", locks=workspace.home / "locks") as lease:
        (one,) = raise_alerts(workspace.ledger, lease, workspace.pipeline("demand").config, found)
    sink.down = True
    assert watch_once(workspace) == ()
    sink.down = False
    clock.wait(minutes=1)
    assert watch_once(workspace) == ()
    assert sink.keys == [one.key]


def test_two_watches_tell_once(workspace: Workspace, sink: Sink, clock: Clock) -> None:
    """Whichever is faster opens the alert and sends it."""
    clock.at = local(DAY + timedelta(days=2), "07:01")
    places = [Workspace(workspace.root, workspace.env, clock) for _ in range(4)]
    assert all(isinstance(place.ledger, Ledger) for place in places)
    found: list[int] = []
    threads = [threading.Thread(target=lambda place=place: found.append(len(watch_once(place)))) for place in places]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == [0, 0, 0, 1]
    assert len(sink.keys) == 1
