"""How a table becomes the source of a pipeline: as it is, or converted once, and what its columns are called then."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME
from perennial.errors import ConfigError
from perennial.profiling.meaning import Answers, Guess, Meaning
from perennial.profiling.profile import Profile
from perennial.profiling.uses import ColumnUse

How = Literal["as it is", "copy", "days", "long", "events"]
Rule = Literal["sum", "mean", "first"]
START = date(2000, 1, 3)
"""Day of the first row of a table without dates: a Monday that nobody takes for a real one."""
DEALT_DAYS = 60
"""Days that rows without any order are dealt onto."""
MEANS = re.compile(
    r"price|rate|temp|ratio|percent|pct|hum|speed|mean|avg|level|share|index|score|pressure|occupied|occupancy|stock"
    r"|inventory|balance|capacity|bestand|belegung|saldo",
    re.I,
)
"""Names of what is not added up over a day."""
DAY, ROW, SECOND, VALUE = "date", "row", "second", "value"
_TAKEN = {ENTITY, TIME, TARGET, AVAILABLE_AT, "landing", "restates", "reason"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A pipeline's source and the names in it.

    Attributes:
        reasons: Why the table is converted; empty if it is read as it is.
        path: Source as the pipeline names it.
        ds: Its column of dates.
        extra: Our name -> name in the source, of every further column that is used.
        text: Those of them that hold text.
        uses: Our names by what they are used for.
        rules: How each column is taken together over a day (``days`` only).
        start: First day of rows that have no date.
        dealt: Whether rows were given dates that they do not have.
    """

    how: How
    reasons: tuple[str, ...]
    path: str
    kept_as: Literal["parquet", "csv"]
    entity: tuple[str, ...]
    ds: str
    y: str
    second: str | None
    extra: Mapping[str, str]
    text: tuple[str, ...]
    uses: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, Rule]
    start: date
    dealt: bool

    def ruled(self, rules: Mapping[str, Rule]) -> "Plan":
        """Return the plan with other rules for those of its columns that have any."""
        return replace(self, rules={name: rules.get(name, rule) for name, rule in self.rules.items()})

    def noticed(self, notes: Sequence[str]) -> "Plan":
        """Return the plan with what was noticed on the way among its reasons."""
        return replace(self, reasons=(*self.reasons, *notes))


def plan(
    found: Profile, meaning: Meaning, columns: Sequence[ColumnUse], said: Answers, *, inside: str, target: str
) -> Plan:
    """Decide how the table is read.

    Args:
        found: The table.
        meaning: What its columns mean.
        columns: What the further columns are used for.
        said: What the user settled, ``start`` among it.
        inside: Path of the table as a pipeline may name it; ``""`` if it lies outside the folders that may be read.
        target: Path that a converted table will have.
    """
    how, reasons = _how(found, meaning, columns, inside)
    wide = found.wide
    kept = [one for one in columns if one.use not in ("leak", "left out")]
    names = _names([one.name for one in kept])
    converted = how != "as it is"
    clock = meaning.kind == "classify" and (meaning.cycle or _has_clock(found, meaning))
    return Plan(
        how=how,
        reasons=reasons,
        path=target if converted else inside,
        kept_as="parquet" if converted or found.opened.kept_as == "parquet" else "csv",
        entity=meaning.entity or ((ROW,) if meaning.kind == "classify" else ()),
        ds=DAY if converted or meaning.time is None else meaning.time,
        y=VALUE if wide else meaning.target,
        second=SECOND if clock else None,
        extra={names[one.name]: one.name for one in kept},
        text=tuple(names[one.name] for one in kept if _is_text(found, one)),
        uses={use: tuple(names[o.name] for o in kept if o.use == use) for use in sorted({o.use for o in kept})},
        rules=_rules(found, meaning, kept) if how == "days" else {},
        start=date.fromisoformat(said.start) if said.start else START,
        dealt=bool(wide and wide.first is None) or (not wide and meaning.time is None),
    )


def wide_meaning(found: Profile, said: Answers) -> tuple[Meaning, tuple[ColumnUse, ...]]:
    """Return the meaning of a table whose days lie side by side; the profile's ``wide`` is set."""
    wide = found.wide
    if wide is None:
        raise ValueError("not a wide table")
    if said.target not in (None, VALUE):
        raise ConfigError(f"--target {said.target}: days lie side by side in this table; what they hold is the target")
    rows = len(found.frame)
    own = [name for name in wide.ids if found.columns[name].distinct == rows]
    names = said.entity or (tuple(own[:1]) if own else wide.ids)
    uses = tuple(_id_use(found, name) for name in wide.ids if name not in names)
    why = f"{len(wide.days):,} columns {wide.days[0]} to {wide.days[-1]} are days side by side, one row a series"
    when = "the names are dates" if wide.first else "the names count days; the first has no date, see --start"
    guesses = (
        Guess(what="kind", value="forecast", sure="sure", why="numbers over days"),
        Guess(
            what="time", value=f"{wide.days[0]} ... {wide.days[-1]}", sure="sure" if wide.first else "likely", why=when
        ),
        Guess(what="entity", value=", ".join(names), sure="sure", why="every row has its own", choices=wide.ids),
        Guess(what="target", value=VALUE, sure="sure", why=why),
        Guess(what="step", value="day", sure="likely", why="one column a day"),
    )
    meaning = Meaning(
        kind="forecast",
        time=None,
        hour=None,
        cycle=None,
        step="day",
        entity=names,
        target=VALUE,
        positive=None,
        weekdays=tuple(range(7)),
        guesses=guesses,
    )
    return meaning, uses


def _id_use(found: Profile, name: str) -> ColumnUse:
    distinct = found.columns[name].distinct
    if 1 < distinct <= 100 and distinct < len(found.frame):
        return ColumnUse(name=name, use="static", sure="sure", why="it never changes within a series")
    why = "it is the same everywhere" if distinct <= 1 else "it tells nearly each series from all others"
    return ColumnUse(name=name, use="left out", sure="sure", why=why)


def _how(found: Profile, meaning: Meaning, columns: Sequence[ColumnUse], inside: str) -> tuple[How, tuple[str, ...]]:
    if found.wide:
        return "long", ("days lie side by side: they become rows, one for each series and day",)
    if meaning.step == "finer":
        return "days", ("several rows a day: the business date is a day, so each day becomes one row",)
    if meaning.kind == "classify":
        why = _event_reasons(found, meaning)
        if why:
            return "events", why
    used = [meaning.target, *(meaning.time or "",), *meaning.entity, *(o.name for o in columns if o.use != "left out")]
    spelled = [n for n in used if n in found.columns and not found.columns[n].reading.as_is]
    reasons = [found.opened.obstacle] if found.opened.obstacle else []
    reasons += [f"{name} is spelled {found.columns[name].reading.format or 'in a way of its own'}" for name in spelled]
    if found.opened.kept_as == "sql":
        reasons.append(
            "it is a table of a database: this is a copy of today (docs/your-data.md tells how to read it live)"
        )
    elif not inside:
        reasons.append("it lies outside the folders that runs may read (`data_roots` of the environment)")
    return ("copy", tuple(reasons)) if reasons else ("as it is", ())


def _event_reasons(found: Profile, meaning: Meaning) -> tuple[str, ...]:
    reasons = []
    if meaning.time is None:
        told = f"rows are in order, {meaning.cycle} counts through each day" if meaning.cycle else "rows have no order"
        reasons.append(f"there are no dates ({told}): rows are given days")
    elif _has_clock(found, meaning):
        reasons.append("the date has a time of day, which becomes a column of its own")
    if not meaning.entity:
        reasons.append("rows have no names: they are numbered")
    if found.columns[meaning.target].reading.role != "number" or meaning.positive != "1":
        reasons.append(f"{meaning.target} becomes 1 where it is {meaning.positive}, else 0")
    return tuple(reasons)


def _has_clock(found: Profile, meaning: Meaning) -> bool:
    return meaning.time is not None and found.columns[meaning.time].reading.role == "moment"


def _is_text(found: Profile, one: ColumnUse) -> bool:
    return found.columns[one.name].reading.role == "text" or one.use in ("static", "category", "unit")


def _rules(found: Profile, meaning: Meaning, kept: Sequence[ColumnUse]) -> dict[str, Rule]:
    facts = found.columns[meaning.target]
    adds = facts.low >= 0 and not MEANS.search(meaning.target) and facts.distinct > 2
    rules: dict[str, Rule] = {meaning.target: "sum" if adds else "mean"}
    for one in kept:
        rules[one.name] = "first" if one.use == "static" else "mean"
    return rules


def _names(theirs: Sequence[str]) -> dict[str, str]:
    """Return our names, lower case and each once, of foreign ones."""
    out: dict[str, str] = {}
    for name in theirs:
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:50] or "column"
        plain = plain if plain[0].isalpha() else f"c_{plain}"
        while plain in _TAKEN or plain in out.values():
            plain += "_2"
        out[name] = plain
    return out


def relative(files: Sequence[Path], given: Path, roots: Sequence[Path], base: Path) -> str:
    """Return a path as a pipeline may name it, ``""`` where it lies outside the folders that may be read."""
    whole = all(any(file.resolve().is_relative_to(root.resolve()) for root in roots) for file in files)
    if not whole:
        return ""
    path = given.resolve()
    return path.relative_to(base.resolve()).as_posix() if path.is_relative_to(base.resolve()) else str(path)
