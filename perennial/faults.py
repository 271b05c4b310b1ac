"""Planted failure points: no-ops unless the environment names one.

``PERENNIAL_FAULT=name:kill|raise|stop|sleep[:nth]`` makes the nth passage of ``name`` (first is 1) fail;
``PERENNIAL_FAULT_TRACE=file`` appends every name passed, so that a sweep enumerates the points itself.
"""

import os
import signal
import time
from collections import Counter
from pathlib import Path

_passed: Counter[str] = Counter()


class PlantedFault(RuntimeError):
    """Raised by a point that was asked to ``raise``."""


def fault_point(name: str) -> None:
    """Mark a place between two effects; fail here when the environment says so."""
    trace = os.environ.get("PERENNIAL_FAULT_TRACE")
    if trace:
        with Path(trace).open("a", encoding="utf-8") as file:
            file.write(name + "\n")
    spec = os.environ.get("PERENNIAL_FAULT")
    if not spec:
        return
    wanted, action, nth = [*spec.split(":"), "1"][:3]
    if wanted != name:
        return
    _passed[name] += 1
    if _passed[name] == int(nth):
        _fail(name, action)


def _fail(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "sleep":
        time.sleep(3600)
    else:
        raise PlantedFault(name)
