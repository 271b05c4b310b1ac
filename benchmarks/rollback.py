"""How long does a rollback take while Prefect and MLflow are down? ``python -m benchmarks.rollback``.

The whole command, from the start of the interpreter to its end, on a ledger with two champions: version 2 to 1, then
1 to 2, and so on. MLflow is an address where nothing listens, and so is Prefect. Prints one JSON line last: the
median, the least and the largest wall seconds, and the median CPU seconds, of ``--runs`` commands.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from perennial.context import Workspace
from perennial.contracts import Decision, Verdict

ROOT = Path(__file__).resolve().parent.parent
NOWHERE = "http://127.0.0.1:9"
DAY = date(2011, 11, 1)
ENVIRONMENT = f"environment: local\nhome: .perennial\ntracking: {NOWHERE}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="commands that are timed, after one that is not")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        root = _project(Path(folder))
        took = [_rollback(root, to=1 + n % 2) for n in range(runs + 1)][1:]
    wall, cpu = zip(*took, strict=True)
    figures = {
        "runs": runs,
        "median_s": statistics.median(wall),
        "least_s": min(wall),
        "largest_s": max(wall),
        "median_cpu_s": statistics.median(cpu),
    }
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


def _project(root: Path) -> Path:
    """Write a project whose ledger has two champions."""
    (root / "configs" / "environments").mkdir(parents=True)
    (root / "configs" / "environments" / "local.yaml").write_text(ENVIRONMENT)
    place = Workspace.open(root=root)
    verdict = Verdict(
        gate="wape vs bound",
        metric="wape",
        against="bound",
        key="",
        value=0.3,
        bound=0.5,
        passed=True,
        reason="0.300 <= 0.500",
    )
    with place.ledger.hold("demand", locks=place.home / "locks") as lease:
        for n in (1, 2):
            version = place.ledger.record_training(
                lease, model="demand", run_key=f"k{n}", digest=f"d{n}", snapshot_id="s", as_of=DAY
            )
            place.ledger.commit_decision(lease, version, Decision(verdicts=(verdict,)), as_of=DAY, actor="benchmark")
    return root


def _rollback(root: Path, to: int) -> tuple[float, float]:
    """Return wall and CPU seconds of one command."""
    command = [sys.executable, "-m", "flows.cli", "rollback", "demand", "--to", str(to), "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": f"{NOWHERE}/api"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installation is compiled
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
