"""A small world of card fraud: 150 customers, 45 days, a project folder around it."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.simulate.fraud import World, write
from tests import shop

WORLD = World(customers=150, terminals=400, days=60, first=date(2025, 1, 1), taken_over=0.6, leaked=0.5)
AS_OF = date(2025, 2, 24)

PIPELINE = """
pipeline: cards
kind: classify
data:
  source: {type: files, path: data/sales}
  columns:
    entity: transaction
    ds: date
    y: fraud
    extra: {customer: customer, terminal: terminal, amount: amount, second: second}
guards: {min_rows: 100, min_entities: 1, max_null_rate: 1.0, min_coverage: 0.3, max_value: 1}
classify:
  label_delay_days: 5
  time: second
  unit: customer
  top: 5
  drop_known: true
  features:
    numbers: [amount]
    calendar: [night]
    units:
      - {column: customer, counts: true, usual: [amount]}
      - {column: terminal, rates: true, past: true}
  costs: {false_positive: 10, amount: amount}
split: {holdout: 10, step: 5}
model: {estimator: hist_gradient_boosting, params: {max_iter: 20}, rows: 5000, history_days: 60, seed: 3}
gates:
  - {metric: average_precision_error, against: baseline, ratio: 1.0}
  - {metric: alert_volume, against: bound, max: 30}
  - {metric: average_precision_error, against: champion, ratio: 1.3}
monitor: {min_rows: 20, min_ratio: 1.5}
"""
CHECKS = "- {expect: column_values_to_be_in_set, column: y, value_set: [0, 1]}\n"


def project(root: Path, until: date | None = None) -> Path:
    """Write the pipeline and its transactions up to a day (default: all), as one file."""
    write(root / "world", 5, WORLD)
    table = pq.read_table(root / "world" / "transactions")
    if until:
        table = table.filter(pc.less_equal(table["date"], pa.scalar(until, pa.date32())))
    path = root / "data" / "sales" / "transactions.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    shop.write_project(root, PIPELINE, name="cards")
    (root / "configs" / "cards.checks.yaml").write_text(CHECKS)
    return root


def canonical(root: Path) -> pa.Table:
    """Return the transactions with the names that landed rows have."""
    table = pq.read_table(root / "data" / "sales" / "transactions.parquet")
    stamp = table["date"].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "entity": table["transaction"],
            "ds": table["date"],
            "y": table["fraud"],
            "available_at": stamp,
            **{name: table[name] for name in ("customer", "terminal", "amount")},
            "second": table["second"].cast(pa.float64()),
        }
    )
