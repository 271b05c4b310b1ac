"""Users with latent tastes, items that arrive over time, fashions that pass: choices whose probabilities are known.

A user returns on a random day, looks at what is there and chooses several items, the likelier the better they fit
the user's taste, the better they are and the newer they are; nothing is chosen twice. Written are

- ``choices.parquet``: user, item, date, in order of date; what a pipeline reads;
- ``truth.parquet``: user, item and ``utility``, the taste's part of the log odds, which nobody but a test may read.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Doubles = npt.NDArray[np.float64]
FIRST = date(2024, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How large the world is and how it behaves.

    Attributes:
        days: Days of history.
        visits: Probability that a user comes on a day.
        choices: Mean number of choices of a visit, beyond the first.
        tastes: Dimensions of taste.
        pull: Weight of taste in the log odds; 0 means that everybody is alike.
        fresh: Log odds that an item has more on the day it arrives, halved every two weeks.
        old_items: Share of the items that are there from the first day.
        turn: Day on which every user's taste is drawn anew; ``None`` for never.
    """

    users: int = 400
    items: int = 300
    days: int = 120
    visits: float = 0.12
    choices: float = 2.0
    tastes: int = 6
    pull: float = 1.6
    fresh: float = 2.5
    old_items: float = 0.5
    turn: int | None = None


def write(folder: Path, seed: int, world: World | None = None) -> tuple[Path, ...]:
    """Write one world's choices and its truth; the same seed writes the same bytes.

    Args:
        folder: Created if it is missing.
        seed: Of everything that is drawn.
        world: Its size and behaviour.

    Returns:
        The files written.
    """
    world = world or World()
    rng = np.random.default_rng(seed)
    arrival = np.where(
        np.arange(world.items) < world.old_items * world.items, 0, rng.integers(1, world.days, world.items)
    )
    joined = np.where(rng.random(world.users) < 0.6, 0, rng.integers(0, world.days, world.users))
    worth = rng.normal(0.0, 0.7, world.items)
    utility = _utility(rng, world)
    taken = np.zeros((world.users, world.items), bool)
    rows: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
    for day in range(world.days):
        if day == world.turn:
            utility = _utility(rng, world)
        here = np.flatnonzero((joined <= day) & ((rng.random(world.users) < world.visits) | (joined == day)))
        fashion = world.fresh * 0.5 ** ((day - arrival) / 14.0)
        odds = utility[here] + worth + fashion + rng.gumbel(size=(len(here), world.items))
        odds[taken[here] | (arrival > day)] = -np.inf
        wanted = 1 + rng.poisson(world.choices, len(here))
        best = np.argsort(-odds, axis=1, kind="stable")[:, : wanted.max(initial=1)]  # Gumbel: draws without return
        keep = (np.arange(best.shape[1]) < wanted[:, None]) & np.isfinite(np.take_along_axis(odds, best, axis=1))
        user, item = np.repeat(here, keep.sum(axis=1)), best[keep]
        taken[user, item] = True
        rows.append((day, user, item))
    return _written(folder, rows, utility)


def _utility(rng: np.random.Generator, world: World) -> Doubles:
    """Return how well every item fits every user, with standard deviation ``pull``, shape (n_users, n_items)."""
    users, items = rng.normal(size=(world.users, world.tastes)), rng.normal(size=(world.items, world.tastes))
    return world.pull * (users @ items.T) / np.sqrt(world.tastes)


def _written(
    folder: Path, rows: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]], utility: Doubles
) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    days = [FIRST + timedelta(days=day) for day, user, _ in rows for _ in user]
    user, item = (np.concatenate([row[n] for row in rows]) for n in (1, 2))
    choices = pa.table({"user": _names("u", user), "item": _names("i", item), "date": pa.array(days, pa.date32())})
    pairs = np.indices(utility.shape).reshape(2, -1)
    truth = pa.table(
        {"user": _names("u", pairs[0]), "item": _names("i", pairs[1]), "utility": utility.astype(np.float32).ravel()}
    )
    paths = folder / "choices.parquet", folder / "truth.parquet"
    for path, table in zip(paths, (choices, truth), strict=True):
        pq.write_table(table, path)
    return paths


def _names(prefix: str, index: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array([f"{prefix}{n:05d}" for n in index.tolist()], pa.string())
