"""Between check and split: the work may have been done before.

Policy: same run key, same result. A finished key is answered from the ledger; nothing is fitted again.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import RunRecord, Snapshot
from perennial.registration import recalled

log = logging.getLogger(__name__)


@task(name="recall", cache_policy=NO_CACHE)
def recall(run: Run, snapshot: Snapshot) -> RunRecord | None:
    """Return the record of an earlier run with this run key, or ``None`` if there is work to do."""
    done = recalled(run, snapshot)
    if done:
        log.info("version %d stands on the same data, code and settings; nothing to do", done.version)
    return done
