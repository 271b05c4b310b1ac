"""The dense panel: one row per entity, one column per day.

Days are counted twice: an *epoch day* is days since 1970-01-01, a *column* is days since the first day of
the panel. Columns ``0 .. n_days - 1`` are history (the last one is the as-of date); covariates known in
advance go on for ``horizon`` more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

EPOCH = date(1970, 1, 1)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Days = npt.NDArray[np.int16]


def epoch_day(day: date) -> int:
    """Return days since 1970-01-01."""
    return (day - EPOCH).days


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """A static text column.

    Attributes:
        codes: Index into ``names`` per entity, -1 where unknown, shape (n_entities,).
        names: Distinct values, sorted.
    """

    codes: Ints
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariate:
    """A column over time.

    Attributes:
        values: Shape (n_entities, n_columns), or (1, n_columns) for one value for all; nan where unknown.
        ahead: How many days before its day each value became known, negative if after it; shape (n_entities,
            n_columns), or (1, n_columns) for all. Standing h days before the day it is seen if h <= ahead.
        names: For text: what each value is the code of; empty for numbers.
        forward: Whether a value holds until the next one: one not yet known leaves the one before it in force.
    """

    values: Floats
    ahead: Days
    names: tuple[str, ...] = ()
    forward: bool = False

    @property
    def shared(self) -> bool:
        """Whether one row holds for every entity."""
        return len(self.values) == 1

    @property
    def priced(self) -> bool:
        """Whether it is a number of each entity, such as a price, that can be compared with its own past."""
        return not (self.shared or self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Forecasts to be made or learned from: which entity, standing where, how far ahead.

    Attributes:
        entity: Row of the panel, shape (n,); sorted rows are much faster.
        origin: Last column that may be looked at, shape (n,); may be negative (nothing is known then).
        horizon: Days from the origin to the target, from 1, shape (n,).
    """

    entity: Ints
    origin: Ints
    horizon: Ints

    def __len__(self) -> int:
        return len(self.entity)

    @property
    def target(self) -> Ints:
        """Column of the day that is forecast."""
        return self.origin + self.horizon


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Everything a snapshot knows, ready for features.

    Attributes:
        entities: Names, sorted, shape (n_entities,).
        first_day: Epoch day of column 0.
        y: Target, shape (n_entities, n_days); nan before the first row, on closed days, on days without a
            row of any entity, and where the source has no value.
        first: Column of the first row of each entity, shape (n_entities,).
        begin: Column of its first sale (of its first row if leading zeros count), ``n_days`` if none.
        open: Whether a day can have a target, shape (n_days + horizon,).
        static: Attributes that never change, by name.
        observed: Covariates known only afterwards, carried forward from the last row that had a value.
        known: Covariates known in advance, over n_days + horizon columns; see :attr:`Covariate.ahead`.
        censored: Days masked in ``y`` since there was nothing to sell, shape (n_entities, n_days); None if nothing
            tells them.
    """

    entities: npt.NDArray[np.str_]
    first_day: int
    y: Floats
    first: Ints
    begin: Ints
    open: npt.NDArray[np.bool_]
    static: Mapping[str, Labels]
    observed: Mapping[str, Covariate]
    known: Mapping[str, Covariate]
    censored: npt.NDArray[np.bool_] | None = None

    @property
    def n_entities(self) -> int:
        """Number of series."""
        return int(self.y.shape[0])

    @property
    def n_days(self) -> int:
        """Days of history."""
        return int(self.y.shape[1])

    @property
    def as_of(self) -> date:
        """The day of the last column of history."""
        return self.day(self.n_days - 1)

    def day(self, column: int) -> date:
        """Return the date of a column."""
        return EPOCH + timedelta(days=self.first_day + int(column))

    def column(self, day: date) -> int:
        """Return the column of a date."""
        return epoch_day(day) - self.first_day

    def started(self, column: int) -> Ints:
        """Return where each series starts for someone standing on ``column``.

        That is its first sale if it has had one by then, else its first row: zeros are all that is known.
        """
        return np.where(self.begin <= column, self.begin, self.first).astype(np.int32)


def grid(entities: Ints, origin: int, columns: Ints) -> Rows:
    """Return rows for every entity and every target column, entity by entity."""
    n, m = len(entities), len(columns)
    return Rows(
        entity=np.repeat(entities.astype(np.int32), m),
        origin=np.full(n * m, origin, dtype=np.int32),
        horizon=np.tile((columns - origin).astype(np.int32), n),
    )
