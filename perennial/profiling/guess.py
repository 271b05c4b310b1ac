"""From facts to meaning: what kind of problem a table holds, and which column is what. Every guess has its reason."""

import shlex
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from perennial.errors import ConfigError, sample
from perennial.profiling.keys import cyclic, hour_of, row_id, series, step_of
from perennial.profiling.meaning import HOURS, IDS, PRICES, TARGETS, TIMES, Answers, Guess, Meaning, Sure, plain
from perennial.profiling.profile import Profile


def guess(found: Profile, said: Answers) -> Meaning:
    """Guess what the columns mean.

    Args:
        found: The table.
        said: What is settled already.

    Raises:
        ConfigError: A column that was named is not there, or this table is none that a kind could work on; the
            message says why and which options could help.
    """
    for name in (said.time, said.target, *(said.entity or ())):
        if name is not None and name not in found.columns:
            raise ConfigError(
                f"there is no column {name!r}; {found.opened.label} has {sample(found.columns, limit=20)}"
            )
    time = _time(found, said)
    target = _target(found, said, time.value or None)
    kind = _kind(found, said, target.value, time.value or None)
    positive = _positive(found, said, target.value) if kind.value == "classify" else None
    hour = hour_of(found, time.value) if time.value else None
    cycle = None if time.value else cyclic(found, (target.value,))
    if kind.value == "forecast" and not (time.value or cycle):
        raise ConfigError(_no_dates(found, target.value))
    taken = {name for name in (time.value, target.value, hour, cycle) if name}
    entity = row_id(found, said, taken) if kind.value == "classify" else series(found, said, time.value, hour, taken)
    names = tuple(entity.value.split(", ")) if entity.value else ()
    step, weekdays = step_of(found, time.value, hour, names, kind.value == "classify", cycle)
    return Meaning(
        kind="classify" if kind.value == "classify" else "forecast",
        time=time.value or None,
        hour=hour,
        cycle=cycle,
        step=step,
        entity=said.entity if said.entity is not None else names,
        target=target.value,
        positive=positive,
        weekdays=weekdays,
        guesses=(kind, time, entity, target, _said(step, hour, cycle)),
    )


def _no_dates(found: Profile, target: str) -> str:
    mixed = next((f" ({name}{how})" for name in found.columns if (how := _spelled(found, name))), "")
    return (
        f"{found.opened.label} has no column with dates{mixed}, and {target!r} is a number: there is no kind for a"
        " value per row without time (a forecast needs dates; classify needs a target with two values). If a column"
        " holds dates, name it with --time; if another column is the target, name it with --target; if one value of it"
        " is looked for, say --kind classify --positive VALUE"
    )


def _spelled(found: Profile, name: str) -> str:
    """Return how the dates of a column are spelled if not all in one way; empty for what does not look like dates."""
    texts = found.frame[name].dropna()
    if found.columns[name].reading.role != "text" or texts.empty:
        return ""
    shapes = texts.astype(str).str.strip().str.replace(r"[0-9]", "9", regex=True)
    counts = shapes[shapes.str.contains(r"^9{1,4}[-./ ]\w+[-./ ]9{1,4}")].value_counts()
    if counts.sum() < 0.9 * len(shapes) or len(counts) < 2:
        return ""
    shown = [f"{counts.iloc[n]:,} like {texts[shapes == counts.index[n]].iloc[0]}" for n in range(min(3, len(counts)))]
    return f" is spelled in {len(counts)} ways, {', '.join(shown)}: bring them into one"


def _time(found: Profile, said: Answers) -> Guess:
    dates = [name for name, c in found.columns.items() if c.reading.role in ("day", "moment")]
    if said.time is not None:
        if said.time not in dates:
            mixed = _spelled(found, said.time)
            raise ConfigError(
                f"--time {said.time}: its values do not read as dates{mixed}; dates are in {sample(dates) or 'none'}"
            )
        return Guess(what="time", value=said.time, sure="sure", why="you said so")
    if not dates:
        return Guess(what="time", value="", sure="likely", why="no column reads as dates")
    best = max(dates, key=lambda n: (TIMES.search(n) is not None, -found.columns[n].nulls, found.columns[n].distinct))
    how = found.columns[best].reading
    other = f", {len(dates) - 1} other columns hold dates too" if len(dates) > 1 else ""
    spelled = f" spelled {how.format}" if how.format not in ("", "iso") else ""
    why = f"its values are dates{spelled}{', but ' + how.doubt if how.doubt else ''}{other}"
    sure: Sure = "likely" if how.doubt or len(dates) > 1 else "sure"
    return Guess(what="time", value=best, sure=sure, why=why, choices=tuple(dates))


def _target(found: Profile, said: Answers, time: str | None) -> Guess:
    if said.target is not None:
        return Guess(what="target", value=said.target, sure="sure", why="you said so")
    usable = [n for n, c in found.columns.items() if c.distinct > 1 and n != time and _can_be_target(found, n)]
    if not usable:
        raise ConfigError(
            f"{found.opened.label} has no column to predict: numbers that vary, or two values. Say --target"
        )
    sums = [name for name in usable if name in found.numbers() and parts_of(found.frame, name, found.numbers())]
    named = [name for name in usable if TARGETS.search(plain(name)) and not PRICES.search(plain(name))]
    both = [name for name in named if name in sums]
    choices = tuple(usable[-12:])
    if both:
        parts = " + ".join(parts_of(found.frame, both[-1], found.numbers()))
        why = f"it is named like a target and is the sum of {parts}"
        return Guess(what="target", value=both[-1], sure="sure", why=why, choices=choices)
    if named:
        last = usable[-1] in named
        sure: Sure = "likely" if len(named) == 1 or last else "a guess"
        more = f" (so are {sample(n for n in named if n != named[-1])})" if len(named) > 1 else ""
        return Guess(what="target", value=named[-1], sure=sure, why=f"it is named like a target{more}", choices=choices)
    steady = [n for n in usable if not PRICES.search(plain(n)) and not _nearly_constant(found, n)] or usable
    other = next((n for n in reversed(usable) if n != steady[-1]), None)
    else_ = f"; if it is {other}, say --target {shlex.quote(other)}" if other else ""
    why = f"it is the last column that varies{else_}"
    return Guess(what="target", value=steady[-1], sure="a guess", why=why, choices=choices)


def _nearly_constant(found: Profile, name: str) -> bool:
    """Return whether nearly all that a column holds beside zeros is one value."""
    values = found.frame[name].dropna()
    values = values[values != 0]  # most days of a product may be without a sale
    return len(values) > 0 and bool(values.value_counts(normalize=True).iloc[0] > 0.95)


def _can_be_target(found: Profile, name: str) -> bool:
    facts = found.columns[name]
    if facts.reading.role == "number":
        counter = facts.whole and facts.distinct == len(found.frame) and IDS.search(name) is not None
        return not counter and not HOURS.search(name)
    return facts.reading.role == "text" and (facts.distinct == 2 or TARGETS.search(name) is not None)


def parts_of(frame: pd.DataFrame, target: str, numbers: Sequence[str]) -> tuple[str, ...]:
    """Return the columns whose sum is the target in every row: what is only known together with it."""
    others = [n for n in numbers if n != target and frame[n].nunique() > 2]
    rows = frame[[target, *others]].dropna()
    rows = rows.iloc[:: max(1, len(rows) // 5_000)]
    if len(rows) < 20 or not others or rows[target].std() == 0:
        return ()
    x = rows[others].to_numpy()
    scale = x.std(axis=0) + 1e-12
    y = rows[target].to_numpy()
    weights, *_ = np.linalg.lstsq((x - x.mean(axis=0)) / scale, y - y.mean(), rcond=None)
    weights = weights / scale
    parts = [k for k in range(len(others)) if abs(weights[k] - 1) < 1e-6]
    rest = y - x[:, parts].sum(axis=1) if parts else y
    return tuple(others[k] for k in parts) if len(parts) > 1 and np.ptp(rest) < 1e-6 * np.ptp(y) else ()


def _kind(found: Profile, said: Answers, target: str, time: str | None) -> Guess:
    distinct, role = found.columns[target].distinct, found.columns[target].reading.role
    if said.kind is not None:
        return Guess(what="kind", value=said.kind, sure="sure", why="you said so")
    if distinct == 2 or said.positive is not None:
        return Guess(what="kind", value="classify", sure="sure", why=f"{target} has two values", choices=("forecast",))
    if role == "number" and (time or distinct > 20):
        why = f"{target} is a number{' and rows have dates' if time else ''}"
        return Guess(what="kind", value="forecast", sure="sure" if time else "likely", why=why, choices=("classify",))
    return Guess(
        what="kind", value="classify", sure="likely", why=f"{target} has {distinct} values", choices=("forecast",)
    )


def _positive(found: Profile, said: Answers, target: str) -> str:
    values = found.frame[target].dropna()
    known = [_word(v) for v in sorted(values.unique().tolist(), key=str)][:50]
    if said.positive is not None:
        if said.positive not in known:
            raise ConfigError(
                f"--positive {said.positive}: {target} is never that; its values are {sample(known, limit=10)}"
            )
        return said.positive
    if len(known) != 2:
        raise ConfigError(
            f"{target!r} has {found.columns[target].distinct} values ({sample(known)}); classify tells one thing"
            f" from all others. Name it: --positive {known[-1] if known else 'VALUE'}; or another column: --target NAME"
        )
    for yes in ("1", "yes", "true", "True", "y", "Y", "YES", "t", "UP", "up", "positive"):
        if yes in known:
            return yes
    return min(known, key=lambda word: int((values.map(_word) == word).sum()))  # the rarer one is looked for


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _said(step: str, hour: str | None, cycle: str | None) -> Guess:
    why: Mapping[str, str] = {
        "day": "one row a day",
        "week": "all dates are the same weekday, seven days apart: the other weekdays are closed",
        "finer": f"several rows a day ({hour or cycle or 'by the clock'}): they become one row a business day",
        "events": "each row is an event",
    }
    return Guess(what="step", value=step, sure="sure", why=why[step])
