"""Orders as the rows that are published, and back."""

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.contracts import ENTITY, TIME
from perennial.features.panel import Ints
from perennial.kinds.warehouse import Shop
from perennial.models.replenishment import Floats, State


def order_rows(data: Shop, products: Ints, order: Floats, state: State, mean: Floats) -> pa.RecordBatch:
    """Return orders of an evening as rows, one for each product; others than ``products`` order nothing."""

    def whole(values: Floats) -> pa.Array:
        out = np.zeros(data.panel.n_entities, np.float32)
        out[products] = values
        return pa.array(out)

    n = data.panel.n_entities
    day = data.panel.as_of + timedelta(days=1)
    return pa.RecordBatch.from_pydict(
        {
            ENTITY: pa.array(data.panel.entities.tolist(), pa.string()),
            TIME: pa.array([day] * n, pa.date32()),
            "horizon": pa.array(np.ones(n, np.int16)),
            "y_hat": whole(order),
            "on_hand": whole(state.on_hand),
            "on_order": whole(state.on_order),
            "expected": whole(mean),
        }
    )


def ordered(data: Shop, published: pa.Table, day: npt.NDArray[np.int64], products: Ints, days: int) -> Floats:
    """Return published orders by product and day, shape (n_products, n_days); zero where nothing was published."""
    code = {name: n for n, name in enumerate(data.panel.entities[products].tolist())}
    row = np.array([code.get(name, -1) for name in published[ENTITY].to_pylist()], np.int64)
    keep = (row >= 0) & (day >= 0) & (day < days)
    out = np.zeros((len(products), days))
    out[row[keep], day[keep]] = published["y_hat"].to_numpy().astype(np.float64)[keep]
    return out
