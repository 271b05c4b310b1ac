"""Files as sources: found in the allowed folders, pinned, mapped to our columns, read in bounded memory."""

import csv
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.config.models import Columns, Environment, FileSource, KnownTable, Table
from perennial.errors import ConfigError, IntegrityError, SchemaError, SourceError
from perennial.sources import inventory, read, stage
from perennial.sources.local import digest_file

ENV = Environment(environment="local", data_roots=("data",))
SALES = {"sku": ["a", "b"], "day": [date(2024, 1, 1), date(2024, 1, 2)], "units": [1, 2], "gbp": [0.5, 1.5]}
COLUMNS = Columns(entity="sku", ds="day", y="units", extra={"price": "gbp"})


def table(path: str = "data", kind: Any = "parquet", columns: Columns = COLUMNS, batch_rows: int = 1000) -> Table:
    """Return a file source with the columns of ``SALES``."""
    return Table(source=FileSource(type="files", path=path, format=kind), columns=columns, batch_rows=batch_rows)


def save(path: Path, data: dict[str, Any] | pa.Table) -> Path:
    """Write rows as the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = data if isinstance(data, pa.Table) else pa.table(data)
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([rows.column_names, *zip(*rows.to_pydict().values(), strict=True)])
    return path


def rows(base: Path, source: Table, **options: Any) -> list[dict[str, Any]]:
    """List, stage and read a whole source."""
    out = []
    for item in inventory(source, ENV, base=base):
        file = stage(item, source, ENV, base=base, scratch=base / "scratch", since=None, until=date(2024, 12, 31))
        out += [row for batch in read(file, source, **options) for row in batch.to_pylist()]
    return out


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_names_and_types_become_canonical(tmp_path: Path, suffix: str) -> None:
    """Whatever the format, integers become float64 and columns get our names."""
    save(tmp_path / f"data/sales.{suffix}", SALES)
    assert rows(tmp_path, table(kind=suffix)) == [
        {"entity": "a", "ds": date(2024, 1, 1), "y": 1.0, "price": 0.5, "_bad": None},
        {"entity": "b", "ds": date(2024, 1, 2), "y": 2.0, "price": 1.5, "_bad": None},
    ]


def test_keys_only_leaves_out_the_values(tmp_path: Path) -> None:
    """Entity and date are enough to look for overlaps."""
    save(tmp_path / "data/sales.parquet", SALES)
    assert list(rows(tmp_path, table(), keys_only=True)[0]) == ["entity", "ds", "_bad"]


@pytest.mark.parametrize("path", ["data", "data/*/*.parquet", "data/**/*.parquet", "data/region=north/*.parquet"])
def test_folders_and_globs_find_the_same_files_in_order(tmp_path: Path, path: str) -> None:
    """A folder is searched below; names of folders are columns; hidden files are not data."""
    for name in ("b", "a", "_tmp", ".part"):
        save(tmp_path / f"data/region=north/{name}.parquet", SALES)
    source = table(path, columns=Columns(entity=("region", "sku"), ds="day", y="units"))

    found = [Path(item.uri).name for item in inventory(source, ENV, base=tmp_path)]
    assert [name for name in found if name[0] not in "_."] == ["a.parquet", "b.parquet"]
    assert rows(tmp_path, source)[0]["entity"] == "north/a"


@pytest.mark.parametrize(
    "path", ["../x.parquet", "/etc/passwd", "data/../../x", "file:///etc/passwd", "data/\0", "out"]
)
def test_paths_outside_the_data_roots_are_refused(tmp_path: Path, path: str) -> None:
    """No spelling of a path leads out of the allowed folders."""
    with pytest.raises(ConfigError, match="path"):
        inventory(table(path), ENV, base=tmp_path)


@pytest.mark.parametrize("path", ["data", "data/*.parquet", "data/link.parquet"])
def test_a_link_that_leads_outside_is_refused(tmp_path: Path, path: str) -> None:
    """Links are followed before the folder is compared."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link.parquet").symlink_to(save(tmp_path / "secret.parquet", SALES))
    with pytest.raises(ConfigError, match="outside the folders"):
        inventory(table(path), ENV, base=tmp_path)


def test_nothing_there_names_what_is(tmp_path: Path) -> None:
    """A typo in a file name is answered with the nearest one."""
    save(tmp_path / "data/sales.parquet", SALES)
    with pytest.raises(SourceError, match=r"data/sale\.parquet.*'sales\.parquet'"):
        inventory(table("data/sale.parquet"), ENV, base=tmp_path)


def test_a_simulated_world_that_is_not_there_names_the_command(tmp_path: Path) -> None:
    """What is shipped without its data says how to make it."""
    with pytest.raises(SourceError, match=r"; `perennial simulate fraud` writes it$"):
        inventory(table("data/simulated/fraud/transactions"), ENV, base=tmp_path)


def test_a_file_that_changes_after_listing_is_not_staged(tmp_path: Path) -> None:
    """Size and time of change must still be those that were listed."""
    path = save(tmp_path / "data/sales.parquet", SALES)
    (item,) = inventory(table(), ENV, base=tmp_path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(SourceError, match="changed while"):
        stage(item, table(), ENV, base=tmp_path, scratch=tmp_path, since=None, until=date(2024, 1, 1))


def test_one_flipped_bit_is_noticed_before_parsing(tmp_path: Path) -> None:
    """Parquet itself would return another number without an error."""
    path = save(tmp_path / "data/sales.parquet", SALES)
    file, data = digest_file(path), bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="SHA-256"):
        next(read(file, table()))


@pytest.mark.parametrize("keep", [0, 7, 100])
def test_a_truncated_file_is_damaged_not_a_traceback(tmp_path: Path, keep: int) -> None:
    """What was staged faithfully may be broken already."""
    path = save(tmp_path / "data/sales.parquet", SALES)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="damaged"):
        rows(tmp_path, table())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gbp": None, "gpb": [1.0, 2.0]}, r"no column 'gbp' for 'price' \(did you mean 'gpb'\?\)"),
        ({"units": None}, "no column 'units' for 'y'"),
        ({"units": ["1", "2"]}, "'units' for 'y' holds string, expected numbers"),
        ({"day": [20240101, 20240102]}, "'day' for 'ds' holds int64, expected dates"),
        ({"sku": [1.0, 2.0]}, "'sku' for 'entity' holds double, expected text or integers"),
        ({"gbp": [[1.0], [2.0]]}, "'gbp' for 'price' holds list"),
    ],
)
def test_renamed_dropped_and_retyped_columns_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """The message says what was expected and what was found."""
    save(tmp_path / "data/sales.parquet", {k: v for k, v in (SALES | change).items() if v is not None})
    with pytest.raises(SchemaError, match=message):
        rows(tmp_path, table())


def test_a_csv_cell_that_does_not_parse_marks_its_row_only(tmp_path: Path) -> None:
    """The first reason wins; empty cells and NA are nulls, not errors."""
    lines = ["sku,day,units,gbp", "a,2024-01-01,x,1", "b,2024-02-30,2,y", "c,2024-01-01,NA,", ",2024-01-01,3,4"]
    path = tmp_path / "data/s.csv"
    path.parent.mkdir()
    path.write_text("\n".join(lines), encoding="utf-8-sig")

    found = rows(tmp_path, table(kind="csv"))
    assert [r["_bad"] for r in found] == ["bad_number", "bad_date", None, None]
    assert found[0]["y"] is None
    assert found[2] == {"entity": "c", "ds": date(2024, 1, 1), "y": None, "price": None, "_bad": None}
    assert found[3]["entity"] is None


@pytest.mark.parametrize(("column", "value"), [("units", "many"), ("day", "31/12/2024"), ("gbp", "FOODS")])
def test_a_whole_csv_column_of_another_type_is_a_schema_error(tmp_path: Path, column: str, value: str) -> None:
    """A hundred values and not one that parses: nobody wants a hundred quarantined rows."""
    save(tmp_path / "data/s.csv", {k: [v[0]] * 100 for k, v in SALES.items()} | {column: [value] * 100})
    with pytest.raises(SchemaError, match=rf"s\.csv: column '{column}' .*{value}"):
        rows(tmp_path, table(kind="csv"))


def test_csv_text_is_declared(tmp_path: Path) -> None:
    """An extra column of a CSV is text where the pipeline says so, and keeps its leading zeros."""
    save(tmp_path / "data/s.csv", SALES | {"gbp": ["007", "NA"]})
    columns = Columns(entity="sku", ds="day", y="units", extra={"code": "gbp"}, text=("code",))
    assert [r["code"] for r in rows(tmp_path, table(kind="csv", columns=columns))] == ["007", "NA"]


@pytest.mark.parametrize("text", ["a,b\n1", "a\n" + "x" * 10_000_000, 'a,b\n"1,2'], ids=["ragged", "endless", "quote"])
def test_a_malformed_csv_is_a_typed_error(tmp_path: Path, text: str) -> None:
    """No row is skipped silently, and none is larger than the block."""
    path = tmp_path / "data/s.csv"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    columns = Columns(entity="a", ds="a")
    with pytest.raises(SourceError):
        rows(tmp_path, table(kind="csv", columns=columns))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_of_absurdly_many_columns_are_refused(tmp_path: Path, suffix: str) -> None:
    """Ten thousand columns are a mistake or an attack."""
    save(tmp_path / f"data/wide.{suffix}", {f"c{i}": [1] for i in range(10_001)})
    with pytest.raises(SchemaError, match="10,000"):
        rows(tmp_path, table(kind=suffix))


@pytest.mark.parametrize(
    ("key", "found", "reason"),
    [
        ("Cafe\u0301", "Caf\u00e9", None),
        ("a\0b", None, "bad_key"),
        ("x" * 2000, None, "bad_key"),
        ("\u202eabc\U0001f600", "\u202eabc\U0001f600", None),
        (7, "7", None),
    ],
)
def test_keys_have_one_spelling(tmp_path: Path, key: object, found: str | None, reason: str | None) -> None:
    """Twins in NFC and NFD are one entity; what no database can hold is set aside."""
    save(tmp_path / "data/s.parquet", SALES | {"sku": [key, key]})
    assert [(r["entity"], r["_bad"]) for r in rows(tmp_path, table())] == [(found, reason)] * 2


def test_keys_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    """Parquet does not look at the bytes of a string."""
    raw = pa.Array.from_buffers(pa.string(), 2, pa.array([b"\xff", b"a"]).buffers())
    save(tmp_path / "data/s.parquet", pa.table(SALES | {"sku": raw}))
    with pytest.raises(SchemaError, match="UTF-8"):
        rows(tmp_path, table())


def test_parts_of_a_composite_key_cannot_run_together(tmp_path: Path) -> None:
    """a/b + c is not a + b/c."""
    save(tmp_path / "data/s.parquet", SALES | {"sku": ["a/b", "a"], "gbp": ["c", "b/c"]})
    found = rows(tmp_path, table(columns=Columns(entity=("sku", "gbp"), ds="day", y="units")))
    assert [r["entity"] for r in found] == ["a%2Fb/c", "a/b%2Fc"]


BERLIN = pa.array([datetime(2024, 1, 1, 23, 30, tzinfo=UTC)] * 2, pa.timestamp("ns", "Europe/Berlin"))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (pa.array([1.5e18, -1.0]).cast(pa.int64()).cast(pa.timestamp("ns")), [date(2017, 7, 14), date(1969, 12, 31)]),
        (BERLIN, [date(2024, 1, 2)] * 2),
        (BERLIN.cast(pa.timestamp("ns", "UTC")), [date(2024, 1, 1)] * 2),
        (["2024-01-01T23:30:00-08:00", "2024-01-01 23:30"], [date(2024, 1, 1)] * 2),
        (pa.array(["2024-01-01", None]).dictionary_encode(), [date(2024, 1, 1), None]),
    ],
    ids=["naive", "zoned", "utc", "text", "categorical"],
)
def test_the_business_date_is_the_one_on_the_clock(tmp_path: Path, days: Any, expected: list[date | None]) -> None:
    """Times of day are dropped in the zone in which they were written."""
    save(tmp_path / "data/s.parquet", SALES | {"day": days})
    assert [r["ds"] for r in rows(tmp_path, table())] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-05 10:00:00", datetime(2024, 1, 5, 10, tzinfo=UTC)),
        ("2024-01-05 10:00:00+02", datetime(2024, 1, 5, 8, tzinfo=UTC)),
        ("2024-01-05T10:00:00.5Z", datetime(2024, 1, 5, 10, 0, 0, 500_000, tzinfo=UTC)),
        (datetime(2024, 1, 5, 10), datetime(2024, 1, 5, 10, tzinfo=UTC)),
        ("2024-01-05", datetime(2024, 1, 6, tzinfo=UTC)),
        (date(2024, 1, 5), datetime(2024, 1, 6, tzinfo=UTC)),
        ("soon", None),
    ],
)
def test_a_bare_date_of_availability_means_its_end(tmp_path: Path, value: object, expected: datetime | None) -> None:
    """Midnight at its start would show the row to the run of the day before."""
    save(tmp_path / "data/s.parquet", SALES | {"gbp": [value, value]})
    columns = Columns(entity="sku", ds="day", y="units", available_at="gbp")
    found = rows(tmp_path, table(columns=columns))[0]
    assert (found["available_at"], found["_bad"]) == (expected, None if expected else "bad_date")


def test_tables_without_entity(tmp_path: Path) -> None:
    """Observations are one series; known covariates hold for all, and have no entity column."""
    save(tmp_path / "data/s.parquet", SALES)
    columns = Columns(ds="day", extra={"price": "gbp"})
    known = KnownTable(source=FileSource(type="files", path="data"), columns=columns)
    assert rows(tmp_path, table(columns=columns))[0]["entity"] == "all"
    assert list(rows(tmp_path, known)[0]) == ["ds", "price", "_bad"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_batches_are_small_and_an_empty_file_still_has_columns(tmp_path: Path, suffix: str) -> None:
    """No batch exceeds ``batch_rows``; no rows make one empty batch."""
    many = save(tmp_path / f"data/many.{suffix}", {k: v * 1250 for k, v in SALES.items()})
    none = save(tmp_path / f"data/none.{suffix}", pa.table(SALES).slice(0, 0))
    source = table(kind=suffix)
    assert [b.num_rows for b in read(digest_file(many), source)] == [1000, 1000, 500]
    (batch,) = read(digest_file(none), source)
    assert batch.schema == next(read(digest_file(many), source)).schema
