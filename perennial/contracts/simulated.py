"""What a simulator wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """The files of one simulated world.

    Attributes:
        name: Name of the simulator.
        files: Paths of what was written, in order.
        rows: Rows of the main table.
        first: First business date.
        last: Last business date.
        truth: What is known of this world and of no real one, in numbers, for example positives by cause.
    """

    name: str
    files: tuple[str, ...]
    rows: int
    first: date
    last: date
    truth: Mapping[str, float]
