"""Landing takes the memory of a batch, not of the source."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LEFT, SIZE = 192 << 20, 620 << 20
LAND = """
import resource, sys
from datetime import date
from pathlib import Path
from perennial.config.models import Columns, Environment, FileSource, Guards, Table
from perennial.lake.tables import Lake
from perennial.landing.land import land

base, left = Path(sys.argv[1]), int(sys.argv[2])
env = Environment(environment="local", data_roots=("data",))
columns = Columns(entity="sku", ds="day", y="a", extra={"b": "b", "c": "c", "d": "d"})

def take(name):
    source = FileSource(type="files", path=f"data/{name}.parquet")
    table = Table(source=source, columns=columns, batch_rows=20_000)
    lake, day = Lake(str(base / "lake")), date(2030, 1, 1)
    places = dict(lake=lake, env=env, guards=Guards(), base=base, scratch=base)
    return land(table, name, main=True, pipeline=name, as_of=day, earlier=(), **places)

take("small")  # starts the threads of every library, whose stacks are address space too
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + left, used + left))
counts = take("big").counts
print(counts.rows_in, counts.accepted)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_a_file_several_times_larger_than_the_address_space_left_lands(tmp_path: Path) -> None:
    """Every row of a file of three times the memory left is in the lake."""
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "small.parquet", 1)
    rows = write(tmp_path / "data" / "big.parquet", SIZE)
    command = [sys.executable, "-c", LAND, str(tmp_path), str(LEFT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "data" / "big.parquet").stat().st_size > 3 * LEFT
    assert done.stdout.split() == [str(rows), str(rows)]


def write(path: Path, size: int) -> int:
    """Write incompressible rows, a million at a time with keys of their own, until the file has ``size`` bytes."""
    rng, per_block, block = np.random.default_rng(0), 1_000_000, 0
    days = pa.array(np.tile(np.arange(1000, dtype="int32"), 1000)).cast(pa.date32())
    numbers = {name: rng.random(per_block) for name in "abcd"}
    which = pa.array(np.repeat(np.arange(1000), 1000))
    schema = pa.schema([("sku", pa.string()), ("day", pa.date32()), *((name, pa.float64()) for name in numbers)])
    with pq.ParquetWriter(path, schema, use_dictionary=["sku", "day"]) as out:
        while block == 0 or path.stat().st_size < size:
            skus = pa.array([f"{block:03}_{i:03}" for i in range(1000)]).take(which)
            out.write_table(pa.table({"sku": skus, "day": days, **numbers}, schema=schema), row_group_size=20_000)
            block += 1
    return block * per_block
