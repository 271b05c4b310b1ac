"""A small shop with known demand: 30 products, 140 days, a project folder around it."""

import shutil
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
FIRST_DAY = date(2024, 1, 1)
DAYS = 154
AS_OF = FIRST_DAY + timedelta(days=139)
LATER = AS_OF + timedelta(days=7)

PIPELINE = """
pipeline: shop
kind: forecast
data:
  source: {type: files, path: data/sales}
  columns: {entity: product, ds: day, y: units, extra: {category: category}}
guards: {min_rows: 100, min_entities: 1, max_null_rate: 0.0, max_quarantine_rate: 0.05, min_value: 0}
forecast:
  horizon: 7
  static: [category]
  features: {lags: [0, 6], windows: [7, 28], spreads: [28], weekday_means: [4]}
split: {holdout: 14, step: 7}
model: {params: {max_iter: 15, max_leaf_nodes: 7, min_samples_leaf: 20}, rows: 3000, history_days: 120, seed: 3}
evaluation: {slices: [category], horizons: [[1, 7]]}
gates:
  - {metric: wape, against: baseline, baseline: last_value, ratio: 1.0}
  - {metric: rmse, against: champion, ratio: 1.2}
"""
CHECKS = """
- {expect: column_values_to_not_be_null, column: entity}
- {expect: column_values_to_be_between, column: y, min_value: 0, max_value: 1000}
"""
# Orders by what the shop forecasts.
ORDERS = """
pipeline: orders
kind: replenish
data:
  source: {type: files, path: data/sales}
  columns: {entity: product, ds: day, y: units, extra: {category: category}}
known:
  plan:
    source: {type: predictions, pipeline: shop}
    columns: {entity: entity, ds: ds, available_at: available_at, extra: {y_hat: y_hat}}
guards: {min_rows: 100, min_entities: 1, max_null_rate: 0.0, min_value: 0}
replenish: {forecast: plan, lead_days: 2, pack: 6, order_cost: 0.2, choose_days: 28}
split: {holdout: 28, step: 28}
model: {params: {max_iter: 15, max_leaf_nodes: 7, min_samples_leaf: 20}, rows: 3000, history_days: 100, seed: 3}
gates:
  - {metric: unmet, against: bound, max: 0.9}
"""
LOCAL = "environment: local\nhome: .perennial\ndata_roots: [data]\nthreads: 1\nprefect: configured\n"


def sales(products: int = 30, days: int = DAYS, seed: int = 0) -> pd.DataFrame:
    """Return one row per product and day: weekly pattern, product level, Poisson noise."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 4.0, products)
    week = np.array([0.8, 0.8, 0.9, 1.0, 1.3, 1.6, 0.6])
    dates = [FIRST_DAY + timedelta(days=n) for n in range(days)]
    rate = level[:, None] * week[[d.weekday() for d in dates]][None, :]
    units = rng.poisson(rate).astype("int64")
    return pd.DataFrame(
        {
            "product": np.repeat([f"p{n:02}" for n in range(products)], days),
            "day": np.tile(np.array(dates, dtype="datetime64[D]"), products),
            "units": units.ravel(),
            "category": np.repeat([f"c{n % 3}" for n in range(products)], days),
        }
    )


def write_sales(root: Path, table: pd.DataFrame, name: str = "sales.parquet") -> Path:
    """Write a table where the shop's pipeline looks for it."""
    path = root / "data" / "sales" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    out = table.assign(day=pd.to_datetime(table["day"]).dt.date) if "day" in table else table
    out.to_parquet(path, index=False)
    return path


def write_project(root: Path, pipeline: str = PIPELINE, environment: str = LOCAL, name: str = "shop") -> Path:
    """Write configuration for one pipeline below ``root``; data is written apart."""
    (root / "configs" / "environments").mkdir(parents=True, exist_ok=True)
    (root / "configs" / f"{name}.yaml").write_text(pipeline)
    (root / "configs" / f"{name}.checks.yaml").write_text(CHECKS)
    (root / "configs" / "environments" / "local.yaml").write_text(environment)
    shutil.copy(ROOT / "configs" / "environments" / "production.yaml", root / "configs" / "environments")
    return root


def aliases(root: Path) -> dict[str, int]:
    """Return MLflow's aliases from its file, for a client would go on reading one that was put back meanwhile."""
    with closing(sqlite3.connect(root / ".perennial" / "mlflow.db")) as database:
        return dict(database.execute("SELECT alias, version FROM registered_model_aliases WHERE name = 'shop'"))


def project(root: Path) -> Path:
    """Write the shop with its sales."""
    write_sales(root, sales())
    return write_project(root)
