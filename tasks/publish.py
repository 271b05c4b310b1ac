"""Last stage of scoring: make the predictions visible, all at once, once per date.

Policy: the partition first, the ledger row that names it last; a date that is published stays as it is.
"""

import logging
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import publishing
from perennial.context import Run, peak_mib
from perennial.contracts import Forecasts, Publication, Serving

log = logging.getLogger(__name__)


@task(name="published", cache_policy=NO_CACHE)
def published(run: Run) -> Publication | None:
    """Return what was published for this date before, if anything."""
    done = run.ledger.publication(run.name, run.as_of)
    return replace(done, fresh=False) if done else None


@task(name="publish", cache_policy=NO_CACHE)
def publish(run: Run, made: Forecasts, versions: Serving) -> Publication:
    """Append the partition and record it.

    Raises:
        TrainingError: A prediction is not a finite number; nothing was published.
    """
    with run.stage("publish"):
        done = publishing.publish(run, made, versions.champion.version)
    run.record = {"rows": done.rows, "seconds": dict(run.seconds), "peak_mib": peak_mib()}
    log.info("%s rows for %s to %s", f"{done.rows:,}", done.first, done.last)
    return done
