"""M5 at its full size from one store: ten stores of 3,049 items, values perturbed, as files a user would have."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

CHAIN = ("CA_1", "CA_2", "CA_3", "CA_4", "TX_1", "TX_2", "TX_3", "WI_1", "WI_2", "WI_3")
FIRST_DAY = np.datetime64("2011-01-29")
HORIZON_WEEKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store's history: units (n_items, n_days), price by item and week (nan: not on sale)."""

    items: tuple[str, ...]
    departments: tuple[str, ...]
    units: npt.NDArray[np.int16]
    prices: npt.NDArray[np.float32]


def read_store(data: Path, store: str) -> Store:
    """Read one of M5's stores from its wide table, its prices and the calendar."""
    sales = pd.read_parquet(data / f"sales_{store}_wide.parquet")
    prices = pd.read_parquet(data / f"sell_prices_{store}.parquet")
    table = prices.pivot_table(index="item_id", columns="wm_yr_wk", values="sell_price", observed=True)
    return Store(
        items=tuple(sales["item_id"].astype(str)),
        departments=tuple(sales["dept_id"].astype(str)),
        units=sales.filter(regex=r"^d_\d+$").to_numpy(np.int16),
        prices=table.reindex(sales["item_id"].astype(str)).to_numpy(np.float32),
    )


def write_chain(store: Store, folder: Path, stores: int) -> int:
    """Write ``sales/<store>.parquet`` and ``prices/<store>.parquet`` for a chain; return the rows of sales.

    The first store is the original; the others sell Poisson(units x factor) with a factor of their own, so
    that no two are equal and days without a sale stay so.
    """
    rng = np.random.default_rng(5)
    for kind in ("sales", "prices"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(CHAIN[:stores]):
        factor = 1.0 if number == 0 else rng.uniform(0.6, 1.4)
        units = store.units if number == 0 else rng.poisson(store.units * factor).astype(np.int16)
        _write(_sales(store, name, units), folder / "sales" / f"{number}_{name}.parquet")
        _write(_prices(store, name, factor), folder / "prices" / f"{number}_{name}.parquet")
    return stores * store.units.size


def _sales(store: Store, name: str, units: npt.NDArray[np.int16]) -> pa.Table:
    n_items, n_days = units.shape
    category = [department.split("_")[0] for department in store.departments]
    days = FIRST_DAY + np.arange(n_days)
    return pa.table(
        {
            "id": _repeat([f"{name}/{item}" for item in store.items], n_days),
            "date": pa.array(np.tile(days, n_items).astype("datetime64[D]")),
            "units": pa.array(units.ravel()),
            "store": _repeat([name] * n_items, n_days),
            "dept": _repeat(list(store.departments), n_days),
            "category": _repeat(category, n_days),
        }
    )


def _prices(store: Store, name: str, factor: float) -> pa.Table:
    n_items, n_weeks = store.prices.shape
    weeks = FIRST_DAY + 7 * np.arange(n_weeks)
    price = (store.prices * (1.1 - 0.1 * factor)).ravel()
    table = pa.table(
        {
            "id": _repeat([f"{name}/{item}" for item in store.items], n_weeks),
            "week": pa.array(np.tile(weeks, n_items).astype("datetime64[D]")),
            "price": pa.array(price),
        }
    )
    return table.filter(pa.array(np.isfinite(price)))


def _repeat(values: list[str], times: int) -> pa.Array:
    codes = pa.array(np.repeat(np.arange(len(values), dtype=np.int32), times))
    return pa.DictionaryArray.from_arrays(codes, pa.array(values)).cast(pa.string())


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=1_000_000, compression="zstd")
