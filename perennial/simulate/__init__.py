"""Worlds with a known truth: data for pipelines whose real data nobody may pass on. Each is one module with ``write``.

Equal seeds write equal bytes; what is written is never committed.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from perennial.contracts.simulated import Simulated
from perennial.errors import Refused

__all__ = ["SIMULATORS", "Simulated", "Simulator", "simulator"]

SIMULATORS = ("anomalies", "fraud", "health", "recommend")


class Simulator(Protocol):
    """One world: a module with this function."""

    def write(self, folder: Path, seed: int) -> Simulated:
        """Write its Parquet files below a folder, over those of the same name, and say what is in them."""


def simulator(name: str) -> Simulator:
    """Return the module of a simulator, imported when first asked for.

    Raises:
        Refused: There is no such simulator.
    """
    if name not in SIMULATORS:
        raise Refused(f"nothing called {name!r} can be simulated, only {', '.join(SIMULATORS)}: name one of these")
    return cast(Simulator, import_module(f"perennial.simulate.{name}"))
