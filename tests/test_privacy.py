"""Names of people stop at the border: pseudonyms under a secret key, and no single row in what people read."""

import hashlib
import json
import logging
import stat
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import yaml

from perennial.config.files import load_environment
from perennial.config.models import Environment, Pipeline
from perennial.contracts import StoredFile
from perennial.errors import ConfigError, SchemaError, SourceUnusable
from perennial.privacy import KEY_FILE, pseudonyms
from perennial.sources import read
from perennial.sources.pseudonyms import DIGITS, Pseudonyms
from tests import shop

CANARY = "CANARY-JANE-DOE"
HIDDEN = Pseudonyms(columns=frozenset({"entity", "patient"}), key=b"a key of this test alone")
PRIVATE = shop.PIPELINE.replace("guards:", "privacy: {identifiers: [entity, patient]}\nguards:").replace(
    "category: category}", "category: category, patient: patient}"
)


def config(text: str = PRIVATE) -> Pipeline:
    """Read a pipeline from text."""
    return Pipeline.model_validate_json(json.dumps(yaml.safe_load(text)))


def test_no_original_passes_the_border_and_equal_people_have_equal_names(tmp_path: Path) -> None:
    """Entity and patient come out as pseudonyms, whether text or integer; nulls stay, others are as they were."""
    path = tmp_path / "rows.parquet"
    table = {
        "product": [f"{CANARY}-1", f"{CANARY}-2", f"{CANARY}-1"],
        "day": [date(2024, 1, 1)] * 3,
        "units": [1, 2, 3],
        "category": ["a", None, "b"],
        "patient": pa.array([7, None, 7], pa.int64()),
    }
    pq.write_table(pa.table(table), path)
    batch = next(iter(read(staged(path), config().data, pseudonyms=HIDDEN)))
    assert batch["entity"][0] == batch["entity"][2] != batch["entity"][1]
    assert batch["entity"][0].as_py() == HIDDEN.of(f"{CANARY}-1")
    assert batch["patient"].to_pylist() == [HIDDEN.of("7"), None, HIDDEN.of("7")]
    assert batch["category"].to_pylist() == ["a", None, "b"]
    assert CANARY not in str(batch.to_pydict())
    assert len(HIDDEN.of("7")) == DIGITS


def test_one_name_has_one_pseudonym_however_it_is_spelled() -> None:
    """Keys are composed when they land; a decomposed one that somebody asks for is the same person."""
    key = Pseudonyms(columns=frozenset({"entity"}), key=b"k" * 16)
    assert key.of("Ame\u0301lie") == key.of("Am\u00e9lie")


def test_another_key_gives_other_names_and_no_key_is_shown() -> None:
    """Without the key a pseudonym cannot be made, and the object does not print it."""
    other = Pseudonyms(columns=HIDDEN.columns, key=b"another key, as long as it")
    assert other.of("7") != HIDDEN.of("7")
    assert other.mark != HIDDEN.mark
    assert "this test alone" not in repr(HIDDEN)


def test_errors_about_private_tables_quote_no_value(tmp_path: Path) -> None:
    """A column of another type and a broken CSV name the column and the file, and nothing that stands in them."""
    text = tmp_path / "wrong.parquet"
    rows = {"product": ["p"] * 150, "day": ["2024-01-01"] * 150, "units": [CANARY] * 150, "category": ["a"] * 150}
    table = pa.table(rows | {"patient": ["x"] * 150})
    csv.write_csv(table, tmp_path / "wrong.csv")
    with (tmp_path / "wrong.csv").open("a") as file:
        file.write(f"{CANARY},too,few\n")
    pq.write_table(table, text)
    private = config(PRIVATE.replace("data/sales", str(tmp_path / "wrong.csv"))).data
    for path, table_, error in ((text, config().data, SchemaError), (tmp_path / "wrong.csv", private, SourceUnusable)):
        with pytest.raises(error) as caught:
            list(read(staged(path), table_, pseudonyms=HIDDEN))
        assert CANARY not in str(caught.value)
        assert caught.value.__cause__ is None or CANARY not in str(caught.value.__cause__)


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """A second run finds the key of the first."""
    env = environment(tmp_path)
    one, two = (pseudonyms(config(), env, tmp_path, landed=landed) for landed in (False, True))
    assert one == two
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert pseudonyms(config(shop.PIPELINE), env, tmp_path, landed=False) is None


def test_a_lost_or_short_key_is_refused(tmp_path: Path) -> None:
    """A new key for rows that landed under another would give everybody a second name."""
    with pytest.raises(ConfigError, match="made with a key that is gone; restore"):
        pseudonyms(config(), environment(tmp_path), tmp_path, landed=True)
    short = environment(tmp_path).model_copy(update={"pseudonym_key": "secret"})
    with pytest.raises(ConfigError, match="6 characters, at least 16") as caught:
        pseudonyms(config(), short, tmp_path, landed=False)
    assert "secret keep" not in str(caught.value)


def test_a_prediction_is_found_again_through_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`perennial pseudonym` turns names on standard input into those of the tables; without identifiers it refuses."""
    from typer.testing import CliRunner

    from flows.operations import app

    env = environment(tmp_path)
    shop.write_project(tmp_path, PRIVATE)
    monkeypatch.chdir(tmp_path)
    made = pseudonyms(config(), env, tmp_path / ".perennial", landed=False)
    assert made is not None
    done = CliRunner().invoke(app, ["pseudonym", "shop"], input="jane\njohn\n", catch_exceptions=False)
    assert done.output.split() == [made.of("jane"), made.of("john")]
    shop.write_project(tmp_path)
    assert CliRunner().invoke(app, ["pseudonym", "shop"], input="jane\n").exit_code == 1


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.filterwarnings("default")
def test_a_planted_name_is_in_no_file_that_a_run_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Land, check, train, report, register, score and monitor people with recognisable names, then search for them.

    One row is set aside, one check warns with what would be a sample, and one person is new since training.
    """
    from flows.monitor import monitor
    from flows.retrain import retrain
    from flows.score import score

    table = shop.sales()
    table["patient"] = f"{CANARY}-PATIENT-" + table["product"]
    table["product"] = f"{CANARY}-" + table["product"]
    table["category"] = table["category"].astype(object)
    table.loc[5, "units"] = -3
    table = table[(table["product"] != f"{CANARY}-p07") | (table["day"] >= "2024-05-10")]
    shop.write_sales(tmp_path, table)
    shop.write_project(
        tmp_path, PRIVATE.replace("max_quarantine_rate: 0.05", "max_quarantine_rate: 0.05, max_missing_days: null")
    )
    odd = "- {expect: column_value_lengths_to_equal, column: entity, value: 3, severity: warning}\n"
    (tmp_path / "configs" / "shop.checks.yaml").write_text(shop.CHECKS + odd)
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    record = retrain("shop", shop.AS_OF)
    score("shop", shop.LATER)
    monitor("shop", shop.LATER)
    assert record.outcome == "promoted"
    home, out = tmp_path / ".perennial", capfd.readouterr()
    named_nowhere(home, caplog.text + out.out + out.err)
    page = (home / str(record.report)).read_text()
    assert "1 series first appeared after training ended and were judged all the same." in page
    assert pq.read_table(next(home.rglob("per_entity.parquet"))).num_rows == 0
    assert not list(home.rglob("input_example.json"))
    assert not list(home.glob("scratch-*"))


def named_nowhere(home: Path, said: str) -> None:
    """Assert that no file of a home folder, and nothing that was said, holds a planted name."""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {".html", ".parquet", ".db", ".skops"} <= {path.suffix for path in files}
    assert [str(path) for path in files if holds(path)] == []
    assert CANARY not in said


def holds(path: Path) -> bool:
    """Whether a file holds a planted name, in its name, its bytes or, of Parquet, its values."""
    if CANARY in str(path):
        return True
    if path.suffix == ".parquet":
        return CANARY in str(pq.read_table(path, partitioning=None).to_pydict())
    return CANARY.encode() in path.read_bytes()


def staged(path: Path) -> StoredFile:
    """Pin a file as the reader wants it."""
    return StoredFile(path=str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest(), size=path.stat().st_size)


def environment(root: Path) -> Environment:
    """Return the local environment of an empty project."""
    shop.write_project(root)
    return load_environment(None, root)
