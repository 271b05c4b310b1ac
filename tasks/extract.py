"""Stage 1 of 9: land what is new at the source, up to the as-of date.

Policy: only a :class:`SourceError` that can heal is tried again, three times. How rows are read, mapped and
screened is :mod:`perennial.landing.land`.
"""

import logging
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import intake
from perennial.context import Run
from perennial.contracts import Landing
from perennial.errors import SourceError, SourceUnusable

log = logging.getLogger(__name__)


def _can_heal(_task: Any, _task_run: Any, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, SourceError) and not isinstance(error, SourceUnusable)


@task(name="extract", cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 5, 20], retry_condition_fn=_can_heal)
def extract(run: Run) -> tuple[Landing, ...]:
    """Append new rows to the observations and to the tables known in advance.

    Returns:
        The landings of this run, which no check has judged yet.

    Raises:
        SourceError: The source cannot be read.
        SchemaError: Its columns or types are not the configured ones.
    """
    with run.stage("extract"):
        intake.recover(run)
        intake.take_in(run)
        landings = intake.pending(run)
    for landing in landings:
        n = landing.counts
        log.info(
            "%s: %s rows in, %s new, %s quarantined, %s duplicates, %s for a later date",
            *(landing.table, f"{n.rows_in:,}", f"{n.accepted:,}", f"{n.quarantined:,}", f"{n.duplicates:,}"),
            f"{n.deferred:,}",
        )
        if n.quarantined:
            log.info("quarantined: %s", ", ".join(f"{why} {rows:,}" for why, rows in n.reasons.items()))
    if not landings:
        log.info("nothing new at the source as of %s", run.as_of)
    return landings
