"""The real flows at full M5 size and at a tenth of it: ``python -m benchmarks.scale --data DIR``.

One store is tiled to a chain of ten (:mod:`benchmarks.tiling`). For one store and for all of them a fresh
process retrains and scores through the flows of the command line, and reports seconds by stage and its peak
memory. Preparing the files, starting the Prefect server and imports are not counted. A second part compares
feature building with pandas (:mod:`benchmarks.features`).
"""

import argparse
import json
import logging
import math
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import features
from benchmarks.tiling import CHAIN, read_store, write_chain

ROOT = Path(__file__).resolve().parent.parent
AS_OF = date(2016, 5, 22)  # d_1941
PUBLISHING = ("predict", "publish")
PIPELINE = """
pipeline: chain
kind: forecast
description: Full M5, tiled from one store
timezone: America/Los_Angeles
data:
  source: {type: files, path: data/sales}
  columns: {entity: id, ds: date, y: units, extra: {store: store, dept: dept, category: category}}
known:
  prices:
    source: {type: files, path: data/prices}
    columns: {entity: id, ds: week, extra: {price: price}}
    delay_days: -28
    fill: forward
guards: {min_rows: 1000000, min_entities: 3000, max_missing_days: 0}
forecast:
  horizon: 28
  static: [store, dept, category]
  known: [price]
  features: {holidays: US}
model:
  params: {loss: poisson, max_iter: 100, max_leaf_nodes: 63, learning_rate: 0.1, min_samples_leaf: 50}
  rows: 500000
evaluation: {slices: [dept, volume], weight: revenue, price: price}
gates:
  - {metric: wape, against: bound, max: 5.0}  # what is measured is speed: the tiled chain is not a real one
"""
CHECKS = """
- expect: column_values_to_not_be_null
  column: y
- expect: column_values_to_be_between
  column: y
  min_value: 0
  max_value: 10000
- expect: column_values_to_be_in_set
  column: category
  value_set: [FOODS, HOBBIES, HOUSEHOLD]
  severity: warning
"""
ENVIRONMENT = "environment: local\nhome: .perennial\ndata_roots: [data]\nthreads: {threads}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of M5 tables")
    parser.add_argument("--store", default="CA_1")
    parser.add_argument("--stores", type=int, default=len(CHAIN), help="stores at full size; the small run has one")
    parser.add_argument("--threads", type=int, default=0, help="0: the cores that are free")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(run_flows()))
        return
    store = read_store(args.data, args.store)
    with tempfile.TemporaryDirectory(prefix="perennial-scale-") as scratch:
        runs = []
        for stores in (1, args.stores):
            folder = Path(scratch) / f"stores{stores}"
            rows = write_chain(store, folder / "data", stores)
            _write_project(folder, args.threads)
            runs.append(_in_new_process(folder) | {"rows": rows})
            print(json.dumps(runs[-1]), flush=True)
        print(json.dumps(_summary(*runs, features.compare(args.data))))


def run_flows() -> dict[str, Any]:
    """Retrain and score the project of the working folder; return seconds by stage, peak memory and rows."""
    from flows import server
    from perennial.context import Workspace, peak_mib

    workspace = Workspace.open()
    server.connect(workspace.home, configured=False)  # before Prefect is imported
    from flows.retrain import retrain
    from flows.score import score

    stages = Stopwatch()
    logging.getLogger("perennial.context").addHandler(stages)
    start, processor = time.perf_counter(), time.process_time()
    record = retrain("chain", AS_OF)
    trained, stages.prefix = time.perf_counter(), "score."
    publication = score("chain", AS_OF)
    done = time.perf_counter()
    return {
        "total_s": round(done - start, 2),
        "cpu_s": round(time.process_time() - processor, 2),
        "retrain_s": round(trained - start, 2),
        "score_s": round(done - trained, 2),
        "outcome": record.outcome,
        "published": publication.rows,
        "peak_gib": round(peak_mib() / 1024, 2),
        "stages": {name: round(seconds, 2) for name, seconds in stages.seconds.items()},
    }


class Stopwatch(logging.Handler):
    """Collects what every stage of a run took, from the records that a progress bar listens to."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        logging.getLogger("perennial.context").setLevel(logging.DEBUG)
        self.prefix = ""
        self.seconds: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note the end of a stage."""
        if getattr(record, "stage_event", "") == "end" and isinstance(record.args, tuple):
            name, took = record.args
            self.seconds[f"{self.prefix}{name}"] = float(str(took))


def _write_project(folder: Path, threads: int) -> None:
    environments = folder / "configs" / "environments"
    environments.mkdir(parents=True)
    (folder / "configs" / "chain.yaml").write_text(PIPELINE)
    (folder / "configs" / "chain.checks.yaml").write_text(CHECKS)
    (environments / "local.yaml").write_text(ENVIRONMENT.format(threads=threads))


def _in_new_process(folder: Path) -> dict[str, Any]:
    from flows import server

    command = [sys.executable, "-m", "benchmarks.scale", "--child", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    finally:
        server.stop(folder / ".perennial")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _summary(small: dict[str, Any], full: dict[str, Any], built: dict[str, float]) -> dict[str, Any]:
    publishing = sum(full["stages"].get(f"score.{name}", math.nan) for name in PUBLISHING)
    return {
        "rows": full["rows"],
        "total_s": full["total_s"],
        "cpu_s": full["cpu_s"],
        "peak_gib": full["peak_gib"],
        "exponent": _exponent(small, full, "total_s"),
        "exponent_cpu": _exponent(small, full, "cpu_s"),  # the same on a machine that is shared
        "features_vs_pandas": built["ratio"],
        "score_rows_per_s": round(full["published"] / publishing),
        "stages": full["stages"],
        "small": small,
        "features": built,
    }


def _exponent(small: dict[str, Any], full: dict[str, Any], figure: str) -> float:
    """Return how the figure grows with the rows: 1 is in proportion."""
    if full["rows"] == small["rows"]:
        return math.nan
    return round(math.log(full[figure] / small[figure]) / math.log(full["rows"] / small["rows"]), 3)


if __name__ == "__main__":
    main()
