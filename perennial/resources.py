"""How many cores a fit may take: two spinning threads on two busy cores are slower than one."""

import os


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
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return max(1, min(allowed, round(allowed - busy + 1)))
