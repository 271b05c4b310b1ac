"""How soon people are told that lists are no longer hit: the real command, real files, a real webhook.

Usage: ``python -m benchmarks.stream`` (or ``make bench-stream``). In a temporary workspace the simulated pipeline is
trained, published and measured; then ``perennial stream`` follows a folder into which a batch of choices is put every
ten seconds. Users choose from their lists as often as when the version was judged; after six batches they choose
anything. The last line is JSON: observations and batches from the change to the batch that proves it, seconds from
that batch's arrival to the webhook's call, false alarms before.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.m5 import ROOT, _environment, perennial

PIPELINE = "recommendations"
HEALTHY, MOST, USERS, CHOICES, EVERY_S = 6, 30, 40, 3, 10.0
"""Batches before the change; batches at most; users and choices of each in a batch; seconds between two batches."""


def workspace(root: Path, port: int) -> None:
    """Lay out a project with the simulated pipeline and one channel."""
    (root / "configs" / "environments").mkdir(parents=True)
    for name in (f"{PIPELINE}.yaml", f"{PIPELINE}.checks.yaml", "environments/local.yaml"):
        shutil.copy(ROOT / "configs" / name, root / "configs" / name)
    with (root / "configs" / "environments" / "local.yaml").open("a") as file:
        file.write(f"channels: {{bench: {{url: 'json://127.0.0.1:{port}/'}}}}\n")
    (root / "events").mkdir()


def listen(told: list[float]) -> ThreadingHTTPServer:
    """Serve a webhook that notes when it is called."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            told.append(time.time())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def lists(root: Path) -> dict[str, list[str]]:
    """Return the published lists by user."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / ".perennial" / "lake" / f"{PIPELINE}.predictions").glob("*.parquet")):
        rows = pq.read_table(path, columns=["user", "item"]).to_pylist()
        for row in rows:
            found.setdefault(row["user"], []).append(row["item"])
    return found


def put(root: Path, n: int, shown: dict[str, list[str]], rate: float, rng: np.random.Generator) -> float:
    """Let a batch arrive under its final name at once, and return when; what a user chose is on no list afterwards."""
    users = rng.choice(sorted(set(shown) - {""}), USERS, replace=False)
    everything = sorted({item for items in shown.values() for item in items})
    rows: list[tuple[str, str]] = []
    for user in users:
        for _ in range(CHOICES):
            item = str(rng.choice(shown[user] if shown[user] and rng.random() < rate else everything))
            rows.append((user, item))
            shown[user] = [one for one in shown[user] if one != item]
    table = pa.table({"user": [u for u, _ in rows], "item": [i for _, i in rows]})
    hidden = root / "events" / f".{n:03d}.parquet"
    pq.write_table(table, hidden)
    hidden.rename(root / "events" / f"{n:03d}.parquet")
    return time.time()


def rehearse(root: Path, told: list[float], usual: float) -> dict[str, Any]:
    """Let batches arrive until somebody is told, and return the figures."""
    rng, shown, arrived = np.random.default_rng(7), lists(root), []
    command = [sys.executable, "-m", "flows.cli", "stream", PIPELINE, "--events", "events", "--every", "5"]
    process = subprocess.Popen(command, cwd=root, env=_environment(), stdout=sys.stderr)
    try:
        for n in range(MOST):
            arrived.append(put(root, n, shown, usual if n < HEALTHY else 0.0, rng))
            began = time.time()
            while time.time() - began < EVERY_S and not told:
                time.sleep(0.05)
            if told:
                break
    finally:
        process.terminate()
        process.wait(30)
    if not told:
        raise SystemExit(f"nobody was told in {MOST} batches")
    return {
        "usual_hits_per_choice": round(usual, 3),
        "batches_before_the_change": HEALTHY,
        "false_alarms": int(len(arrived) <= HEALTHY),
        "batches_to_proof": len(arrived) - HEALTHY,
        "observations_to_proof": (len(arrived) - HEALTHY) * USERS,
        "seconds_from_batch_to_alert": round(told[0] - arrived[-1], 2),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    told: list[float] = []
    server = listen(told)
    with tempfile.TemporaryDirectory(prefix="perennial-stream-") as folder:
        root = Path(folder)
        workspace(root, server.server_port)
        try:
            perennial(root, "simulate", "recommend", "--seed", "7")
            perennial(root, "run", PIPELINE)
            perennial(root, "score", PIPELINE)
            measured = perennial(root, "monitor", PIPELINE)
            answer = rehearse(root, told, 1.0 - measured["expected"]["hit_error"])
        finally:
            perennial(root, "down")
            server.shutdown()
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
