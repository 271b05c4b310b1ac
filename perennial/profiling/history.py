"""What the rows of a source have been like, day by day, read exactly as a run reads them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from perennial.config.models import Environment, Table
from perennial.contracts import ENTITY, TARGET, TIME
from perennial.profiling.profile import Tell
from perennial.sources import BAD, inventory, read, stage

FEW = 30
"""A text column with at most so many values has them all remembered."""
KEPT_ROWS = 400_000
"""Rows kept for quantiles; of a longer table every second, fourth, ... block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A source in canonical names.

    Attributes:
        rows: Rows with a date.
        entities: Distinct entities.
        bad: Rows that do not parse.
        daily: One row a day with rows, ascending: ``rows`` and, for each number column, its count ``<name> n``
            and its mean ``<name>``.
        sample: Rows that quantiles are taken from.
        lows: Smallest value of each number column.
        words: Values of each extra column that holds text, as long as there are few.
    """

    rows: int
    entities: int
    bad: int
    daily: pd.DataFrame
    sample: pd.DataFrame
    lows: Mapping[str, float]
    words: Mapping[str, frozenset[str]]

    @property
    def text(self) -> tuple[str, ...]:
        """Extra columns that hold text."""
        return tuple(self.words)

    @property
    def first(self) -> date:
        """The first day with a row."""
        return self.daily.index[0].date()  # type: ignore[no-any-return]

    @property
    def last(self) -> date:
        """The last day with a known target."""
        return self.daily.index[self.daily[f"{TARGET} n"] > 0][-1].date()  # type: ignore[no-any-return]

    @property
    def newest(self) -> date:
        """The last day with a row, whether its target is known or not."""
        return self.daily.index[-1].date()  # type: ignore[no-any-return]

    @property
    def late(self) -> int:
        """Days by which the newest known target lies behind the newest row."""
        return (self.newest - self.last).days

    @property
    def days(self) -> int:
        """Days from the first to the last."""
        return (self.last - self.first).days + 1

    @property
    def numbers(self) -> tuple[str, ...]:
        """The target and the number columns beside it."""
        return tuple(name for name in self.sample.columns if name not in (ENTITY, TIME, *self.text))

    def missing(self, name: str) -> float:
        """Return the share of rows without a value of a number column."""
        return 1 - float(self.daily[f"{name} n"].sum()) / max(self.rows, 1)

    def density(self, closed: frozenset[int]) -> float:
        """Return the share of open days of all series that have a row."""
        days = (self.first + timedelta(days=n) for n in range(self.days))
        is_open = sum(1 for day in days if day.weekday() not in closed)
        return self.rows / max(is_open * self.entities, 1)


def history(table: Table, env: Environment, *, base: Path, tell: Tell) -> History:
    """Read a source once.

    Raises:
        SourceError: It cannot be read as the columns say.
    """
    parts: list[pd.DataFrame] = []
    kept: list[pd.DataFrame] = []
    entities: set[str] = set()
    stride, bad, done = 1, 0, 0
    words: dict[str, set[str]] = {}
    lows: dict[str, float] = {}
    for at, frame in enumerate(_frames(table, env, base)):
        text = tuple(name for name in table.columns.extra if not pd.api.types.is_numeric_dtype(frame[name]))
        _note(frame, text, words, lows)
        bad += int(frame[BAD].notna().sum())
        frame = frame[frame[BAD].isna() & frame[TIME].notna()].drop(columns=BAD)
        entities.update(frame[ENTITY].unique())
        parts.append(_by_day(frame, text))
        done += len(frame)
        tell(done, 0)
        if at % stride == 0:
            kept.append(frame)
        if sum(map(len, kept)) > KEPT_ROWS and len(kept) > 1:
            kept, stride = kept[::2], stride * 2
    text = tuple(words)
    daily = pd.concat(parts).groupby(level=0).sum().sort_index()
    sample = pd.concat(kept, ignore_index=True)
    for name in sample.columns:
        if name not in (ENTITY, TIME, *text):
            daily[name] = daily[name] / daily[f"{name} n"].where(daily[f"{name} n"] > 0)
    return History(rows=done, entities=len(entities), bad=bad, daily=daily, sample=sample, lows=lows, words=_few(words))


def _note(frame: pd.DataFrame, text: tuple[str, ...], words: dict[str, set[str]], lows: dict[str, float]) -> None:
    """Keep what no sample tells for sure: every word, the smallest number."""
    for name in frame.columns:
        if name in text:
            known = words.setdefault(name, set())
            known.update(frame[name].dropna().unique() if len(known) <= FEW else ())
        elif name not in (ENTITY, TIME, BAD):
            lows[name] = min(lows.get(name, np.inf), float(frame[name].min()))


def _few(words: dict[str, set[str]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(known) if len(known) <= FEW else frozenset() for name, known in words.items()}


def _frames(table: Table, env: Environment, base: Path) -> Iterator[pd.DataFrame]:
    with TemporaryDirectory() as scratch:
        for item in inventory(table, env, base=base):
            file = stage(item, table, env, base=base, scratch=Path(scratch), since=None, until=date.max)
            for batch in read(file, table.model_copy(update={"batch_rows": 100_000})):
                frame = batch.to_pandas()
                frame[TIME] = pd.to_datetime(frame[TIME])
                yield frame


def _by_day(frame: pd.DataFrame, text: tuple[str, ...]) -> pd.DataFrame:
    numbers = [name for name in frame.columns if name not in (ENTITY, TIME, *text)]
    frame = frame[[TIME, *numbers]].replace([np.inf, -np.inf], np.nan)
    groups = frame.groupby(TIME)
    out = groups[numbers].sum()
    out[[f"{name} n" for name in numbers]] = groups[numbers].count()
    out["rows"] = groups.size()
    return out
