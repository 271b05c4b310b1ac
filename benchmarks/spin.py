"""How OpenMP's waiting threads should behave, on idle cores and beside one busy process: ``python -m benchmarks.spin``.

The same small fit with two threads (and with one, for comparison) under different settings of libgomp, each in a
process of its own, once alone and once beside a process that keeps one core busy. Wall seconds, best of two.
"""

import json
import os
import subprocess
import sys
import time

SETTINGS = {
    "default": {},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY = "while True: pass"


def main() -> None:
    if "--fit" in sys.argv:
        print(min(fit(), fit()))
        return
    idle = {name: _timed(env) for name, env in SETTINGS.items()}
    neighbour = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        busy = {name: _timed(env) for name, env in SETTINGS.items()}
    finally:
        neighbour.kill()
        neighbour.wait()
    print(json.dumps({"idle_s": idle, "busy_s": busy}))


def fit() -> float:
    """Fit 60 trees of 63 leaves to 300,000 rows of 26 columns; return wall seconds."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(0)
    X = rng.normal(size=(300_000, 26)).astype(np.float32)
    y = rng.poisson(np.exp(X[:, 0] * 0.5 + X[:, 1] * 0.3))
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=60, max_leaf_nodes=63, early_stopping=False)
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def _timed(settings: dict[str, str]) -> float:
    command = [sys.executable, "-m", "benchmarks.spin", "--fit"]
    done = subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True)
    return round(float(done.stdout), 2)


if __name__ == "__main__":
    main()
