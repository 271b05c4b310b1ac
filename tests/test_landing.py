"""Landings: what each takes, what later ones leave unchanged, and what a snapshot sees of them."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.clock import cutoff
from perennial.config.models import Columns, Environment, FileSource, Guards, KnownTable, Table
from perennial.contracts import Landing
from perennial.errors import IntegrityError, SchemaError
from perennial.lake.tables import Lake
from perennial.landing.land import land, pin, read_pin

START = date(2024, 1, 1)
Row = tuple[str, int, float | None]
"""Entity, day after START, units."""


def day(n: int) -> date:
    """Return the n-th day of the test's calendar."""
    return START + timedelta(days=n)


SALES = Columns(entity="sku", ds="date", y="units")
GUARDS = Guards()


@dataclass
class World:
    """A source folder, a lake, and the landings so far; the ledger is a list."""

    root: Path
    columns: Columns = SALES
    known: Columns | None = None
    delay_days: int = 0
    landings: list[Landing] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the folders."""
        for name in ("data", "scratch"):
            (self.root / name).mkdir(exist_ok=True)
        self.lake = Lake(str(self.root / "lake"))

    def write(self, rows: Sequence[Row], name: str = "sales.parquet", **more: Sequence[object]) -> None:
        """Write a source file, over the one of this name."""
        keys = [entity for entity, _, _ in rows]
        days = pa.array([day(n) for _, n, _ in rows], pa.date32())
        units = pa.array([units for _, _, units in rows], pa.float64())
        pq.write_table(
            pa.table({"sku": pa.array(keys, pa.string()), "date": days, "units": units} | more), self.path(name)
        )

    def path(self, name: str) -> Path:
        """Return the path of a source file."""
        path = self.root / "data" / name
        path.parent.mkdir(exist_ok=True)
        return path

    def land(self, as_of: int, guards: Guards = GUARDS) -> Landing:
        """Land what is new and record it."""
        source = FileSource(type="files", path="data")
        table = Table(source=source, columns=self.columns, delay_days=self.delay_days)
        if self.known:
            table = KnownTable(source=source, columns=self.known, delay_days=self.delay_days)
        landing = land(
            table,
            "demand.prices" if self.known else "demand",
            main=not self.known,
            pipeline="demand",
            as_of=day(as_of),
            earlier=self.landings,
            lake=self.lake,
            env=Environment(environment="test", data_roots=("data",)),
            guards=guards,
            base=self.root,
            scratch=self.root / "scratch",
        )
        assert landing.counts.conserved
        self.landings.append(landing)
        return landing

    def table(self, as_of: int) -> pa.Table:
        """Return what a run sees."""
        snapshot = pin("demand", day(as_of), self.landings, {})
        if self.known:
            snapshot = pin("demand", day(as_of), [], {"prices": self.landings})
        pinned = snapshot.known["prices"] if self.known else snapshot.main
        batches = list(read_pin(self.lake, pinned, self.landings, snapshot.cutoff, main=not self.known))
        return pa.Table.from_batches(batches) if batches else pa.table({"entity": [], "ds": [], "y": []})

    def seen(self, as_of: int) -> dict[tuple[str, int], float | None]:
        """Return the units that a run sees by (entity, day); no key may come twice."""
        rows = self.table(as_of).to_pylist()
        found = {(row["entity"], (row["ds"] - START).days): row["y"] for row in rows}
        assert len(found) == len(rows)
        return found

    def quarantine(self) -> list[dict[str, object]]:
        """Return all quarantined rows."""
        name = "demand.quarantine"
        files = [file for landing in self.landings for file in landing.files]
        batches = self.lake.scan(name, self.lake.version(name), files=files)
        return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty source and an empty lake."""
    return World(tmp_path)


HISTORY: tuple[Row, ...] = (("a", 0, 1.0), ("a", 1, 2.0), ("a", 2, 3.0), ("b", 1, 4.0), ("b", 2, 5.0))


def test_rows_land_on_the_day_they_can_be_known(world: World) -> None:
    """The rest of the file is left for later, counted, and taken then without what was taken before."""
    world.write(HISTORY)

    first, second, third = world.land(1), world.land(2), world.land(2)

    assert (first.counts.accepted, first.counts.deferred, first.first_visible) == (3, 2, day(0))
    assert (second.counts.rows_in, second.counts.accepted, second.first_visible) == (2, 2, day(2))
    assert (third.counts.rows_in, third.version_before, third.version_after) == (0, 1, 1)
    assert world.seen(1) == {("a", 0): 1.0, ("a", 1): 2.0, ("b", 1): 4.0}
    assert world.seen(2) == {(entity, n): y for entity, n, y in HISTORY}


def test_a_finished_file_is_not_even_opened(world: World) -> None:
    """Path, size and time of change tell it from a new one; with another time, its digest does."""
    world.write(HISTORY)
    landed = world.land(2)
    path = world.path("sales.parquet")
    stat = path.stat()
    good = path.read_bytes()

    path.write_bytes(b"x" * stat.st_size)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert world.land(3).sources == ()
    path.write_bytes(good)
    os.utime(path, ns=(0, 0))
    assert world.land(4).sources == ()
    assert landed.finished == (landed.sources[0].sha256,)


def test_a_file_that_moved_is_not_news_but_one_that_went_back_is(world: World) -> None:
    """What a place holds now is what its owner says now."""
    world.write(HISTORY)
    world.land(2)
    world.path("sales.parquet").rename(world.path("moved.parquet"))
    assert world.land(3).sources == ()

    world.write([("a", 0, 7.0)], "moved.parquet")
    world.land(4)
    world.write(HISTORY, "moved.parquet")
    world.land(5)

    assert [world.seen(n)["a", 0] for n in (3, 4, 5)] == [1.0, 7.0, 1.0]


def test_a_late_row_is_known_from_the_run_that_sees_it(world: World) -> None:
    """It does not change what an earlier date saw."""
    world.write(HISTORY)
    world.land(2)
    before = pin("demand", day(2), world.landings, {})
    world.write([("b", 0, 9.0)], "late.parquet")

    late = world.land(4)

    assert (late.counts.accepted, late.counts.restated, late.first_visible) == (1, 0, day(4))
    assert pin("demand", day(2), world.landings, {}) == before
    assert ("b", 0) not in world.seen(3)
    assert world.seen(4)["b", 0] == 9.0


def test_a_restatement_replaces_the_row_from_then_on(world: World) -> None:
    """Runs on earlier dates go on seeing what they saw; a value may go back to what it was."""
    world.write(HISTORY)
    world.land(2)
    world.write([("a", 0, 7.0)], "first.parquet")
    world.land(3)
    world.write([("a", 0, 1.0)], "second.parquet")
    world.land(4)

    assert [world.seen(n)["a", 0] for n in (2, 3, 4)] == [1.0, 7.0, 1.0]
    assert [one.counts.restated for one in world.landings] == [0, 1, 1]


def test_a_second_run_on_one_date_may_correct_the_first(world: World) -> None:
    """Without stamps, what lands later is known later."""
    world.write(HISTORY)
    world.land(2)
    world.write([("a", 2, 30.0)], "mended.parquet")
    world.land(2)

    assert world.seen(2)["a", 2] == 30.0


def test_a_run_for_the_past_does_not_change_what_later_dates_saw(world: World) -> None:
    """It leaves a late row to the next run on a date that can still learn of it."""
    world.write(HISTORY)
    world.land(4)
    world.write([("b", 0, 9.0)], "late.parquet")

    assert world.land(2).counts.deferred == 1
    assert world.land(5).first_visible == day(5)


def test_a_rewritten_history_lands_only_what_is_new(world: World) -> None:
    """The same rows, one changed value, one new day: in any order."""
    world.write(HISTORY)
    world.land(2)
    world.write([("b", 3, 6.0), *HISTORY[1:], ("a", 0, 8.0)])

    again = world.land(3)

    assert (again.counts.rows_in, again.counts.accepted, again.counts.duplicates) == (6, 2, 4)
    assert again.counts.restated == 1
    assert world.seen(3) == {(e, n): y for e, n, y in HISTORY} | {("a", 0): 8.0, ("b", 3): 6.0}


def test_repetitions_are_dropped_and_contradictions_set_aside(world: World) -> None:
    """The same key twice: once if the values agree, not at all if they do not."""
    world.write([("a", 0, 1.0), ("b", 0, 2.0), ("a", 0, 1.0), ("b", 0, 3.0), ("c", 0, 4.0)])

    counts = world.land(0).counts

    assert (counts.accepted, counts.duplicates, dict(counts.reasons)) == (2, 1, {"conflict": 2})
    assert world.seen(0) == {("a", 0): 1.0, ("c", 0): 4.0}


def test_a_bad_row_is_quarantined_once(world: World) -> None:
    """A source that repeats it every day does not fill the quarantine."""
    world.write([("a", 0, -1.0), ("b", 0, float("inf")), ("c", 0, 1.0)])
    first = world.land(0)
    world.write([("a", 0, -1.0), ("b", 0, float("inf")), ("c", 0, 1.0), ("c", 1, 2.0)])
    second = world.land(1)

    assert dict(first.counts.reasons) == {"below_min_value": 1, "non_finite": 1}
    assert (second.counts.quarantined, second.counts.duplicates, second.counts.accepted) == (0, 3, 1)
    row = world.quarantine()[0]
    assert (row["landing"], row["source"], row["as_of"]) == (first.landing_id, "data/sales.parquet", day(0))
    assert (row["reason"], row["entity"], row["ds"], row["y"]) == ("below_min_value", "a", "2024-01-01", "-1")
    assert len(world.quarantine()) == 2


def test_a_rejected_landing_is_judged_anew(world: World) -> None:
    """Its bad rows count again, under the same id, and lie in the quarantine once."""
    world.write([("a", 0, -1.0), ("b", 0, 1.0)])
    rejected = world.land(0)
    world.landings.clear()
    world.lake.restore("demand", rejected.version_before)

    again = world.land(0)

    assert (again.landing_id, again.counts) == (rejected.landing_id, rejected.counts)
    assert len(world.quarantine()) == 1


def test_a_bad_row_of_the_future_waits(world: World) -> None:
    """It is judged on the day it becomes visible; one without a date at once."""
    world.write([("a", 5, -1.0)])
    pa.csv.write_csv(pa.table({"sku": ["a"]}), world.root / "other.csv")

    assert world.land(0).counts.deferred == 1
    assert dict(world.land(5).counts.reasons) == {"below_min_value": 1}


def test_undated_rows_are_set_aside_at_once(world: World) -> None:
    """And not again when the rest of their file lands."""
    world.write([("a", 0, 1.0), ("a", 9, 1.0)], more_days=[None, None])
    table = pq.read_table(world.path("sales.parquet"))
    undated = table.slice(0, 1).set_column(1, "date", pa.array([None], pa.date32()))
    pq.write_table(pa.concat_tables([table, undated]), world.path("sales.parquet"))

    first, second = world.land(0), world.land(9)

    assert dict(first.counts.reasons) == {"missing_date": 1}
    assert (first.counts.rows_in, second.counts.rows_in, second.counts.quarantined) == (3, 1, 0)


def test_delays_shift_what_can_be_seen(tmp_path: Path) -> None:
    """With two days' delay, a row of day 0 is first seen on day 2 and is not late then."""
    world = World(tmp_path, delay_days=2)
    world.write(HISTORY)

    assert [world.land(n).counts.accepted for n in (0, 2, 3, 4)] == [0, 1, 2, 2]
    assert world.seen(3) == {("a", 0): 1.0, ("a", 1): 2.0, ("b", 1): 4.0}


# --- sources that say when a row became known --------------------------------------------------------------


def stamps(*days: int) -> pa.Array:
    """Return moments at noon of these days."""
    noons = [datetime(2024, 1, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in days]
    return pa.array(noons, pa.timestamp("us", "UTC"))


@pytest.fixture
def stamped(tmp_path: Path) -> World:
    """A world whose source has a column `known`."""
    return World(tmp_path, columns=Columns(entity="sku", ds="date", y="units", available_at="known"))


def test_versions_of_one_file_are_seen_one_after_the_other(stamped: World) -> None:
    """In whatever order they are written, even when all land at once."""
    stamped.write([("a", 0, 3.0), ("a", 0, 1.0), ("a", 0, 2.0)], known=stamps(4, 0, 2))

    landing = stamped.land(5)

    assert (landing.counts.accepted, landing.counts.restated) == (3, 2)
    assert [stamped.seen(n)["a", 0] for n in range(6)] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


def test_a_version_is_taken_when_it_is_known(stamped: World) -> None:
    """The later one waits for its day."""
    stamped.write([("a", 0, 1.0), ("a", 0, 2.0)], known=stamps(0, 2))

    assert [stamped.land(n).counts.accepted for n in (0, 1, 2)] == [1, 0, 1]
    assert [stamped.seen(n)["a", 0] for n in (0, 1, 2)] == [1.0, 1.0, 2.0]


def test_contradicting_and_outdated_rows_are_set_aside(stamped: World) -> None:
    """What has landed stands; the same values with another stamp are a repetition."""
    stamped.write([("a", 0, 1.0)], known=stamps(2))
    stamped.land(2)
    stamped.write([("a", 0, 5.0), ("a", 0, 4.0), ("a", 0, 1.0)], known=stamps(2, 1, 3))

    counts = stamped.land(3).counts

    assert (dict(counts.reasons), counts.duplicates) == ({"conflict": 1, "superseded": 1}, 1)
    assert stamped.seen(3) == {("a", 0): 1.0}


def test_a_missing_stamp_is_a_reason(stamped: World) -> None:
    """A row that does not say when it was known cannot be shown to have been known in time."""
    stamped.write([("a", 0, 1.0)], known=pa.array([None], pa.timestamp("us", "UTC")))

    assert dict(stamped.land(0).counts.reasons) == {"missing_available_at": 1}


# --- tables known in advance -------------------------------------------------------------------------------


def test_plans_are_known_before_their_date(tmp_path: Path) -> None:
    """A table for all entities, known a week ahead; a changed plan counts from the run that sees it."""
    world = World(tmp_path, known=Columns(ds="date", extra={"price": "units"}), delay_days=-7)
    world.write([("", n, float(n)) for n in range(12)])
    assert world.land(3).counts.accepted == 11

    world.write([("", 10, 99.0)], "changed.parquet")
    world.land(4)

    assert world.table(3).schema.names == ["ds", "price", "available_at"]
    assert sorted(world.table(3)["price"].to_pylist()) == [float(n) for n in range(11)]
    assert sorted(world.table(4)["price"].to_pylist()) == [*(float(n) for n in range(10)), 11.0, 99.0]
    assert len(world.table(3).filter(pa.compute.field("ds") > day(3))) == 7


# --- settings and schemas ----------------------------------------------------------------------------------


def test_a_newly_mapped_column_is_read_from_the_whole_source(world: World) -> None:
    """Old rows are restated with it; earlier dates do not know the column."""
    world.write(HISTORY, cost=pa.array([float(n) for n in range(len(HISTORY))]))
    world.land(2)
    world.columns = Columns(entity="sku", ds="date", y="units", extra={"cost": "cost"})

    again = world.land(3)

    assert (again.counts.accepted, again.counts.restated) == (5, 5)
    assert "cost" not in world.table(2).schema.names
    assert world.table(3)["cost"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_other_bounds_are_applied_to_what_was_set_aside(world: World) -> None:
    """A source is read again under new guards; what has landed does not land twice."""
    world.write([("a", 0, -1.0), ("b", 0, 1.0)])
    world.land(0)

    again = world.land(1, Guards(min_value=None))

    assert (again.counts.accepted, again.counts.duplicates) == (1, 1)
    assert world.seen(1) == {("a", 0): -1.0, ("b", 0): 1.0}


def test_files_that_disagree_about_a_type_are_refused(world: World) -> None:
    """One says number, the other text; nothing lands."""
    world.columns = Columns(entity="sku", ds="date", y="units", extra={"size": "size"})
    world.write([("a", 0, 1.0)], "1.parquet", size=[1.0])
    world.write([("b", 0, 1.0)], "2.parquet", size=["big"])

    with pytest.raises(SchemaError, match="files of one source disagree about 'size: double', 'size: string'"):
        world.land(0)
    assert world.lake.version("demand") == -1


def test_nothing_is_left_in_scratch(world: World) -> None:
    """Neither after success nor after failure."""
    world.write(HISTORY)
    world.land(2)
    world.path("broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(Exception, match="broken"):
        world.land(3)

    assert list((world.root / "scratch").iterdir()) == []


def test_ids_depend_on_content_only(tmp_path: Path) -> None:
    """Two checkouts of one project land the same thing; another date or another byte does not."""
    ids = []
    for number, (rows, as_of) in enumerate([(HISTORY, 2), (HISTORY, 2), (HISTORY, 3), (HISTORY[1:], 2)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder)
        world.write(rows)
        ids.append(world.land(as_of).landing_id)

    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_folders_that_hold_columns_are_content(world: World) -> None:
    """The same bytes under another date are other rows."""
    world.columns = Columns(entity="sku", ds="day", y="units")
    for n in (0, 1):
        world.write([("a", 0, 1.0)], f"day={day(n)}/part.parquet")

    assert world.land(1).counts.accepted == 2
    assert world.seen(1) == {("a", 0): 1.0, ("a", 1): 1.0}


# --- damage ------------------------------------------------------------------------------------------------


def test_a_snapshot_refuses_damaged_rows(world: World) -> None:
    """One flipped bit in the lake."""
    world.write(HISTORY)
    landing = world.land(2)
    path = world.root / "lake" / landing.files[0].path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))

    with pytest.raises(IntegrityError, match=landing.files[0].path):
        world.seen(2)


def test_a_snapshot_names_landings_that_are_not_recorded(world: World) -> None:
    """Half a snapshot is none."""
    world.write(HISTORY)
    world.land(2)
    pinned = pin("demand", day(2), world.landings, {}).main

    with pytest.raises(IntegrityError, match="names 1 landings, 0 are recorded"):
        list(read_pin(world.lake, pinned, [], cutoff(day(2)), main=True))


DIES = """
import sys
from pathlib import Path
from tests.test_landing import HISTORY, World
World(Path(sys.argv[1])).land(2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("point", ["landing.appended", "landing.quarantined"])
def test_killed_before_it_was_recorded(point: str, world: World) -> None:
    """After restoring to what the ledger knows (nothing), the next run lands the same once."""
    world.write([*HISTORY, ("z", 0, -1.0)])
    environment = os.environ | {"PERENNIAL_FAULT": f"{point}:kill"}
    child = subprocess.run([sys.executable, "-c", DIES, str(world.root)], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    assert world.lake.version("demand") == 0

    world.lake.restore("demand", -1)
    landing = world.land(2)

    assert (landing.counts.accepted, landing.counts.quarantined) == (5, 1)
    assert len(world.seen(2)) == 5
    assert len(world.quarantine()) == 1


# --- any sequence of source states -------------------------------------------------------------------------


def expected(runs: Sequence[tuple[int, Sequence[Row]]]) -> list[tuple[str, int, int, float | None]]:
    """Land runs the slow way; return (entity, day, known from, units) in order of landing."""
    landed: list[tuple[str, int, int, float | None]] = []
    newest = -1
    for as_of, rows in runs:
        good = [row for row in rows if row[1] <= as_of and (row[2] is None or row[2] >= 0)]
        said = {key: {row[2] for row in good if row[:2] == key} for key in dict.fromkeys(row[:2] for row in good)}
        for (entity, n), units in said.items():
            now = {one[:2]: one[3] for one in landed}
            if len(units) == 1 and ((entity, n) not in now or now[entity, n] not in units):
                landed.append((entity, n, as_of if n <= newest else n, *units))
        newest = as_of
    return landed


def visible(landed: Sequence[tuple[str, int, int, float | None]], as_of: int) -> Mapping[tuple[str, int], float | None]:
    """Return what a run on a date sees of them."""
    return {(e, n): y for e, n, known, y in landed if n <= as_of and known <= as_of}


UNITS = st.sampled_from([None, 0.0, 1.0, 2.0, -1.0])
ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4), UNITS), min_size=1, max_size=10)


@settings(max_examples=30, deadline=None)
@given(states=st.lists(st.tuples(st.integers(0, 2), ROWS), min_size=1, max_size=3))
def test_any_history_of_a_source(states: list[tuple[int, list[Row]]]) -> None:
    """Rows are conserved, and what a date sees is what the slow way says, however much lands afterwards."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        as_of, runs, pins = 0, [], {}
        for pause, rows in states:
            as_of += pause
            runs.append((as_of, rows))
            world.write(rows)
            world.land(as_of)
            pins[as_of] = pin("demand", day(as_of), world.landings, {})
        for past, snapshot in pins.items():
            assert world.seen(past) == visible(expected(runs), past)
            assert pin("demand", day(past), world.landings, {}) == snapshot
        ids = Counter(one.landing_id for one in world.landings if one.files)
        assert not ids or ids.most_common(1)[0][1] == 1
