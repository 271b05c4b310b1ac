"""Third stage of scoring: the forecast for every entity, each row stamped with who made it."""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import intake, publishing
from perennial.context import Run
from perennial.contracts import Forecasts, Serving, Snapshot
from perennial.kinds import kind

log = logging.getLogger(__name__)


@task(name="predict", cache_policy=NO_CACHE)
def predict(run: Run, snapshot: Snapshot, versions: Serving) -> Forecasts:
    """Forecast the horizon after the as-of date with every version that serves it.

    Raises:
        IntegrityError: A data file is not the one that was landed.
        TrainingError: There is no history to forecast from.
    """
    with run.stage("load"):
        data = kind(run.cfg.kind).load(run.cfg, snapshot, lambda table: intake.read(run, table, snapshot))
    with run.stage("predict"):
        made = publishing.compose(run, versions, data)
    log.info("%s predictions by version %d", f"{made.published.num_rows:,}", versions.champion.version.version)
    return made
