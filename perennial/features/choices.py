"""Who chose what and when, and what was known of it at the end of a day.

A choice is a row (user, item, day): something was played, bought, read. Only the first choice of an item by a user
counts, since lists never name what a user has had. Everything that a model or a baseline may look at is taken from
a :class:`Known`, which is made from the rows up to its day and from nothing later.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
NEVER = np.iinfo(np.int32).min
"""Day of something that has not happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """First choices in order of day.

    Attributes:
        users: Names, sorted, shape (n_users,).
        items: Names, sorted, shape (n_items,).
        user: Index into ``users``, shape (n_rows,).
        item: Index into ``items``, shape (n_rows,).
        day: Days since 1970-01-01, not decreasing, shape (n_rows,).
    """

    users: npt.NDArray[np.str_]
    items: npt.NDArray[np.str_]
    user: Ints
    item: Ints
    day: Ints

    @classmethod
    def of(cls, user: npt.NDArray[np.str_], item: npt.NDArray[np.str_], day: npt.NDArray[np.integer]) -> "Choices":
        """Order choices by day, then user, then item, and keep the first of each user and item.

        Args:
            user: Names, shape (n,).
            item: Names, shape (n,).
            day: Days since 1970-01-01, shape (n,).
        """
        users, u = np.unique(user.astype(np.str_), return_inverse=True)
        items, i = np.unique(item.astype(np.str_), return_inverse=True)
        order = np.lexsort((i, u, day))
        u, i, day = u[order], i[order], day[order]
        _, first = np.unique(u.astype(np.int64) * max(1, len(items)) + i, return_index=True)
        keep = np.sort(first)  # unique returns the first place of each pair, so the earliest day
        return cls(
            users=users,
            items=items,
            user=u[keep].astype(np.int32),
            item=i[keep].astype(np.int32),
            day=day[keep].astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.day)

    def between(self, after: int, until: int) -> slice:
        """Return the rows with ``after < day <= until``."""
        low, high = np.searchsorted(self.day, (after, until), side="right")
        return slice(int(low), int(high))

    def known(self, day: int) -> "Known":
        """Return what was known at the end of ``day``."""
        return Known(self, day)

    def chosen(self, after: int, until: int) -> sp.csr_array:
        """Return who chose what in ``after < day <= until`` for the first time, shape (n_users, n_items), 0 or 1."""
        rows = self.between(after, until)
        return _matrix(self, self.user[rows], self.item[rows], np.ones(rows.stop - rows.start, np.float32))


class Known:
    """The state of the world at the end of a day; computed on demand, from rows up to that day alone."""

    def __init__(self, choices: Choices, day: int) -> None:
        rows = choices.between(NEVER, day)
        self.choices, self.day = choices, day
        self._user, self._item, self._day = choices.user[rows], choices.item[rows], choices.day[rows]

    def __len__(self) -> int:
        return len(self._day)

    @cached_property
    def taken(self) -> sp.csr_array:
        """Who had what, shape (n_users, n_items), 0 or 1."""
        return _matrix(self.choices, self._user, self._item, np.ones(len(self), np.float32))

    @cached_property
    def activity(self) -> Ints:
        """Choices of each user, shape (n_users,); 0 for a user who is not known yet."""
        return np.bincount(self._user, minlength=len(self.choices.users)).astype(np.int32)

    @cached_property
    def last(self) -> Ints:
        """Newest day of each user, shape (n_users,); ``NEVER`` without any."""
        out = np.full(len(self.choices.users), NEVER, np.int32)
        np.maximum.at(out, self._user, self._day)
        return out

    @cached_property
    def first(self) -> Ints:
        """Day each item was first chosen, shape (n_items,); ``NEVER`` if it has not been."""
        out = np.full(len(self.choices.items), np.iinfo(np.int32).max, np.int32)
        np.minimum.at(out, self._item, self._day)
        return np.where(out == np.iinfo(np.int32).max, NEVER, out).astype(np.int32)

    @cached_property
    def popularity(self) -> Doubles:
        """Choices of each item, shape (n_items,)."""
        return np.bincount(self._item, minlength=len(self.choices.items)).astype(np.float64)

    def recent(self, days: int) -> Doubles:
        """Return choices of each item in the last ``days`` days, shape (n_items,)."""
        late = self._day > self.day - days
        return np.bincount(self._item[late], minlength=len(self.choices.items)).astype(np.float64)

    def faded(self, half_life: float) -> Doubles:
        """Return choices of each item, one of ``half_life`` days ago counting half, shape (n_items,)."""
        weight = 0.5 ** ((self.day - self._day) / half_life)
        return np.bincount(self._item, weights=weight, minlength=len(self.choices.items)).astype(np.float64)


def _matrix(choices: Choices, user: Ints, item: Ints, value: Floats) -> sp.csr_array:
    shape = (len(choices.users), len(choices.items))
    out = sp.csr_array((value, (user, item)), shape=shape)
    out.sort_indices()
    return out
