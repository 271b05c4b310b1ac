"""The only place that reads the wall clock, so that tests and replays can set it."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from time import monotonic


def system_now() -> datetime:
    """Return the present moment in UTC.

    ``PERENNIAL_NOW`` (ISO, with its zone) sets the clock for rehearsals: it stands at that moment when a process
    first asks under this setting, and goes on from there.
    """
    given = os.environ.get("PERENNIAL_NOW")
    if not given:
        return datetime.now(UTC)
    return datetime.fromisoformat(given).astimezone(UTC) + timedelta(seconds=monotonic() - _first_asked(given))


def lateness(moment: datetime) -> timedelta:
    """Return how long ago a moment was, whatever ``PERENNIAL_NOW`` says; 0 for one that is still to come.

    A run that starts late stands on the date it was wanted for: subtract this from the present moment.
    """
    return max(timedelta(0), datetime.now(UTC) - moment)


@lru_cache(maxsize=1)
def _first_asked(_given: str) -> float:
    return monotonic()


Now = Callable[[], datetime]


def cutoff(as_of: date) -> datetime:
    """Return the first moment after business date ``as_of`` (UTC): what a run on that date may know ends here.

    A row takes part in the run when ``available_at <= cutoff(as_of)``.
    """
    return datetime.combine(as_of + timedelta(days=1), time.min, tzinfo=UTC)
