"""`perennial init` on tables of every shape: valid settings, data rightly converted, nothing overwritten."""

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from flows.begin import Begun, Wish, begin
from perennial.checks.expectations import load_suite
from perennial.config.validation import validate
from perennial.context import Workspace
from perennial.errors import ConfigError, Refused
from perennial.profiling.meaning import Answers, Guess
from tests import shop
from tests.pg import database, postgres
from tests.tables import MONDAY, bikes, market, wide


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Return a project without a pipeline."""
    (tmp_path / "project" / "configs" / "environments").mkdir(parents=True)
    (tmp_path / "project" / "configs" / "environments" / "local.yaml").write_text(shop.LOCAL)
    return Workspace.open("local", root=tmp_path / "project")


def start(place: Workspace, given: Path | str, **more: object) -> Begun:
    """Make a pipeline without asking."""
    said = more.pop("said", Answers())
    wish = {"table": None, "name": "mine", "force": False, "data_only": False, "command": "again"} | more
    return begin(
        place,
        Wish(given=str(given), said=said, **wish),  # type: ignore[arg-type]
        ask=lambda one: one.value,
        tell=lambda _title: lambda _done, _of: None,
    )


def converted(place: Workspace) -> pd.DataFrame:
    """Return what was written as data."""
    return pd.read_parquet(place.root / "data" / "mine" / "rows.parquet")


def test_hours_become_business_days(place: Workspace, tmp_path: Path) -> None:
    """Counts of a day are added up, temperatures averaged, and the record says so."""
    table = bikes(days=80, hours=24)
    table.to_parquet(tmp_path / "b.parquet")
    made = start(place, tmp_path / "b.parquet")
    rows = converted(place)
    expected = table.groupby("dteday").agg(cnt=("cnt", "sum"), temp=("temp", "mean"))
    assert rows["cnt"].tolist() == expected["cnt"].tolist()
    assert rows["temp"].tolist() == pytest.approx(expected["temp"].tolist())
    record = json.loads((place.root / "data" / "mine" / "conversion.json").read_text())
    assert (record["rows_in"], record["rows_out"], record["each_column_of_a_day"]["cnt"]) == (1920, 80, "sum")
    assert made.conversion == "days"
    assert validate(place, "mine").config.kind == "forecast"


def test_wide_becomes_long(place: Workspace, tmp_path: Path) -> None:
    """Each column becomes a day, from the first day that was named."""
    table = wide(series=5, days=100)
    table.to_csv(tmp_path / "w.csv", index=False)
    start(place, tmp_path / "w.csv", said=Answers(start="2020-02-01"))
    rows = converted(place)
    assert len(rows) == 500
    one = rows[rows["id"] == "item_03"].set_index("date")["value"]
    assert one[date(2020, 2, 1)] == table.loc[3, "d_1"]
    assert one.tolist() == table.loc[3, "d_1":"d_100"].tolist()
    assert validate(place, "mine").config.forecast.static == ("dept_id",)


def test_order_becomes_days_and_seconds(place: Workspace, tmp_path: Path) -> None:
    """Rows without a date that count through the day are dealt onto days in their order."""
    market(days=70).to_csv(tmp_path / "m.csv", index=False)
    start(place, tmp_path / "m.csv")
    rows = converted(place)
    assert rows.groupby("date").size().unique().tolist() == [48]
    assert rows["second"].iloc[:3].tolist() == [0.0, 1800.0, 3600.0]
    cfg = validate(place, "mine").config
    assert (cfg.kind, cfg.classify.time, cfg.data.columns.entity) == ("classify", "second", "row")


def test_a_table_in_place_is_read_as_it_is(place: Workspace) -> None:
    """What lies below `data/` and reads well is neither copied nor changed."""
    path = shop.write_sales(place.root, shop.sales())
    made = start(place, path)
    cfg = validate(place, "mine").config
    assert made.conversion == "as it is"
    assert (cfg.data.columns.entity, cfg.data.columns.y, cfg.forecast.static) == ("product", "units", ("category",))
    assert not (place.root / "data" / "mine").exists()


def test_a_database_is_copied(place: Workspace, tmp_path: Path) -> None:
    """A table of SQLite is profiled and copied; the file names no password and no query."""
    rows = [
        (f"s{s}", f"{MONDAY.replace(month=1 + n // 28, day=1 + n % 28)}", n % 5) for s in range(3) for n in range(200)
    ]
    with sqlite3.connect(tmp_path / "shop.db") as db:
        db.execute("create table takings (shop text, day date, units integer)")
        db.executemany("insert into takings values (?, ?, ?)", rows)
    db.close()
    made = start(place, f"sqlite:///{tmp_path}/shop.db?table=takings")
    assert (made.conversion, made.rows) == ("copy", 600)
    assert validate(place, "mine").config.data.columns.entity == "shop"


@pytest.mark.slow
def test_a_table_of_postgresql_is_copied_and_its_password_is_nowhere(place: Workspace) -> None:
    """Numbers, dates and text keep their types; what is written names neither user nor password."""
    rows = ", ".join(f"('s{s}', date '{MONDAY}' + {n}, {n % 5}, {n % 3}.5)" for s in range(3) for n in range(200))
    with postgres() as server, database(server) as url:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("create table takings (shop text, day date, units integer, price numeric(6, 2))")
            connection.exec_driver_sql(f"insert into takings values {rows}")
        secret = url.replace("@", ":hunter2@", 1) if ":" not in url.split("//")[1].split("@")[0] else url
        made = start(place, secret, table="takings", said=Answers(target="units"))
    assert (made.conversion, made.rows) == ("copy", 600)
    found = validate(place, "mine").config
    assert (found.kind, found.data.columns.entity, found.data.columns.y) == ("forecast", "shop", "units")
    assert converted(place)["units"].sum() == 1200
    written = [path.read_text() for path in (place.root / "configs").glob("mine*")]
    written.append((place.root / "data" / "mine" / "conversion.json").read_text())
    assert not [text for text in written if "hunter2" in text]


@pytest.mark.slow
def test_on_a_terminal_what_is_not_sure_is_asked(place: Workspace, tmp_path: Path) -> None:
    """A person at a pseudo-terminal is asked which column to predict, and the answer is written."""
    table = pd.DataFrame({"day": pd.date_range(MONDAY, periods=200), "left": range(200), "right": range(200, 0, -1)})
    table.to_csv(tmp_path / "two.csv", index=False)
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "init", str(tmp_path / "two.csv"), "--name", "mine", "--no-run"],
        cwd=place.root, stdin=terminal, stdout=terminal, stderr=terminal,
        env=os.environ | {"PYTHONPATH": str(shop.ROOT), "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(terminal)
    shown, asked = "", list[str]()
    with suppress(OSError):  # the terminal is gone when the process is
        while part := os.read(screen, 4096).decode(errors="replace"):
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown + part)
            questions = re.findall(r"(\w+): [^\n]*\? It is [^?]*Enter takes it; or one of [^:]*: ", shown)
            for question in questions[len(asked) :]:
                asked.append(question)
                os.write(screen, b"left\n" if question == "target" else b"\n")
    os.close(screen)
    assert process.wait(60) == 0, shown
    assert "target" in asked, shown
    assert validate(place, "mine").config.data.columns.y == "left", shown


def test_checks_fit_their_own_history_and_say_what_to_expect(place: Workspace, tmp_path: Path) -> None:
    """Every learned bound names its false alarms, and the file is a valid suite."""
    bikes().to_parquet(tmp_path / "b.parquet")
    start(place, tmp_path / "b.parquet")
    path = place.root / "configs" / "mine.checks.yaml"
    assert len(load_suite(path).expectations) >= 5
    text = path.read_text()
    assert text.count("# False alarms to expect") == 2
    assert "casual" not in text


def test_nothing_is_overwritten(place: Workspace, tmp_path: Path) -> None:
    """A second time is refused, unless --force says so; --data-only leaves the settings alone."""
    bikes().to_parquet(tmp_path / "b.parquet")
    start(place, tmp_path / "b.parquet")
    settings = place.root / "configs" / "mine.yaml"
    settings.write_text(settings.read_text() + "# mine\n")
    with pytest.raises(Refused, match="--force"):
        start(place, tmp_path / "b.parquet")
    bikes(days=420).to_parquet(tmp_path / "b.parquet")
    start(place, tmp_path / "b.parquet", data_only=True)
    assert (len(converted(place)), settings.read_text().endswith("# mine\n")) == (420, True)
    start(place, tmp_path / "b.parquet", force=True)
    assert "# mine" not in settings.read_text()


def test_a_table_that_has_grown_is_converted_as_before(place: Workspace, tmp_path: Path) -> None:
    """With the target, the entity and the rules of the settings, whatever would be guessed today."""
    grown = bikes(days=100, hours=24).drop(columns=["casual", "registered"])
    grown["cnt2"] = grown["cnt"] + 1
    grown.iloc[: 90 * 24].to_parquet(tmp_path / "b.parquet")
    start(place, tmp_path / "b.parquet", said=Answers(target="cnt2"), command="perennial init --target cnt2")
    before = converted(place)
    grown.to_parquet(tmp_path / "b.parquet")
    start(place, tmp_path / "b.parquet", data_only=True)
    after = converted(place)
    assert after.columns.tolist() == before.columns.tolist()
    pd.testing.assert_frame_equal(after.iloc[:90], before, check_exact=False)
    record = json.loads((place.root / "data" / "mine" / "conversion.json").read_text())
    assert (record["again"], record["meaning"]["target"]) == ("perennial init --target cnt2", "cnt2")
    with pytest.raises(Refused, match="--target cnt: it was 'cnt2' when the settings were made"):
        start(place, tmp_path / "b.parquet", data_only=True, said=Answers(target="cnt"))


def test_labels_that_are_late_are_taken_to_be_so(place: Workspace, tmp_path: Path) -> None:
    """Empty on the newest days: the delay, the age of labels and the date of the settings follow from it."""
    rng = np.random.default_rng(0)
    days = [MONDAY + timedelta(days=n) for n in range(300) for _ in range(20)]
    table = pd.DataFrame({"loan": range(len(days)), "applied": days, "income": rng.normal(3, 1, len(days))})
    table["defaulted"] = (rng.random(len(days)) < 0.1 * table["income"].clip(0, 9)).astype("float")
    table.loc[table["applied"] > MONDAY + timedelta(days=269), "defaulted"] = np.nan
    table.to_csv(tmp_path / "loans.csv", index=False)
    start(place, tmp_path / "loans.csv")
    found = validate(place, "mine").config
    assert found.classify.label_delay_days == 30
    assert (found.guards.max_age_days or 0) >= 31
    assert found.as_of == MONDAY + timedelta(days=299)

    table["income"] = table["defaulted"]
    table.to_csv(tmp_path / "loans.csv", index=False)
    with pytest.raises(ConfigError, match=r"no column of .* is left to tell defaulted by: income is leak"):
        start(place, tmp_path / "loans.csv", name="other", said=Answers(target="defaulted", entity=("loan",)))


def test_dates_in_two_spellings_are_named(place: Workspace, tmp_path: Path) -> None:
    """They are refused, with how they are spelled."""
    days = [MONDAY + timedelta(days=n) for n in range(200)]
    spelled = [f"{d:%d.%m.%Y}" if n % 50 == 7 else f"{d:%Y-%m-%d}" for n, d in enumerate(days)]
    pd.DataFrame({"visit": spelled, "visitors": range(200)}).to_csv(tmp_path / "v.csv", index=False)
    for said in (Answers(), Answers(time="visit")):
        with pytest.raises(
            ConfigError, match=r"visit.* is spelled in 2 ways, 196 like .*, 4 like \d\d\.\d\d\.\d{4}: bring"
        ):
            start(place, tmp_path / "v.csv", said=said)


def test_an_answer_changes_what_follows(place: Workspace, tmp_path: Path) -> None:
    """What is not sure is asked, and guessed again with the answer."""
    table = bikes()[["dteday", "temp", "registered"]]
    table.to_parquet(tmp_path / "b.parquet")
    asked: list[Guess] = []

    def answer(one: Guess) -> str:
        asked.append(one)
        return "temp" if one.what == "target" else one.value

    wish = Wish(
        given=str(tmp_path / "b.parquet"),
        table=None,
        name="mine",
        said=Answers(),
        force=False,
        data_only=False,
        command="",
    )
    begin(place, wish, ask=answer, tell=lambda _title: lambda _done, _of: None)
    assert [one.what for one in asked] == ["target"]
    assert validate(place, "mine").config.data.columns.y == "temp"


def test_a_day_that_lacks_hours_has_no_total(place: Workspace, tmp_path: Path) -> None:
    """A meter that was silent for a night used no less; an hour less in spring is no gap, and quiet shops have none."""
    table = bikes(days=120, hours=24)
    day = table["dteday"].drop_duplicates().tolist()
    silent = table["dteday"].eq(day[50]) & (table.groupby("dteday").cumcount() < 8)
    spring = table["dteday"].eq(day[80]) & (table.groupby("dteday").cumcount() == 2)
    table[~silent & ~spring].to_parquet(tmp_path / "b.parquet")
    made = start(place, tmp_path / "b.parquet")
    rows = converted(place).set_index("date")["cnt"]
    assert rows.isna().sum() == 1
    assert np.isnan(rows.loc[pd.Timestamp(day[50]).date()])
    assert any("1 of 120 days lack more than a tenth of their 24 values" in one for one in made.because)
    assert "totals are unknown" in (place.root / "configs" / "mine.yaml").read_text().replace("\n#   ", " ")


def test_amounts_below_zero_are_returns_or_refused(place: Workspace, tmp_path: Path) -> None:
    """A few are set aside and the file says so; a profit is no amount, and the refusal says what could be forecast."""
    table = bikes()
    table["cnt"] = table["cnt"].astype(float)
    few = table.copy()
    few.loc[few.index[10:12], "cnt"] = -3.0
    few.drop(columns=["casual", "registered"]).to_parquet(tmp_path / "b.parquet")
    start(place, tmp_path / "b.parquet", said=Answers(target="cnt"))
    assert "below zero (returns?): they are set aside" in (place.root / "configs" / "mine.yaml").read_text()
    table["cnt"] -= table["cnt"].median()
    table.drop(columns=["casual", "registered"]).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ConfigError, match="kind forecast is for amounts that are never negative"):
        start(place, tmp_path / "b.parquet", said=Answers(target="cnt"), name="other")


def test_too_little_history_writes_nothing(place: Workspace, tmp_path: Path) -> None:
    """Forty days are too few: nothing is left that would refuse the next try, and what was there stays."""
    bikes(days=40).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ConfigError, match="at least 56"):
        start(place, tmp_path / "b.csv")
    assert not (place.root / "configs" / "mine.yaml").exists()
    assert not (place.root / "data" / "mine").exists()
    bikes().to_csv(tmp_path / "b.csv", index=False)
    start(place, tmp_path / "b.csv")
    before = sorted((path.name, path.read_bytes()) for path in (place.root / "data" / "mine").iterdir())

    bikes(days=40).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ConfigError, match="at least 56"):
        start(place, tmp_path / "b.csv", force=True)
    assert sorted((path.name, path.read_bytes()) for path in (place.root / "data" / "mine").iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["wide", "events"])
def test_the_first_run_needs_no_word(
    prefect_server: str, place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """What was written trains a first model through the real flow."""
    from flows.retrain import retrain

    table = wide(days=200) if shape == "wide" else market(days=80)
    table.to_csv(tmp_path / "t.csv", index=False)
    start(place, tmp_path / "t.csv")
    monkeypatch.chdir(place.root)
    record = retrain("mine", None, "local")
    assert record.version == 1
    assert record.outcome in ("promoted", "not promoted")
    assert {score.contender for score in record.scores} > {"candidate"}


def test_validate_lists_the_problems_of_both_files(place: Workspace) -> None:
    """A typo in the settings does not hide a wrong check, nor one check the next; each has its line."""
    shop.write_project(place.root)
    configs = place.root / "configs"
    checks = "- {expect: column_values_to_not_be_null, column: prize}\n- {expect: column_to_exist, column: cost}\n"
    (configs / "shop.checks.yaml").write_text(checks)
    with pytest.raises(ConfigError, match=r"(?s)shop.checks.yaml:1: .*'prize'.*shop.checks.yaml:2: .*'cost'"):
        validate(place, "shop")
    (configs / "shop.checks.yaml").write_text(checks.replace("column_to_exist", "column_to_exits"))
    (configs / "shop.yaml").write_text(shop.PIPELINE.replace("horizon: 7", "horizn: 7"))
    with pytest.raises(ConfigError, match=r"(?s)shop.yaml:\d+: .*horizn.*shop.checks.yaml:2: .*column_to_exits"):
        validate(place, "shop")


def test_every_word_of_a_long_table_is_known(place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is listed as allowed comes from all rows, also where quantiles come from a part of them."""
    from perennial.profiling import history

    monkeypatch.setattr(history, "KEPT_ROWS", 100)
    table = shop.sales(days=100)
    shop.write_sales(place.root, table[table["category"] == "c0"], "a.parquet")
    for category in ("c1", "c2"):
        shop.write_sales(place.root, table[table["category"] == category], f"{category}.parquet")
    start(place, place.root / "data" / "sales")
    assert 'value_set: ["c0", "c1", "c2"]' in (place.root / "configs" / "mine.checks.yaml").read_text()
