"""SQL as a source: SQLite and PostgreSQL, streamed in batches, with nothing of a pipeline ever executed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from perennial.config.models import Columns, Environment, SqlSource, Table
from perennial.contracts import StoredFile
from perennial.errors import ConfigError, SchemaError, SourceError
from perennial.sources import inventory, read, sql, stage
from tests.pg import database, postgres

COLUMNS = Columns(entity="sku", ds="day", y="units", extra={"price": "unit price", "range": "range"})
CREATE = 'CREATE TABLE sales (sku TEXT, day DATE, units INTEGER, "unit price" NUMERIC(8, 2), range VARCHAR(20))'
INSERT = "INSERT INTO sales VALUES ('b', '2024-01-02', 2, 1.5, 'R1'), ('a', '2024-01-02', 3, NULL, 'R2'), "
INSERT += "('a', '2024-01-01', 1, 0.5, 'R2')"


def table(name: str = "sales", columns: Columns = COLUMNS, connection: str = "shop") -> Table:
    """Return a SQL source."""
    return Table(source=SqlSource(type="sql", connection=connection, table=name), columns=columns, batch_rows=1000)


def environment(url: str) -> Environment:
    """Allow one connection."""
    return Environment(environment="local", connections={"shop": url})


def pull(source: Table, env: Environment, base: Path, since: date | None = None) -> StoredFile:
    """List and stage up to the second of January."""
    (item,) = inventory(source, env, base=base)
    return stage(item, source, env, base=base, scratch=base / "scratch", since=since, until=date(2024, 1, 2))


def rows(file: StoredFile, source: Table) -> list[dict[str, Any]]:
    """Read a staged file."""
    return [row for batch in read(file, source) for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run one PostgreSQL for all tests of this file."""
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a shop's database, empty but for the table."""
    if request.param == "sqlite":
        run("sqlite:///" + str(tmp_path / "shop.db"), CREATE)
        yield "sqlite:///shop.db"  # relative to the project
    else:
        with database(request.getfixturevalue("server")) as url:
            run(url, CREATE)
            yield url


def run(url: str, *statements: str) -> None:
    """Execute statements as the owner of the shop."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def owner(url: str, base: Path) -> str:
    """Return the URL with which the owner writes."""
    return url.replace("sqlite:///", f"sqlite:///{base}/")


def test_a_table_becomes_canonical_rows_in_a_fixed_order(shop: str, tmp_path: Path) -> None:
    """Both databases give the same rows, and the same bytes each time."""
    run(owner(shop, tmp_path), INSERT)
    env = environment(shop)
    (item,) = inventory(table(), env, base=tmp_path)
    file = pull(table(), env, tmp_path)

    assert item.identity == "rows=3 ds=2024-01-01..2024-01-02"
    assert rows(file, table()) == [
        {"entity": "a", "ds": date(2024, 1, 1), "y": 1.0, "price": 0.5, "range": "R2", "_bad": None},
        {"entity": "a", "ds": date(2024, 1, 2), "y": 3.0, "price": None, "range": "R2", "_bad": None},
        {"entity": "b", "ds": date(2024, 1, 2), "y": 2.0, "price": 1.5, "range": "R1", "_bad": None},
    ]
    assert pull(table(), env, tmp_path).sha256 == file.sha256


def test_only_the_days_asked_for_are_fetched(shop: str, tmp_path: Path) -> None:
    """The bounds are included on both ends."""
    run(owner(shop, tmp_path), INSERT, "INSERT INTO sales VALUES ('c', '2024-01-03', 9, 9, 'R')")
    file = pull(table(), environment(shop), tmp_path, since=date(2024, 1, 2))
    assert [row["entity"] for row in rows(file, table())] == ["a", "b"]


def test_an_empty_table_is_no_error_and_has_columns(shop: str, tmp_path: Path) -> None:
    """That too few rows came is for the guards to say."""
    (batch,) = read(pull(table(), environment(shop), tmp_path), table())
    assert batch.num_rows == 0
    assert batch.schema.names == ["entity", "ds", "y", "price", "range", "_bad"]


def test_many_rows_come_in_batches(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than are held as Python objects at a time lose nothing."""
    monkeypatch.setattr(sql, "SPILL_ROWS", 700)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2499) "
    insert = "INSERT INTO sales " + numbers + "SELECT 'sku', '2024-01-01', i, i, 'R' FROM n"
    run(owner(shop, tmp_path), insert)
    file = pull(table(), environment(shop), tmp_path)
    assert sorted(row["y"] for row in rows(file, table())) == list(range(2500))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://reader:hunter2@host:5432/shop",
        "postgresql://host/shop?user=reader&password=hunter2",
        "sqlite:///shop.db",
        "https://reader:hunter2@host/table.csv",
    ],
)
def test_an_address_is_shown_without_its_password(url: str) -> None:
    """Wherever it stands; the rest of the address is kept."""
    found = sql.shown(url)
    assert "hunter2" not in found
    assert ("host" in url) == ("host" in found)
    assert ("shop" in url) == ("shop" in found)


@pytest.mark.parametrize("name", ["x; drop table sales", "sales--", "sales\0", '"sales"', "a.b.c", "sales where 1=1"])
def test_sql_in_a_table_name_is_not_a_table_name(name: str) -> None:
    """The pattern of the config is the first wall."""
    with pytest.raises(ValidationError, match="table"):
        table(name)


def test_names_that_the_database_does_not_list_are_refused(shop: str, tmp_path: Path) -> None:
    """The catalogue is the second wall: what it does not name is never sent."""
    evil = COLUMNS.model_copy(update={"y": "units); DROP TABLE sales; --"})
    with pytest.raises(SchemaError, match="no column 'units"):
        inventory(table(columns=evil), environment(shop), base=tmp_path)
    with pytest.raises(SourceError, match=r"no table 'sale'; it has 'sales'"):
        inventory(table("sale"), environment(shop), base=tmp_path)


def test_a_hostile_column_name_that_exists_is_only_a_name(shop: str, tmp_path: Path) -> None:
    """Quotes, semicolons, colons and percent signs are escaped."""
    name = 'units"); DROP TABLE sales; -- %s :x'
    quoted = name.replace('"', '""').replace("%", "%%" if "postgresql" in shop else "%")
    run(owner(shop, tmp_path), f'ALTER TABLE sales RENAME COLUMN units TO "{quoted}"', INSERT)
    source = table(columns=COLUMNS.model_copy(update={"y": name}))
    assert [row["y"] for row in rows(pull(source, environment(shop), tmp_path), source)] == [1.0, 3.0, 2.0]


def test_the_connection_cannot_write(shop: str, tmp_path: Path) -> None:
    """Read-only is asked of the database, not of our own good will."""
    source = SqlSource(type="sql", connection="shop", table="sales")
    with pytest.raises(SourceError, match=r"read-?only"), sql._connected(source, environment(shop), tmp_path) as c:
        c.exec_driver_sql("DELETE FROM sales")


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("sqlite:///missing.db", SourceError, "unable to open"),
        ("postgresql://nobody:hunter2@127.0.0.1:9/x", SourceError, "connection"),
        ("mysql://root@127.0.0.1/x", ConfigError, "'mysql'; SQLite and PostgreSQL"),
        ("nonsense", SourceError, "URL"),
    ],
)
def test_unreachable_and_unsupported_databases(tmp_path: Path, url: str, error: type[Exception], message: str) -> None:
    """Nothing is created, no password is shown, and each gets its typed error."""
    with pytest.raises(error, match=message) as caught:
        inventory(table(), environment(url), base=tmp_path)
    assert "hunter2" not in str(caught.value)
    assert not (tmp_path / "missing.db").exists()


def test_an_unknown_connection_lists_those_there_are(tmp_path: Path) -> None:
    """Pipelines name connections, and only environments hold URLs."""
    with pytest.raises(ConfigError, match=r"'store'.*'shop'"):
        inventory(table(connection="store"), environment("sqlite:///x.db"), base=tmp_path)


def test_sqlite_lets_text_into_number_columns_and_we_mark_it(tmp_path: Path) -> None:
    """SQLite keeps what it is given; a view with a computed column declares no type at all."""
    view = "CREATE VIEW v AS SELECT sku, day, units * 1 AS units FROM sales WHERE sku <> 'bad'"
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        shop.execute(CREATE)
        shop.execute("INSERT INTO sales VALUES ('bad', '2024-01-01', 'many', 1, 1), ('c', 'someday', 1.5, 1, 1)")
        shop.execute(view)
        shop.commit()
    env, narrow = environment("sqlite:///shop.db"), Columns(entity="sku", ds="day", y="units")

    assert [r["_bad"] for r in rows(pull(table(), env, tmp_path), table())] == ["bad_number", "bad_date"]
    assert [r["y"] for r in rows(pull(table("v", narrow), env, tmp_path), table("v", narrow))] == [1.5]


@pytest.mark.slow
def test_types_and_schemas_of_postgresql(server: str, tmp_path: Path) -> None:
    """Numeric, enumeration, UUID, boolean and time with zone; a type that is no number, date or text is refused."""
    with database(server) as url:
        run(
            url,
            "CREATE SCHEMA shop",
            "CREATE TYPE size AS ENUM ('small', 'large')",
            "CREATE TABLE shop.sales (sku UUID, at TIMESTAMPTZ, units NUMERIC, size size, promo BOOLEAN, doc JSONB)",
            "INSERT INTO shop.sales VALUES ('00000000-0000-0000-0000-000000000001', '2024-01-02 23:30+00', 2.5, "
            "'large', true, '{}')",
        )
        columns = Columns(entity="sku", ds="at", y="units", available_at="at", extra={"size": "size", "promo": "promo"})
        source, env = table("shop.sales", columns), environment(url)
        (row,) = rows(pull(source, env, tmp_path, since=date(2024, 1, 2)), source)
        assert row["entity"].endswith("0001")
        assert row["available_at"].isoformat() == "2024-01-02T23:30:00+00:00"
        assert (row["ds"], row["y"], row["size"], row["promo"]) == (date(2024, 1, 2), 2.5, "large", 1.0)
        with pytest.raises(SchemaError, match="'doc' for 'y' holds binary"):
            inventory(table("shop.sales", Columns(ds="at", y="doc")), env, base=tmp_path)
