"""What each further column is good for: known in advance, known only afterwards, or giving the target away."""

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from perennial.profiling.guess import parts_of
from perennial.profiling.meaning import IDS, SERIES, Meaning, Sure
from perennial.profiling.profile import Profile

Use = Literal["static", "observed", "known", "number", "category", "unit", "leak", "left out"]
PLANS = re.compile(
    r"holiday|ferie|workday|workingday|weekend|event|promo|campaign|discount|school|snap|closed|open(ed)?$|season", re.I
)
"""Names of what somebody decides or publishes before the day."""
SAME = 0.98
"""A correlation above this with the target of the same row: it is measured together with it."""
MOST = 12
"""Columns of one use that are mapped; more of them slow a first model down and seldom help."""
CATEGORIES = 50
_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnUse:
    """What a column is used for, and why."""

    name: str
    use: Use
    sure: Sure
    why: str


def uses(found: Profile, meaning: Meaning) -> tuple[ColumnUse, ...]:
    """Judge every column that is neither key nor target.

    A column that is only known afterwards is never called known in advance: the evidence for that are values in rows
    that come after the last known target, on as many days as are forecast. A few such rows prove nothing: an export
    that was made before the target had arrived looks like that.
    """
    rest = [name for name in found.columns if name not in meaning.keys]
    frame = found.frame.iloc[:: max(1, len(found.frame) // _ROWS)]
    judge = _of_series if meaning.kind == "forecast" else _of_events
    parts = parts_of(found.frame, meaning.target, found.numbers()) if meaning.target in found.numbers() else ()
    made = [_leak(found, meaning, parts, name) or judge(found, frame, meaning, name) for name in rest]
    return tuple(_bounded(made))


def horizon(days: int) -> int:
    """Return how many days a first pipeline forecasts, from the days of its history."""
    return 28 if days >= 365 else 14 if days >= 120 else 7


def _bounded(made: list[ColumnUse]) -> list[ColumnUse]:
    counts: dict[str, int] = {}
    out = []
    for one in made:
        counts[one.use] = counts.get(one.use, 0) + 1
        many = one.use in ("static", "observed", "unit") and counts[one.use] > (3 if one.use == "unit" else MOST)
        why = f"the first {MOST} such columns are enough to begin with"
        out.append(ColumnUse(name=one.name, use="left out", sure="a guess", why=why) if many else one)
    return out


def _leak(found: Profile, meaning: Meaning, parts: tuple[str, ...], name: str) -> ColumnUse | None:
    """Return why a column gives the target of its own row away, if it does."""
    if name in parts:
        why = f"{' + '.join(parts)} = {meaning.target} in every row: known only together with it"
        return ColumnUse(name=name, use="leak", sure="sure", why=why)
    if name not in found.numbers() and found.columns[name].reading.role != "text":
        return None
    rows = found.frame[[name, meaning.target]].dropna(subset=[meaning.target])
    rows = rows.iloc[:: max(1, len(rows) // 50_000)]
    if meaning.kind == "classify":
        y = label(rows[meaning.target], meaning)
        return _told_by_gaps(name, rows[name], y, meaning) or _separates(name, rows[name], y, meaning.target)
    rows = rows.dropna()
    y = rows[meaning.target]
    if len(rows) < 20:
        return None
    if name not in found.numbers() or rows[name].nunique() < 2:
        return None
    r = float(np.corrcoef(rows[name], y)[0, 1])
    if abs(r) < SAME:
        return None
    why = (
        f"its correlation with {meaning.target} in the same row is {r:.3f}: measured together with it, or made from it"
    )
    return ColumnUse(name=name, use="leak", sure="likely", why=why)


def _told_by_gaps(name: str, x: "pd.Series[Any]", y: "pd.Series[Any]", meaning: Meaning) -> ColumnUse | None:
    """Return a leak where a column is filled in for one class only, as the reason of a cancellation is."""
    filled = x.notna()
    told = max(filled.eq(y > 0).mean(), filled.ne(y > 0).mean()) if filled.nunique() > 1 and y.nunique() > 1 else 0.0
    if 1 - told >= min(y.mean(), 1 - y.mean()) * 0.01:
        return None
    when = meaning.positive if filled[y > 0].mean() > 0.5 else f"not {meaning.positive}"
    why = f"it is filled in where {meaning.target} is {when}, and nowhere else: known only afterwards"
    return ColumnUse(name=name, use="leak", sure="sure", why=why)


def _separates(name: str, x: "pd.Series[Any]", y: "pd.Series[Any]", target: str) -> ColumnUse | None:
    """Return a leak where each value of a column, or a single cut, tells the classes apart without a mistake."""
    x, y = x[x.notna()], y[x.notna()]
    if len(x) < 20 or y.nunique() < 2:
        return None
    if x.nunique() <= CATEGORIES and x.nunique() > 1:
        mixed = y.groupby(x.to_numpy()).agg(lambda part: min(part.mean(), 1 - part.mean()) * len(part)).sum() / len(y)
        if mixed < min(y.mean(), 1 - y.mean()) * 0.01:
            return ColumnUse(
                name=name, use="leak", sure="sure", why=f"each of its values has one value of {target} only"
            )
    if pd.api.types.is_numeric_dtype(x):
        order = x.rank().to_numpy()
        positive = y.to_numpy() > 0
        n1, n0 = int(positive.sum()), int((~positive).sum())
        auc = (order[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0)
        if max(auc, 1 - auc) > 0.999:
            why = f"one cut of it tells {target} without a mistake: it is made from it, or known only afterwards"
            return ColumnUse(name=name, use="leak", sure="likely", why=why)
    return None


def label(values: "pd.Series[Any]", meaning: Meaning) -> "pd.Series[Any]":
    """Return 1 where the target is what is looked for, 0 where not, nan where it is not known."""
    words = values.map(lambda v: v if isinstance(v, str) else f"{v:g}", na_action="ignore")
    return (words == meaning.positive).astype("float64").where(values.notna())


def calendar_of(days: "pd.Series[Any]", values: "pd.Series[Any]") -> str:
    """Return what a column only repeats of the date (``weekday``, ``month`` ...), or an empty text."""
    if days.nunique() < 30:
        return ""
    dt = days.dt
    for word, key in (
        ("the weekday", dt.day_of_week),
        ("the year", dt.year),
        ("the month", dt.month),
        ("the quarter", dt.quarter),
        ("the day of the month", dt.day),
        ("the week", dt.isocalendar().week.astype("int64")),
        ("the month of the year", dt.year * 12 + dt.month),
    ):
        if key.nunique() > 1 and _follows(values, key):
            return word
    yearly = dt.month * 100 + dt.day
    twice = yearly.map(yearly.value_counts()) > 1
    if (
        days.nunique() > 500
        and values.nunique() <= 12
        and twice.mean() > 0.5
        and _follows(values[twice], yearly[twice])
    ):
        return "the day of the year"
    return ""


def _follows(values: "pd.Series[Any]", key: "pd.Series[Any]") -> bool:
    return bool((values.groupby(key.to_numpy()).nunique() <= 1).all())


def _of_series(found: Profile, frame: pd.DataFrame, meaning: Meaning, name: str) -> ColumnUse:
    facts, values = found.columns[name], frame[name]
    if facts.distinct <= 1 or facts.nulls > 0.5:
        why = "it never changes" if facts.distinct <= 1 else f"{facts.nulls:.0%} of it is missing"
        return ColumnUse(name=name, use="left out", sure="sure", why=why)
    if facts.whole and facts.distinct == len(found.frame):
        return ColumnUse(name=name, use="left out", sure="sure", why="it numbers the rows")
    if meaning.time and facts.reading.role != "moment" and (word := calendar_of(frame[meaning.time], values)):
        return ColumnUse(name=name, use="left out", sure="sure", why=f"it repeats {word}, which the model has anyway")
    if meaning.entity and _follows(values, _key(frame, meaning)):
        few = facts.distinct <= 100 and facts.distinct < frame[list(meaning.entity)].drop_duplicates().shape[0]
        why = "it never changes within a series" + ("" if few else ", but tells nearly each from all others")
        return ColumnUse(name=name, use="static" if few else "left out", sure="sure", why=why)
    if facts.reading.role != "number":
        return ColumnUse(name=name, use="left out", sure="sure", why="text or dates that change from row to row")
    if _in_advance(found, meaning, name):
        why = "rows after the last known target have it already"
        return ColumnUse(name=name, use="known", sure="likely", why=why)
    if PLANS.search(name):
        why = "known in advance by its name, but no row lies ahead of the last target: see `known` in the file"
        return ColumnUse(name=name, use="left out", sure="a guess", why=why)
    why = "it changes with the target: known only afterwards, so its value on the last day known is used"
    return ColumnUse(name=name, use="observed", sure="likely", why=why)


def _key(frame: pd.DataFrame, meaning: Meaning) -> "pd.Series[Any]":
    return frame.groupby(list(meaning.entity), dropna=False).ngroup()


def _in_advance(found: Profile, meaning: Meaning, name: str) -> bool:
    if meaning.time is None:
        return False
    when = found.frame[meaning.time]
    last = when[found.frame[meaning.target].notna()].max()
    ahead = when > last
    if not ahead.any() or found.frame.loc[ahead, name].notna().mean() <= 0.9:
        return False
    there = when[ahead & found.frame[name].notna()].dt.normalize()
    days = (last - when.min()).days + 1
    usual = when.dt.normalize().nunique() / days  # a weekly table has a row on every seventh day
    wanted = horizon(days)
    return bool((there.max() - last).days >= wanted and there.nunique() >= 0.8 * usual * wanted)


def _of_events(found: Profile, frame: pd.DataFrame, meaning: Meaning, name: str) -> ColumnUse:
    facts = found.columns[name]
    if facts.distinct <= 1 or facts.nulls > 0.95:
        why = "it never changes" if facts.distinct <= 1 else f"{facts.nulls:.0%} of it is missing"
        return ColumnUse(name=name, use="left out", sure="sure", why=why)
    each = len(frame) / max(facts.distinct, 1)
    named = SERIES.search(name) or IDS.search(name)
    if (facts.reading.role == "text" or (facts.whole and named)) and facts.distinct > CATEGORIES and each >= 3:
        why = f"it names {facts.distinct:,} things that events belong to: what is known about each is remembered"
        return ColumnUse(name=name, use="unit", sure="likely", why=why)
    if facts.whole and facts.distinct == len(found.frame) and named:
        return ColumnUse(name=name, use="left out", sure="sure", why="it numbers the rows")
    if facts.reading.role == "number":
        why = "a number of the event; taken to be known when it happens"
        return ColumnUse(name=name, use="number", sure="likely", why=why)
    if facts.reading.role == "text" and facts.distinct <= CATEGORIES:
        why = "a text with few values; taken to be known when it happens"
        return ColumnUse(name=name, use="category", sure="likely", why=why)
    return ColumnUse(name=name, use="left out", sure="likely", why="dates, or text with too many values")
