"""Users with latent tastes, items that arrive over time, fashions that pass: choices whose probabilities are known.

A user returns on a random day, looks at what is there and chooses several items, the likelier the better they fit
the user's taste, the better they are and the newer they are; nothing is chosen twice. Written are

- ``choices/choices.parquet``: user, item, date, chosen (always 1), in order of date; what a pipeline reads;
- ``truth/utility.parquet``: user, item and ``utility``, the taste's part of the log odds at the end, which nothing
  may train on.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.contracts.simulated import Simulated
from perennial.durable import write_atomically

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

    users: int = 800
    items: int = 300
    days: int = 120
    visits: float = 0.15
    choices: float = 3.0
    tastes: int = 4
    pull: float = 2.5
    fresh: float = 2.0
    old_items: float = 0.5
    turn: int | None = None


def write(folder: Path, seed: int, world: World | None = None) -> Simulated:
    """Write one world's choices and its truth; the same seed writes the same bytes.

    Args:
        folder: Created if it is missing.
        seed: Of everything that is drawn.
        world: Its size and behaviour.

    Returns:
        What was written; ``truth`` tells the users, the items and the days, and the day on which tastes turned.
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
    return _written(folder, rows, utility, world)


def _utility(rng: np.random.Generator, world: World) -> Doubles:
    """Return how well every item fits every user, with standard deviation ``pull``, shape (n_users, n_items)."""
    users, items = rng.normal(size=(world.users, world.tastes)), rng.normal(size=(world.items, world.tastes))
    return np.asarray(world.pull * (users @ items.T) / np.sqrt(world.tastes))


def _written(
    folder: Path, rows: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]], utility: Doubles, world: World
) -> Simulated:
    days = [FIRST + timedelta(days=day) for day, user, _ in rows for _ in user]
    user, item = (np.concatenate([row[n] for row in rows]) for n in (1, 2))
    dates = pa.array(days, pa.date32())
    choices = pa.table(
        {"user": _names("u", user), "item": _names("i", item), "date": dates, "chosen": np.ones(len(days))}
    )
    pairs = np.indices(utility.shape).reshape(2, -1)
    taste = utility.astype(np.float32).ravel()
    truth = pa.table({"user": _names("u", pairs[0]), "item": _names("i", pairs[1]), "utility": taste})
    files = {folder / "choices" / "choices.parquet": choices, folder / "truth" / "utility.parquet": truth}
    for path, table in files.items():
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        write_atomically(path, sink.getvalue().to_pybytes())
    told = {"users": float(world.users), "items": float(world.items), "days": float(world.days)}
    return Simulated(
        name="recommendations",
        files=tuple(str(path) for path in files),
        rows=len(days),
        first=days[0],
        last=days[-1],
        truth=told | ({"turn": float(world.turn)} if world.turn is not None else {}),
    )


def _names(prefix: str, index: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array([f"{prefix}{n:05d}" for n in index.tolist()], pa.string())
