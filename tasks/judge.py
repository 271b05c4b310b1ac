"""Third stage of monitoring: what the figures mean, and whether a new model is wanted.

Policy: rules with hysteresis; the judged measurement is recorded before anybody is told.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import observing
from perennial.context import Run
from perennial.contracts import CanaryVerdict, Measurement, to_json

log = logging.getLogger(__name__)


@task(name="judge", cache_policy=NO_CACHE)
def judge(run: Run, measured: Measurement, verdict: CanaryVerdict | None, trouble: str) -> Measurement:
    """Return the measurement with its findings and, if one is wanted, the reason for a retrain."""
    judged = observing.judge(run, measured, verdict, trouble)
    for one in judged.findings:
        log.warning("%s: %s", one.level, one.summary)
    run.record = {"health": judged.health, "findings": to_json(judged.findings), "retrain": judged.retrain}
    return judged
