"""A few values that stand for a column of any length: its extremes, its distinct values, its mean.

Great Expectations' answer about the column is its answer about these values, so it never needs all rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa
import pyarrow.compute as pc

MAX_DISTINCT = 100_000
"""More distinct values than this are not collected: the expectation fails and says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """How a column is folded, chunk by chunk.

    Attributes:
        step: (what was kept, or ``None``; further values without nulls) -> what is kept.
        finish: What was kept -> the values that stand for the column.
    """

    step: Callable[[pa.Array | None, pa.ChunkedArray], pa.Array]
    finish: Callable[[pa.Array], pa.Array]


class Summary:
    """One column while it is being folded.

    Attributes:
        error: Why it cannot be folded, for example because text has no mean; ``""`` if it can.
    """

    def __init__(self, reduction: Reduction) -> None:
        self._reduction = reduction
        self._kept: pa.Array | None = None
        self.error = ""

    def add(self, column: pa.ChunkedArray) -> None:
        """Fold further values in; nulls and NaN are left out."""
        try:
            if not self.error:
                self._kept = self._reduction.step(self._kept, _present(column))
        except (pa.ArrowException, ValueError) as error:
            self.error = str(error).splitlines()[0]

    def values(self) -> pa.Array | None:
        """Return the values that stand for the column; ``None`` if it had no value or cannot be folded."""
        if self.error or self._kept is None or not self._kept[0].is_valid:
            return None
        return self._reduction.finish(self._kept)


def _present(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return column.filter(pc.invert(pc.is_nan(column)))
    return column.drop_null()


def _extremes(kept: pa.Array | None, column: pa.ChunkedArray) -> pa.Array:
    found = pc.min_max(_joined(kept, column))
    return pa.array([found["min"].as_py(), found["max"].as_py()], column.type)


def _distinct(kept: pa.Array | None, column: pa.ChunkedArray) -> pa.Array:
    values = pc.unique(_joined(kept, column))
    if len(values) > MAX_DISTINCT:
        raise ValueError(f"more than {MAX_DISTINCT:,} distinct values")
    return values if len(values) else pa.array([None], column.type)


def _sum_and_count(kept: pa.Array | None, column: pa.ChunkedArray) -> pa.Array:
    total = pc.sum(column.cast(pa.float64())).as_py()
    before = [0.0, 0.0] if kept is None else kept.to_pylist()
    return pa.array([before[0] + (total or 0.0), before[1] + len(column)])


def _mean(kept: pa.Array) -> pa.Array:
    total, count = kept.to_pylist()
    return pa.array([total / count] if count else [])


def _joined(kept: pa.Array | None, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column if kept is None else pa.chunked_array([kept.drop_null(), *column.chunks], column.type)


def _as_kept(kept: pa.Array) -> pa.Array:
    return kept


REDUCTIONS: Mapping[str, Reduction] = MappingProxyType(
    {
        "extremes": Reduction(step=_extremes, finish=_as_kept),
        "distinct": Reduction(step=_distinct, finish=_as_kept),
        "mean": Reduction(step=_sum_and_count, finish=_mean),
    }
)
"""The reductions by the name of the frame they make."""
