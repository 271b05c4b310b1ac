"""Writing a table in the form that pipelines read: one row a series and day, or one row an event; typed Parquet.

Memory is bounded by one block of rows and, where a day's rows are taken together, by the days of all series.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import ConfigError
from perennial.profiling.meaning import Meaning
from perennial.profiling.parsing import typed
from perennial.profiling.plan import DAY, DEALT_DAYS, ROW, SECOND, Plan
from perennial.profiling.profile import Profile, Tell
from perennial.profiling.uses import label

RECORD = "conversion.json"
REGULAR, STEPS = 0.9, 4
"""Share of days with the same number of values that makes a smaller one a gap; values a day, at least."""
SEED = 0
"""Of the order in which rows without any order are dealt onto days."""
_COUNT = "\0rows"


def convert(found: Profile, meaning: Meaning, plan: Plan, target: Path, command: str, tell: Tell) -> tuple[str, ...]:
    """Write the converted table and, beside it, the record of how it was made; it appears whole or not at all.

    Returns:
        What was noticed on the way, in sentences.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    rows, writer, notes = 0, None, list[str]()
    makers = {"long": _long, "days": _days, "events": _events, "copy": _copy}
    try:
        for frame in makers[plan.how](found, meaning, plan, tell, notes):
            table = _arrow(frame, plan)
            writer = writer or pq.ParquetWriter(partial, table.schema, compression="zstd")
            writer.write_table(table)
            rows += len(frame)
    finally:
        if writer is not None:
            writer.close()
    if not rows:
        raise ConfigError(f"{found.opened.label}: no row is left after the conversion; is the right column named?")
    partial.replace(target)
    record = {
        "source": found.opened.label,
        "sha256": {str(f): _digest(f) for f in found.opened.files} if found.opened.kept_as != "sql" else {},
        "rows_in": found.rows,
        "rows_out": rows,
        "conversion": plan.how,
        "because": [*plan.reasons, *notes],
        "each_column_of_a_day": dict(plan.rules),
        "first_day_assumed": plan.start.isoformat() if plan.dealt else None,
        "meaning": None
        if found.wide
        else {
            "kind": meaning.kind,
            "time": meaning.time,
            "entity": list(meaning.entity),
            "target": meaning.target,
            "positive": meaning.positive,
        },
        "again": command,
    }
    target.with_name(RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return tuple(notes)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _blocks(found: Profile, names: list[str], tell: Tell) -> Iterator[pd.DataFrame]:
    """Yield the named columns, typed, block by block."""
    done = 0
    for batch in found.opened.batches():
        table = pa.Table.from_batches([batch.select(names)])
        yield pd.DataFrame({n: typed(table.column(n), found.columns[n].reading) for n in names})
        done += batch.num_rows
        tell(done, found.rows)


def _columns(meaning: Meaning, plan: Plan) -> list[str]:
    own = [meaning.time, meaning.hour, meaning.cycle, *meaning.entity, meaning.target, *plan.extra.values()]
    return list(dict.fromkeys(name for name in own if name))


def _copy(found: Profile, meaning: Meaning, plan: Plan, tell: Tell, notes: list[str]) -> Iterator[pd.DataFrame]:
    for frame in _blocks(found, _columns(meaning, plan), tell):
        yield frame.rename(columns={meaning.time: DAY})


def _long(found: Profile, meaning: Meaning, plan: Plan, tell: Tell, notes: list[str]) -> Iterator[pd.DataFrame]:
    wide = found.wide
    if wide is None:
        return
    if wide.first is None:
        days = [plan.start + timedelta(days=n) for n in range(len(wide.days))]
    else:
        days = [pd.to_datetime(name.strip(), format=wide.spelling).date() for name in wide.days]
    ids = [*meaning.entity, *plan.extra.values()]
    when = np.array(days, dtype="datetime64[D]").astype("datetime64[us]")
    done = 0
    for batch in found.opened.batches():
        table = pa.Table.from_batches([batch])
        first = {name: typed(table.column(name), found.columns[name].reading) for name in ids}
        how = found.columns[wide.days[0]].reading
        values = np.column_stack([typed(table.column(day), how).to_numpy(np.float64) for day in wide.days])
        frame = pd.DataFrame({name: column.repeat(len(days)) for name, column in first.items()})
        yield frame.assign(**{DAY: np.tile(when, len(values)), plan.y: values.ravel()})
        done += batch.num_rows
        tell(done, found.rows)


def _days(found: Profile, meaning: Meaning, plan: Plan, tell: Tell, notes: list[str]) -> Iterator[pd.DataFrame]:
    """Take the rows of each day together; a day that is not whole has no total."""
    keys = [*meaning.entity, DAY]
    numbers = [name for name, rule in plan.rules.items() if rule != "first"]
    parts: list[pd.DataFrame] = []
    at = 0
    for frame in _blocks(found, _columns(meaning, plan), tell):
        frame[DAY] = _dates(frame, found, meaning, plan, at)
        at += len(frame)
        frame = frame[frame[DAY].notna()]
        parts.append(_summed(frame, keys, numbers, [n for n, rule in plan.rules.items() if rule == "first"]))
        if len(parts) > 50:
            parts = [_merged(parts, keys)]
    whole = _whole_days(_merged(parts, keys), meaning, notes)
    for name in numbers:
        counts = whole[f"{name}\0n"]
        total = whole[name].where(counts > 0)
        whole[name] = total if plan.rules[name] == "sum" else total / counts.where(counts > 0)
    yield whole[[*keys, *plan.rules]].sort_values(keys)


def _whole_days(days: pd.DataFrame, meaning: Meaning, notes: list[str]) -> pd.DataFrame:
    """Leave out a first or last day with less than half the usual rows, and the targets of days that lack some.

    Only where nearly every day has the same number of values is a smaller one a gap, and not a quiet day. An hour
    more or less, when clocks change, is none.
    """
    by_day = days.groupby(DAY)[_COUNT].sum()
    few = by_day[by_day < by_day.median() / 2].index
    cut = [day for day in (by_day.index[0], by_day.index[-1]) if day in few]
    notes += [f"{day.date()} is left out: it has {by_day[day]:,} rows, {by_day.median():,.0f} are usual" for day in cut]
    days = days[~days[DAY].isin(cut)].copy()
    values = days[f"{meaning.target}\0n"] if f"{meaning.target}\0n" in days else days[_COUNT]
    usual = values.mode().max() if len(values) else 0
    gaps = values < REGULAR * usual
    if usual >= STEPS and (values == usual).mean() >= REGULAR and gaps.any():
        days.loc[gaps, f"{meaning.target}\0n"] = 0
        first = days.loc[gaps, DAY].min().date()
        notes.append(
            f"{gaps.sum():,} of {len(days):,} days lack more than a tenth of their {usual} values, the first on"
            f" {first}: their totals are unknown, not low"
        )
    return days


def _summed(frame: pd.DataFrame, keys: list[str], numbers: list[str], firsts: list[str]) -> pd.DataFrame:
    groups = frame.groupby(keys, dropna=False)
    out = groups[numbers].sum()
    out[[f"{name}\0n" for name in numbers]] = groups[numbers].count()
    if firsts:
        out[firsts] = groups[firsts].first()
    out[_COUNT] = groups.size()
    return out.reset_index()


def _merged(parts: list[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
    both = pd.concat(parts, ignore_index=True)
    how: dict[str, Any] = {
        c: "sum" if pd.api.types.is_numeric_dtype(both[c]) else "first" for c in both.columns if c not in keys
    }
    return both.groupby(keys, dropna=False).agg(how).reset_index()


def _events(found: Profile, meaning: Meaning, plan: Plan, tell: Tell, notes: list[str]) -> Iterator[pd.DataFrame]:
    at = 0
    for frame in _blocks(found, _columns(meaning, plan), tell):
        day = _dates(frame, found, meaning, plan, at)
        out = frame[[*meaning.entity, *plan.extra.values()]].assign(**{DAY: day})
        if not meaning.entity:
            out[ROW] = [f"r{n:09d}" for n in range(at, at + len(frame))]
        if plan.second is not None:
            out[SECOND] = _seconds(frame, found, meaning, at)
        out[meaning.target] = label(frame[meaning.target], meaning)
        at += len(frame)
        yield out


def _dates(frame: pd.DataFrame, found: Profile, meaning: Meaning, plan: Plan, at: int) -> "pd.Series[Any]":
    """Return the day of each row; ``at`` rows came before."""
    if meaning.time is not None:
        found_days: pd.Series[Any] = frame[meaning.time].dt.normalize()
        return found_days
    rows = np.arange(at, at + len(frame))
    if meaning.cycle:
        number = rows // cycle_length(found, meaning)
    else:
        days = max(1, min(DEALT_DAYS, found.rows // 4))
        number = np.random.default_rng(SEED).permutation(found.rows)[rows] * days // found.rows
    return pd.Series(np.datetime64(plan.start, "us") + number * np.timedelta64(86_400_000_000, "us"), index=frame.index)


def _seconds(frame: pd.DataFrame, found: Profile, meaning: Meaning, at: int) -> Any:
    if meaning.time is not None:
        return (frame[meaning.time] - frame[meaning.time].dt.normalize()).dt.total_seconds()
    steps = cycle_length(found, meaning)
    return (np.arange(at, at + len(frame)) % steps) * 86_400.0 / steps


def cycle_length(found: Profile, meaning: Meaning) -> int:
    """Return how many rows a day has, in a table whose order is its time."""
    return int(found.frame[meaning.cycle].nunique()) if meaning.cycle else 1


def last_day(plan: Plan, days: int) -> date:
    """Return the last of so many days from the start."""
    return plan.start + timedelta(days=days - 1)


def _arrow(frame: pd.DataFrame, plan: Plan) -> pa.Table:
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    names = {*plan.entity} | {plan.extra[name] for name in plan.text}
    columns = []
    for name in table.column_names:
        column = table.column(name)
        if name == DAY:
            column = column.cast(pa.date32(), safe=False)
        elif name in names:
            column = _text(column)
        elif pa.types.is_large_string(column.type):
            column = column.cast(pa.string())
        elif not pa.types.is_string(column.type):
            column = column.cast(pa.float64())
        columns.append(column)
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write whole numbers as such: an item 17.0 is the item 17."""
    if pa.types.is_floating(column.type):
        values = [
            None if v is None or v != v else f"{v:.0f}" if v == round(v) else f"{v:g}" for v in column.to_pylist()
        ]
        return pa.chunked_array([pa.array(values, pa.string())])
    return column.cast(pa.string())
