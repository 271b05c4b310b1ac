"""Are served lists still hit as often as they were when they were judged? Asked after every batch of choices.

An *observation* is one user in one batch: the share of the user's new choices that stood on the user's list. Under
the hypothesis that all is well its expectation is at least ``tolerated`` times the usual hit rate, whatever came
before. Then

    M <- max(M, 1) * (1 + bet * (floor - share)),   floor = tolerated * usual

is a cumulative-sum statistic whose factors have an expectation of at most 1: it exceeds ``alarm_after`` on average
no sooner than after that many observations. The bet is the one that a likelihood ratio of two hit rates makes, the
floor against ``degraded`` times the usual; a share between 0 and 1 is allowed since the factor is linear in it.
Choices of one user in one batch depend on each other, so they are one observation and not several.

Sources: Page 1954 (CUSUM); Lorden 1971 (its run length under the hypothesis); Waudby-Smith & Ramdas 2024 (betting
on bounded means); Shin, Ramdas & Rinaldo 2024 (change detection by such products).
"""

import math
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from perennial.errors import ConfigError

NEWCOMER = ""
"""User whose list everybody is shown who has none of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """When a stream counts as degraded.

    Attributes:
        usual: Hits per choice of the version in force when it was judged, in (0, 1).
        tolerated: Share of ``usual`` that still counts as well, in (0, 1].
        degraded: Share of ``usual`` that should be noticed soonest, in [0, tolerated).
        after: Observations between two false alarms, on average at least, > 1.

    Raises:
        ConfigError: A value lies outside its range.
    """

    usual: float
    tolerated: float = 0.8
    degraded: float = 0.4
    after: float = 10_000.0

    def __post_init__(self) -> None:
        if not 0 < self.usual < 1:
            raise ConfigError(f"a usual hit rate of {self.usual!r} cannot be watched; it must lie between 0 and 1")
        if not 0 <= self.degraded < self.tolerated <= 1:
            raise ConfigError(
                f"degraded ({self.degraded:g}) must be less than tolerated ({self.tolerated:g}), both from 0 to 1"
            )
        if not 1 < self.after < math.inf:
            raise ConfigError(f"{self.after!r} observations between false alarms: give a number above 1")

    @property
    def floor(self) -> float:
        """Least hit rate that counts as well."""
        return self.tolerated * self.usual

    @property
    def bet(self) -> float:
        """How strongly an observation below the floor speaks."""
        return (self.floor - self.degraded * self.usual) / (self.floor * (1.0 - self.floor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What has been seen of a stream; plain numbers, so that it can be kept between batches.

    Attributes:
        level: The statistic M, >= 0, finite.
        observations: Users in batches since the start.
        choices: New choices of these.
        hits: Choices that stood on the list.
        since: Observations since the statistic was last at or below 1: those that speak of a change.
    """

    level: float = 1.0
    observations: int = 0
    choices: int = 0
    hits: int = 0
    since: int = 0

    @property
    def rate(self) -> float:
        """Hits per choice; nan before the first."""
        return self.hits / self.choices if self.choices else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """New choices of one user in one batch, and how many of them stood on the user's list."""

    choices: int
    hits: int


def tally(
    chosen: Iterable[tuple[str, str]],
    shown: Callable[[str], AbstractSet[str] | None],
    had: Callable[[str], AbstractSet[str]],
) -> tuple[Tally, ...]:
    """Join a batch of choices with the lists that were served.

    Args:
        chosen: User and item of each choice; one named twice counts once.
        shown: Items that a user was shown; ``None`` for somebody who does not count.
        had: Items that a user had chosen before, which no list names: choosing them again is no new choice.

    Returns:
        One tally for each user who counts and chose something new, in order of name.
    """
    by_user: dict[str, set[str]] = {}
    for user, item in chosen:
        by_user.setdefault(user, set()).add(item)
    found = []
    for user in sorted(by_user):
        listed, new = shown(user), by_user[user] - had(user)
        if listed is not None and new:
            found.append(Tally(choices=len(new), hits=len(new & listed)))
    return tuple(found)


def advance(stream: Stream, tallies: Iterable[Tally], alarm: Alarm) -> Stream:
    """Return the stream after one more batch; once proven, it stays so for the rest of the batch."""
    for one in tallies:
        before = max(stream.level, 1.0)
        level = before * (1.0 + alarm.bet * (alarm.floor - one.hits / one.choices))
        stream = replace(
            stream,
            level=stream.level if proven(stream, alarm) else level,
            observations=stream.observations + 1,
            choices=stream.choices + one.choices,
            hits=stream.hits + one.hits,
            since=stream.since + 1 if level > 1.0 else 0,
        )
    return stream


def proven(stream: Stream, alarm: Alarm) -> bool:
    """Whether what was seen proves that lists are hit less often than is tolerated."""
    return stream.level >= alarm.after


def recovered(stream: Stream) -> Stream:
    """Return the stream from the start again, as after an alert: the next change is another one."""
    return replace(stream, level=1.0, since=0)
