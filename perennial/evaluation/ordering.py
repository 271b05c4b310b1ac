"""What orders are measured by: money, unmet demand, waste and stock, each relative to what was asked for.

Every row is a product and a day; ``y`` is what was asked for, a contender's "forecast" what it sold. What each
contender spent and held stands in ``extra``, beside ``value``, what the day's demand would have brought in.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation import sums as add
from perennial.evaluation.metrics import Metric
from perennial.evaluation.sums import Floats, Grid, Sums

BASELINES = ("last_week", "point_plus_safety")
"""Order what the last week sold; order up to the point forecast plus a fixed safety stock."""
USUAL = "cost"
IDEAL = "perfect_foresight"
"""Nobody can do better: not a contender, but what ``excess_cost`` is measured from."""


def column(what: str, contender: str) -> str:
    """Return the name in ``extra`` of what a contender spent (``cost``), threw away (``waste``) or held (``stock``)."""
    return f"{what}.{contender}"


def losses(rows: TestRows, contender: str) -> npt.NDArray[np.float64]:
    """Return the cost of each product and day, by which a policy on trial is compared."""
    return rows.extra[column("cost", contender)].astype(np.float64)


def _over(what: str) -> Callable[[Grid, str], Sums]:
    def sums(grid: Grid, contender: str) -> Sums:
        spent = grid.rows.extra[column(what, contender)].astype(np.float64)
        return Sums(cells=np.stack([grid.add(_sound(spent)), grid.add(grid.rows.extra["value"])]))

    return sums


def _unmet(grid: Grid, contender: str) -> Sums:
    return Sums(cells=np.stack([grid.add(-grid.error(contender)), grid.sold]))


def _excess(grid: Grid, contender: str) -> Sums:
    extra = grid.rows.extra
    more = extra[column("cost", contender)].astype(np.float64) - extra[column("cost", IDEAL)]
    return Sums(cells=np.stack([grid.add(_sound(more)), grid.add(extra["value"])]))


def _sound(values: Floats) -> Floats:
    """Return values, all nan if any is not finite, so that none gets by."""
    return values if np.isfinite(values).all() else np.full_like(values, np.nan)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        name: Metric(name=name, pool="rows", sums=sums, finish=add.quotient)
        for name, sums in (
            ("cost", _over("cost")),
            ("excess_cost", _excess),
            ("unmet", _unmet),
            ("waste", _over("waste")),
            ("stock", _over("stock")),
        )
    }
)
"""``cost``, ``excess_cost`` (over perfect foresight) and ``waste``: money per money of demand; ``unmet``: 1 - fill
rate; ``stock``: value held overnight over the value of a day's demand, so days of stock."""
