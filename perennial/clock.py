"""The only place that reads the wall clock, so that tests and replays can set it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta


def system_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


Now = Callable[[], datetime]


def cutoff(as_of: date) -> datetime:
    """Return the first moment after business date ``as_of`` (UTC): what a run on that date may know ends here.

    A row takes part in the run when ``available_at <= cutoff(as_of)``.
    """
    return datetime.combine(as_of + timedelta(days=1), time.min, tzinfo=UTC)
