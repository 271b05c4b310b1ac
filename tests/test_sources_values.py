"""Values of a source become canonical: the vectorised code against plain Python, and memory that stays bounded."""

import os
import subprocess
import sys
import textwrap
import unicodedata
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.sources.values import CELL_BYTES, CONVERTERS, cast_or_null

NUMBERS = st.one_of(
    st.floats().map(repr), st.integers().map(str), st.sampled_from(["", "x", "1,5", "1_0", " 1", "--1", "1e", "٣"])
)
DAYS = st.one_of(
    st.dates().map(date.isoformat), st.sampled_from(["2024-02-30", "2024-1-1", "20240101", "31.12.2024", "x", ""])
)
MOMENTS = st.one_of(
    st.datetimes(min_value=datetime(1900, 1, 1)).map(lambda m: m.isoformat(" ", "microseconds")),
    st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.sampled_from([UTC])).map(
        lambda m: m.isoformat(timespec="microseconds")
    ),
    DAYS.filter(lambda day: not day.startswith("0")),
)


def slow_number(text: str | None) -> float | None:
    """Python is more lenient than Arrow about blanks, underscores and other scripts."""
    if text is None or not text.isascii() or set(text) & set(" _"):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def slow_moment(text: str | None) -> datetime | None:
    """A bare date means the end of that day, a time without a zone means UTC."""
    if text is None or len(text) < 10 or text[4:5] != "-":
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment + timedelta(days=1) if len(text) == 10 else moment
    except (ValueError, OverflowError):
        return None


def slow_day(text: str | None) -> date | None:
    """Only YYYY-MM-DD is a date without a doubt."""
    try:
        return date.fromisoformat(text) if text and len(text) == 10 and text[4] == "-" else None
    except ValueError:
        return None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | NUMBERS))
def test_numbers_agree_with_python(texts: list[str | None]) -> None:
    """What Python reads as a number is that number; everything else is null and marked."""
    made = CONVERTERS["number"](pa.array(texts, pa.string()))
    expected = [slow_number(text) for text in texts]
    assert list(map(repr, made.values.to_pylist())) == list(map(repr, expected))
    assert marks(made.bad, texts) == [t is not None and v is None for t, v in zip(texts, expected, strict=True)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | DAYS), st.booleans())
def test_days_agree_with_python(texts: list[str | None], encoded: bool) -> None:
    """Impossible dates are marked, whatever the layout of the strings."""
    array = pa.array(texts, pa.string())
    made = CONVERTERS["day"](array.dictionary_encode() if encoded else array)
    expected = [slow_day(text) for text in texts]
    assert made.values.to_pylist() == expected
    assert marks(made.bad, texts) == [t is not None and v is None for t, v in zip(texts, expected, strict=True)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | MOMENTS))
def test_moments_agree_with_python(texts: list[str | None]) -> None:
    """Zones are respected, bare dates end, and nothing moves by a microsecond."""
    made = CONVERTERS["moment"](pa.array(texts, pa.string()))
    found = pc.cast(made.values, pa.int64()).to_pylist()  # beyond the year 9999 Python has no datetime
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [slow_moment(text) for text in texts]
    last = "9999-12-31"
    assert [f for f, t in zip(found, texts, strict=True) if t != last] == [
        e and (e - epoch) // timedelta(microseconds=1) for e, t in zip(expected, texts, strict=True) if t != last
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.none() | st.text(max_size=CELL_BYTES)))
def test_keys_agree_with_python(texts: list[str | None]) -> None:
    """NFC, and neither NUL nor more bytes than a cell may have."""
    made = CONVERTERS["key"](pa.array(texts, pa.string()))
    clean = [t if t is None else unicodedata.normalize("NFC", t) for t in texts]
    bad = [t is not None and ("\0" in t or len(t.encode()) > CELL_BYTES) for t in clean]
    assert made.values.to_pylist() == [None if b else t for t, b in zip(clean, bad, strict=True)]
    assert marks(made.bad, texts) == bad


def marks(bad: pa.Array | None, texts: list[str | None]) -> list[bool]:
    """Return the marks as a list; no marks at all means that none is set."""
    return [False] * len(texts) if bad is None else bad.to_pylist()


def test_many_broken_values_cost_no_more_than_two_casts_each() -> None:
    """Halving, not one cast a value, finds the few that do not parse."""
    texts = ["1.5"] * 100_000
    texts[77_777] = "x"
    values = cast_or_null(pa.array(texts), pa.float64())
    assert values.null_count == 1
    assert values[77_777].as_py() is None


MEMORY = """
import resource, sys
from datetime import date
from pathlib import Path
import pyarrow as pa, pyarrow.csv, pyarrow.parquet as pq
from perennial.config.models import Columns, Environment, FileSource, Table
from perennial.sources import inventory, read, stage

base, kind, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
columns = Columns(entity="sku", ds="day", y="a", extra={"b": "b", "c": "c", "d": "d"})
env = Environment(environment="local", data_roots=("data",))

def take(name):
    source = FileSource(type="files", path=f"data/{name}.{kind}", format=kind)
    table = Table(source=source, columns=columns, batch_rows=20_000)
    (item,) = inventory(table, env, base=base)
    file = stage(item, table, env, base=base, scratch=base, since=None, until=date(2030, 1, 1))
    print(file.size, sum(batch.num_rows for batch in read(file, table)))

take("small")  # starts the threads of every library, whose stacks are address space too
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + left, used + left))
take("big")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_several_times_larger_than_the_memory_left_is_read(tmp_path: Path, kind: str) -> None:
    """Listing, staging and reading take the memory of a batch, not of the file."""
    (tmp_path / "data").mkdir()
    some_rows(tmp_path / f"data/small.{kind}", 200_000, 1)
    left, rows = 96 << 20, some_rows(tmp_path / f"data/big.{kind}", 1_000_000, 300 << 20)
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path), kind, str(left)]
    # Each thread's malloc arena reserves 64 MiB of address space when it is first used, which is most of what is left:
    # whether a thread of Arrow's came to use one in time would decide the test.
    env = os.environ | {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent.parent, env=env
    )
    assert done.returncode == 0, done.stderr
    size, read = map(int, done.stdout.splitlines()[-1].split())
    assert size > 3 * left
    assert read == rows


def some_rows(path: Path, block_rows: int, size: int) -> int:
    """Write the same incompressible rows again and again until the file has ``size`` bytes; return how many rows."""
    import numpy as np
    import pyarrow.csv as pacsv
    import pyarrow.parquet as pq

    rng, rows = np.random.default_rng(0), 0
    days = pa.array(np.arange(block_rows, dtype="int32") % 2000)
    skus = pa.array([f"SKU_{i}" for i in range(3000)]).take(days)
    numbers = {name: rng.random(block_rows) for name in "abcd"}
    block = pa.table({"sku": skus, "day": days.cast(pa.date32()), **numbers})
    with (pq.ParquetWriter if path.suffix == ".parquet" else pacsv.CSVWriter)(path, block.schema) as out:
        while not rows or path.stat().st_size < size:
            out.write_table(block)
            rows += block_rows
    return rows
