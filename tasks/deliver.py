"""Between scoring and monitoring: see that the date has a publication, whatever happened to its scoring.

Policy: what scoring published stands; else the first rung of the ladder that holds. Never retried: the next rung is
the retry, and a deadline is near.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import delivery
from perennial.context import Run
from perennial.contracts import Publication

log = logging.getLogger(__name__)


@task(name="deliver", cache_policy=NO_CACHE)
def deliver(run: Run, trouble: str) -> Publication:
    """Return the date's publication, made on a lower rung if scoring failed.

    Raises:
        Refused: Every rung failed, or no version is in force.
    """
    with run.stage("deliver"):
        done = delivery.deliver(run, trouble)
    if done.fresh:
        rungs = ", ".join(done.rungs).replace("_", " ")
        log.warning("%s rows published by %s, since scoring failed: %s", f"{done.rows:,}", rungs, trouble)
    return done
