"""Predictions as published partitions: stamped, whole or absent, once per date, provable by digest."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from perennial.context import Run
from perennial.contracts import ENTITY, TIME, ModelVersion, Publication, Rung
from perennial.errors import TrainingError
from perennial.faults import fault_point


def predictions(pipeline: str) -> str:
    """Return the logical name of the table that holds a pipeline's predictions."""
    return f"{pipeline}.predictions"


def stamp(batches: Iterable[pa.RecordBatch], version: ModelVersion, as_of: date, rung: Rung) -> Iterator[pa.Table]:
    """Say on every row who made it: the model's version, the as-of date and the rung of the delivery ladder."""
    for batch in batches:
        n = batch.num_rows
        table = pa.Table.from_batches([batch])
        for name, value in (
            ("version", pa.scalar(version.version, pa.int32())),
            ("as_of", pa.scalar(as_of, pa.date32())),
            ("rung", pa.scalar(rung, pa.string())),
        ):
            table = table.append_column(name, pa.repeat(value, n))
        yield table


def digest(rows: pa.Table) -> str:
    """Return the SHA-256 of the rows' content, whatever files they are stored in."""
    total = hashlib.sha256(str(rows.schema).encode())
    for batch in rows.combine_chunks().to_batches():
        for column in batch.columns:
            for buffer in column.buffers():
                total.update(b"-" if buffer is None else memoryview(buffer))
    return total.hexdigest()


def publish(run: Run, rows: pa.Table, version: ModelVersion) -> Publication:
    """Append one partition and then record it; a killed attempt is taken back first.

    Args:
        run: The run.
        rows: Stamped predictions of one as-of date.
        version: The version that made them.

    Raises:
        TrainingError: There are no rows, or a prediction is not a finite number.
    """
    _require_complete(run, rows)
    table, lake = predictions(run.name), run.workspace.lake
    recorded = run.ledger.published_version(run.name)
    lake.restore(table, -1 if recorded is None else recorded)
    fault_point("publication.begun")
    appended = lake.append(table, rows.to_batches(), rows.schema)
    fault_point("publication.appended")
    publication = Publication(
        pipeline=run.name,
        as_of=run.as_of,
        version=version.version,
        digest=digest(rows),
        table_version=appended.version,
        rows=rows.num_rows,
        entities=pc.count_distinct(rows[ENTITY]).as_py(),
        first=pc.min(rows[TIME]).as_py(),
        last=pc.max(rows[TIME]).as_py(),
        rungs={item["values"]: item["counts"] for item in pc.value_counts(rows["rung"]).to_pylist()},
        files=appended.files,
        published_at=run.workspace.now(),
    )
    run.ledger.record_publication(run.lease, publication)
    return publication


def _require_complete(run: Run, rows: pa.Table) -> None:
    if rows.num_rows == 0:
        raise TrainingError(
            f"{run.name} as of {run.as_of}: nothing to forecast; check the guards' min_entities, and that "
            "forecast.horizon reaches beyond forecast.closed_weekdays"
        )
    if not pc.all(pc.is_finite(rows["y_hat"])).as_py():
        raise TrainingError(f"{run.name} as of {run.as_of}: a forecast is not a finite number; nothing was published")
