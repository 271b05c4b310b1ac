"""Second stage of monitoring: what the canary or shadow has shown; promote it, revert it, or go on.

Policy: the ledger commit first, then the alias; a verdict needs matured predictions, never a feeling.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import observing
from perennial.context import Run
from perennial.contracts import CanaryVerdict

log = logging.getLogger(__name__)


@task(name="roll out", cache_policy=NO_CACHE)
def roll_out(run: Run) -> CanaryVerdict | None:
    """Conclude a canary or shadow whose matured predictions prove it better or worse; ``None`` without one."""
    verdict = observing.roll_out(run)
    if verdict:
        log.info("canary after %d days: %s, %s", verdict.days, verdict.outcome, verdict.reason)
    return verdict
