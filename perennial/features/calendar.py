"""What a date alone tells: weekday, season, distance to a holiday."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt

from perennial.errors import ConfigError
from perennial.features.panel import EPOCH, Floats, Ints

REACH = 14
"""Holidays further away than this many days are all the same."""


def weekday(day: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return 0 (Monday) to 6 (Sunday) of epoch days; 1970-01-01 was a Thursday."""
    return (day + 3) % 7


def calendar(name: str, day: npt.NDArray[np.int64]) -> Floats:
    """Return one calendar feature of epoch days, same shape.

    Args:
        name: ``day_of_week`` (0-6), ``day_of_month`` (1-31), ``week_of_year`` (0-52, counted from
            1 January), ``month`` (1-12) or ``trend`` (the epoch day itself).
        day: Epoch days.
    """
    date = day.astype("datetime64[D]")
    month = date.astype("datetime64[M]")
    if name == "day_of_week":
        out = weekday(day)
    elif name == "day_of_month":
        out = (date - month).astype(np.int64) + 1
    elif name == "week_of_year":
        out = (date - date.astype("datetime64[Y]")).astype(np.int64) // 7
    elif name == "month":
        out = month.astype(np.int64) % 12 + 1
    else:
        out = day
    return out.astype(np.float32)


def holiday_distance(country: str, day: npt.NDArray[np.int64]) -> Floats:
    """Return signed days from each epoch day to the nearest public holiday, within +-:data:`REACH`.

    Negative before the holiday, 0 on it, positive after; a day as near to the next as to the last counts
    as before.

    Raises:
        ConfigError: The country code is unknown.
    """
    held = _holidays(country, int(day.min()) - REACH, int(day.max()) + REACH)
    at = np.searchsorted(held, day)
    ahead = held[np.minimum(at, len(held) - 1)] - day
    behind = day - held[np.maximum(at - 1, 0)]
    ahead = np.where((ahead < 0) | (ahead > REACH), REACH, ahead)
    behind = np.where((behind < 0) | (behind > REACH), REACH, behind)
    return np.where(ahead <= behind, -ahead, behind).astype(np.float32)


def _holidays(country: str, first: int, last: int) -> Ints:
    import holidays

    begin, end = EPOCH + timedelta(days=first), EPOCH + timedelta(days=last)
    try:
        table = holidays.country_holidays(country, years=range(begin.year, end.year + 1))
    except NotImplementedError as error:
        known = ", ".join(sorted(holidays.list_supported_countries())[:12])
        raise ConfigError(
            f"forecast.features.holidays: no calendar for {country!r}; use an ISO code such as {known}, ..."
        ) from error
    days = np.array(sorted((d - EPOCH).days for d in table), dtype=np.int32)
    return days if len(days) else np.array([last + 2 * REACH], dtype=np.int32)
