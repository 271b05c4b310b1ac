"""Third stage of scoring: the champion's forecast for every entity, each row stamped with who made it."""

import logging

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import intake, publishing
from perennial.context import Run
from perennial.contracts import Incumbent, Snapshot
from perennial.kinds import kind

log = logging.getLogger(__name__)


@task(name="predict", cache_policy=NO_CACHE)
def predict(run: Run, snapshot: Snapshot, current: Incumbent) -> pa.Table:
    """Forecast the horizon after the as-of date.

    Raises:
        IntegrityError: A data file is not the one that was landed.
        TrainingError: There is no history to forecast from.
    """
    problem = kind(run.cfg.kind)
    with run.stage("load"):
        data = problem.load(run.cfg, snapshot, lambda table: intake.read(run, table, snapshot))
    with run.stage("predict"):
        batches = problem.predict(data, run.cfg, current.model, threads=run.threads)
        rows = pa.concat_tables(publishing.stamp(batches, current.version, run.as_of, "champion"))
    log.info("%s forecasts by version %d", f"{rows.num_rows:,}", current.version.version)
    return rows
