"""Stage 4 of 9: load the version in force, so that candidate and champion are judged on the same rows.

Policy: the ledger says which version it is, the store gives its bytes, the digest proves them. A run for the
past meets the champion of its date, since a later one has seen its test windows. A missing champion is normal
once; unreadable bytes are not, and fail the run.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Incumbent
from perennial.registry.tracking import incumbent

log = logging.getLogger(__name__)


@task(name="champion", cache_policy=NO_CACHE)
def champion(run: Run) -> Incumbent | None:
    """Return the champion as of the run's date, or ``None`` before the first promotion.

    Raises:
        IntegrityError: Its stored bytes are not those that were judged.
    """
    with run.stage("champion"):
        found = incumbent(run.ledger, run.workspace.store, run.name, on=run.as_of)
    log.info("champion: %s", f"version {found.version.version}, as of {found.version.as_of}" if found else "none yet")
    return found
