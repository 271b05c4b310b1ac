"""Settings for M5 are chosen here: train and score on windows that end before the test days of benchmarks.m5.

Usage: ``python -m benchmarks.m5_windows --data ../shared/data/m5 [--store CA_1] [--model '{"rows": 800000}']``.
As of each origin the model of ``configs/m5.yaml`` (with ``--model`` laid over that section) is trained on targets
up to 28 days before, as it would be deployed, and forecasts the 28 days after. One line for each origin, then
JSON with the means.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.m5 import HORIZON, LAST, ROOT, Matrix, Store, read_store, tables, weekday_mean, wrmsse
from perennial.clock import cutoff
from perennial.config.files import load_pipeline
from perennial.config.models import Pipeline
from perennial.contracts import Snapshot, TablePin
from perennial.kinds import kind

ORIGINS = (1745, 1801, 1857, 1885)
"""Last days of history; the window after the last one ends on the day before the test window."""
NAMES = {"item": "entity", "date": "ds", "units": "y"}


def candidate(store: Store, cfg: Pipeline, origin: int, threads: int) -> Matrix:
    """Train as of day ``origin`` and forecast, shape (n_items, 28)."""
    problem = kind(cfg.kind)
    frames = tables(store, origin)
    as_of = frames["sales"]["date"].max()
    names = {"m5": "sales", "m5.prices": "prices", "m5.events": "events"}
    pins = {table: TablePin(table=table, version=0, landings=()) for table in names}
    snapshot = Snapshot(
        snapshot_id=str(origin),
        pipeline="m5",
        as_of=as_of,
        cutoff=cutoff(as_of),
        main=pins["m5"],
        known={"prices": pins["m5.prices"], "events": pins["m5.events"]},
    )
    panel = problem.load(cfg, snapshot, _reader({table: frames[name] for table, name in names.items()}))
    split = problem.split(panel, cfg)
    model = problem.train(panel, split, cfg, champion=None, threads=threads).model
    rows = pa.Table.from_batches(problem.predict(panel, cfg, model, threads=threads)).to_pandas()
    table = rows.pivot(index="entity", columns="horizon", values="y_hat")
    return table.reindex(store.items["item_id"]).fillna(0).to_numpy(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the M5 files")
    parser.add_argument("--store", default="CA_1", help="one of the ten stores")
    parser.add_argument("--model", type=json.loads, default={}, help="JSON laid over the model section")
    parser.add_argument("--origins", type=int, nargs="+", default=ORIGINS, help="last days of history")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if max(options.origins) + HORIZON > LAST:
        parser.error(f"origins must be at most {LAST - HORIZON}: the days after {LAST} are the test window")
    store = read_store(options.data, options.store)
    cfg = load_pipeline(ROOT / "configs" / "m5.yaml").config
    cfg = cfg.model_copy(update={"model": type(cfg.model)(**{**dict(cfg.model), **options.model})})
    found = []
    for origin in options.origins:
        began = time.process_time()
        forecast = candidate(store, cfg, origin, options.threads)
        found.append({**wrmsse(store, forecast, origin), "cpu_s": round(time.process_time() - began, 1)})
        print(origin, found[-1], "weekday mean", wrmsse(store, weekday_mean(store, origin), origin), flush=True)
    print(json.dumps({"store": options.store, **pd.DataFrame(found).mean().round(4).to_dict()}))


def _reader(frames: dict[str, pd.DataFrame]) -> Callable[[TablePin], Iterator[pa.RecordBatch]]:
    """Return what reads a table as a snapshot would give it; every row was known when the panel begins."""
    known = pa.scalar(datetime(2011, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"))

    def read(pin: TablePin) -> Iterator[pa.RecordBatch]:
        table = pa.Table.from_pandas(frames[pin.table].rename(columns=NAMES), preserve_index=False)
        return iter(table.append_column("available_at", pa.repeat(known, len(table))).to_batches())

    return read


if __name__ == "__main__":
    main()
