"""Small panels for tests: rows as a source would deliver them, gathered by the real code."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from perennial.config.models import Pipeline
from perennial.contracts import Snapshot, TablePin
from perennial.features import Panel, read_panel

FIRST = date(2024, 1, 1)
"""Day 0 of every test panel, a Monday."""


def day(offset: int) -> date:
    """Return the date ``offset`` days after the first."""
    return FIRST + timedelta(days=offset)


def pipeline(**sections: Any) -> Pipeline:
    """Return a pipeline with small, quick settings; sections are laid over them."""
    columns = {"entity": "item", "ds": "day", "y": "sold"}
    base: dict[str, Any] = {
        "pipeline": "demand",
        "kind": "forecast",
        "data": {"source": {"type": "files", "path": "sales.parquet"}, "columns": columns},
        "forecast": {"horizon": 7},
        "split": {"holdout": 14, "step": 7},
        "model": {"rows": 5_000, "params": {"max_iter": 15, "max_leaf_nodes": 7, "min_samples_leaf": 5}},
        "gates": [{"metric": "wape", "against": "baseline"}],
    }
    for name, values in sections.items():
        base[name] = {**base[name], **values} if isinstance(base.get(name), dict) else values
    return Pipeline.model_validate_json(_json(base))


def table(entity: Sequence[str] | None, offsets: Sequence[int], **columns: Any) -> pa.Table:
    """Return canonical rows; ``known`` gives the day each became known, else the end of its own day."""
    known = columns.pop("known", offsets)
    stamps = [datetime.combine(day(k + 1), datetime.min.time(), tzinfo=UTC) for k in known]
    out: dict[str, Any] = {} if entity is None else {"entity": pa.array(entity, pa.string())}
    out["ds"] = pa.array([day(k) for k in offsets], pa.date32())
    out["available_at"] = pa.array(stamps, pa.timestamp("us", tz="UTC"))
    return pa.table({**out, **columns})


def dense(values: Any, first: int = 0, **columns: Any) -> pa.Table:
    """Return one row for each finite cell of a matrix (entities named a, b, ... by days)."""
    matrix = np.asarray(values, dtype=np.float64)
    row, col = np.nonzero(np.isfinite(matrix))
    extra = {name: np.asarray(column)[row, col] for name, column in columns.items()}
    return table([chr(97 + r) for r in row], (col + first).tolist(), y=matrix[row, col], **extra)


def gather(cfg: Pipeline, as_of: int, main: pa.Table, batch: int = 1_000, **known: pa.Table) -> Panel:
    """Build the panel of day ``as_of`` from rows visible then, as a snapshot would give them."""
    cutoff = datetime.combine(day(as_of + 1), datetime.min.time(), tzinfo=UTC)
    tables = {"demand": main, **known}
    snapshot = Snapshot(
        snapshot_id="s",
        pipeline="demand",
        as_of=day(as_of),
        cutoff=cutoff,
        main=TablePin(table="demand", version=0, landings=()),
        known={name: TablePin(table=name, version=0, landings=()) for name in known},
    )

    def read(pin: TablePin) -> Any:
        rows = tables[pin.table]
        seen = [stamp <= cutoff for stamp in rows["available_at"].to_pylist()]
        if pin.table == "demand":
            seen = [s and d <= day(as_of) for s, d in zip(seen, rows["ds"].to_pylist(), strict=True)]
        return iter(rows.filter(pa.array(seen, pa.bool_())).to_batches(max_chunksize=batch))

    return read_panel(cfg, snapshot, read)


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
