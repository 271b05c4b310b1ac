"""M5 accuracy of one store: run the real flows as of d_1913 and score d_1914..d_1941.

Usage: ``python -m benchmarks.m5 --data ../shared/data/m5 --store CA_1`` (or ``make bench-m5``). A workspace is
made in a temporary folder from ``configs/m5.yaml``; the days to be forecast never enter it. The last line is
JSON: WRMSSE by level of the published forecast, the weekday mean of 8 weeks and team 46, seconds and memory.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
LAST, HORIZON = 1913, 28
LEVELS: Mapping[str, str | None] = {"L3": None, "L8": "cat_id", "L9": "dept_id", "L12": "item_id"}
"""WRMSSE levels within one store, and the column whose values are summed to a series."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One store as the files give it.

    Attributes:
        items: One row per product: item_id, dept_id, cat_id and id.
        units: Daily sales d_1..d_1941, shape (n_items, 1941).
        prices: Weekly prices: item_id, wm_yr_wk, sell_price.
        calendar: One row per day from d_1 to d_1969.
    """

    name: str
    items: pd.DataFrame
    units: Matrix
    prices: pd.DataFrame
    calendar: pd.DataFrame


def read_store(data: Path, name: str) -> Store:
    """Read the three files of a store."""
    wide = pd.read_parquet(data / f"sales_{name}_wide.parquet")
    prices = pd.read_parquet(data / f"sell_prices_{name}.parquet")
    return Store(
        name=name,
        items=wide[["id", "item_id", "dept_id", "cat_id"]].astype(str),
        units=wide[[f"d_{d}" for d in range(1, LAST + HORIZON + 1)]].to_numpy(np.float64),
        prices=prices.assign(item_id=prices["item_id"].astype(str)),
        calendar=pd.read_parquet(data / "calendar.parquet"),
    )


def tables(store: Store, last: int = LAST) -> dict[str, pd.DataFrame]:
    """Return sales (since the first price, to day ``last``), prices by week and events by day."""
    calendar = store.calendar.assign(date=store.calendar["date"].dt.date)
    week = calendar.groupby("wm_yr_wk")["date"].min()
    start = store.prices.groupby("item_id")["wm_yr_wk"].min().map(week)
    date = calendar["date"].to_numpy()[:last]
    day, item = np.nonzero(date[:, None] >= store.items["item_id"].map(start).to_numpy())
    names = store.items.astype("category")
    sales = pd.DataFrame(
        {
            "date": date[day],
            "item": names["item_id"].array[item],
            "department": names["dept_id"].array[item],
            "category": names["cat_id"].array[item],
            "units": store.units.T[day, item].astype(np.int32),
        }
    )
    prices = store.prices.assign(date=store.prices["wm_yr_wk"].map(week)).rename(
        columns={"item_id": "item", "sell_price": "price"}
    )
    events = calendar.rename(columns={f"snap_{store.name[:2]}": "snap", "event_type_1": "event_type"})
    return {
        "sales": sales,
        "prices": prices[["date", "item", "price"]].sort_values(["date", "item"]),
        "events": events[["date", "snap", "event_type"]],
    }


def workspace(store: Store, root: Path) -> None:
    """Lay out a project folder with the pipeline's configuration and data."""
    (root / "configs" / "environments").mkdir(parents=True)
    for name in ("m5.yaml", "m5.checks.yaml", "environments/local.yaml"):
        shutil.copy(ROOT / "configs" / name, root / "configs" / name)
    data = root / "data" / "m5"
    data.mkdir(parents=True)
    for name, frame in tables(store).items():
        frame.to_parquet(data / f"{name}.parquet", index=False)


def perennial(root: Path, *arguments: str) -> Any:
    """Run the command in a workspace and return its JSON answer; its log goes to standard error."""
    command = [sys.executable, "-m", "flows.cli", *arguments, "--json"]
    done = subprocess.run(
        command, cwd=root, env=_environment(), stdout=subprocess.PIPE, text=True, check=True, timeout=3600
    )
    return json.loads(done.stdout)


def published(root: Path, store: Store) -> Matrix:
    """Return the published forecast in the order of the store's items, shape (n_items, 28)."""
    found = pd.concat(
        pq.read_table(path, columns=["entity", "horizon", "y_hat"]).to_pandas()
        for path in sorted((root / ".perennial" / "lake").rglob("*.parquet"))
        if "predictions" in str(path.relative_to(root))
    )
    table = found.pivot(index="entity", columns="horizon", values="y_hat").reindex(store.items["item_id"])
    return table.fillna(0).to_numpy(np.float64)  # without a row: not on sale before the test window


def wrmsse(store: Store, forecast: Matrix, last: int = LAST) -> dict[str, float]:
    """Return WRMSSE by level of a forecast of the 28 days after day ``last``, lower is better.

    Per series sqrt(mean squared error over the horizon / mean squared day-to-day change since the first
    sale), weighted by its share of dollar sales in the last 28 days; series are summed to the level first.

    Source: Makridakis et al. 2022, The M5 competition, equations 1 and 2.
    """
    history, actual = store.units[:, :last], store.units[:, last : last + HORIZON]
    revenue = (history[:, -HORIZON:] * _daily_prices(store, last)).sum(axis=1)
    out = {}
    for level, column in LEVELS.items():
        keys = np.zeros(len(history), int) if column is None else pd.factorize(store.items[column])[0]
        sums = {name: _sum(values, keys) for name, values in (("past", history), ("error", forecast - actual))}
        begin = np.argmax(sums["past"] > 0, axis=1)
        counted = np.arange(1, last) > begin[:, None]
        scale = (np.diff(sums["past"]) ** 2 * counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        weight = np.bincount(keys, revenue) / revenue.sum()
        rmsse = np.sqrt((sums["error"] ** 2).mean(axis=1) / np.where(scale > 0, scale, np.inf))
        out[level] = round(float((weight * rmsse).sum()), 4)
    return out


def weekday_mean(store: Store, last: int = LAST) -> Matrix:
    """Return the mean of the same weekday over the 8 weeks to day ``last``, shape (n_items, 28)."""
    weeks = store.units[:, last - 56 : last].reshape(len(store.units), 8, 7).mean(axis=1)
    return np.tile(weeks, 4)


def team46(data: Path, store: Store) -> Matrix:
    """Return the forecast of the team ranked 46th, shape (n_items, 28)."""
    table = pd.read_parquet(data / f"team46_forecast_{store.name}_d1914_d1941.parquet").set_index("id")
    return table.loc[store.items["id"]].to_numpy(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the M5 files")
    parser.add_argument("--store", default="CA_1", help="one of the ten stores")
    options = parser.parse_args()
    store = read_store(options.data, options.store)
    with tempfile.TemporaryDirectory(prefix="perennial-m5-") as folder:
        root = Path(folder)
        workspace(store, root)
        began = time.perf_counter()
        try:
            run = perennial(root, "run", "m5")
            if run["outcome"] != "promoted":
                raise SystemExit(f"the flow kept its model back, so there is no forecast to score: {run['summary']}")
            perennial(root, "score", "m5")
            total = time.perf_counter() - began
            forecast = published(root, store)
        finally:
            perennial(root, "down")
    figures = {
        "store": options.store,
        "wrmsse": wrmsse(store, forecast),
        "weekday_mean": wrmsse(store, weekday_mean(store)),
        "team46": wrmsse(store, team46(options.data, store)),
        "fit_s": round(run["seconds"]["train"], 2),
        "total_s": round(total, 2),
        "peak_gib": round(run["peak_mib"] / 1024, 2),
    }
    print(json.dumps(figures))


def _daily_prices(store: Store, last: int) -> Matrix:
    """Return the price of each item on the last 28 days of history, 0 where it was not on sale."""
    week = store.calendar["wm_yr_wk"].to_numpy()[last - HORIZON : last]
    table = store.prices.pivot(index="item_id", columns="wm_yr_wk", values="sell_price")
    return table.reindex(store.items["item_id"])[week].fillna(0).to_numpy(np.float64)


def _sum(values: Matrix, keys: npt.NDArray[np.integer]) -> Matrix:
    out = np.zeros((int(keys.max()) + 1, values.shape[1]))
    np.add.at(out, keys, values)
    return out


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
