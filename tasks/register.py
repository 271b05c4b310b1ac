"""Stage 9 of 9: the MLflow run and version, the promotion commit, the alias; in this order.

Policy: MLflow may be down for a moment, so a :class:`RegistryError` is tried again; every step is a no-op when
its result is already there.
"""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import registration
from perennial.context import Run
from perennial.contracts import Candidate, Decision, Evaluation, RunRecord, Snapshot, to_json
from perennial.errors import RegistryError

log = logging.getLogger(__name__)


def _can_heal(_task: Any, _task_run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), RegistryError)


@task(name="register", cache_policy=NO_CACHE, retries=3, retry_delay_seconds=[1, 5, 20], retry_condition_fn=_can_heal)
def register(
    run: Run, snapshot: Snapshot, candidate: Candidate, scores: Evaluation, decision: Decision, page: Path
) -> RunRecord:
    """Register the candidate, and put it in force if every gate passed.

    Raises:
        RegistryError: MLflow did not answer, also after three more tries; the champion stays in force.
        Fenced: Another run or a rollback has taken over; nothing was promoted.
    """
    with run.stage("register"):
        record = registration.register(run, snapshot, candidate, scores, decision, page)
    record = replace(record, seconds=dict(run.seconds))
    run.record = to_json(record)
    log.info("%s: version %d, %s", record.outcome, record.version, record.summary)
    return record
