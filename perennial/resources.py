"""How many cores a fit may take: two spinning threads on two busy cores are slower than one."""

import os
import time
from pathlib import Path
from statistics import median

_SAMPLES, _PAUSE_S = 5, 0.01
_RUNNABLE = Path("/proc/loadavg")


def spin_briefly() -> None:
    """Make OpenMP's threads give up a core soon while they wait; call it before anything loads libgomp.

    By default they spin for milliseconds, which starves whoever else needs the core: a two-thread fit took 17.8 s
    beside one busy process, and 11.3 s with this. On idle cores it costs nothing; ``OMP_WAIT_POLICY=passive``
    would (5.2 s against 1.9 s). Measured by ``make bench-spin``.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def free_threads(wanted: int = 0) -> int:
    """Return the number of threads to use.

    Args:
        wanted: A number from the configuration; 0 takes the cores that other work leaves free just now.

    Returns:
        At least 1, at most the cores this process may run on.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if wanted:
        return min(wanted, allowed)
    return max(1, min(allowed, allowed - _others_running()))


def _others_running() -> int:
    """Return how many other threads want a core right now; the load average would count our own past work."""
    if not _RUNNABLE.exists():  # not Linux
        return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    seen = []
    for _ in range(_SAMPLES):
        seen.append(int(_RUNNABLE.read_text().split()[3].partition("/")[0]) - 1)
        time.sleep(_PAUSE_S)
    return max(0, round(median(seen)))
