"""What makes a row: the columns that name a series or an event, and how far its rows are apart."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from perennial.errors import ConfigError
from perennial.profiling.meaning import HOURS, IDS, SERIES, UNIQUE, Answers, Guess, Step, Sure
from perennial.profiling.profile import ColumnFacts, Profile


def hour_of(found: Profile, time: str) -> str | None:
    """Return the column with the hour of the day, where the date has none."""
    if found.columns[time].reading.role != "day":
        return None
    for name, c in found.columns.items():
        if c.whole and 0 <= c.low <= c.high <= 24 and c.distinct > 12 and HOURS.search(name):
            return name
    return None


def cyclic(found: Profile, apart: Sequence[str]) -> str | None:
    """Return a column that counts through the same steps again and again: the time of day of rows in order."""
    for name in found.numbers():
        values = found.frame[name].to_numpy()
        again = np.flatnonzero(values[1:] == values[0])[:1] + 1
        if name in apart or not len(again) or not 2 <= again[0] <= 1_440 or len(values) < 3 * again[0]:
            continue
        whole = values[: len(values) // again[0] * again[0]].reshape(-1, again[0])
        if bool((np.diff(whole[0]) > 0).all()) and bool((whole == whole[0]).all()):
            return name
    return None


def row_id(found: Profile, said: Answers, taken: set[str]) -> Guess:
    """Guess the column that names each event."""
    if said.entity is not None:
        return Guess(what="entity", value=", ".join(said.entity), sure="sure", why="you said so")
    for name, c in found.columns.items():
        unique = c.distinct == len(found.frame) and c.nulls == 0
        if name not in taken and unique and (c.reading.role == "text" or (c.whole and IDS.search(name))):
            return Guess(what="entity", value=name, sure="sure", why="every row has its own", choices=())
    return Guess(what="entity", value="", sure="likely", why="no column names the row, so rows are numbered")


def series(found: Profile, said: Answers, time: str, hour: str | None, taken: set[str]) -> Guess:
    """Guess the fewest columns that, with the time, make rows unique."""
    if said.entity is not None:
        return Guess(what="entity", value=", ".join(said.entity), sure="sure", why="you said so")
    when = [name for name in (time, hour) if name]
    if not when or _own(found.frame, when) >= UNIQUE:
        return Guess(what="entity", value="", sure="sure", why="one row for each time: it is one series")
    able = [n for n, c in found.columns.items() if n not in taken and 1 < c.distinct < len(found.frame) and _names(c)]
    able.sort(key=lambda n: (SERIES.search(n) is None, found.columns[n].reading.role != "text"))
    for size in (1, 2, 3):
        for names in combinations(able[:8], size):
            if _own(found.frame, [*names, *when]) >= UNIQUE:
                why = f"there is one row for each {' and '.join((*names, *when))}"
                hinted = all(SERIES.search(n) for n in names)
                sure: Sure = "sure" if size == 1 and hinted else "likely"
                return Guess(what="entity", value=", ".join(names), sure=sure, why=why, choices=tuple(able))
    likely = next((n for n in able if SERIES.search(n) and len(found.frame) / found.columns[n].distinct >= 30), "")
    why = "no columns make rows unique, so rows of a day are taken together" + (f" for each {likely}" if likely else "")
    return Guess(what="entity", value=likely, sure="a guess", why=why, choices=tuple(able))


def _names(c: ColumnFacts) -> bool:
    return bool(c.reading.role == "text" or (c.whole and (SERIES.search(c.name) or IDS.search(c.name))))


def _own(frame: pd.DataFrame, names: Sequence[str]) -> float:
    """Return the share of rows with a key that no row before them had."""
    return 1 - float(frame.duplicated(list(names)).mean())


def step_of(
    found: Profile, time: str, hour: str | None, entity: Sequence[str], events: bool, cycle: str | None
) -> tuple[Step, tuple[int, ...]]:
    """Return how far rows are apart, and the weekdays that have rows.

    Raises:
        ConfigError: Dates lie neither a day nor a week apart.
    """
    if not time:
        return ("finer" if cycle and not events else "events"), tuple(range(7))
    days = found.frame[time].dt.normalize()
    weekdays = tuple(sorted(int(d) for d, n in days.dt.day_of_week.value_counts(normalize=True).items() if n > 0.002))
    if events:
        return "events", weekdays
    if hour or _own(pd.DataFrame({"day": days, **{n: found.frame[n] for n in entity}}), ["day", *entity]) < UNIQUE:
        return "finer", weekdays
    gap = days.drop_duplicates().sort_values().diff().dt.days.median()
    if gap <= 3:
        return "day", weekdays
    if gap == 7 and len(weekdays) == 1:
        return "week", weekdays
    raise ConfigError(
        f"{found.opened.label}: dates of {time} are {gap:g} days apart. A forecast is a value per business day, or"
        " per week if all dates are the same weekday; monthly and irregular tables cannot be forecast. Name a daily"
        " table, or another date column with --time"
    )
