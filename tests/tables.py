"""Small tables of shapes that nobody described: random names, foreign spellings, days side by side, no dates at all."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from perennial.profiling.guess import guess
from perennial.profiling.meaning import Answers, Meaning
from perennial.profiling.opening import open_table
from perennial.profiling.profile import Profile, profile
from perennial.profiling.uses import ColumnUse, uses

MONDAY = date(2023, 1, 2)


def bikes(days: int = 400, *, hours: int = 1, seed: int = 0) -> pd.DataFrame:
    """Return bike rentals: parts that add up to ``cnt``, weather, calendar columns, a row number."""
    rng = np.random.default_rng(seed)
    when = pd.to_datetime(np.repeat([MONDAY + timedelta(days=n) for n in range(days)], hours))
    guests, members = rng.poisson(40, days * hours), rng.poisson(100 + 30 * (when.day_of_week < 5))
    return pd.DataFrame(
        {
            "instant": np.arange(1, days * hours + 1),
            "dteday": when,
            "mnth": when.month,
            **({"hr": np.tile(np.arange(hours), days)} if hours > 1 else {}),
            "holiday": (rng.random(days * hours) < 0.03).astype(int),
            "temp": rng.normal(15, 5, days * hours),
            "casual": guests,
            "registered": members,
            "cnt": guests + members,
        }
    )


def wide(series: int = 12, days: int = 150, seed: int = 0) -> pd.DataFrame:
    """Return one row a series and one column a day, ``d_1`` and so on."""
    rng = np.random.default_rng(seed)
    ids = {"id": [f"item_{n:02}" for n in range(series)], "dept_id": [f"dept_{n % 3}" for n in range(series)]}
    return pd.DataFrame(ids | {f"d_{n + 1}": rng.poisson(5, series) for n in range(days)})


def market(days: int = 90, seed: int = 0) -> pd.DataFrame:
    """Return half-hours in order without a date: ``period`` counts through each day, ``class`` is up or down."""
    rng = np.random.default_rng(seed)
    price = rng.normal(size=days * 48)
    up = (price + rng.normal(scale=0.7, size=days * 48) > 0).astype(int)
    return pd.DataFrame({"period": np.tile(np.arange(48) / 47, days), "price": price, "class": up})


def look(path: Path | str, said: Answers | None = None) -> tuple[Profile, Meaning, dict[str, ColumnUse]]:
    """Profile a table and guess what it holds."""
    found = profile(open_table(str(path), table=None, base=Path.cwd(), scratch=Path.cwd()))
    meaning = guess(found, said or Answers())
    return found, meaning, {one.name: one for one in uses(found, meaning)}
