"""The checks file that a source's own history suggests: each bound with the false alarms to expect of it."""

import calendar
import json
from collections.abc import Iterator

import pandas as pd

from perennial.config.types import WEEKDAYS
from perennial.contracts import TARGET
from perennial.profiling.bounds import MIN_DAYS, Learned, Range, learn, row_range
from perennial.profiling.history import History

MOSTLY = 0.99
_MONTHS = calendar.month_name[1:]


def checks_text(rows: History, name: str, *, events: bool) -> str:
    """Return the text of ``configs/<name>.checks.yaml``.

    Args:
        rows: The source, as runs read it.
        name: Of the pipeline.
        events: Whether the target is a label, 0 or 1, that may arrive later than its row.
    """
    head = (
        f"# What must be true of every batch of new rows of {name}, learned by `perennial init`",
        f"# from {len(rows.daily):,} days, {rows.first} to {rows.last}. critical: the batch is refused.",
        "# warning: it is recorded in the report and the Data Docs.",
        "# Names are Perennial's own: entity, ds, y and the names on the left in `extra`. Change what you know better.",
    )
    blocks = ["\n".join(head), _dates(rows)]
    for column in rows.numbers:
        blocks += _number(rows, column, events=events and column == TARGET)
    for column in rows.text:
        blocks += _text(rows.words[column], column)
    return "\n\n".join(blocks) + "\n"


def _dates(rows: History) -> str:
    first = f'"{rows.first}"'
    return _item(
        "column_values_to_be_between", "ds", [("min_value", first), ("max_value", '"2100-01-01"')], "the first day"
    )


def _number(rows: History, column: str, *, events: bool) -> Iterator[str]:
    values = rows.sample[column].dropna()
    if len(values) < MIN_DAYS or values.nunique() < 2:
        return
    if events:
        bounds = [("min_value", "0"), ("max_value", "1")]
        yield _item("column_values_to_be_between", column, bounds, "a label", severity="warning")
    else:
        yield _each(rows, column, values)
    share = rows.missing(column)
    if column != TARGET and share < 0.5:
        mostly = [("mostly", f"{max(0.0, round(1 - 2 * share - 0.05, 2)):g}")]
        why = f"{share:.1%} are missing in history"
        yield _item("column_values_to_not_be_null", column, mostly, why, severity="warning")
    learned = learn(rows.daily[column], at_least=_at_least(rows, column))
    if learned is not None:
        yield _mean(column, learned)


def _each(rows: History, column: str, values: "pd.Series[float]") -> str:
    """Bound single values; the false alarms are those of bounds that had not seen the last fifth of the days."""
    late = rows.daily.index[len(rows.daily) * 8 // 10]
    before = rows.sample.loc[rows.sample["ds"] < late, column].dropna()
    after = rows.sample.loc[rows.sample["ds"] >= late, ["ds", column]].dropna()
    low, high = row_range(values, at_least=_at_least(rows, column))
    why = "far beyond history"
    if len(before) >= MIN_DAYS and len(after):
        known = row_range(before, at_least=_at_least(rows, column))
        outside = ~after[column].between(*known)
        days = outside.groupby(after["ds"]).mean() > 1 - MOSTLY
        why = f"far beyond history; so learned before, {int(days.sum())} of the last {len(days)} days had been alarms"
    arguments = [("min_value", f"{low:.12g}"), ("max_value", f"{high:.12g}"), ("mostly", f"{MOSTLY:g}")]
    severity = "critical" if column == TARGET else "warning"
    return _item("column_values_to_be_between", column, arguments, why, severity=severity)


def _at_least(rows: History, column: str) -> float | None:
    return 0.0 if rows.lows[column] >= 0 else None


def _mean(column: str, learned: Learned) -> str:
    season = {"": "", "weekday": ", each weekday by itself", "month": ", each month by itself"}[learned.season]
    lines = [
        f"# The mean of {column} over a day{season}: {learned.width:g} robust standard deviations around the median.",
        f"# False alarms to expect of {'all of these' if season else 'it'}: {learned.rate}.",
    ]
    return "\n".join([*lines, *(_seasoned(column, one) for one in learned.ranges)])


def _seasoned(column: str, one: Range) -> str:
    arguments = [("min_value", f"{one.low:.12g}"), ("max_value", f"{one.high:.12g}")]
    if one.weekdays:
        arguments.append(("weekdays", f"[{', '.join(WEEKDAYS[day] for day in one.weekdays)}]"))
    if one.months:
        arguments.append(("months", f"[{', '.join(map(str, one.months))}]"))
    why = ", ".join(_MONTHS[month - 1] for month in one.months)
    return _item("column_mean_to_be_between", column, arguments, why, severity="warning")


def _text(words: frozenset[str], column: str) -> Iterator[str]:
    known = sorted(words)
    if known and all(len(word) <= 60 for word in known):
        listed = ", ".join(json.dumps(word, ensure_ascii=False) for word in known)
        arguments = [("value_set", f"[{listed}]"), ("mostly", f"{MOSTLY:g}")]
        yield _item("column_values_to_be_in_set", column, arguments, "a new value is worth a look", severity="warning")


def _item(expect: str, column: str, arguments: list[tuple[str, str]], why: str, *, severity: str = "critical") -> str:
    lines = [f"- expect: {expect}", f"  column: {column}", *(f"  {key}: {value}" for key, value in arguments)]
    lines += ["  severity: warning"] if severity == "warning" else []
    if why:
        lines[0] += f" # {why}"
    return "\n".join(lines)
