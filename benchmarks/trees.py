"""Rate of compiled tree inference against the estimators' own: ``python -m benchmarks.trees [--data DIR]``.

With ``--data`` the rows are those of M5's store CA_1, without it a made-up panel of the same shape. Every
contender predicts the same rows in turn (A B A B); medians are reported, and predictions must be equal.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from perennial.config.forecast import Forecast
from perennial.features import Labels, Panel, Rows, design, feature_names
from perennial.features.panel import Floats, grid
from perennial.models.trees import compile_forest

HORIZON = 28
SETTINGS = Forecast(static=("dept", "category"))
MODELS = {"60 x 63": (60, 63), "120 x 127": (120, 127)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Rows to fit on and rows to predict."""

    X: Floats
    y: Floats
    rows: Floats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with M5's sales_CA_1_wide.parquet")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    task = _task(panel_of(args.data))
    print(f"{len(task.rows):,} rows x {task.rows.shape[1]} features, {args.repeats} rounds\n")
    print(f"{'trees x leaves':16}{'threads':>8}{'estimator':>14}{'own rows/s':>14}{'compiled':>14}{'ratio':>8}")
    figures = [line for shape in MODELS for line in _compare(task, shape, args.repeats)]
    print(json.dumps({"rows": len(task.rows), "first_call_s": _first_call(), "figures": figures}))


def panel_of(data: Path | None) -> Panel:
    """Return the panel of M5's store CA_1, or a made-up one of the same shape."""
    if data is None:
        rng = np.random.default_rng(0)
        level = rng.gamma(0.6, 1.5, (3_049, 1)) * (1 + 0.3 * np.sin(np.arange(1_941) * 2 * np.pi / 7))
        y, groups = rng.poisson(level).astype(np.float32), rng.integers(0, 7, 3_049)
        return _dense(y, [str(g) for g in groups], [str(g // 3) for g in groups])
    import pandas as pd

    sales = pd.read_parquet(data / "sales_CA_1_wide.parquet")
    y = sales.filter(regex=r"^d_\d+$").to_numpy(np.float32)
    return _dense(y, list(sales["dept_id"]), list(sales["cat_id"]))


def _dense(y: Floats, dept: list[str], category: list[str]) -> Panel:
    begin = (y > 0).argmax(axis=1).astype(np.int32)
    return Panel(
        entities=np.array([f"item{i:05}" for i in range(len(y))]),
        first_day=15_003,
        y=y,
        first=np.zeros(len(y), np.int32),
        begin=begin,
        open=np.ones(y.shape[1] + HORIZON, np.bool_),
        static={"dept": _labels(dept), "category": _labels(category)},
        observed={},
        known={},
    )


def _labels(values: list[str]) -> Labels:
    names, codes = np.unique(values, return_inverse=True)
    return Labels(codes=codes.astype(np.int32), names=tuple(names.tolist()))


def _task(panel: Panel) -> Task:
    """Fit on 300,000 random rows of 500 days; predict all horizons of all entities from five origins."""
    rng = np.random.default_rng(1)
    target = rng.integers(panel.n_days - 640, panel.n_days - 140, 300_000).astype(np.int32)
    entity = np.sort(rng.integers(0, panel.n_entities, len(target))).astype(np.int32)
    horizon = rng.integers(1, HORIZON + 1, len(target)).astype(np.int32)
    everyone = np.arange(panel.n_entities, dtype=np.int32)
    origins = [panel.n_days - 1 - HORIZON * back for back in range(1, 6)]
    blocks = [grid(everyone, o, np.arange(o + 1, o + 1 + HORIZON, dtype=np.int32)) for o in origins]
    return Task(
        X=_design(panel, Rows(entity=entity, origin=target - horizon, horizon=horizon)),
        y=panel.y[entity, target],
        rows=np.concatenate([_design(panel, block) for block in blocks]),
    )


def _design(panel: Panel, rows: Rows) -> Floats:
    names = feature_names(SETTINGS, panel)
    categories = {name: labels.names for name, labels in panel.static.items()}
    return design(panel, rows, settings=SETTINGS, features=names, categories=categories)


def _compare(task: Task, shape: str, repeats: int) -> list[dict[str, Any]]:
    trees, leaves = MODELS[shape]
    lines = []
    for name, fit in {"scikit-learn": _boosting, "lightgbm": _lightgbm}.items():
        model, own = fit(task, trees, leaves)
        forest = compile_forest([model])
        for threads in (1, 2):
            with threadpool_limits(threads):
                rates = _race(
                    {
                        "own": lambda threads=threads, own=own: own(task.rows, threads),
                        "compiled": lambda threads=threads, f=forest: f.raw(task.rows, threads, HORIZON),
                    },
                    repeats,
                )
            line = {"shape": shape, "estimator": name, "threads": threads} | {
                k: round(len(task.rows) / seconds) for k, seconds in rates.items()
            }
            ratio = line["compiled"] / line["own"]
            print(f"{shape:16}{threads:>8}{name:>14}{line['own']:>14,}{line['compiled']:>14,}{ratio:>8.1f}")
            lines.append(line | {"ratio": round(ratio, 2)})
    return lines


def _boosting(task: Task, trees: int, leaves: int) -> tuple[Any, Callable[..., npt.NDArray[np.float64]]]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    model = HistGradientBoostingRegressor(
        loss="poisson", max_iter=trees, max_leaf_nodes=leaves, min_samples_leaf=50, random_state=0
    ).fit(task.X, task.y)
    return model, lambda X, threads: model._raw_predict(X, n_threads=threads).ravel()


def _lightgbm(task: Task, trees: int, leaves: int) -> tuple[Any, Callable[..., npt.NDArray[np.float64]]]:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(
        objective="poisson", n_estimators=trees, num_leaves=leaves, min_child_samples=50, n_jobs=2, verbosity=-1
    ).fit(task.X, task.y)
    return model, lambda X, threads: model.booster_.predict(X, raw_score=True, num_threads=threads)


def _race(contenders: dict[str, Callable[[], npt.NDArray[np.float64]]], repeats: int) -> dict[str, float]:
    """Return median seconds, after one round that warms up and compares the answers."""
    first, second = (run() for run in contenders.values())
    np.testing.assert_array_equal(first, second)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


FIRST_CALL = """
import time
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
X = np.zeros((100, 1), np.float32, order="F")
model = HistGradientBoostingRegressor(max_iter=1).fit(X, np.arange(100))
start = time.perf_counter()
from perennial.models.trees import compile_forest
imported = time.perf_counter()
compile_forest([model]).raw(X)
print(round(imported - start, 2), round(time.perf_counter() - imported, 2))
"""


def _first_call() -> dict[str, float]:
    """Return the seconds of import and first call in a new process, without and with a compilation cache."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as cache:
        for state in ("cold", "cached"):
            done = subprocess.run(
                [sys.executable, "-c", FIRST_CALL],
                env=os.environ | {"NUMBA_CACHE_DIR": cache},
                check=True,
                capture_output=True,
                text=True,
            )
            importing, calling = map(float, done.stdout.split())
            found |= {f"{state}_import": importing, f"{state}_call": calling}
    return found


if __name__ == "__main__":
    main()
