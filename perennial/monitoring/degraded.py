"""Which parts are bad: on enough of the last matured days, the latest among them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from perennial.config.operation import Monitor
from perennial.contracts import DailyError, Measurement

ACCEPTED_DAYS = 28
"""After so long what is usual now counts, whatever was usual before the trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Degraded:
    """A part whose error is too high.

    Attributes:
        latest: Its latest matured day, a bad one.
        bad: Bad days among the last ``days``.
        since: First bad day of the present run of trouble.
    """

    latest: DailyError
    bad: int
    days: int
    since: date

    @property
    def key(self) -> str:
        """The part; ``""`` is everything."""
        return self.latest.key

    @property
    def ratio(self) -> float:
        """Its latest error as a multiple of the bound."""
        return self.latest.value / self.latest.bound if self.latest.bound else math.inf

    def __str__(self) -> str:
        return f"{self.key} {self.latest.value:.3g} (usual {self.latest.usual:.3g})"


def degraded(daily: Sequence[DailyError], settings: Monitor) -> tuple[Degraded, ...]:
    """Return the degraded parts, worst first.

    A part counts by its own days among the last ``settings.of`` days on which anything matured.
    """
    days = sorted({one.day for one in daily})
    window, found = set(days[-settings.of :]), []
    by_key: dict[str, list[DailyError]] = {}
    for one in sorted(daily, key=lambda one: one.day):
        by_key.setdefault(one.key, []).append(one)
    for mine in by_key.values():
        recent = [one for one in mine if one.day in window]
        bad = sum(one.bad for one in recent)
        if recent and recent[-1].bad and bad >= settings.bad:
            since = _began(mine, settings.of - settings.bad)
            found.append(Degraded(latest=recent[-1], bad=bad, days=len(recent), since=since))
    return tuple(sorted(found, key=lambda part: (-part.ratio, part.key)))


def _began(days: Sequence[DailyError], good: int) -> date:
    """Return the first bad day of the run of trouble, in which at most ``good`` days in a row were not bad."""
    first, between = days[-1].day, 0
    for one in reversed(days):
        between = 0 if one.bad else between + 1
        if between > good:
            break
        first = one.day if one.bad else first
    return first


def carried(measured: Measurement, history: Sequence[Measurement], settings: Monitor) -> Measurement:
    """Return the measurement with the bounds that held when accuracy went bad, as long as it has not cleared.

    A version that was trained in the middle of the trouble was judged on bad days, and would call them usual.

    Args:
        measured: With the bounds of the version in force.
        history: Earlier measurements, oldest first.
        settings: When a finding counts as cleared.
    """
    for before in reversed(history[-settings.clear_after :]):
        for found in before.findings:
            young = (measured.as_of - found.since).days <= ACCEPTED_DAYS
            if found.cause == "accuracy" and found.level != "info" and young:
                held = {one.key: one for one in before.daily if math.isfinite(one.bound)}
                return replace(measured, daily=tuple(_lower(one, held.get(one.key)) for one in measured.daily))
    return measured


def _lower(one: DailyError, held: DailyError | None) -> DailyError:
    return one if held is None or one.bound <= held.bound else replace(one, usual=held.usual, bound=held.bound)
