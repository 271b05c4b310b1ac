"""First stage of monitoring: join published predictions with the truth that has arrived, and measure.

Policy: only what the as-of date's snapshot shows counts as truth; predictions without it are pending.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import observing
from perennial.context import Run
from perennial.contracts import Measurement

log = logging.getLogger(__name__)


@task(name="measure", cache_policy=NO_CACHE)
def measure(run: Run) -> Measurement:
    """Measure errors, drift, skew, ages and costs as of the run's date.

    Raises:
        Refused: Nothing was ever landed.
        IntegrityError: A data file or a model is not the one that was recorded.
    """
    with run.stage("measure"):
        found = observing.measure(run)
    log.info("%s forecasts matured, %s pending", f"{found.matured:,}", f"{found.pending:,}")
    return found
