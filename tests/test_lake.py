"""The lake: atomic versions, verified bytes, restoration; on disk and on S3."""

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from perennial.config.models import S3Settings
from perennial.errors import ConfigError, IntegrityError, SchemaError
from perennial.lake.files import gathered
from perennial.lake.tables import Lake
from tests.s3 import s3_server

SCHEMA = pa.schema([("ds", pa.date32()), ("y", pa.float64()), ("landing", pa.string())])


def rows(*values: float, landing: str = "one") -> pa.RecordBatch:
    """Make one batch."""
    n = len(values)
    return pa.RecordBatch.from_pydict(
        {"ds": [date(2024, 1, 1)] * n, "y": list(values), "landing": [landing] * n}, schema=SCHEMA
    )


def values(batches: Iterator[pa.RecordBatch]) -> list[float]:
    """Collect the targets of a scan."""
    return [y for batch in batches for y in batch["y"].to_pylist()]


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.slow)])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    """An empty lake in a folder, then in a bucket."""
    if request.param == "disk":
        yield Lake(str(tmp_path / "lake"))
        return
    with s3_server("lake") as endpoint:
        yield Lake("s3://lake/tables", S3Settings(buckets=("lake",), endpoint_url=endpoint))


def test_an_append_is_one_version_and_reads_back(lake: Lake) -> None:
    """Rows come back in the order they were appended; older versions keep what they held."""
    assert lake.version("demand") == -1
    first = lake.append("demand", [rows(1.0, 2.0), rows(3.0)], SCHEMA)
    second = lake.append("demand", [rows(4.0)], SCHEMA)

    assert (first.version, second.version, lake.version("demand")) == (0, 1, 1)
    files = first.files + second.files
    assert values(lake.scan("demand", 1, files=files)) == [1.0, 2.0, 3.0, 4.0]
    assert values(lake.scan("demand", 0, files=first.files)) == [1.0, 2.0, 3.0]
    assert lake.verify("demand", 1, files) == ()


def test_no_rows_make_no_version(lake: Lake) -> None:
    """An empty append creates nothing, not even the table."""
    assert lake.append("demand", [rows()], SCHEMA).version == -1
    assert lake.version("demand") == -1
    assert lake.columns("demand", -1) == ()


def test_restoring_undoes_an_append_and_nothing_twice(lake: Lake) -> None:
    """A restoration is a version of its own; asking again changes nothing; the undone rows are gone."""
    kept = lake.append("demand", [rows(1.0)], SCHEMA)
    lost = lake.append("demand", [rows(2.0)], SCHEMA)

    lake.restore("demand", kept.version)
    lake.restore("demand", kept.version)

    assert lake.version("demand") == 2
    with pytest.raises(IntegrityError, match="does not hold"):
        list(lake.scan("demand", 2, files=lost.files))
    again = lake.append("demand", [rows(3.0)], SCHEMA)
    assert values(lake.scan("demand", again.version, files=kept.files + again.files)) == [1.0, 3.0]


def test_restoring_to_nothing_removes_the_table(lake: Lake) -> None:
    """A table that was new in a failed run is gone, and can be made anew."""
    lake.append("demand", [rows(1.0)], SCHEMA)

    lake.restore("demand", -1)
    lake.restore("demand", -1)

    assert lake.version("demand") == -1
    assert lake.append("demand", [rows(2.0)], SCHEMA).version == 0


def test_a_named_append_happens_once(lake: Lake) -> None:
    """The second append under a name reads no rows and returns the files of the first."""
    first = lake.append("demand", [rows(1.0)], SCHEMA, once="a1")
    again = lake.append("demand", iter(()), SCHEMA, once="a1")
    other = lake.append("demand", [rows(2.0)], SCHEMA, once="a")

    assert again == first
    assert other.version == first.version + 1


def test_columns_and_rows_can_be_chosen(lake: Lake) -> None:
    """Filters may use columns that are not read."""
    files = lake.append("demand", [rows(1.0, 2.0), rows(3.0, landing="two")], SCHEMA).files

    found = lake.scan("demand", 0, files=files, columns=["y"], where=pc.field("y") > 1.0, landings=["one"])

    assert [batch.to_pydict() for batch in found] == [{"y": [2.0]}]


def test_an_unknown_column_is_named(lake: Lake) -> None:
    """The message lists what there is."""
    files = lake.append("demand", [rows(1.0)], SCHEMA).files

    with pytest.raises(SchemaError, match="no column 'price'; it has 'ds', 'y', 'landing'"):
        list(lake.scan("demand", 0, files=files, columns=["price"]))


def test_a_new_column_is_null_in_older_rows(lake: Lake) -> None:
    """A pipeline may start to map one more column."""
    wider = SCHEMA.append(pa.field("price", pa.float64()))
    old = lake.append("demand", [rows(1.0)], SCHEMA)
    new = lake.append("demand", [rows(2.0).append_column("price", pa.array([9.0]))], wider)

    batches = lake.scan("demand", new.version, files=old.files + new.files, columns=["price"])

    assert [batch["price"].to_pylist() for batch in batches] == [[None], [9.0]]


def test_a_retyped_column_is_refused(lake: Lake) -> None:
    """What landed as a number cannot go on as text; no file is left behind."""
    lake.append("demand", [rows(1.0)], SCHEMA)
    other = pa.schema([("y", pa.string())])

    with pytest.raises(SchemaError, match="y is double, not string"):
        lake.append("demand", [pa.RecordBatch.from_pydict({"y": ["1"]})], other)
    assert lake.version("demand") == 0


# --- on disk -----------------------------------------------------------------------------------------------


def flip_a_bit(path: Path) -> None:
    """Damage that Parquet does not notice."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def truncate(path: Path) -> None:
    """Damage that Parquet does notice."""
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, Path.unlink])
def test_a_damaged_file_is_named_before_it_is_parsed(damage: Callable[[Path], None], tmp_path: Path) -> None:
    """One flipped bit is enough, which Parquet itself would not notice."""
    lake = Lake(str(tmp_path))
    good, bad = (lake.append("demand", [rows(y)], SCHEMA).files[0] for y in (1.0, 2.0))
    damage(tmp_path / bad.path)

    with pytest.raises(IntegrityError, match=bad.path):
        list(lake.scan("demand", 1, files=[good, bad]))
    assert lake.verify("demand", 1, [good, bad]) == (bad.path,)


def test_a_file_that_was_swapped_for_another_table_version_is_refused(tmp_path: Path) -> None:
    """Bytes that were never recorded do not pass for those that were."""
    lake = Lake(str(tmp_path))
    recorded = lake.append("demand", [rows(1.0)], SCHEMA).files[0]

    with pytest.raises(IntegrityError, match="SHA-256 differs"):
        list(lake.scan("demand", 0, files=[replace(recorded, sha256="0" * 64)]))


def test_a_lost_commit_is_an_integrity_error(tmp_path: Path) -> None:
    """The ledger knows a version that the folder no longer has."""
    lake = Lake(str(tmp_path))
    files = lake.append("demand", [rows(1.0)], SCHEMA).files

    with pytest.raises(IntegrityError, match="but 3 was recorded"):
        lake.restore("demand", 3)
    with pytest.raises(IntegrityError, match="cannot be read at version 3"):
        list(lake.scan("demand", 3, files=files))
    assert lake.verify("demand", 3, files) == (files[0].path,)


def test_a_stream_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    """Neither a version nor a file."""

    def broken() -> Iterator[pa.RecordBatch]:
        yield rows(*[1.0] * 300_000)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Lake(str(tmp_path)).append("demand", broken(), SCHEMA)
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_digest_is_that_of_the_bytes_on_disk(tmp_path: Path) -> None:
    """Files are hashed while they are written; equal rows give equal bytes."""
    one, two = (Lake(str(tmp_path / name)).append("demand", [rows(1.0, 2.0)], SCHEMA).files[0] for name in "ab")

    data = (tmp_path / "a" / one.path).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (one.sha256, one.size)
    assert (one.sha256, one.size) == (two.sha256, two.size)


def test_other_readers_see_the_same_table(tmp_path: Path) -> None:
    """Delta's own reader reads it, and knows the range of dates of each file."""
    from deltalake import DeltaTable

    Lake(str(tmp_path)).append("demand", [rows(1.0)], SCHEMA)

    table = DeltaTable(str(tmp_path / "demand"))
    assert table.to_pyarrow_table().to_pydict()["y"] == [1.0]
    assert pa.table(table.get_add_actions(flatten=True))["max.ds"].to_pylist() == [date(2024, 1, 1)]


@pytest.mark.parametrize(
    ("root", "message"),
    [("gs://lake/x", "give a folder or an s3:// address"), ("s3://other/x", r"only \['lake'\] may be used")],
)
def test_a_root_elsewhere_is_refused(root: str, message: str) -> None:
    """Only folders and the buckets that the environment lists."""
    with pytest.raises(ConfigError, match=message):
        Lake(root, S3Settings(buckets=("lake",)))


def test_small_batches_are_gathered() -> None:
    """Row groups have a useful size however small the batches are; no row is lost."""
    sizes = [len(batch) for batch in gathered([rows(*[0.0] * n) for n in (3, 0, 4, 9, 1)], 5)]

    assert sizes == [7, 9, 1]
    assert list(gathered([rows()], 5)) == []


DIES = """
import os, signal, sys
import pyarrow as pa
from perennial.lake.tables import Lake

def dies():
    yield pa.RecordBatch.from_pydict({"y": [2.0] * 300_000})
    os.kill(os.getpid(), signal.SIGKILL)

Lake(sys.argv[1]).append("demand", dies(), pa.schema([("y", pa.float64())]))
"""


@pytest.mark.slow
def test_killed_while_appending_leaves_the_version_before(tmp_path: Path) -> None:
    """A writer that dies between file and commit is invisible."""
    lake = Lake(str(tmp_path))
    kept = lake.append("demand", [rows(1.0)], SCHEMA)

    child = subprocess.run([sys.executable, "-c", DIES, str(tmp_path)], check=False)

    assert child.returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob("*.parquet"))) == 2
    assert lake.version("demand") == 0
    assert values(lake.scan("demand", 0, files=kept.files)) == [1.0]
