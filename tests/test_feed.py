"""Publications as a source: recorded rows only, known from their date on, the newest known forecast in force."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.clock import cutoff
from perennial.config.models import Columns, Environment, Guards, KnownTable, PredictionsSource
from perennial.contracts import Landing, Publication
from perennial.errors import IntegrityError, SourceUnusable
from perennial.lake.tables import Lake
from perennial.landing.feed import Feed
from perennial.landing.land import land, pin, read_pin

START = date(2024, 1, 1)
COLUMNS = Columns(entity="entity", ds="ds", available_at="available_at", extra={"y_hat": "y_hat"})


def publish(lake: Lake, as_of: date, value: float) -> Publication:
    """Append the forecast of one product for the three days after a date, and return what the ledger would record."""
    days = [as_of + timedelta(days=n) for n in (1, 2, 3)]
    rows = pa.table({"entity": ["a"] * 3, "ds": pa.array(days, pa.date32()), "y_hat": [value] * 3})
    appended = lake.append("demand.predictions", rows.to_batches(), rows.schema)
    return Publication(
        pipeline="demand",
        as_of=as_of,
        version=1,
        digest=f"{as_of}",
        table_version=appended.version,
        rows=3,
        entities=1,
        first=days[0],
        last=days[-1],
        rungs={"champion": 3},
        files=appended.files,
        published_at=datetime.now(UTC),
    )


def landed(root: Path, lake: Lake, feed: Feed, as_of: date, earlier: list[Landing]) -> Landing:
    """Land what a feed holds for a date, and record it."""
    found = land(
        KnownTable(source=PredictionsSource(type="predictions", pipeline="demand"), columns=COLUMNS),
        "replenish.forecast",
        main=False,
        pipeline="replenish",
        as_of=as_of,
        earlier=earlier,
        lake=lake,
        env=Environment(environment="test"),
        guards=Guards(),
        base=root,
        scratch=root,
        feed=feed,
    )
    earlier.append(found)
    return found


def seen(lake: Lake, landings: list[Landing], as_of: date) -> dict[int, float]:
    """Return the forecasts that a run of a date sees, by day after START."""
    snapshot = pin("replenish", as_of, [], {"forecast": landings})
    batches = read_pin(lake, snapshot.known["forecast"], landings, cutoff(as_of), main=False)
    rows = [row for batch in batches for row in batch.to_pylist()]
    return {(row["ds"] - START).days: row["y_hat"] for row in rows}


def test_a_run_sees_the_newest_forecast_that_was_known_on_its_date(tmp_path: Path) -> None:
    """The second publication replaces what the first said of the days both forecast; an earlier run sees the first."""
    lake, landings = Lake(str(tmp_path / "lake")), list[Landing]()
    first, second = publish(lake, START, 1.0), publish(lake, START + timedelta(days=1), 2.0)
    feed = Feed(pipeline="demand", publications=(first, second), lake=lake)
    one = landed(tmp_path, lake, feed, START, landings)
    assert seen(lake, landings, START) == {1: 1.0, 2: 1.0, 3: 1.0}
    assert [file.path for file in one.sources] == ["predictions:demand/2024-01-01 (sha256=2024-01-01)"]
    landed(tmp_path, lake, feed, START + timedelta(days=1), landings)
    assert seen(lake, landings, START) == {1: 1.0, 2: 1.0, 3: 1.0}
    assert seen(lake, landings, START + timedelta(days=1)) == {1: 1.0, 2: 2.0, 3: 2.0, 4: 2.0}
    assert landed(tmp_path, lake, feed, START + timedelta(days=1), landings).counts.rows_in == 0


def test_nothing_published_says_what_to_run(tmp_path: Path) -> None:
    """A pipeline that has published only later dates has published nothing as of this one."""
    lake = Lake(str(tmp_path / "lake"))
    feed = Feed(pipeline="demand", publications=(publish(lake, START, 1.0),), lake=lake)
    with pytest.raises(SourceUnusable, match="perennial score demand --as-of 2023-12-31"):
        feed.items(START - timedelta(days=1))


def test_a_publication_with_other_bytes_is_refused(tmp_path: Path) -> None:
    """What landed could not be traced to what was recorded."""
    lake = Lake(str(tmp_path / "lake"))
    one = publish(lake, START, 1.0)
    forged = replace(one, files=tuple(replace(file, sha256="0" * 64) for file in one.files))
    feed = Feed(pipeline="demand", publications=(forged,), lake=lake)
    with pytest.raises(IntegrityError):
        landed(tmp_path, lake, feed, START, [])
