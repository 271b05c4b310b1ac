"""Suites as data: what is refused, that answers do not depend on batches, that nothing passes unjudged."""

import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.checks import expectations, reductions
from perennial.checks.expectations import load_suite, run_suite
from perennial.checks.suites import SUPPORTED, Suite
from perennial.checks.tallies import Tally
from perennial.contracts import Check
from perennial.errors import ConfigError

ROOT = Path(__file__).parents[1]
SCHEMA = pa.schema([("entity", pa.string()), ("ds", pa.date32()), ("y", pa.float64()), ("n", pa.int32())])
SUITE: list[dict[str, Any]] = [
    {"expect": "column_values_to_not_be_null", "column": "y", "mostly": 0.75},
    {"expect": "column_values_to_be_null", "column": "n", "mostly": 0.25, "severity": "warning"},
    {"expect": "column_values_to_be_between", "column": "y", "min_value": 0, "max_value": 9, "mostly": 0.5},
    {"expect": "column_values_to_be_between", "column": "ds", "min_value": "2011-01-02", "mostly": 0.5},
    {"expect": "column_values_to_be_in_set", "column": "entity", "value_set": ["a", "b"], "mostly": 0.6},
    {"expect": "column_values_to_not_be_in_set", "column": "n", "value_set": [3]},
    {"expect": "column_values_to_match_regex", "column": "entity", "regex": "^[ab]"},
    {"expect": "column_values_to_not_match_regex", "column": "entity", "regex": "c$"},
    {"expect": "column_values_to_match_regex_list", "column": "entity", "regex_list": ["^a", "b$"]},
    {"expect": "column_values_to_not_match_regex_list", "column": "entity", "regex_list": ["^c"]},
    {"expect": "column_values_to_match_strftime_format", "column": "entity", "strftime_format": "%Y"},
    {"expect": "column_value_lengths_to_be_between", "column": "entity", "min_value": 1, "max_value": 2},
    {"expect": "column_value_lengths_to_equal", "column": "entity", "value": 1},
    {"expect": "column_pair_values_a_to_be_greater_than_b", "column_A": "y", "column_B": "n", "mostly": 0.5},
    {"expect": "column_pair_values_to_be_equal", "column_A": "y", "column_B": "n", "mostly": 0.5},
    {"expect": "multicolumn_sum_to_equal", "column_list": ["y", "n"], "sum_total": 4, "mostly": 0.5},
    {"expect": "column_min_to_be_between", "column": "y", "min_value": 0, "max_value": 2},
    {"expect": "column_max_to_be_between", "column": "n", "min_value": 2},
    {"expect": "column_distinct_values_to_be_in_set", "column": "entity", "value_set": ["a", "b"]},
    {"expect": "column_distinct_values_to_contain_set", "column": "entity", "value_set": ["a"]},
    {"expect": "column_distinct_values_to_equal_set", "column": "n", "value_set": [1, 2]},
    {"expect": "column_unique_value_count_to_be_between", "column": "n", "min_value": 2, "max_value": 3},
    {"expect": "column_mean_to_be_between", "column": "n", "min_value": 1.7, "max_value": 2.6},
    {"expect": "column_to_exist", "column": "y"},
    {"expect": "column_values_to_be_of_type", "column": "y", "type_": "float64"},
    {"expect": "column_values_to_be_in_type_list", "column": "entity", "type_list": ["str", "object"]},
    {"expect": "table_columns_to_match_set", "column_set": ["y", "ds"], "exact_match": False},
    {"expect": "table_columns_to_match_ordered_list", "column_list": ["entity", "ds", "y", "n"]},
    {"expect": "table_column_count_to_equal", "value": 4},
    {"expect": "table_column_count_to_be_between", "min_value": 5},
    {"expect": "table_row_count_to_equal", "value": 4},
    {"expect": "table_row_count_to_be_between", "min_value": 3},
]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "cc"]),
        st.sampled_from([date(2011, 1, 1), date(2011, 1, 3)]),
        st.sampled_from([None, float("nan"), float("inf"), 0.0, 2.0, 11.0]),
        st.sampled_from([None, 1, 2, 3]),
    ),
    min_size=1,
    max_size=12,
)


def suite_of(folder: Path, content: Any) -> Suite:
    """Write a checks file and load it."""
    path = folder / "demand.checks.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return load_suite(path)


def table(rows: list[tuple[Any, ...]]) -> pa.Table:
    """Return rows as a table with the canonical types."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """Return a suite with every supported expectation."""
    suite = suite_of(tmp_path_factory.mktemp("suite"), SUITE)
    assert {e.name for e in suite.expectations} == set(SUPPORTED)
    return suite


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a page in a folder that the property tests share."""
    return tmp_path_factory.mktemp("docs") / "page.html"


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(rows=ROWS, batch=st.integers(1, 5), limit=st.integers(3, 8))
def test_batches_change_no_answer(everything: Suite, docs: Path, rows: list[Any], batch: int, limit: int) -> None:
    """Every supported expectation gives one answer, however the rows are cut."""
    data = table(rows)
    whole = run_suite(everything, "t", data.to_batches(), docs=docs)
    parts = run_suite(everything, "t", data.to_batches(max_chunksize=batch), docs=docs, batch_rows=limit)
    assert parts == whole


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(rows=ROWS)
def test_answers_are_those_of_great_expectations(everything: Suite, docs: Path, rows: list[Any]) -> None:
    """A check passes where Great Expectations passes on the whole frame, unless there was nothing to judge."""
    data = table(rows)
    frame = expectations._pandas(expectations._plain(data), data.column_names)
    asked = dict(enumerate(everything.expectations))
    oracle = {r.expectation_config.meta["position"]: r.success for r in expectations._validate(asked, frame)}
    checks = run_suite(everything, "t", data.to_batches(), docs=docs)
    for i, check in enumerate(checks):
        vacuous = check.observed in ("every value is null",) or "has no value" in check.observed
        assert check.passed is (bool(oracle[i]) and not vacuous), check


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"expect": "column_values_to_be_betwen"}, "did you mean `column_values_to_be_between`"),
        ({"expect": "column_values_to_be_unique", "column": "y"}, "needs all rows at once"),
        ({"expect": "unexpected_rows_expectation", "unexpected_rows_query": "x"}, "SQL or code"),
        ({"expect": "column_to_exist", "colum": "y"}, "colum: unknown argument; did you mean `column`"),
        ({"expect": "column_to_exist"}, "column: field required"),
        ({"expect": "column_to_exist", "column": "y", "severity": "fatal"}, "allowed: critical, warning"),
        ({"expect": "column_values_to_not_be_null", "column": "y", "mostly": 2}, "mostly: 2: ensure this value"),
        ({"expect": "column_values_to_be_between", "column": "y"}, "min_value and max_value cannot both be None"),
        ({"expect": "column_to_exist", "column": {"$PARAMETER": "x"}}, "must be a plain value"),
        ({"expect": "column_to_exist", "column": "y", "row_condition": "y > 0"}, "executed as code"),
        ({"column": "y"}, "write `- expect: <name>`"),
        ("column_to_exist", "write `- expect: <name>`"),
    ],
)
def test_wrong_expectations_are_refused(tmp_path: Path, item: Any, words: str) -> None:
    """A suite with a mistake is refused with its line and what was probably meant."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        suite_of(tmp_path, [item])


@pytest.mark.parametrize("text", ["[]", "", "a: 1"])
def test_a_suite_is_a_list_of_something(tmp_path: Path, text: str) -> None:
    """A file without expectations is refused: it would pass whatever lands."""
    with pytest.raises(ConfigError, match="expect"):
        suite_of(tmp_path, text)


def test_a_condition_is_never_executed(tmp_path: Path) -> None:
    """The shell command that pandas' query would run is refused with its line and does not run."""
    code = f"@pd.io.common.os.system('touch {tmp_path}/canary')"
    item = {"expect": "column_to_exist", "column": "y", "row_condition": code, "condition_parser": "pandas"}
    with pytest.raises(ConfigError, match=r"2 problems(.|\n)*yaml:3: 0\.row_condition"):
        suite_of(tmp_path, [item])
    assert not (tmp_path / "canary").exists()


def test_no_rows_pass_nothing(everything: Suite, docs: Path) -> None:
    """Great Expectations would pass most of an empty table; here every expectation fails."""
    for batches in ([], [pa.RecordBatch.from_pylist([], SCHEMA)]):
        checks = run_suite(everything, "t", batches, docs=docs)
        assert {(c.passed, c.observed) for c in checks} == {(False, "no rows")}


def test_a_column_of_nulls_passes_nothing(tmp_path: Path, docs: Path) -> None:
    """An expectation that ignores nulls has judged nothing when there is nothing else."""
    suite = suite_of(tmp_path, [item for item in SUITE if item.get("column") == "y" and "mostly" in item])
    checks = run_suite(suite, "t", table([("a", date(2011, 1, 1), None, 1)] * 3).to_batches(), docs=docs)
    assert [c.observed for c in checks] == ["3 of 3 values unexpected (100.00 %)", "every value is null"]
    assert not any(c.passed for c in checks)


def test_an_absent_column_fails_with_a_reason(everything: Suite, docs: Path) -> None:
    """What Great Expectations swallows as an exception is a failed check that says why."""
    data = table([("a", date(2011, 1, 1), 1.0, 1)]).drop_columns(["y"])
    failed = [c for c in run_suite(everything, "t", data.to_batches(), docs=docs) if c.column == "y"]
    assert not any(c.passed for c in failed)
    assert 'could not be judged: Error: The column "y" in BatchData does not exist.' in {c.observed for c in failed}


def test_what_cannot_be_compared_fails(tmp_path: Path, docs: Path) -> None:
    """Bounds of the wrong type and means of text are failed checks, not tracebacks."""
    items = [
        {"expect": "column_values_to_be_between", "column": "entity", "min_value": 1},
        {"expect": "column_mean_to_be_between", "column": "entity", "min_value": 1},
        {"expect": "column_values_to_be_between", "column": "y", "min_value": 5, "max_value": 1},
    ]
    data = table([("a", date(2011, 1, 1), 1.0, 1)])
    checks = run_suite(suite_of(tmp_path, items), "t", data.to_batches(), docs=docs)
    assert all(c.observed.startswith("could not be judged: ") and not c.passed for c in checks)


def test_samples_are_few_and_short(tmp_path: Path, docs: Path) -> None:
    """At most five offending values are kept, each at most 40 characters."""
    suite = suite_of(tmp_path, [{"expect": "column_values_to_match_regex", "column": "entity", "regex": "^x"}])
    data = table([("a" * 99 + str(i), date(2011, 1, 1), 1.0, 1) for i in range(50)])
    (check,) = run_suite(suite, "t", data.to_batches(max_chunksize=7), docs=docs, batch_rows=7)
    assert len(check.samples) == 5
    assert max(map(len, check.samples)) == 40


def test_too_many_distinct_values_fail(tmp_path: Path, docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column with more distinct values than are kept in memory fails and says so."""
    monkeypatch.setattr(reductions, "MAX_DISTINCT", 3)
    item = {"expect": "column_unique_value_count_to_be_between", "column": "n", "min_value": 1}
    data = table([("a", date(2011, 1, 1), 1.0, i) for i in range(5)])
    (check,) = run_suite(suite_of(tmp_path, [item]), "t", data.to_batches(max_chunksize=2), docs=docs, batch_rows=2)
    assert (check.passed, check.observed) == (False, "could not be judged: more than 3 distinct values")


def test_an_answer_that_did_not_come_is_a_failure(everything: Suite) -> None:
    """The number of answers must equal the number of questions."""
    check = Tally(asked=2, answers=1, evaluated=5).check(everything.expectations[0], "t", 5)
    assert (check.passed, check.observed) == (False, "was judged 1 of 2 times")


def bundled() -> pa.Table:
    """Return the bundled sales with the columns as landing names them."""
    raw = pq.read_table(ROOT / "data/online_retail_ii/daily_sales.parquet")
    names = {"product": "entity", "date": "ds", "units": "y", "price": "price", "range": "range"}
    return raw.rename_columns([names[name] for name in raw.column_names])


def test_the_shipped_suite_holds_on_the_bundled_data(docs: Path) -> None:
    """All nine expectations hold on two years of real sales, in words a person understands."""
    checks = run_suite(load_suite(ROOT / "configs/demand.checks.yaml"), "demand", bundled().to_batches(), docs=docs)
    assert len(checks) == 9
    assert [c for c in checks if not c.passed] == []
    assert checks[0].samples == ("47503J ",)
    assert checks[2].expected == "values must be greater than or equal to 1 and less than or equal to 100000"


def page_of(folder: Path, entity: str) -> tuple[str, tuple[Check, ...]]:
    """Judge one row that breaks a critical expectation; return its page and the checks."""
    items = [{"expect": "column_value_lengths_to_equal", "column": "entity", "value": 1}, SUITE[0]]
    data = table([(entity, date(2011, 1, 1), 1.0, 1)])
    page = folder / "2011-01-01.html"
    checks = run_suite(suite_of(folder, items), "demand", data.to_batches(), docs=page)
    return page.read_text(), checks


def test_pages_need_no_network_and_run_no_script(tmp_path: Path) -> None:
    """A page loads nothing and shows what stands in the data as text."""
    html, _ = page_of(tmp_path, "<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)" in html
    assert "1 of 2 expectations failed" in html
    for text in (html, (tmp_path / "index.html").read_text()):
        assert not re.search(r"<script|https?://|\bsrc=|@import|url\(", text)


def test_pages_are_listed_and_machine_readable(tmp_path: Path) -> None:
    """The index links every page, newest first, and skips what another program spoiled."""
    _, checks = page_of(tmp_path, "ab")
    (tmp_path / "2011-01-02.json").write_text("{")
    index = (tmp_path / "index.html").read_text()
    assert 'href="2011-01-01.html"' in index
    facts = json.loads((tmp_path / "2011-01-01.json").read_text())
    assert facts["summary"]["failed"] == 1
    assert [c["observed"] for c in facts["checks"]] == [c.observed for c in checks]
    page_of(tmp_path, "ab")
    assert "2011-01-02" not in (tmp_path / "index.html").read_text()


@pytest.mark.slow
def test_no_connection_and_no_progress_bar(tmp_path: Path) -> None:
    """Judging opens no socket and writes nothing to the terminal."""
    code = """
import sys
def hook(event, args):
    if event == "socket.connect": print("connected", args)
sys.addaudithook(hook)
from pathlib import Path
import pyarrow as pa
from perennial.checks.expectations import load_suite, run_suite
batch = pa.RecordBatch.from_pydict({"entity": ["10002"], "y": [1.0]})
suite = load_suite(Path("configs/demand.checks.yaml"))
assert len(run_suite(suite, "t", [batch], docs=Path(sys.argv[1]))) == 9
"""
    command = [sys.executable, "-c", code, str(tmp_path / "page.html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def judged_on(tmp_path: Path, days: list[date], values: list[float]) -> list[Check]:
    """Judge a suite whose bounds hold on weekends, or in July, alone."""
    (tmp_path / "s.checks.yaml").write_text(
        "- {expect: column_mean_to_be_between, column: y, max_value: 5, weekdays: [sat, sun]}\n"
        "- {expect: column_values_to_be_between, column: y, max_value: 5, months: [7]}\n"
    )
    batch = pa.RecordBatch.from_pydict({"ds": pa.array(days, pa.date32()), "y": values})
    return list(run_suite(load_suite(tmp_path / "s.checks.yaml"), "t", [batch], docs=tmp_path / "page.html"))


@pytest.mark.parametrize(
    ("day", "passed", "observed"),
    [
        (date(2024, 6, 7), [True, True], ["no rows on sat, sun", "no rows in months 7"]),
        (date(2024, 6, 8), [False, True], ["9", "no rows in months 7"]),
        (date(2024, 7, 5), [True, False], ["no rows on sat, sun", "1 of 1 values unexpected (100.00 %)"]),
    ],
)
def test_seasonal_bounds_hold_in_their_season(
    tmp_path: Path, day: date, passed: list[bool], observed: list[str]
) -> None:
    """A bound of weekends says nothing of a Friday, and is strict on a Saturday."""
    checks = judged_on(tmp_path, [day], [9.0])
    assert [check.passed for check in checks] == passed
    assert [check.observed for check in checks] == observed
    assert checks[0].expected.endswith("on sat, sun")


def test_seasons_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    """A misspelled weekday, and a season of the table as a whole, are explained."""
    (tmp_path / "s.checks.yaml").write_text(
        "- {expect: column_mean_to_be_between, column: y, max_value: 5, weekdays: [saturday]}\n"
        "- {expect: table_row_count_to_equal, value: 5, months: [7]}\n"
    )
    with pytest.raises(ConfigError, match=r"(?s)saturday.*mon, tue.*about the table"):
        load_suite(tmp_path / "s.checks.yaml")
