"""Bad input of every kind through the real command: one clear paragraph or a counted quarantine, nothing lost."""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from perennial.context import Workspace
from perennial.contracts import Landing
from perennial.invariants import check_invariants
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.filterwarnings("default")]

DAY = shop.AS_OF + timedelta(days=2)
OLD, NEW, LATER = 30 * 140, 30 * 2, 30 * 12
"""Rows of the shop that the champion has seen, that a run as of ``DAY`` adds, and that come afterwards."""

Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one command ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``perennial`` in this process; whatever it prints, it is no traceback."""

    def call(*arguments: object) -> Answer:
        from flows import cli

        monkeypatch.setattr(sys, "argv", ["perennial", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Answer(code=int(ended.value.code or 0), out=out, err=err)

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """Write a shop whose first champion stands on ``shop.AS_OF``."""
    root = shop.project(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        from flows.retrain import retrain

        assert retrain("shop", shop.AS_OF).outcome == "promoted"
    return root


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy that shop and stand in it."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- what must hold ----------------------------------------------------------------------------------------


def refused(answer: Answer, *words: str) -> None:
    """Exit code 1, nothing on standard output, and one paragraph at the end that holds these words."""
    assert (answer.code, answer.out) == (1, ""), answer
    paragraphs = re.split(r"^(?=[A-Z]\w+: )", answer.err, flags=re.MULTILINE)[1:]
    assert len(paragraphs) == 1, answer.err
    assert [word for word in words if word not in paragraphs[0]] == [], paragraphs[0]


def standing(root: Path) -> tuple[Landing, ...]:
    """Return the landings that count."""
    return Workspace.open(root=root).ledger.landings("shop")


def untouched(root: Path) -> None:
    """Whatever was refused left the champion, its data and every invariant as they were."""
    workspace = Workspace.open(root=root)
    assert [v.version for v in workspace.ledger.versions("shop")] == [1]
    assert workspace.ledger.in_force("shop") == workspace.ledger.version("shop", 1)
    assert sum(one.counts.accepted for one in standing(root)) == OLD
    assert check_invariants(workspace.env) == ()


def repaired(root: Path, command: Command) -> None:
    """With the good table in place the same command succeeds, and every row of it has arrived."""
    shutil.rmtree(root / "data")
    shop.write_sales(root, shop.sales())
    answer = command("run", "shop", "--as-of", DAY)
    assert answer.code == 0, answer.err
    assert sum(one.counts.accepted for one in standing(root)) == OLD + NEW
    assert check_invariants(Workspace.open(root=root).env) == ()


# --- tables ------------------------------------------------------------------------------------------------


def new(table: pd.DataFrame, rows: int = NEW) -> np.ndarray:
    """Return a mask of the first ``rows`` rows that a run as of ``DAY`` adds."""
    mask = np.asarray((table["day"] > str(shop.AS_OF)) & (table["day"] <= str(DAY)))
    return mask & (np.cumsum(mask) <= rows)


def setting(column: str, value: object, rows: int = NEW) -> Spoil:
    """Put one value into a column of new rows."""

    def spoil(table: pd.DataFrame) -> pd.DataFrame:
        if isinstance(value, float):
            table[column] = table[column].astype(float)
        table.loc[new(table, rows), column] = value
        return table

    return spoil


def repeating(rows: int, add: int = 0) -> Spoil:
    """Append copies of new rows, with ``add`` more units."""
    return lambda table: pd.concat([table, table[new(table, rows)].assign(units=lambda t: t["units"] + add)])


def without(day: date, products: str = "") -> Spoil:
    """Leave out a day, or the products of it from one name on."""
    return lambda table: table[(table["day"] != str(day)) | (table["product"] < products)]


def retyped(column: str) -> Spoil:
    """Turn a column into text."""
    return lambda table: table.assign(**{column: table[column].map("{} pieces".format)})


BOUND = ("DataCheckFailed", "nothing was trained", "Mend the source", "configs/shop.yaml")
COLUMNS = ("SchemaError", "sales.parquet", "It has the columns", "Correct `columns`")
REFUSED_TABLES = {
    "missing day": (without(shop.AS_OF + timedelta(days=1)), (*BOUND, "max_missing_days", "'2024-05-20'", "<= 0")),
    "empty day": (without(DAY, "p06"), (*BOUND, "min_coverage", "20% (6 rows on 2024-05-21)", ">= 50%")),
    "all nan": (setting("units", np.nan), (*BOUND, "max_null_rate", "100.00% (60 of 60 rows)", "<= 0.00%")),
    "infinities": (setting("units", np.inf), (*BOUND, "max_quarantine_rate", "non_finite: 60", "<= 5.00%")),
    "negative": (setting("units", -1, 10), (*BOUND, "16.67% (10 of 60 rows)", "below_min_value: 10")),
    "conflicting": (repeating(10, add=1), (*BOUND, "max_quarantine_rate", "conflict: 20")),
    "too many": (setting("units", 5000), (*BOUND, "shop.y", "1000", "5000", "checks file")),
    "renamed": (lambda t: t.rename(columns={"units": "unit"}), (*COLUMNS, "'units'", "did you mean 'unit'?")),
    "dropped": (lambda t: t.drop(columns="category"), (*COLUMNS, "no column 'category'")),
    "retyped": (retyped("units"), ("SchemaError", "'units' for 'y' holds", "expected numbers", "Convert it")),
}


@pytest.mark.parametrize("name", REFUSED_TABLES)
def test_a_bad_table_is_refused_and_can_be_repaired(place: Path, command: Command, name: str) -> None:
    """Nothing is trained on it, the message says why, and the repaired table is taken in whole."""
    spoil, words = REFUSED_TABLES[name]
    shop.write_sales(place, spoil(shop.sales()))
    refused(command("run", "shop", "--as-of", DAY), *words)
    untouched(place)
    repaired(place, command)


COUNTED_TABLES = {
    "infinity": (setting("units", -np.inf, 1), {"non_finite": 1}, 0),
    "negative": (setting("units", -3, 2), {"below_min_value": 2}, 0),
    "no product": (setting("product", " ", 1), {"missing_entity": 1}, 0),
    "same twice": (repeating(7), {}, 7),
    "conflicting": (repeating(1, add=1), {"conflict": 2}, 0),
}


@pytest.mark.parametrize("name", COUNTED_TABLES)
def test_single_bad_rows_are_set_aside_and_counted(place: Path, command: Command, name: str) -> None:
    """The run goes on without them, every row is accounted for, and the repaired ones arrive later."""
    spoil, reasons, repeated = COUNTED_TABLES[name]
    table = spoil(shop.sales())
    shop.write_sales(place, table)
    answer = command("run", "shop", "--as-of", DAY)

    assert answer.code == 0, answer.err
    counts = standing(place)[-1].counts
    assert counts.conserved
    assert counts.rows_in == len(table)
    assert (counts.reasons, counts.duplicates, counts.deferred) == (reasons, OLD + repeated, LATER)
    assert f"{sum(reasons.values())} quarantined" in answer.err
    assert quarantined(place) == reasons
    repaired(place, command)


def quarantined(root: Path) -> dict[str, int]:
    """Count the rows of the quarantine table by reason, from its files as any reader sees them."""
    from deltalake import DeltaTable

    folder = root / ".perennial" / "lake" / "shop.quarantine"
    rows = DeltaTable(folder).to_pyarrow_table() if folder.exists() else pa.table({"reason": []})
    return dict(Counter(rows["reason"].to_pylist()))


# --- files -------------------------------------------------------------------------------------------------


def flip(path: Path, at: float = 0.3) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 4
    path.write_bytes(data)


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flipped(path: Path) -> None:
    pq.write_table(pq.read_table(path), path, write_page_checksum=True)  # as Spark does; pandas writes none
    flip(path)


def _emptied(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.filter(pq.read_table(path)["day"].to_numpy() <= np.datetime64(shop.AS_OF)), path)
    pq.write_table(table.slice(0, 0), path.with_name("2024-05-20.parquet"))


DAMAGED = ("SourceUnusable", "sales.parquet is damaged", "Write it anew", "run again")
REFUSED_FILES = {
    "empty partition": (_emptied, (*BOUND, "max_age_days", "2 days (newest: 2024-05-19)", "<= 1 days")),
    "truncated": (_truncated, DAMAGED),
    "bit-flipped": (_flipped, DAMAGED),
    "not parquet": (lambda path: path.write_text("product,day,units\n"), DAMAGED),
    "gone": (Path.unlink, ("SourceUnusable", "no parquet file at 'data/sales'")),
}


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_a_damaged_file_is_refused_and_can_be_repaired(place: Path, command: Command, name: str) -> None:
    """It is named, nothing of it is taken, and no time is lost on reading it again."""
    spoil, words = REFUSED_FILES[name]
    spoil(place / "data" / "sales" / "sales.parquet")
    refused(command("run", "shop", "--as-of", DAY), *words)
    untouched(place)
    repaired(place, command)


@pytest.mark.parametrize(
    ("kind", "flow"), [("lake/shop/*.parquet", "run"), ("models/*/*.skops", "score"), ("models/*/*.skops", "run")]
)
def test_stored_bytes_that_were_altered_are_never_used(place: Path, command: Command, kind: str, flow: str) -> None:
    """A flipped bit in the lake or in a model fails the run and is named; with the backup in place it goes on."""
    file = next((place / ".perennial").glob(kind))
    backup = file.read_bytes()
    flip(file)
    answer = command(flow, "shop", "--as-of", DAY)
    refused(answer, "IntegrityError", file.stem[:12], "restore it from a backup")
    found = command("verify")
    assert (found.code, file.stem[:12] in found.out) == (1, True)

    file.write_bytes(backup)
    assert command(flow, "shop", "--as-of", DAY).code == 0
    assert command("verify").code == 0


LOST = {
    "lake": ("IntegrityError", "shop is at version -1, the ledger recorded 0", "restore the lake from a backup"),
    "ledger.db": ("LedgerError", "anchored", "restore the ledger", "to begin anew, move"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_lost_store_is_never_begun_anew(place: Path, command: Command, name: str) -> None:
    """Nothing is written until it is back: recovery from an empty ledger would remove every table."""
    lost = place / ".perennial" / name
    for file in [lost, *lost.parent.glob(f"{name}-*")]:
        file.rename(file.with_name(f"backup-{file.name}"))
    refused(command("run", "shop", "--as-of", DAY), *LOST[name])
    for file in lost.parent.glob(f"{name}*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    for file in lost.parent.glob("backup-*"):
        file.rename(file.with_name(file.name.removeprefix("backup-")))
    untouched(place)
    assert command("run", "shop", "--as-of", DAY).code == 0


def test_a_home_that_cannot_be_written(place: Path, command: Command) -> None:
    """The operating system's refusal is told with the path."""
    environment = shop.LOCAL.replace(".perennial", "configs/shop.yaml")
    (place / "configs" / "environments" / "local.yaml").write_text(environment)
    for name in (("run", "shop"), ("verify",)):
        refused(command(*name), "configs/shop.yaml", "check the disk and its permissions")


def test_without_a_prefect_server(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address where nobody answers is named, and so is a missing one."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    refused(command("run", "shop"), "ServerError", "http://127.0.0.1:9/api", "start it")
    monkeypatch.delenv("PREFECT_API_URL")
    refused(command("run", "shop"), "ServerError", "PREFECT_API_URL is not set")


# --- unusual, yet good -------------------------------------------------------------------------------------


def _odd_series(table: pd.DataFrame) -> pd.DataFrame:
    day, units, product = table["day"], table["units"], table["product"]
    table.loc[(product == "p01") & (np.arange(len(table)) % 17 > 0), "units"] = 0  # intermittent
    table.loc[product == "p02", "units"] = 0
    three = (product == "p03") & ~day.isin(pd.to_datetime(["2024-03-01", "2024-04-02", str(DAY)]))
    brand_new = (product == "p04") & (day < str(DAY))
    return table.assign(units=units)[~three & ~brand_new]


GOOD_TABLES: dict[str, tuple[Spoil, int]] = {
    "one series": (lambda t: t[t["product"] == "p07"], 1),
    "constant target": (lambda t: t.assign(units=5), 30),
    "intermittent, three points, all zero, brand new": (_odd_series, 30),
}


@pytest.mark.parametrize("name", GOOD_TABLES)
def test_unusual_tables_come_through(place: Path, command: Command, name: str) -> None:
    """They are trained on, judged, and every series has a finite forecast."""
    spoil, series = GOOD_TABLES[name]
    shop.write_sales(place, spoil(shop.sales()), "../odd/sales.parquet")
    odd = shop.PIPELINE.replace("pipeline: shop", "pipeline: odd").replace("data/sales", "data/odd")
    shop.write_project(place, odd, name="odd")
    answer = command("run", "odd", "--as-of", DAY, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["outcome"] == "promoted"
    scored = command("score", "odd", "--as-of", DAY, "--json")
    assert scored.code == 0, scored.err
    assert json.loads(scored.out)["entities"] == series
    assert check_invariants(Workspace.open(root=place).env) == ()


def test_a_shop_that_never_sold_anything_gets_no_champion(place: Path, command: Command) -> None:
    """Errors relative to nothing are not numbers: the gate says so and fails closed."""
    shop.write_sales(place, shop.sales().assign(units=0), "../odd/sales.parquet")
    odd = shop.PIPELINE.replace("pipeline: shop", "pipeline: odd").replace("data/sales", "data/odd")
    shop.write_project(place, odd, name="odd")
    answer = command("run", "odd", "--as-of", DAY)
    assert (answer.code, "FAIL wape" in answer.out) == (0, True), answer
    refused(command("score", "odd", "--as-of", DAY), "Refused", "no champion", "none of its 1 versions", "its gates")


# --- configuration -----------------------------------------------------------------------------------------

BOMB = "x0: &x0 [a, a]\n" + "".join(f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}]\n" for n in range(1, 30))
PIPELINE_EDITS = {
    "typo": ("horizon: 7", "horizont: 7", ("shop.yaml:9", "horizont", "did you mean `horizon`?")),
    "unknown metric": ("metric: wape", "metric: wap", ("wap", "did you mean `wape`?", "allowed: ", "rmsse")),
    "wrong type": ("horizon: 7", "horizon: seven", ("shop.yaml:9", "forecast.horizon", "seven")),
    "out of range": ("horizon: 7", "horizon: 0", ("shop.yaml:9", "forecast.horizon", "1")),
    "alias bomb": ("pipeline: shop", BOMB + "pipeline: shop", ("anchor or alias `x0` is not allowed", "write")),
    "dots in a path": ("data/sales", "data/../../secret", ("'data/../../secret'", "without '..'")),
    "outside": ("data/sales", "/etc/passwd", ("'/etc/passwd'", "outside the folders", "data_roots")),
    "sql in a table name": (
        "{type: files, path: data/sales}",
        '{type: sql, connection: erp, table: "sales; DROP TABLE sales"}',
        ("shop.yaml:5", "sales; DROP TABLE sales", "letters, digits and underscores only"),
    ),
    "unknown connection": (
        "{type: files, path: data/sales}",
        "{type: sql, connection: erp, table: sales}",
        ("unknown connection 'erp'", "connections of the environment"),
    ),
    "not yaml": ("guards: {", "guards: {{", ("shop.yaml:", "not readable as YAML")),
    "a look into the future": (
        "lags: [0, 6]",
        "lags: [-3, 6]",
        ("shop.yaml:11", "lags", "-3", "greater than or equal to 0"),
    ),
    "a tag": ("pipeline: shop", "pipeline: !!python/object/apply:os.system [id]", ("tag", "not allowed")),
}


@pytest.mark.parametrize("name", PIPELINE_EDITS)
def test_a_bad_pipeline_file_is_explained(place: Path, command: Command, name: str) -> None:
    """The message has the line, the value, what is allowed and what was probably meant; nothing was done."""
    old, text, words = PIPELINE_EDITS[name]
    assert old in shop.PIPELINE
    (place / "configs" / "shop.yaml").write_text(shop.PIPELINE.replace(old, text))
    for action in (("run", "shop", "--as-of", DAY), ("validate", "shop")):
        refused(command(*action), "ConfigError", *words)
    untouched(place)


CHECKS_EDITS = {
    "code": (
        "- {expect: column_values_to_not_be_null, column: y, row_condition: \"__import__('os').system('id')\"}",
        ("row_condition", "executed as code", "remove it"),
    ),
    "unknown": ("- {expect: column_values_to_be_nul, column: y}", ("did you mean `column_values_to_be_null`?",)),
    "code in a query": (
        "- {expect: unexpected_rows_expectation, unexpected_rows_query: DROP TABLE x}",
        ("`unexpected_rows_expectation` is not supported", "SQL", "allowed: "),
    ),
}


@pytest.mark.parametrize("name", CHECKS_EDITS)
def test_a_bad_checks_file_is_explained(place: Path, command: Command, name: str) -> None:
    """It is refused before any data is read, and nothing in it is ever executed."""
    text, words = CHECKS_EDITS[name]
    (place / "configs" / "shop.checks.yaml").write_text(text + "\n")
    for action in (("run", "shop", "--as-of", DAY), ("validate", "shop")):
        refused(command(*action), "ConfigError", "shop.checks.yaml:1", *words)
    untouched(place)


@pytest.mark.parametrize("day", [shop.AS_OF, DAY])
def test_other_checks_judge_all_rows_again(place: Path, command: Command, day: date) -> None:
    """Rows that landed under other rules are no exception, whether new ones come with them or not."""
    checks, before = place / "configs" / "shop.checks.yaml", len(standing(place))
    checks.write_text(shop.CHECKS.replace("max_value: 1000", "max_value: 5"))
    refused(command("run", "shop", "--as-of", day), "DataCheckFailed", "column_values_to_be_between", "of 4,2")
    checks.write_text(shop.CHECKS)
    (place / "configs" / "shop.yaml").write_text(shop.PIPELINE.replace("min_rows: 100", "min_rows: 999999"))
    refused(command("run", "shop", "--as-of", day), "DataCheckFailed", "min_rows", "999,999")
    untouched(place)
    assert len(standing(place)) == before

    (place / "configs" / "shop.yaml").write_text(shop.PIPELINE)
    checks.write_text(shop.CHECKS.replace("max_value: 1000", "max_value: 900"))
    assert command("run", "shop", "--as-of", day).code == 0
    ledger = Workspace.open(root=place).ledger
    told = ledger.check_report(ledger.landings("shop")[-1].landing_id)
    assert told is not None
    assert any("900" in one.expected for one in told.checks)
    assert check_invariants(Workspace.open(root=place).env) == ()


def test_a_run_of_an_earlier_date_lets_nothing_pass_that_it_does_not_see(place: Path, command: Command) -> None:
    """Other checks as of a week before say nothing of the week: its rows are judged when a run sees them."""
    ledger = Workspace.open(root=place).ledger
    (landed,) = ledger.landings("shop")
    before = ledger.check_report(landed.landing_id)
    checks = place / "configs" / "shop.checks.yaml"
    checks.write_text(shop.CHECKS.replace("max_value: 1000", "max_value: 900"))
    assert "judged again" in command("run", "shop", "--as-of", shop.AS_OF - timedelta(days=7)).err
    assert ledger.check_report(landed.landing_id) == before
    answer = command("score", "shop", "--as-of", shop.AS_OF)
    assert (answer.code, "judged again" in answer.err) == (0, True), answer
    after = ledger.check_report(landed.landing_id)
    assert before is not None
    assert after is not None
    assert before.rules != after.rules
    assert {one.name for one in before.checks} == {one.name for one in after.checks}
    assert "judged again" not in command("run", "shop", "--as-of", DAY).err


@pytest.mark.parametrize("text", ["max_iter: many", "loss: nonsense"])
def test_a_value_that_the_estimator_refuses(place: Path, command: Command, text: str) -> None:
    """The estimator's own words, as an error of the file."""
    (place / "configs" / "shop.yaml").write_text(shop.PIPELINE.replace("max_iter: 15", text))
    words = ("hist_gradient_boosting refused model.params", text.split(": ")[1])
    refused(command("run", "shop", "--as-of", DAY), "ConfigError", *words)
    assert len(Workspace.open(root=place).ledger.versions("shop")) == 1


def test_a_parameter_that_the_estimator_does_not_have(place: Path, command: Command) -> None:
    """``validate`` finds it before a run does; what the run has landed by then is kept for the next one."""
    path = place / "configs" / "shop.yaml"
    path.write_text(shop.PIPELINE.replace("max_iter", "max_itre"))
    for action in (("run", "shop", "--as-of", DAY), ("validate", "shop")):
        refused(command(*action), "ConfigError", "max_itre cannot be set", "learning_rate", "did you mean `max_iter`?")
    path.write_text(shop.PIPELINE)
    assert len(Workspace.open(root=place).ledger.versions("shop")) == 1
    repaired(place, command)


def test_validate_loads_the_suite(place: Path, command: Command) -> None:
    """An argument that only Great Expectations can judge is found too, and a valid pair of files is said to be so."""
    assert "Valid" in command("validate", "shop").out
    checks = place / "configs" / "shop.checks.yaml"
    checks.write_text("- {expect: column_values_to_be_between, column: y, min_valu: 0}\n")
    refused(command("validate", "shop"), "ConfigError", "shop.checks.yaml:1", "min_valu", "did you mean `min_value`?")
    checks.write_text("- {expect: column_values_to_not_be_null, column: entit}\n")
    refused(command("validate", "shop"), "ConfigError", "no column 'entit'", "did you mean `entity`?")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "shopp"), ("ConfigError", "'shopp'", "did you mean `shop`?")),
        (("run", "configs/../shop.yaml"), ("ConfigError", "'..'", "name it without")),
        (("run", "shop", "--env", "produktion"), ("ConfigError", "'produktion'", "did you mean `production`?")),
        (("run", "shop", "--env", "production"), ("ConfigError", "PERENNIAL_LEDGER_URL is not set; export it")),
        (("validate", "/etc/passwd"), ("ConfigError",)),
        (("history", "shopp"), ("Refused", "no model 'shopp'", "known: shop")),
        (("rollback", "shopp"), ("Refused", "'shopp' has no champion", "models: 'shop'")),
        (("rollback", "shop"), ("Refused", "first champion")),
        (("rollback", "shop", "--to", "9"), ("9 does not exist", "versions: 1 to 1")),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(
    place: Path, command: Command, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Pipelines, environments and models that do not exist are told from those that do."""
    refused(command(*arguments), *words)
    untouched(place)


# --- the shell ---------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """Return the name of every command."""
    from flows.cli import app

    return [str(one.name or getattr(one.callback, "__name__", "")) for one in app.registered_commands]


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(command: Command, name: str) -> None:
    """It says what the command does and shows one that works."""
    answer = command(name, "--help")
    assert (answer.code, f"Example: perennial {name}" in answer.out) == (0, True), answer.out


def test_json_is_one_document_on_standard_output(place: Path, command: Command) -> None:
    """Whatever else there is to say goes to standard error; JSON holds no nan."""
    day = ("--as-of", shop.AS_OF)
    for arguments in (
        ("run", "shop", "--as-of", DAY),
        ("run", "shop", *day),
        ("score", "shop", *day),
        ("score", "shop", *day),
        *(("models",), ("history", "shop"), ("verify",), ("validate", "shop"), ("doctor",), ("down",)),
        ("rollback", "shop"),
    ):
        answer = command(*arguments, "--json")
        assert answer.code == 0 or arguments == ("doctor",), (arguments, answer)
        json.loads(answer.out, parse_constant=pytest.fail)
