"""The same 18 history features by our kernels and by pandas group-by-rolling, on the same rows of real sales.

Run by :mod:`benchmarks.scale`; alone: ``python -m benchmarks.features --data DIR``.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.trees import panel_of
from perennial.config.forecast import Forecast
from perennial.features import Panel, Rows, design
from perennial.features.design import QUIET, history_names
from perennial.features.kernels import OLD
from perennial.features.panel import Floats

SETTINGS = Forecast()
F = SETTINGS.features


def compare(data: Path | None, threads: int = 2, repeats: int = 2) -> dict[str, float]:
    """Return rows per second over a whole store, after asserting that the features are equal.

    Pandas uses one thread whatever it is given; ours are measured with one and with ``threads``.
    """
    panel = panel_of(data)
    rows = _every_day(panel)
    frame = _frame(panel, rows)
    names = history_names(SETTINGS)

    def ours(threads: int) -> Floats:
        return design(panel, rows, settings=SETTINGS, features=names, categories={}, threads=threads)

    theirs = pandas_features(frame)[list(names)].to_numpy(np.float32)
    np.testing.assert_allclose(ours(1), theirs, rtol=1e-3, atol=1e-3)
    contenders: dict[str, Callable[[], Any]] = {
        "pandas": lambda: pandas_features(frame),
        "one_thread": lambda: ours(1),
        "threads": lambda: ours(threads),
    }
    rounds = [{name: _timed(work) for name, work in contenders.items()} for _ in range(repeats)]
    best = {name: median(took[name] for took in rounds) for name in contenders}
    return {
        "rows": len(rows),
        **{f"{name}_rows_per_s": round(len(rows) / took) for name, took in best.items()},
        "ratio_one_thread": round(best["pandas"] / best["one_thread"], 1),
        "ratio": round(best["pandas"] / best["threads"], 1),
    }


def pandas_features(frame: pd.DataFrame) -> pd.DataFrame:
    """The features as one would write them with pandas: one group-by a family, no Python loop over series.

    Args:
        frame: ``entity``, ``column``, ``y``, ``weekday``; sorted by entity and day, from the first sale on.
    """
    y = frame.groupby("entity", sort=False)["y"]
    out: dict[str, Any] = {f"lag_{k}": y.shift(k) for k in F.lags}
    for window in F.windows:
        out[f"mean_{window}"] = y.rolling(window, min_periods=1).mean().to_numpy()
    for window in F.spreads:
        out[f"std_{window}"] = y.rolling(window, min_periods=1).std(ddof=0).to_numpy()
    zero = frame.assign(zero=frame["y"] == 0).groupby("entity", sort=False)["zero"]
    for window in QUIET:
        out[f"zero_share_{window}"] = zero.rolling(window, min_periods=1).mean().to_numpy()
    sold = frame["column"].where(frame["y"] > 0).groupby(frame["entity"], sort=False).ffill()
    out["days_since_sale"] = frame["column"] - sold
    out["age"] = (y.cumcount() + 1).clip(upper=OLD)
    by_weekday = frame.groupby(["entity", "weekday"], sort=False)["y"]
    for weeks in F.weekday_means:
        mean = by_weekday.rolling(weeks, min_periods=1).mean().droplevel([0, 1]).reindex(frame.index)
        out[f"weekday_mean_{weeks}"] = mean.groupby(frame["entity"], sort=False).shift(6)
    return pd.DataFrame(out)


def _every_day(panel: Panel) -> Rows:
    """Rows for the next day, standing on every day from the first sale on, of every series."""
    days = panel.n_days - 1
    entity = np.repeat(np.arange(panel.n_entities, dtype=np.int32), days)
    origin = np.tile(np.arange(days, dtype=np.int32), panel.n_entities)
    started = origin >= panel.begin[entity]
    entity, origin = entity[started], origin[started]
    return Rows(entity=entity, origin=origin, horizon=np.ones(len(entity), np.int32))


def _frame(panel: Panel, rows: Rows) -> pd.DataFrame:
    columns = {"entity": rows.entity, "column": rows.origin, "y": panel.y[rows.entity, rows.origin].astype(float)}
    return pd.DataFrame(columns | {"weekday": rows.origin % 7})


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with M5's sales_CA_1_wide.parquet")
    print(json.dumps(compare(parser.parse_args().data)))


if __name__ == "__main__":
    main()
