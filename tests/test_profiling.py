"""What is guessed of a table that was never seen: roles, leaks, spellings, and what is declined."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from perennial.errors import ConfigError, SourceUnusable
from perennial.profiling.bounds import learn, outward, seasonal
from perennial.profiling.meaning import Answers
from perennial.profiling.opening import open_table
from perennial.profiling.profile import profile
from tests.tables import MONDAY, bikes, look, market, wide

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def test_bike_sharing_parts_are_leaks(tmp_path: Path) -> None:
    """The target is what the parts add up to; weather is observed, never known; the calendar is left out."""
    bikes().to_parquet(tmp_path / "b.parquet")
    _, meaning, columns = look(tmp_path / "b.parquet")
    assert (meaning.kind, meaning.time, meaning.entity, meaning.target) == ("forecast", "dteday", (), "cnt")
    assert {columns["casual"].use, columns["registered"].use} == {"leak"}
    assert columns["temp"].use == "observed"
    assert {columns[name].use for name in ("instant", "mnth", "holiday")} == {"left out"}


def test_known_in_advance_needs_rows_ahead(tmp_path: Path) -> None:
    """A column is known in advance where rows on as many days as are forecast have it; one day proves nothing."""
    for ahead, use in ((28, "known"), (1, "observed")):
        table = bikes()
        table["cnt"] = table["cnt"].astype(float)
        table.loc[table.index[-ahead:], ["cnt", "casual", "registered", "temp"]] = np.nan
        table["guests"] = np.random.default_rng(1).integers(0, 9, len(table))
        table.to_parquet(tmp_path / "b.parquet")
        _, _, columns = look(tmp_path / "b.parquet")
        assert (columns["guests"].use, columns["temp"].use) == (use, "observed")


@pytest.mark.parametrize("filled", ["yes", "no"])
def test_what_is_filled_in_for_one_class_alone_is_a_leak(tmp_path: Path, filled: str) -> None:
    """The reason of a cancellation tells who cancelled, by being there; gaps at random tell nothing."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"day": [MONDAY + timedelta(days=n % 90) for n in range(900)], "age": rng.integers(18, 90, 900)}
    )
    table["churned"] = rng.choice(["yes", "no"], 900, p=[0.2, 0.8])
    reasons = rng.choice(["price", "moved", "other"], 900).astype(object)
    table["reason"] = np.where(table["churned"] == filled, reasons, None)
    table["survey"] = np.where(rng.random(900) < 0.4, reasons, None)
    table.to_csv(tmp_path / "c.csv", index=False)
    _, meaning, columns = look(tmp_path / "c.csv")
    assert (meaning.target, meaning.positive) == ("churned", "yes")
    assert (columns["reason"].use, columns["survey"].use) == ("leak", "category")
    assert "filled in where churned is" in columns["reason"].why


def test_a_price_is_no_guess(tmp_path: Path) -> None:
    """Words of other languages are known, with umlauts and brackets; a price is what is paid, not what is forecast."""
    days = [MONDAY + timedelta(days=n) for n in range(100)]
    amounts, prices = np.arange(100) % 7 + 1, np.arange(100) % 9 + 0.5
    for name in ("Menge", "Verkaufte Menge (Stück)", "bestellt"):
        table = pd.DataFrame({"Datum": days, name: amounts, "Preis": prices})
        table.to_csv(tmp_path / "v.csv", index=False)
        _, meaning, _ = look(tmp_path / "v.csv")
        assert meaning.target == name
    assert "if it is Preis, say --target Preis" in meaning.guesses[3].why


def test_same_day_twin_is_a_leak(tmp_path: Path) -> None:
    """A column that moves with the target of its own row is not used."""
    table = bikes()[["dteday", "cnt"]].assign(revenue=lambda t: t["cnt"] * 2.5 + 1)
    table.to_parquet(tmp_path / "b.parquet")
    _, _, columns = look(tmp_path / "b.parquet", Answers(target="cnt"))
    assert columns["revenue"].use == "leak"


@pytest.mark.parametrize(("step", "hours"), [("day", 1), ("finer", 24)])
def test_step_is_told(tmp_path: Path, step: str, hours: int) -> None:
    """Daily and hourly tables are told apart by the hour column."""
    bikes(days=60, hours=hours).to_parquet(tmp_path / "b.parquet")
    _, meaning, _ = look(tmp_path / "b.parquet")
    assert meaning.step == step


def test_weekly_has_closed_days_and_monthly_is_declined(tmp_path: Path) -> None:
    """Dates of one weekday are a weekly table; months are no business days."""
    for name, days in (("weekly", 7), ("monthly", 30)):
        when = [MONDAY + timedelta(days=days * n) for n in range(80)]
        pd.DataFrame({"when": when, "sales": range(80)}).to_csv(tmp_path / f"{name}.csv", index=False)
    _, meaning, _ = look(tmp_path / "weekly.csv")
    assert (meaning.step, meaning.weekdays) == ("week", (0,))
    with pytest.raises(ConfigError, match="30 days apart"):
        look(tmp_path / "monthly.csv")


@pytest.mark.parametrize("spelling", ["%d.%m.%Y", "%m/%d/%Y", "%d/%m/%y", "%d %b %Y", "%Y%m%d"])
def test_foreign_spellings_are_read(tmp_path: Path, spelling: str) -> None:
    """Semicolons, decimal commas, Latin letters and dates of many spellings give the same numbers and days."""
    when = [MONDAY + timedelta(days=n) for n in range(90)]
    rows = [f"{day.strftime(spelling)};Köln;1.{n:03d},5" for n, day in enumerate(when)]
    (tmp_path / "t.csv").write_bytes("\n".join(["Zkq;Pfad;Umsatz_total", *rows]).encode("latin-1"))
    found, meaning, _ = look(tmp_path / "t.csv")
    assert (meaning.time, meaning.target) == ("Zkq", "Umsatz_total")
    assert found.frame["Zkq"].dt.date.tolist() == when
    assert found.frame["Umsatz_total"].tolist() == [1000.5 + n for n in range(90)]
    assert found.opened.obstacle == "it is not UTF-8"


def test_two_columns_can_name_a_series(tmp_path: Path) -> None:
    """Columns of random names are keys if rows are unique by them."""
    rows = [(s, i, MONDAY + timedelta(days=n), n % 7) for s in "ab" for i in ("x", "y", "z") for n in range(70)]
    pd.DataFrame(rows, columns=["qqa", "qqb", "qqc", "qqd"]).to_csv(tmp_path / "t.csv", index=False)
    _, meaning, _ = look(tmp_path / "t.csv")
    assert (meaning.time, set(meaning.entity), meaning.target) == ("qqc", {"qqa", "qqb"}, "qqd")


def test_order_is_time_where_a_column_counts_through_the_day(tmp_path: Path) -> None:
    """Elec2's shape: two values, no date, a period that begins again each day."""
    market(10).to_parquet(tmp_path / "m.parquet")
    _, meaning, columns = look(tmp_path / "m.parquet")
    assert (meaning.kind, meaning.cycle, meaning.positive) == ("classify", "period", "1")
    assert columns["price"].use == "number"


def test_wide_tables_are_seen(tmp_path: Path) -> None:
    """Columns that count days, or are dates, are days side by side."""
    table = wide()
    dates = {f"d_{n + 1}": (MONDAY + timedelta(days=n)).isoformat() for n in range(150)}
    for name, one in (("counted", table), ("dated", table.rename(columns=dates))):
        one.to_csv(tmp_path / f"{name}.csv", index=False)
        shape = profile(open_table(str(tmp_path / f"{name}.csv"), table=None, base=tmp_path, scratch=tmp_path)).wide
        assert shape is not None
        assert (shape.ids, len(shape.days)) == (("id", "dept_id"), 150)
        assert (shape.first is not None) == (name == "dated")


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("breast_cancer", "classify"),
        ("iris", "--positive"),
        ("wine", "--positive"),
        ("diabetes", "no column with dates"),
    ],
)
def test_built_in_tables(tmp_path: Path, name: str, outcome: str) -> None:
    """Scikit-learn's tables without dates: two classes work, more need a word, numbers are declined with a reason."""
    import sklearn.datasets

    getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame.to_csv(tmp_path / "t.csv", index=False)
    if outcome == "classify":
        assert look(tmp_path / "t.csv")[1].kind == "classify"
        return
    with pytest.raises(ConfigError, match=outcome):
        look(tmp_path / "t.csv")
    if name == "iris":
        assert look(tmp_path / "t.csv", Answers(positive="2"))[1].positive == "2"


def test_a_column_that_is_the_label_is_a_leak(tmp_path: Path) -> None:
    """A scenario that only frauds have tells them without a mistake."""
    table = market(10).assign(scenario=lambda t: t["class"] * (1 + t.index % 3))
    table.to_parquet(tmp_path / "m.parquet")
    assert look(tmp_path / "m.parquet")[2]["scenario"].use == "leak"


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ("https://example.org/a.csv", ConfigError, "Download the file"),
        ("nowhere.csv", SourceUnusable, "there is no table"),
        ("sqlite:///x.db", ConfigError, "--table"),
    ],
)
def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path, given: str, error: type[Exception], match: str) -> None:
    """Each refusal names the next step."""
    with pytest.raises(error, match=match):
        open_table(given, table=None, base=tmp_path, scratch=tmp_path)


def test_bounds_raise_few_false_alarms_and_see_a_break() -> None:
    """Learned on 300 days of weekly seasonality, bounds let 100 further days pass and catch a change of unit."""
    rng = np.random.default_rng(1)
    days = pd.date_range("2023-01-02", periods=400)
    level = np.array([100, 100, 100, 100, 130, 200, 20])[days.day_of_week]
    means = pd.Series(rng.normal(level, 3), index=days)
    learned = learn(means[:300], at_least=0.0)
    assert learned is not None
    assert learned.season == seasonal(means) == "weekday"
    by_day = {one.weekdays[0]: one for one in learned.ranges}
    inside = [by_day[d.day_of_week].low <= m <= by_day[d.day_of_week].high for d, m in means[300:].items()]  # type: ignore[attr-defined]
    assert np.mean(inside) >= 0.98
    assert by_day[6].high < 60  # a Sunday like a Monday shows
    assert (outward(1234.0, up=True), outward(-1234.0, up=False)) == (1300.0, -1300.0)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not on this machine")
@pytest.mark.parametrize(
    ("path", "kind", "target"),
    [
        ("retail/bike_sharing_day.parquet", "forecast", "cnt"),
        ("retail/bike_sharing_hour.parquet", "forecast", "cnt"),
        ("drift/elec2.parquet", "classify", "class"),
    ],
)
def test_shared_tables_need_no_word(path: str, kind: str, target: str) -> None:
    """The tables of the issue are understood as they are."""
    _, meaning, _ = look(SHARED / path)
    assert (meaning.kind, meaning.target) == (kind, target)
