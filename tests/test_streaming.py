"""Choices in files against published lists: told once, within a look, whatever is read twice or cannot be read."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.config.files import load_environment
from perennial.context import Workspace
from perennial.errors import Refused, SchemaError, SourceUnusable
from perennial.monitoring.stream import Alarm
from perennial.streaming import Follower, follow, follower, read
from tests import ledgers, shop
from tests.test_alerts import Sink, webhook

ALARM = Alarm(usual=0.5, after=50.0)
PIPELINE = """
pipeline: demand
kind: recommend
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
    """A workspace whose pipeline published two lists: that of Ann and the newcomers'."""
    channels = f"channels: {{hook: {{url: '{sink.url}'}}}}\n"
    root = shop.write_project(tmp_path, PIPELINE, shop.LOCAL + channels, "demand")
    (root / "events").mkdir()
    workspace = Workspace(root, load_environment("local", root))
    rows = pa.table({"user": ["ann", "ann", ""], "item": ["x", "y", "z"]})
    made = workspace.lake.append("demand.predictions", rows.to_batches(), rows.schema)
    publication = replace(ledgers.publication(), files=made.files, table_version=made.version)
    with workspace.ledger.hold("demand", locks=workspace.home / "locks") as lease:
        ledgers.promoted(workspace.ledger, lease)
        workspace.ledger.record_publication(lease, publication)
    return workspace


def following(place: Workspace) -> Follower:
    """Follow the folder of events, as after a start of the process."""
    return Follower(place, "demand", place.root / "events", ALARM)


def put(place: Workspace, name: str, item: str) -> None:
    """Let a file arrive in which twenty strangers choose an item."""
    rows = "".join(json.dumps({"user": f"{name}-{n}", "item": item}) + "\n" for n in range(20))
    (place.root / "events" / name).write_text(rows)


def test_degradation_is_told_once(place: Workspace, sink: Sink) -> None:
    """Good batches say nothing; the one that proves the fall is told, and nothing again, restarted or not."""
    one = following(place)
    put(place, "1.ndjson", "z")
    assert [batch.alert for batch in one.look()] == [None]
    for n in (2, 3, 4):
        put(place, f"{n}.ndjson", "q")
    told = [batch.alert for batch in one.look() if batch.alert]
    assert len(told) == 1
    assert sink.keys == [told[0].key]
    again = following(place)
    assert again.look() == ()
    for n in (5, 6, 7):
        put(place, f"{n}.ndjson", "q")
    assert [batch.alert for batch in again.look()] == [None] * 3
    assert len(sink.taken) == len(place.ledger.alerts("demand")) == 1
    assert "hit less often than 0.4" in told[0].finding.summary


def test_a_death_after_the_alert_tells_nobody_twice(place: Workspace, sink: Sink) -> None:
    """What was told and not yet kept is read again and finds its alert open."""
    for n in (1, 2, 3):
        put(place, f"{n}.ndjson", "q")
    assert sum(batch.alert is not None for batch in following(place).look()) == 1
    (place.home / "streams" / "demand.json").unlink()
    assert [batch.alert for batch in following(place).look()] == [None] * 3
    assert len(sink.taken) == 1


def test_what_cannot_be_read_holds_up_nothing(place: Workspace) -> None:
    """A damaged file is named and left out; what is being written under a hidden name is not looked at."""
    (place.root / "events" / "1.parquet").write_bytes(b"PAR1 no more")
    (place.root / "events" / ".2.ndjson").write_text("{")
    put(place, "3.ndjson", "z")
    first, second = following(place).look()
    assert "1.parquet cannot be read" in first.problem
    assert (second.problem, second.stream.choices, second.stream.hits) == ("", 20, 20)


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
    with pytest.raises(Refused, match="perennial monitor demand"):
        follower(place, "demand", place.root / "events")
    with pytest.raises(Refused, match="is no folder"):
        Follower(place, "demand", place.root / "nowhere", ALARM).look()


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
