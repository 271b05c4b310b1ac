"""Which expectations a checks file may hold, and how each is judged on a table that does not fit in memory.

Every supported expectation is judged exactly, whatever the size of the batches: either it counts rows, and
counts add up, or it asks about a column as a whole, and a few values stand for the column (its extremes, its
distinct values, its mean) or the schema and the number of rows do. What would need all rows at once, SQL or
code is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from perennial.config import yamlsafe
from perennial.config.types import WEEKDAYS
from perennial.config.yamlsafe import Document, Problem, nearest
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Severity

if TYPE_CHECKING:
    from perennial.config.models import Pipeline

Frame = Literal["rows", "extremes", "distinct", "mean", "schema", "count"]
"""What an expectation is shown: all rows in batches, or the few values that stand for them."""

_FRAMES: dict[Frame, tuple[str, ...]] = {
    "rows": (
        "column_values_to_not_be_null",
        "column_values_to_be_null",
        "column_values_to_be_between",
        "column_values_to_be_in_set",
        "column_values_to_not_be_in_set",
        "column_values_to_match_regex",
        "column_values_to_not_match_regex",
        "column_values_to_match_regex_list",
        "column_values_to_not_match_regex_list",
        "column_values_to_match_strftime_format",
        "column_value_lengths_to_be_between",
        "column_value_lengths_to_equal",
        "column_pair_values_a_to_be_greater_than_b",
        "column_pair_values_to_be_equal",
        "multicolumn_sum_to_equal",
    ),
    "extremes": ("column_min_to_be_between", "column_max_to_be_between"),
    "distinct": (
        "column_distinct_values_to_be_in_set",
        "column_distinct_values_to_contain_set",
        "column_distinct_values_to_equal_set",
        "column_unique_value_count_to_be_between",
    ),
    "mean": ("column_mean_to_be_between",),
    "schema": (
        "column_to_exist",
        "column_values_to_be_of_type",
        "column_values_to_be_in_type_list",
        "table_columns_to_match_set",
        "table_columns_to_match_ordered_list",
        "table_column_count_to_equal",
        "table_column_count_to_be_between",
    ),
    "count": ("table_row_count_to_equal", "table_row_count_to_be_between"),
}
SUPPORTED: Mapping[str, Frame] = MappingProxyType({name: frame for frame, names in _FRAMES.items() for name in names})
"""Names of the expectations a suite may hold, and what each is shown."""

_OURS = ("expect", "severity", "weekdays", "months")
_WHOLE = ("schema", "count")
_SEASONS: Mapping[str, list[Any]] = {"weekdays": list(WEEKDAYS), "months": list(range(1, 13))}
_CODE = ("row_condition", "condition_parser")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """The rows that an expectation is about, by their date.

    Attributes:
        weekdays: 0 for Monday; empty: all.
        months: 1 to 12; empty: all.
    """

    weekdays: tuple[int, ...] = ()
    months: tuple[int, ...] = ()

    def __str__(self) -> str:
        days = ", ".join(WEEKDAYS[day] for day in self.weekdays)
        months = ", ".join(map(str, self.months))
        return " and ".join([*([f"on {days}"] if days else []), *([f"in months {months}"] if months else [])])


EVER = Season()
"""All rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One line of a suite.

    Attributes:
        name: Great Expectations' name without ``expect_``, for example ``column_values_to_be_between``.
        columns: The columns it looks at, in order of naming; empty for the table as a whole.
        kwargs: Its arguments, as the file holds them.
        sentence: What it asks for, in Great Expectations' words.
        season: Which rows it is shown.
    """

    name: str
    severity: Severity
    columns: tuple[str, ...]
    kwargs: Mapping[str, Any]
    sentence: str = ""
    season: Season = EVER

    @property
    def counts_rows(self) -> bool:
        """Whether it is about how many rows or values one landing has."""
        return self.frame == "count" or self.name == "column_unique_value_count_to_be_between"

    @property
    def frame(self) -> Frame:
        """What it is shown."""
        return SUPPORTED[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """The expectations of one pipeline's observations, in order of the file."""

    name: str
    expectations: tuple[Expectation, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that any expectation looks at."""
        seasons = [TIME] if any(e.season != EVER for e in self.expectations) else []
        return tuple(dict.fromkeys([*(column for e in self.expectations for column in e.columns), *seasons]))


def columns(config: "Pipeline") -> tuple[str, ...]:
    """Return the columns of a pipeline's observations, which its expectations may ask about."""
    return (ENTITY, TIME, TARGET, AVAILABLE_AT, *config.data.columns.extra)


def parse(path: Path) -> tuple[Document, Suite]:
    """Read a checks file; the arguments' types are not judged here.

    Raises:
        ConfigError: The file is not a list of supported expectations; the message lists every problem.
    """
    document, found, problems = survey(path)
    if problems:
        raise yamlsafe.combined(document.name, problems)
    return document, suite_of(path, found)


def suite_of(path: Path, found: Mapping[int, Expectation]) -> Suite:
    """Return the expectations of a file as a suite of its name."""
    name = path.name.removesuffix(".yaml").removesuffix(".checks")
    return Suite(name=name, expectations=tuple(found.values()))


def survey(path: Path) -> tuple[Document, Mapping[int, Expectation], list[Problem]]:
    """Return a checks file, those of its expectations that are supported, by place, and what is wrong with others.

    Raises:
        ConfigError: The file cannot be read, or is no YAML.
    """
    document = yamlsafe.read(path)
    items = document.value if isinstance(document.value, list) else [document.value]
    wrong = {i: _problems(document, i, item) for i, item in enumerate(items)}
    problems = [problem for found in wrong.values() for problem in found]
    if not items:
        problems.append(document.problem((), "holds no expectations; write some or delete the file"))
    return document, {i: _expectation(items[i]) for i, found in wrong.items() if not found}, problems


def _problems(document: Document, i: int, item: Any) -> list[Problem]:
    if not isinstance(item, dict) or not isinstance(item.get("expect"), str):
        return [document.problem((i,), "write `- expect: <name>` with its arguments below")]
    found: list[tuple[str, str]] = []
    if item["expect"] not in SUPPORTED:
        reason = "is not supported (unknown, or it needs all rows at once, SQL or code)"
        found.append(("expect", f"`{item['expect']}` {reason}; {nearest(item['expect'], SUPPORTED)}"))
    if item.get("severity", "critical") not in ("critical", "warning"):
        found.append(("severity", f"{item['severity']!r} is not allowed; allowed: critical, warning"))
    found += _season_problems(item)
    for key, value in item.items():
        if key in _CODE:
            found.append((key, "is executed as code by Great Expectations and therefore refused; remove it"))
        elif isinstance(value, dict):
            found.append((key, "must be a plain value or a list of them"))
    return [document.problem((i, key), message) for key, message in found]


def _season_problems(item: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what is wrong with ``weekdays: [sat, sun]`` and ``months: [6, 7]``."""
    found = []
    for key, allowed in _SEASONS.items():
        given = item.get(key, allowed[:1])
        if not isinstance(given, list) or not given or any(value not in allowed for value in given):
            found.append((key, f"{given!r:.60} is not allowed; write a list of {', '.join(map(str, allowed))}"))
        elif key in item and SUPPORTED.get(item["expect"]) in _WHOLE:
            found.append((key, f"`{item['expect']}` is about the table, which has no {key}; remove it"))
    return found


def _expectation(item: dict[str, Any]) -> Expectation:
    kwargs = {key: _bound(value) for key, value in item.items() if key not in _OURS}
    named = [kwargs.get(key) for key in ("column", "column_A", "column_B")] + _listed(kwargs.get("column_list"))
    return Expectation(
        name=item["expect"],
        severity=item.get("severity", "critical"),
        columns=tuple(name for name in named if isinstance(name, str)),
        kwargs=MappingProxyType(kwargs),
        season=Season(
            weekdays=tuple(sorted(WEEKDAYS.index(day) for day in item.get("weekdays", ()))),
            months=tuple(sorted(item.get("months", ()))),
        ),
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _bound(value: Any) -> Any:
    """Spell a date as a moment: Great Expectations cannot compare a column of dates with a bare date."""
    return f"{value}T00:00:00" if isinstance(value, str) and _DATE.fullmatch(value) else value


def filled(template: str, values: Mapping[str, Any]) -> str:
    """Fill Great Expectations' sentence about an expectation, leaving its first word, the column, out.

    Example:
        >>> filled("$column values must be $value long.", {"column": "range", "value": 2})
        'values must be 2 long'
    """
    shown = {key: str(value).removesuffix("T00:00:00") for key, value in values.items()}
    return Template(template.removeprefix("$column ")).safe_substitute(shown).strip().removesuffix(".")
