"""What the system costs beside the bare work, on 3 million rows: ``python -m benchmarks.overhead``.

Bare: the library's functions in a row (land, read, panel, fit, evaluate), with no Prefect, Great Expectations,
MLflow or ledger. Flow: ``retrain`` as the command runs it, on a workspace whose databases exist, as on every day
but the first. Both land the same new rows into an empty table. They alternate in one process after a warm-up of
each, so that imports and compilation are paid before the clock starts; the medians are compared.
"""

import argparse
import json
import os
import statistics
import string
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
AS_OF = date(2011, 11, 11)
ROWS = 3_000_000
CHECKS = ROOT / "configs" / "demand.checks.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perennial-overhead-") as scratch:
        os.chdir(scratch)
        print(json.dumps(compare(Path(scratch), args.rows, args.rounds)))


def compare(root: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Prepare a project below ``root`` and time both ways in turn."""
    from flows import server
    from perennial.context import Workspace

    written = _write_sales(root, rows)
    for number in range(rounds + 1):
        _write_pipeline(root, number)
    _write_environment(root)
    workspace = Workspace.open(root=root)
    server.connect(workspace.home, configured=False)
    try:
        _bare(root, 0), _flow(0)  # imports, compilation, empty databases
        timed = [(_bare(root, n), _flow(n)) for n in range(1, rounds + 1)]
    finally:
        server.stop(workspace.home)
    bare, flow = (statistics.median(column) for column in zip(*((b, f[0]) for b, f in timed), strict=True))
    return {
        "rows": written,
        "bare_s": round(bare, 2),
        "flow_s": round(flow, 2),
        "ratio": round(flow / bare, 3),
        "rounds": [[round(b, 2), round(f[0], 2)] for b, f in timed],
        "stages": {name: round(took, 2) for name, took in timed[-1][1][1].items()},
    }


def _flow(number: int) -> tuple[float, dict[str, float]]:
    from flows import server
    from flows.retrain import retrain

    with server.leaving_at_once():
        start = time.perf_counter()
        record = retrain(f"sales{number}", AS_OF)
        return time.perf_counter() - start, dict(record.seconds)


def _bare(root: Path, number: int) -> float:
    """Land, read, fit and evaluate with plain functions; a lake of its own that is thrown away."""
    from perennial.config.files import load_environment, load_pipeline
    from perennial.kinds import kind
    from perennial.lake.tables import Lake
    from perennial.landing.land import land, pin, read_pin
    from perennial.resources import free_threads

    cfg = load_pipeline(root / "configs" / f"sales{number}.yaml").config
    env = load_environment(None, root)
    problem = kind(cfg.kind)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        lake = Lake(f"{folder}/lake")
        start = time.perf_counter()
        landing = land(
            cfg.data,
            cfg.pipeline,
            main=True,
            pipeline=cfg.pipeline,
            as_of=AS_OF,
            earlier=(),
            lake=lake,
            env=env,
            guards=cfg.guards,
            base=root,
            scratch=Path(folder),
        )
        snapshot = pin(cfg.pipeline, AS_OF, (landing,), {})
        threads = free_threads(cfg.model.threads or env.threads)
        data = problem.load(cfg, snapshot, lambda table: read_pin(lake, table, (landing,), snapshot.cutoff, main=True))
        split = problem.split(data, cfg)
        fitted = problem.train(data, split, cfg, champion=None, threads=threads)
        problem.evaluate(data, split, cfg, {"candidate": fitted.model}, threads=threads)
        return time.perf_counter() - start


def _write_sales(root: Path, rows: int) -> int:
    """Tile the bundled sales to about ``rows`` rows as of the date: more products, perturbed units."""
    sales = pd.read_parquet(ROOT / "data" / "online_retail_ii" / "daily_sales.parquet")
    sales = sales[pd.to_datetime(sales["date"]) <= pd.Timestamp(AS_OF)]
    rng = np.random.default_rng(0)
    parts = []
    for letter in string.ascii_uppercase[: max(1, round(rows / len(sales)))]:
        units = np.maximum(1, np.rint(sales["units"] * rng.lognormal(0.0, 0.2, len(sales)))).astype("int32")
        product = sales["product"].astype(str) + letter
        parts.append(sales.assign(product=product, range=sales["range"].astype(str), units=units))
    table = pd.concat(parts).sort_values(["date", "product"], kind="stable")
    (root / "data").mkdir()
    table.to_parquet(root / "data" / "sales.parquet", index=False, row_group_size=100_000)
    return len(table)


def _write_pipeline(root: Path, number: int) -> None:
    """Write the demand pipeline under another name, so that every round lands and trains anew."""
    configs = root / "configs"
    configs.mkdir(exist_ok=True)
    text = (ROOT / "configs" / "demand.yaml").read_text()
    text = text.replace("pipeline: demand", f"pipeline: sales{number}")
    text = text.replace("data/online_retail_ii/daily_sales.parquet", "data/sales.parquet")
    (configs / f"sales{number}.yaml").write_text(text)
    (configs / f"sales{number}.checks.yaml").write_text(CHECKS.read_text())


def _write_environment(root: Path) -> None:
    folder = root / "configs" / "environments"
    folder.mkdir(parents=True)
    (folder / "local.yaml").write_text("environment: local\nhome: .perennial\ndata_roots: [data]\nthreads: 2\n")


if __name__ == "__main__":
    main()
