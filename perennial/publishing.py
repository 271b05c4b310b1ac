"""Predictions as published partitions: stamped, whole or absent, once per date, provable by digest."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.context import Run
from perennial.contracts import ENTITY, TIME, Forecasts, Incumbent, ModelVersion, Publication, Rung, Serving, StoredFile
from perennial.errors import TrainingError
from perennial.faults import fault_point
from perennial.kinds import kind
from perennial.rollout import cohort

SHOWN = pa.schema(
    [
        *((ENTITY, pa.string()), (TIME, pa.date32()), ("horizon", pa.int16()), ("y_hat", pa.float32())),
        *(("version", pa.int32()), ("as_of", pa.date32()), ("rung", pa.string())),
    ]
)
"""Columns that every prediction has."""
LOGGED = 1000
"""Entities whose model input is logged at scoring, to be compared with what is computed later."""


def predictions(pipeline: str) -> str:
    """Return the logical name of the table that holds a pipeline's predictions."""
    return f"{pipeline}.predictions"


def beside_table(pipeline: str) -> str:
    """Return the logical name of the table of predictions that nobody is shown."""
    return f"{pipeline}.beside"


def inputs_table(pipeline: str) -> str:
    """Return the logical name of the table of model input that was logged at scoring."""
    return f"{pipeline}.inputs"


def stamp(batches: Iterable[pa.RecordBatch], version: int, as_of: date, rung: Rung) -> Iterator[pa.Table]:
    """Say on every row who made it: the model's version, the as-of date and the rung of the delivery ladder.

    Args:
        batches: Predictions.
        version: Number of the model's version; :data:`~perennial.contracts.models.NOBODY` where no model made them.
        as_of: Business date.
        rung: Of the delivery ladder.
    """
    for batch in batches:
        n = batch.num_rows
        table = pa.Table.from_batches([batch])
        for name, value in (
            ("version", pa.scalar(version, pa.int32())),
            ("as_of", pa.scalar(as_of, pa.date32())),
            ("rung", pa.scalar(rung, pa.string())),
        ):
            table = table.append_column(name, pa.repeat(value, n))
        yield table


def compose(run: Run, serving: Serving, data: Any) -> Forecasts:
    """Forecast with every version that serves the run's date, and say which rows readers are shown.

    A canary's rows take the champion's place for its cohort; the champion's for that cohort, or all rows of a
    shadow, are kept beside, so that the trial is judged on the same entities and days.
    """
    problem = kind(run.cfg.kind)

    def predict(one: Incumbent, rung: Rung) -> pa.Table:
        batches = problem.predict(data, run.cfg, one.model, threads=run.threads)
        return pa.concat_tables(stamp(batches, one.version.version, run.as_of, rung))

    logged = problem.inputs(data, run.cfg, serving.champion.model, run.as_of, threads=run.threads)
    inputs = logged.take(_spread(logged.num_rows))
    champion = predict(serving.champion, "champion")
    if serving.trial is None:
        return Forecasts(published=champion, inputs=inputs)
    trial = predict(serving.trial, "challenger")
    if serving.role == "shadow":
        return Forecasts(published=champion, beside=trial.select(SHOWN.names).cast(SHOWN), inputs=inputs)
    units = problem.units(data, run.cfg, serving.trial.version.as_of)
    mine = pa.array(sorted(cohort(units, pipeline=run.name, share=run.cfg.rollout.share)), pa.string())
    ours = [pc.is_in(rows[ENTITY].cast(pa.string()), value_set=mine) for rows in (champion, trial)]
    published = pa.concat_tables(
        [champion.filter(pc.invert(ours[0])), trial.filter(ours[1])], promote_options="default"
    )
    beside = champion.filter(ours[0]).select(SHOWN.names).cast(SHOWN)
    return Forecasts(published=published, beside=beside, inputs=inputs)


def _spread(rows: int) -> pa.Array:
    """Return the places of at most ``LOGGED`` rows, evenly spaced."""
    return pa.array(np.unique(np.linspace(0, max(rows - 1, 0), min(rows, LOGGED)).astype(np.int64)))


def digest(rows: pa.Table) -> str:
    """Return the SHA-256 of the rows' content, whatever files they are stored in."""
    total = hashlib.sha256(str(rows.schema).encode())
    for batch in rows.combine_chunks().to_batches():
        for column in batch.columns:
            for buffer in column.buffers():
                total.update(b"-" if buffer is None else memoryview(buffer))
    return total.hexdigest()


def publish(run: Run, made: Forecasts, version: ModelVersion) -> Publication:
    """Append one partition and then record it; a killed attempt is taken back first.

    Args:
        run: The run.
        made: Stamped predictions of one as-of date, and what is kept beside them.
        version: The version in force, whoever made the rows.

    Raises:
        TrainingError: There are no rows though no day of this kind is idle, or a prediction is not a finite number.
    """
    rows = made.published
    _require_complete(run, rows)
    table, lake = predictions(run.name), run.workspace.lake
    recorded = run.ledger.published_version(run.name)
    lake.restore(table, -1 if recorded is None else recorded)
    fault_point("publication.begun")
    kept = (*_keep(run, beside_table(run.name), made.beside), *_keep(run, inputs_table(run.name), made.inputs))
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
        first=pc.min(rows[TIME]).as_py() or run.as_of,
        last=pc.max(rows[TIME]).as_py() or run.as_of,
        rungs=_counts(rows["rung"]),
        versions=_counts(rows["version"]),
        files=appended.files,
        kept=kept,
        published_at=run.workspace.now(),
    )
    run.ledger.record_publication(run.lease, publication)
    return publication


def published_rows(run: Run, first: date, last: date | None = None) -> pa.Table:
    """Return what was published as of ``first`` to ``last`` (the run's date): recorded partitions, nothing else.

    Columns are those of :data:`SHOWN`.
    """
    recorded = _recorded(run, first, last or run.as_of)
    files = tuple(file for one in recorded for file in one.files)
    return _scan(run, predictions(run.name), files, SHOWN)


def rows_beside(run: Run, first: date) -> pa.Table:
    """Return the rows kept beside the publications as of ``first`` to the run's date; columns as published."""
    files = tuple(file for one in _recorded(run, first, run.as_of) for file in one.kept)
    return _scan(run, beside_table(run.name), files, SHOWN)


def logged_inputs(run: Run, publication: Publication) -> pa.Table | None:
    """Return the model's input that was logged when a date was scored; ``None`` if none was."""
    table = inputs_table(run.name)
    if not any(file.path.startswith(f"{table}/") for file in publication.kept):
        return None
    batches = run.workspace.lake.scan(table, run.workspace.lake.version(table), files=publication.kept)
    return pa.Table.from_batches(list(batches))


def whole(run: Run, publication: Publication) -> pa.Table:
    """Return every column of one recorded partition."""
    batches = run.workspace.lake.scan(predictions(run.name), publication.table_version, files=publication.files)
    return pa.Table.from_batches(list(batches))


def _recorded(run: Run, first: date, last: date) -> list[Publication]:
    return [one for one in run.ledger.publications(run.name) if first <= one.as_of <= last]


def _scan(run: Run, table: str, files: tuple[StoredFile, ...], schema: pa.Schema) -> pa.Table:
    lake = run.workspace.lake
    batches = list(lake.scan(table, lake.version(table), files=files, columns=schema.names))
    return pa.Table.from_batches(batches).cast(schema) if batches else schema.empty_table()


def _keep(run: Run, table: str, rows: pa.Table | None) -> tuple[StoredFile, ...]:
    """Append rows that no reader is shown; what a killed attempt appended is found again by its content."""
    if rows is None or not rows.num_rows:
        return ()
    return run.workspace.lake.append(table, rows.to_batches(), rows.schema, once=digest(rows)[:32]).files


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(item["values"]): item["counts"] for item in pc.value_counts(column).to_pylist()}


def _require_complete(run: Run, rows: pa.Table) -> None:
    if rows.num_rows == 0 and not run.cfg.problem.idle():
        raise TrainingError(
            f"{run.name} as of {run.as_of}: nothing to predict; see whether the day's events have landed (or set "
            "may_be_idle), check the guards' min_entities, and that horizon reaches beyond closed_weekdays"
        )
    if not pc.all(pc.is_finite(rows["y_hat"]), min_count=0).as_py():
        raise TrainingError(f"{run.name} as of {run.as_of}: a forecast is not a finite number; nothing was published")
