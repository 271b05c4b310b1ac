"""First stage of scoring: the versions in force, or a clear refusal.

Policy: the ledger says which versions serve; one on trial is scored beside the champion and never instead of it.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Serving
from perennial.registry.serving import serving

log = logging.getLogger(__name__)


@task(name="resolve", cache_policy=NO_CACHE)
def resolve(run: Run) -> Serving:
    """Resolve champion and trial through the ledger and load them by digest; later ones are passed over.

    Raises:
        Refused: No version that stands on the run's date or before has been promoted yet.
        IntegrityError: Stored bytes are not those that were judged.
    """
    with run.stage("resolve"):
        found = serving(run.ledger, run.workspace.store, run.name, run.as_of)
    if found.trial:
        log.info(
            "%s: version %d beside champion %d", found.role, found.trial.version.version, found.champion.version.version
        )
    return found
