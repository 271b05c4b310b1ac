"""The door to Great Expectations: a suite that is declared as data, judged exactly and fail-closed.

What makes it cheap (3 million rows and eight expectations in a third of a second): rows are shown column by
column, because the engine copies its whole frame for every expectation, and without a data context or batch
definition, which hash every row. What makes it safe: an expectation that raised, was skipped, or had nothing
to judge has failed.
"""

import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial.checks import datadocs, suites
from perennial.checks.reductions import REDUCTIONS, Summary
from perennial.checks.suites import EVER, Expectation, Frame, Season, Suite
from perennial.checks.tallies import SAMPLES, Tally, unquoted
from perennial.config import yamlsafe
from perennial.config.yamlsafe import nearest
from perennial.contracts import TIME, Check

if TYPE_CHECKING:
    import pandas as pd

_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": SAMPLES}
_REFUSED_KEYS = {"batch_id", "row_condition", "condition_parser", "table"}


def load_suite(path: Path, columns: Collection[str] | None = None) -> Suite:
    """Read a checks file: a YAML list of expectations with severities.

    Args:
        path: The file.
        columns: Columns that the pipeline has; ``None`` if that is not known.

    Raises:
        ConfigError: An expectation is unknown or refused, an argument is missing, unknown or of the wrong type, or
            a column is not there; the message lists every problem with its line and the nearest name.

    Example:
        >>> load_suite(Path("configs/demand.checks.yaml")).expectations[0].name  # doctest: +SKIP
        'column_values_to_not_be_null'
    """
    document, found, problems = suites.survey(path)
    for i, expectation in found.items():
        for key, message in _argument_problems(expectation):
            problems.append(document.problem((i, key) if key in document.value[i] else (i,), message))
        for name in expectation.columns:
            if columns is not None and name not in columns:
                problems.append(document.problem((i,), f"there is no column {name!r}; {nearest(name, columns)}"))
    if problems:
        raise yamlsafe.combined(document.name, problems)
    suite = suites.suite_of(path, found)
    worded = tuple(replace(one, sentence=_sentence(one)) for one in suite.expectations)
    return replace(suite, expectations=worded)


def run_suite(
    suite: Suite,
    table: str,
    batches: Iterable[pa.RecordBatch],
    *,
    docs: Path,
    batch_rows: int = 2_000_000,
    quote: bool = True,
) -> tuple[Check, ...]:
    """Judge a stream of rows and write the result as a page.

    Args:
        suite: What must hold.
        table: Name of the table, for the checks and the page.
        batches: The rows to judge, all of one schema; only columns that the suite names are kept.
        docs: HTML page to write; ``index.html`` beside it lists all pages of that folder.
        batch_rows: Rows in memory at a time; it does not change any answer.
        quote: Whether checks and page may show values; not where rows are people.

    Returns:
        One check for each expectation, in order of the suite. Without rows every one has failed.
    """
    judgement = _Judgement(suite)
    rows = judgement.stream(iter(batches), batch_rows)
    checks = tuple(
        tally.check(expectation, table, rows)
        for expectation, tally in zip(suite.expectations, judgement.tallies, strict=True)
    )
    if not quote:
        checks = tuple(map(unquoted, checks))
    datadocs.write(docs, suite=suite.name, table=table, rows=rows, checks=checks)
    return checks


class _Judgement:
    """One pass over the rows, with the expectations grouped by the frame that they are shown."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.tallies = [Tally() for _ in suite.expectations]
        self.groups: dict[tuple[Frame, tuple[str, ...], Season], list[int]] = {}
        for i, expectation in enumerate(suite.expectations):
            columns = () if expectation.frame in ("schema", "count") else expectation.columns
            self.groups.setdefault((expectation.frame, columns, expectation.season), []).append(i)
        self.summaries = {key: Summary(REDUCTIONS[key[0]]) for key in self.groups if key[0] in REDUCTIONS}

    def stream(self, batches: Iterator[pa.RecordBatch], batch_rows: int) -> int:
        """Fill the tallies; return the number of rows."""
        first = next(batches, None)
        if first is None:
            return 0
        rows = 0
        for chunk in _chunks(chain([first], batches), self.suite.columns, batch_rows):
            rows += chunk.num_rows
            self._rows(chunk)
        if rows:
            self._wholes(first.schema, rows)
        return rows

    def _rows(self, chunk: pa.Table) -> None:
        parts = {season: _during(chunk, season) for _, _, season in self.groups}
        for (frame, columns, season), members in self.groups.items():
            part = parts[season]
            for i in members:
                self.tallies[i].shown += part.num_rows
            if frame == "rows" and part.num_rows:
                self._ask(members, _pandas(part, columns))
        for (_, columns, season), summary in self.summaries.items():
            if columns[0] in chunk.column_names:
                summary.add(parts[season].column(columns[0]))

    def _wholes(self, schema: pa.Schema, rows: int) -> None:
        import pandas as pd

        for key, members in self.groups.items():
            if key[0] == "schema":
                empty = _plain(schema.empty_table())
                self._ask(members, _pandas(empty, empty.column_names))
            elif key[0] == "count":
                self._ask(members, pd.DataFrame(index=pd.RangeIndex(rows)))
            elif key in self.summaries:
                self._ask_about(members, key[1][0], self.summaries[key])

    def _ask_about(self, members: Sequence[int], column: str, summary: Summary) -> None:
        values = summary.values()
        if values is not None:
            self._ask(members, pa.table({column: values}).to_pandas())
        for i in members:
            obstacle = summary.error or "the column is absent or has no value"
            self.tallies[i].error = "" if values is not None else obstacle

    def _ask(self, members: Sequence[int], frame: "pd.DataFrame") -> None:
        for i in members:
            self.tallies[i].asked += 1
        for result in _validate({i: self.suite.expectations[i] for i in members}, frame):
            self.tallies[result.expectation_config.meta["position"]].add(result)


def _during(chunk: pa.Table, season: Season) -> pa.Table:
    """Return the rows of a season; without dates all of them, so that nothing passes for want of a column."""
    for part, values in ((pc.day_of_week, season.weekdays), (pc.month, season.months)):
        if values and TIME in chunk.column_names:
            chunk = chunk.filter(pc.is_in(part(chunk.column(TIME)), value_set=pa.array(values, pa.int64())))
    return chunk


def _chunks(batches: Iterable[pa.RecordBatch], columns: Iterable[str], batch_rows: int) -> Iterator[pa.Table]:
    """Gather the named columns into tables of about ``batch_rows`` rows, with types that pandas is quick at."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        kept = [name for name in columns if name in batch.schema.names]
        # a batch without columns forgets its length
        waiting.append(batch.select(kept or batch.schema.names[:1]))
        if sum(one.num_rows for one in waiting) >= batch_rows:
            yield _plain(pa.Table.from_batches(waiting))
            waiting = []
    if any(one.num_rows for one in waiting):
        yield _plain(pa.Table.from_batches(waiting))


def _plain(table: pa.Table) -> pa.Table:
    return pa.table([_plain_column(column) for column in table.columns], names=table.column_names)


def _plain_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Widen to the types for which Great Expectations is vectorised: float64, int64, text, naive timestamp[ns]."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ns"))
    return column.cast(kind)


def _pandas(table: pa.Table, columns: Sequence[str]) -> "pd.DataFrame":
    present = [name for name in columns if name in table.column_names]
    frame: pd.DataFrame = table.select(present).to_pandas(split_blocks=True)
    return frame


def _validate(members: Mapping[int, Expectation], frame: "pd.DataFrame") -> Iterable[Any]:
    """Return Great Expectations' results, in no order; ``meta["position"]`` tells which is which."""
    _import_quietly()
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    class QuietValidator(Validator):  # type: ignore[misc]
        def _determine_progress_bars(self) -> bool:
            return False  # what a data context would be asked; there is none, on purpose

    engine = PandasExecutionEngine()
    engine.load_batch_data("rows", frame)
    asked = [_configuration(expectation, i) for i, expectation in members.items()]
    results: Iterable[Any] = QuietValidator(execution_engine=engine).graph_validate(
        asked, {"result_format": dict(_RESULT_FORMAT)}
    )
    return results


def _import_quietly() -> None:
    """Import Great Expectations without its warnings about modules it should no longer use."""
    if "great_expectations" not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import great_expectations  # noqa: F401


def _configuration(expectation: Expectation, position: int = 0) -> Any:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    return ExpectationConfiguration(
        type=f"expect_{expectation.name}",
        kwargs=dict(expectation.kwargs),
        meta={"position": position},
        severity=expectation.severity,
    )


def _argument_problems(expectation: Expectation) -> Iterator[tuple[str, str]]:
    """Yield (argument, message) for everything that Great Expectations would not take."""
    _import_quietly()
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.expectations.registry import get_expectation_impl

    model = get_expectation_impl(f"expect_{expectation.name}")
    allowed = {*model.domain_keys, *model.success_keys} - _REFUSED_KEYS
    unknown = expectation.kwargs.keys() - allowed
    yield from ((key, f"unknown argument; {nearest(key, allowed)}") for key in sorted(unknown))
    try:
        model(**{key: value for key, value in expectation.kwargs.items() if key not in unknown})
    except ValidationError as error:
        said: dict[str, list[str]] = {}
        for detail in error.errors():
            said.setdefault(str(detail["loc"][0]).replace("__root__", "expect"), []).append(detail["msg"])
        if len(said) > 1:  # of all arguments together, where one of them is wrong by itself
            said.pop("expect", None)
        for key, messages in said.items():
            given = f"{expectation.kwargs[key]!r:.40}" if key in expectation.kwargs else key
            yield key, f"{given}: {', or '.join(messages)}"


def _sentence(expectation: Expectation) -> str:
    """Return the expectation in Great Expectations' words, without the name of its column."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    content = InlineRenderer(render_object=_configuration(expectation)).get_rendered_content()[0]
    value = content.to_json_dict()["value"]
    said = suites.filled(value["template"], {k: v["value"] for k, v in value.get("params", {}).items()})
    return said if expectation.season == EVER else f"{said} {expectation.season}"
