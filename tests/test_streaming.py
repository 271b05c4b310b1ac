"""Choices in files against published lists: told once, within a look, whatever is read twice or cannot be read."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial import intake
from perennial.choicefiles import read
from perennial.config.files import load_environment
from perennial.context import Workspace, open_run
from perennial.errors import Refused, SchemaError, SourceUnusable
from perennial.streaming import Follower, follow, follower
from tests import fleets, ledgers, shop
from tests.test_alerts import Sink, webhook

PIPELINE = """
pipeline: demand
kind: recommend
recommend: {stream: {false_alarms: 50}}
data: {source: {type: files, path: data}, columns: {entity: [user, item], ds: date, y: chosen}}
gates: [{metric: ndcg_error, against: bound, max: 1.0}]
monitor: {horizon: 10}
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A webhook."""
    with webhook() as one:
        yield one


@pytest.fixture
def place(tmp_path: Path, sink: Sink) -> Workspace:
    """A workspace whose pipeline published two lists, that of Ann and everybody else's; half are hit usually."""
    channels = f"channels: {{hook: {{url: '{sink.url}'}}}}\n"
    root = shop.write_project(tmp_path, PIPELINE, shop.LOCAL + channels, "demand")
    (root / "events").mkdir()
    workspace = Workspace(root, load_environment("local", root))
    land(workspace)
    with workspace.ledger.hold("demand", locks=workspace.home / "locks") as lease:
        ledgers.promoted(workspace.ledger, lease)
    publish(workspace, ["ann/x", "ann/AC%2FDC", "/z"])
    measure(workspace, 1, 0.5)
    return workspace


def land(place: Workspace) -> None:
    """Land what twenty users and Ann have had."""
    users = ["ann", *(f"u{n}" for n in range(20))]
    (place.root / "data").mkdir()
    table = pa.table({"user": users, "item": ["old"] * 21, "date": [ledgers.DAY] * 21, "chosen": [1] * 21})
    pq.write_table(table, place.root / "data" / "choices.parquet")
    with open_run("retrain", "demand", as_of=ledgers.DAY, workspace=place) as run:
        intake.take_in(run)
        landings = intake.pending(run)
        intake.accept(run, landings, intake.visible(run, {"demand": landings}), ledgers.REPORT)


def publish(place: Workspace, entities: list[str], version: int = 1, day: date = ledgers.DAY) -> None:
    """Publish places of lists."""
    rows = pa.table({"entity": entities})
    made = place.lake.append("demand.predictions", rows.to_batches(), rows.schema)
    publication = replace(ledgers.publication(version, day), files=made.files, table_version=made.version)
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        place.ledger.record_publication(lease, publication)


def measure(place: Workspace, version: int, usual: float, day: date = ledgers.DAY) -> None:
    """Let the monitor say how often a version is hit usually."""
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        made = replace(fleets.measurement("demand", day), champion=version, expected={"hit_error": 1 - usual})
        place.ledger.record_measurement(lease, made)


def following(place: Workspace) -> Follower:
    """Follow the folder of events, as after a start of the process."""
    return follower(place, "demand", place.root / "events")


def put(place: Workspace, name: str, item: str, who: str = "u") -> None:
    """Let a file arrive in which twenty users without a list of their own choose an item."""
    rows = "".join(json.dumps({"user": f"{who}{n}", "item": item}) + "\n" for n in range(20))
    (place.root / "events" / name).write_text(rows)


def test_degradation_is_told_once(place: Workspace, sink: Sink) -> None:
    """Good batches say nothing; the one that proves the fall is told, and nothing again, restarted or not."""
    one = following(place)
    put(place, "1.ndjson", "z")
    assert [batch.alert for batch in one.look()] == [None]
    for n in (2, 3, 4):
        put(place, f"{n}.ndjson", f"q{n}")
    told = [batch.alert for batch in one.look() if batch.alert]
    assert len(told) == 1
    assert sink.keys == [told[0].key]
    again = following(place)
    assert again.look() == ()
    for n in (5, 6, 7):
        put(place, f"{n}.ndjson", f"q{n}")
    assert [batch.alert for batch in again.look()] == [None] * 3
    assert len(sink.taken) == len(place.ledger.alerts("demand")) == 1
    assert "hit less often than 0.4" in told[0].finding.summary


def test_a_death_after_the_alert_tells_nobody_twice(place: Workspace, sink: Sink) -> None:
    """What was told and not yet kept is read again and finds its alert open."""
    for n in (1, 2, 3):
        put(place, f"{n}.ndjson", f"q{n}")
    assert sum(batch.alert is not None for batch in following(place).look()) == 1
    (place.home / "streams" / "demand.json").unlink()
    assert [batch.alert for batch in following(place).look()] == [None] * 3
    assert len(sink.taken) == 1


def test_what_cannot_be_read_holds_up_nothing(place: Workspace) -> None:
    """A damaged file is named and left out; what is being written under a hidden name is not looked at."""
    events = place.root / "events"
    (events / "1.parquet").write_bytes(b"PAR1 no more")
    (events / "2.ndjson").write_text('{"user": {"id": 1}, "item": "x"}\n')
    (events / "3.csv").write_text("who,item\nann,x\n")
    (events / "3.parquet").mkdir()
    (events / "3a.csv").write_text("user,item,user\nann,x,bob\n")
    (events / "3b.csv").symlink_to(events / "nowhere.csv")
    (events / ".4.ndjson").write_text("{")
    put(place, "5.ndjson", "z")
    *wrong, last = following(place).look()
    assert ["cannot be read" in one.problem for one in wrong] == [True, True, False, True]
    assert "3.csv has no column 'user'" in wrong[2].problem
    assert (last.problem, last.stream.choices, last.stream.hits) == ("", 20, 20)
    assert following(place).look() == ()


def test_what_counts_is_what_was_judged(place: Workspace) -> None:
    """A new choice of a user with a history, once: neither newcomers nor what a user had, also after a restart."""
    put(place, "1.ndjson", "z", who="stranger")
    put(place, "2.ndjson", "old")
    (found,) = {batch.stream for batch in following(place).look()}
    assert (found.observations, found.choices) == (0, 0)
    (place.root / "events" / "3.csv").write_text("user,item\nann,AC/DC\nann,q\n,z\n")
    (third,) = following(place).look()
    assert (third.stream.choices, third.stream.hits) == (2, 1)
    put(place, "4.ndjson", "z")
    put(place, "5.ndjson", "z")
    (place.root / "events" / "6.csv").write_text("user,item\nann,AC/DC\n")
    assert [(b.stream.choices, b.stream.hits) for b in following(place).look()] == [(22, 21)] * 3


def test_another_version_is_compared_with_what_it_promised(place: Workspace) -> None:
    """Its choices wait until the monitor has said how often it is hit, and the evidence begins anew."""
    one, later = following(place), ledgers.DAY + timedelta(days=1)
    put(place, "1.ndjson", "z")
    assert [batch.stream.hits for batch in one.look()] == [20]
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        ledgers.promoted(place.ledger, lease, key="k2", digest="d2")
    publish(place, ["/y"], version=2, day=later)
    put(place, "2.ndjson", "y")
    assert one.look() == ()
    measure(place, 2, 0.1, later)
    (batch,) = one.look()
    assert (batch.file, batch.stream.choices, batch.stream.hits) == ("2.ndjson", 20, 20)
    for n in range(3, 9):  # proof against a promise of one half; against a tenth it is none yet
        put(place, f"{n}.ndjson", f"q{n}")
    alerts = [batch.alert for batch in one.look()]
    assert alerts[:2] == [None, None]


def test_it_looks_as_often_as_told(place: Workspace) -> None:
    """Between two looks it waits; what arrives meanwhile is in the next one."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        put(place, f"{len(waits)}.ndjson", "z")

    found = list(follow(following(place), every_s=7.0, sleep=sleep, looks=3))
    assert waits == [7.0, 7.0]
    assert [batch.file for batch in found] == ["1.ndjson", "2.ndjson"]


def test_nothing_to_compare_with_is_refused(place: Workspace) -> None:
    """No measurement, no folder: said with the next step."""
    with pytest.raises(Refused, match="is no folder"):
        follower(place, "demand", place.root / "nowhere").look()
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        place.ledger.record_measurement(lease, fleets.measurement("demand"))
    measured = [one for one in place.ledger.measurements("demand") if "hit_error" in one.expected]
    assert measured == []
    with pytest.raises(Refused, match="perennial monitor demand"):
        follower(place, "demand", place.root / "events")


def test_three_formats_say_the_same(tmp_path: Path) -> None:
    """Parquet, CSV and JSON lines; numbers are names too, rows without a name are left out."""
    pq.write_table(pa.table({"user": [1, 2, None], "item": [7, 8, 9]}), tmp_path / "a.parquet")
    files = {
        "a.parquet": (tmp_path / "a.parquet").read_bytes(),
        "a.csv": b"user,item,at\n1,7,x\n2,8,y\n",
        "a.ndjson": b'{"user": 1, "item": 7}\n{"user": 2, "item": 8}\n',
    }
    assert {name: read(name, data) for name, data in files.items()} == {key: [("1", "7"), ("2", "8")] for key in files}


@pytest.mark.parametrize(("data", "error"), [(b"", SourceUnusable), (b"who,item\na,b\n", SchemaError)])
def test_other_files_are_refused(data: bytes, error: type[Exception]) -> None:
    """An empty file, or one without the columns."""
    with pytest.raises(error, match=r"a\.csv"):
        read("a.csv", data)
