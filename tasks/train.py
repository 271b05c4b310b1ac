"""Stage 5 of 9: fit the candidate, turn it into canonical bytes, keep them by digest.

Policy: deterministic under the run key, so a run that died here simply trains again and must get the same
digest. Never retried by Prefect: what fails once fails again.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Candidate, Incumbent, Prepared, Snapshot, Training
from perennial.faults import fault_point
from perennial.kinds import kind
from perennial.registry.tracking import dumps
from perennial.resources import free_threads

log = logging.getLogger(__name__)


@task(name="train", cache_policy=NO_CACHE)
def train(run: Run, snapshot: Snapshot, data: Prepared, current: Incumbent | None) -> Candidate:
    """Fit the candidate of this run key and allocate its version.

    Args:
        run: The run.
        snapshot: What the model stands on.
        data: The loaded snapshot and its split.
        current: The champion, which ``mode: update`` continues.

    Raises:
        TrainingError: The rows cannot be trained on.
        LedgerError: The same run key gave other bytes before.
    """
    with run.stage("train"):
        fitted = kind(run.cfg.kind).train(
            data.data,
            data.split,
            run.cfg,
            champion=current.model if current else None,
            threads=free_threads(run.cfg.model.threads or run.workspace.env.threads),
        )
        blob = dumps(fitted.model)
        run.workspace.store.put(blob)
        fault_point("model.stored")
        version = run.ledger.record_training(
            run.lease,
            model=run.name,
            run_key=run.key(snapshot),
            digest=blob.digest,
            snapshot_id=snapshot.snapshot_id,
            as_of=run.as_of,
        )
    log.info("version %d: %s rows, %s, digest %s", version.version, f"{fitted.rows:,}", fitted.mode, blob.digest[:12])
    training = Training(
        blob=blob,
        params=fitted.params,
        rows=fitted.rows,
        features=fitted.features,
        importance=fitted.importance,
        seconds=fitted.seconds,
        mode=fitted.mode,
        example=fitted.example,
    )
    return Candidate(version=version, model=fitted.model, training=training)
