"""Stage 3 of 9: bring the snapshot into the form its kind works on, and say where training ends.

Policy: none; which days train and which judge is configuration. New entities are reported, never dropped.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import intake
from perennial.context import Run
from perennial.contracts import Prepared, Snapshot
from perennial.kinds import kind

log = logging.getLogger(__name__)


@task(name="split", cache_policy=NO_CACHE)
def split(run: Run, snapshot: Snapshot) -> Prepared:
    """Load the snapshot and split it by time.

    Raises:
        IntegrityError: A data file is not the one that was landed.
        TrainingError: There is too little history for one test window.
    """
    with run.stage("split"):
        problem = kind(run.cfg.kind)
        data = problem.load(run.cfg, snapshot, lambda table: intake.read(run, table, snapshot))
        parts = problem.split(data, run.cfg)
    log.info(
        "%s entities (%s new since training ended); training to %s, %d test windows",
        *(f"{parts.entities:,}", f"{len(parts.new_entities):,}", parts.train_end, len(parts.windows)),
    )
    return Prepared(data=data, split=parts)
