"""A shop's invoice lines with errors whose place is known: prices, quantities, invoices entered twice.

Customers come at their usual hours and buy a few products in their usual sizes; prices differ by product, move
rarely and fall with the quantity. Errors are planted in the lines of an otherwise clean shop, and written to a table
of their own that no pipeline reads: it is the truth that the detector is held against.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.contracts.simulated import Simulated

FIRST, LAST = date(2024, 1, 1), date(2024, 9, 30)
PRODUCTS, CUSTOMERS, INVOICES = 300, 400, 60
"""Products, customers, invoices on the average weekday."""
ERRORS_A_DAY = 1.2
KINDS = ("price x 100", "price / 100", "bulk order", "duplicate invoice")
VERDICT_DAYS = 7
"""After so many days an investigator has decided about the lines that were looked at."""
LOOKED_AT = 0.7
"""Share of the errors that somebody has noticed and recorded by then."""
NOTED = 0.002
"""Share of the sound lines that somebody has looked at and found sound."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shop:
    price: Doubles
    typical: Doubles
    appetite: Doubles
    hour: Doubles


def write(folder: Path, seed: int = 0) -> Simulated:
    """Write ``transactions.parquet`` and ``truth.parquet`` into a folder; equal seeds write equal rows.

    ``transactions``: ``line`` (id), ``date``, ``second`` (of the day), ``invoice``, ``product``, ``customer``,
    ``quantity``, ``price``, ``verdict`` (1 error, 0 sound, null not looked at), ``known`` (when the row was known).
    ``truth``: ``line``, ``error``. A line that somebody looked at stands there twice: as it was entered, and with its
    verdict :data:`VERDICT_DAYS` days later.
    """
    random = np.random.default_rng(seed)
    shop = _shop(random)
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    lines = _concat([_day(shop, n, one, random) for n, one in enumerate(days)])
    lines, error = _spoil(lines, random)
    order = np.lexsort((lines["second"], lines["date"]))
    lines, error = {name: values[order] for name, values in lines.items()}, error[order]
    table = _table(lines)
    folder.mkdir(parents=True, exist_ok=True)
    files = (folder / "transactions.parquet", folder / "truth.parquet")
    everything = pa.concat_tables([table, _verdicts(table, error, random)])
    pq.write_table(everything, files[0])
    wrong = error != ""
    truth = pa.table({"line": table["line"].filter(pa.array(wrong)), "error": pa.array(error[wrong])})
    pq.write_table(truth, files[1])
    return Simulated(
        name="anomalies",
        files=tuple(str(file) for file in files),
        rows=everything.num_rows,
        first=FIRST,
        last=LAST,
        truth={kind: float((error == kind).sum()) for kind in KINDS},
    )


def _shop(random: np.random.Generator) -> _Shop:
    return _Shop(
        price=np.round(np.exp(random.normal(1.0, 0.9, PRODUCTS)) + 0.2, 2),
        typical=np.exp(random.normal(1.2, 0.9, PRODUCTS)),
        appetite=np.exp(random.normal(0.0, 0.7, CUSTOMERS)),
        hour=random.normal(12.5, 1.5, CUSTOMERS),
    )


def _day(shop: _Shop, n: int, day: date, random: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    """Return the lines of one day."""
    if n % 60 == 59:
        shop.price[:] = np.round(shop.price * random.choice([1.0, 1.05, 0.95], PRODUCTS), 2)
    busy = 0.5 if day.weekday() >= 5 else 1.0
    count = random.poisson(INVOICES * busy * (1 + 0.2 * np.sin(2 * np.pi * n / 365)))
    customer = random.choice(CUSTOMERS, count, p=shop.appetite / shop.appetite.sum())
    second = np.clip(random.normal(shop.hour[customer], 1.5) * 3600, 6 * 3600, 21 * 3600).astype(np.int32)
    size = 1 + random.poisson(5, count)
    invoice = np.repeat(np.arange(count), size)
    product = (PRODUCTS * random.beta(0.8, 2.5, len(invoice))).astype(np.int32)
    wanted = shop.typical[product] * shop.appetite[customer[invoice]] * random.gamma(2, 0.5, len(invoice))
    quantity = 1 + random.poisson(wanted)
    rebate = np.where(quantity >= 24, 0.85, 1.0)
    return {
        "date": np.full(len(invoice), n, np.int32),
        "second": second[invoice],
        "invoice": (n * 1000 + invoice).astype(np.int64),
        "product": product,
        "customer": customer[invoice].astype(np.int32),
        "quantity": quantity.astype(np.float64),
        "price": np.maximum(np.round(shop.price[product] * rebate, 2), 0.01),
    }


def _spoil(
    lines: dict[str, npt.NDArray[Any]], random: np.random.Generator
) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.str_]]:
    """Plant errors after the first month; return all lines and the name of each line's error."""
    last = int(lines["date"].max())
    count = int(ERRORS_A_DAY * (last - 30))
    late = np.flatnonzero(lines["date"] > 30)
    chosen, kind = random.choice(late, count, replace=False), random.integers(0, len(KINDS), count)
    error = np.full(len(lines["date"]), "", "U20")
    for n, (column, factor) in enumerate((("price", 100.0), ("price", 0.01), ("quantity", 50.0))):
        rows = chosen[kind == n]
        lines[column][rows] = np.maximum(np.round(lines[column][rows] * factor, 3), 0.001)
        error[rows] = KINDS[n]
    twice = np.flatnonzero(np.isin(lines["invoice"], lines["invoice"][chosen[kind == 3]]))
    copies = {name: values[twice].copy() for name, values in lines.items()}
    copies["invoice"] = copies["invoice"] + 500
    copies["second"] = np.minimum(copies["second"] + 120, 86_399)
    return _concat([lines, copies]), np.concatenate([error, np.full(len(twice), KINDS[3], "U20")])


def _concat(parts: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _table(lines: dict[str, npt.NDArray[Any]]) -> pa.Table:
    day = lines["date"].astype("timedelta64[D]") + np.datetime64(FIRST, "D")
    entered = day.astype("datetime64[s]") + np.timedelta64(86_399, "s")
    number = np.arange(len(day)) - np.searchsorted(lines["date"], lines["date"])
    return pa.table(
        {
            "line": pa.array([f"{d}-{n:05d}" for d, n in zip(day, number, strict=True)]),
            "date": pa.array(day),
            "second": pa.array(lines["second"].astype(np.float64)),
            "invoice": pa.array([f"I{one:07d}" for one in lines["invoice"]]),
            "product": pa.array([f"P{one:04d}" for one in lines["product"]]),
            "customer": pa.array([f"C{one:04d}" for one in lines["customer"]]),
            "quantity": pa.array(lines["quantity"]),
            "price": pa.array(lines["price"]),
            "verdict": pa.nulls(len(day), pa.float64()),
            "known": pa.array(entered),
        }
    )


def _verdicts(table: pa.Table, error: npt.NDArray[np.str_], random: np.random.Generator) -> pa.Table:
    """Return the lines that somebody looked at, with what was decided and when."""
    draw = random.random(len(error))
    rows = np.flatnonzero(draw < np.where(error != "", LOOKED_AT, NOTED))
    seen = table.take(pa.array(rows))
    known = seen["known"].to_numpy() + np.timedelta64(VERDICT_DAYS, "D")
    seen = seen.set_column(seen.schema.get_field_index("verdict"), "verdict", pa.array((error[rows] != "") * 1.0))
    seen = seen.set_column(seen.schema.get_field_index("known"), "known", pa.array(known))
    return seen.filter(pa.array(known <= np.datetime64(LAST + timedelta(days=1), "s")))
