"""Card transactions with three kinds of fraud, after the simulator of the Fraud Detection Handbook (own code).

Customers live in a square, pay at terminals near them, a usual number of times a day and a usual amount. Fraud:

1. *amount*: every amount above 220 is a fraud (a rule that any detector must find);
2. *terminal*: each day some terminals are taken over; for 28 days every transaction there is a fraud, and nothing
   but the labels of the terminal's earlier transactions gives it away;
3. *card*: each day some customers' card data leak; for 14 days a third of their transactions have five times the
   amount and are frauds.

Source: Le Borgne, Siblini, Lebichot & Bontempi 2022, Fraud Detection Handbook, "Transaction data simulator".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.contracts.simulated import Simulated
from perennial.durable import write_atomically
from perennial.features.panel import epoch_day

FIRST = date(2025, 1, 1)
SQUARE, RADIUS = 100.0, 5.0
"""Side of the square, and how far a customer goes to pay."""
NOON, SPREAD, DAY = 43_200, 20_000, 86_400
"""Mean and standard deviation of the second of the day, and its length."""
LIMIT = 220.0
TERMINAL_DAYS, CARD_DAYS = 28, 14
CARD_SHARE, CARD_FACTOR = 1 / 3, 5.0
AMOUNT, TERMINAL, CARD = 1, 2, 3
"""Scenarios; a later one overrides an earlier one."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The size of a world; the defaults make about 230,000 transactions in less than a second.

    Attributes:
        taken_over: Terminals taken over a day, on average.
        leaked: Cards leaked a day, on average.
    """

    customers: int = 1_000
    terminals: int = 2_000
    days: int = 120
    first: date = FIRST
    taken_over: float = 0.4
    leaked: float = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """All transactions in order of time, each of shape (n,).

    Attributes:
        second: Second of the day.
        scenario: 0 for none.
    """

    day: Ints
    second: Ints
    customer: Ints
    terminal: Ints
    amount: Floats
    scenario: npt.NDArray[np.int8]


def write(folder: Path, seed: int, world: World | None = None) -> Simulated:
    """Write ``transactions/<month>.parquet`` and ``truth/scenarios.parquet`` (which nothing may train on).

    Columns of the transactions: transaction, date, second (of the day), customer, terminal, amount, fraud (0 or 1).
    """
    size = world or World()
    made = simulate(size, seed)
    table = _table(made, size.first)
    month = np.array([(size.first + timedelta(days=int(d))).strftime("%Y-%m") for d in range(size.days)])[made.day]
    files = []
    for name in np.unique(month):
        part = table.filter(pa.array(month == name))
        files.append(_put(folder / "transactions" / f"{name}.parquet", part))
    truth = pa.table({"transaction": table["transaction"], "scenario": pa.array(made.scenario)})
    files.append(_put(folder / "truth" / "scenarios.parquet", truth.filter(pa.array(made.scenario > 0))))
    return Simulated(
        name="fraud",
        files=tuple(map(str, files)),
        rows=len(made.day),
        first=size.first,
        last=size.first + timedelta(days=size.days - 1),
        truth=_truth(made),
    )


def simulate(world: World, seed: int) -> Transactions:
    """Make the transactions of a world."""
    rng = np.random.default_rng(seed)
    made = _honest(world, rng)
    amount, scenario = made.amount, (made.amount > LIMIT) * np.int8(AMOUNT)
    scenario = np.where(
        _compromised(made.terminal, made.day, world.terminals, world.taken_over, TERMINAL_DAYS, rng),
        np.int8(TERMINAL),
        scenario,
    )
    leaked = _compromised(made.customer, made.day, world.customers, world.leaked, CARD_DAYS, rng)
    misused = leaked & (rng.random(len(leaked)) < CARD_SHARE)
    return Transactions(
        day=made.day,
        second=made.second,
        customer=made.customer,
        terminal=made.terminal,
        amount=np.round(np.where(misused, amount * CARD_FACTOR, amount), 2).astype(np.float64),
        scenario=np.where(misused, np.int8(CARD), scenario).astype(np.int8),
    )


def _honest(world: World, rng: np.random.Generator) -> Transactions:
    """Draw who pays where, when and how much, before any fraud."""
    home, places = rng.random((world.customers, 2)) * SQUARE, rng.random((world.terminals, 2)) * SQUARE
    usual, busy = rng.uniform(5, 100, world.customers), rng.uniform(0, 4, world.customers)
    count = rng.poisson(busy[:, None], (world.customers, world.days))
    customer = np.repeat(np.arange(world.customers), count.sum(axis=1))
    day = np.repeat(np.tile(np.arange(world.days), world.customers), count.ravel())
    second = np.rint(rng.normal(NOON, SPREAD, len(day))).astype(np.int64)
    near = ((home[:, None, :] - places[None, :, :]) ** 2).sum(axis=2) < RADIUS**2
    keep = (second > 0) & (second < DAY) & near.any(axis=1)[customer]
    customer, day, second = customer[keep], day[keep], second[keep]
    amount = rng.normal(usual[customer], usual[customer] / 2)
    amount = np.round(np.where(amount < 0, rng.uniform(0, 2 * usual[customer]), amount), 2)
    order = np.lexsort((customer, second, day))
    start, reach = np.r_[0, near.sum(axis=1).cumsum()], near.sum(axis=1)
    choice = start[customer] + (rng.random(len(customer)) * reach[customer]).astype(np.int64)
    return Transactions(
        day=day[order],
        second=second[order],
        customer=customer[order],
        terminal=np.nonzero(near)[1][choice][order],
        amount=amount[order],
        scenario=np.zeros(len(order), np.int8),
    )


def _compromised(
    unit: Ints, day: Ints, units: int, a_day: float, days: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return which transactions fall into the ``days`` days after their unit was hit, shape (n,)."""
    span = int(day.max(initial=0)) + 1
    hit = np.zeros((units, span + days), np.int64)
    for today, n in enumerate(rng.poisson(a_day, span)):
        struck = rng.choice(units, size=min(int(n), units), replace=False)
        hit[struck, today : today + days] = 1
    return np.asarray(hit[unit, day] > 0)


def _table(made: Transactions, first: date) -> pa.Table:
    n = len(made.day)
    return pa.table(
        {
            "transaction": pa.array([f"t{i:08d}" for i in range(n)]),
            "date": pa.array((made.day + epoch_day(first)).astype(np.int32)).cast(pa.date32()),
            "second": pa.array(made.second),
            "customer": pa.array([f"c{i:05d}" for i in made.customer.tolist()]),
            "terminal": pa.array([f"m{i:05d}" for i in made.terminal.tolist()]),
            "amount": pa.array(made.amount),
            "fraud": pa.array((made.scenario > 0).astype(np.float64)),
        }
    )


def _put(path: Path, table: pa.Table) -> Path:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    write_atomically(path, sink.getvalue().to_pybytes())
    return path


def _truth(made: Transactions) -> Mapping[str, float]:
    counts = {name: int((made.scenario == k).sum()) for name, k in (("amount", 1), ("terminal", 2), ("card", 3))}
    return {**counts, "fraud_rate": round(float((made.scenario > 0).mean()), 6)}
