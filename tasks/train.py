"""Stage 5 of 9: fit the candidate, turn it into canonical bytes, keep them by digest.

Policy: deterministic under the run key, so a run that died here simply trains again and must get the same
digest; `mode: update` continues the champion of the day before. Never retried by Prefect: what fails once fails again.
"""

import logging

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Candidate, Prepared, Snapshot
from perennial.faults import fault_point
from perennial.kinds import kind
from perennial.registry.canonical import dumps, loads

log = logging.getLogger(__name__)


@task(name="train", cache_policy=NO_CACHE)
def train(run: Run, snapshot: Snapshot, data: Prepared) -> Candidate:
    """Fit the candidate of this run key and allocate its version.

    Args:
        run: The run.
        snapshot: What the model stands on.
        data: The loaded snapshot and its split.

    Raises:
        TrainingError: The rows cannot be trained on.
        IntegrityError: The bytes of the model to continue are not those that were judged.
        LedgerError: The same run key gave other bytes before.
    """
    with run.stage("train"):
        base = run.base
        fitted = kind(run.cfg.kind).train(
            data.data,
            data.split,
            run.cfg,
            champion=loads(run.workspace.store.get(base.digest), base.digest) if base else None,
            threads=run.threads,
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
    how = fitted.training
    log.info("version %d: %s rows, %s, digest %s", version.version, f"{how.rows:,}", how.mode, blob.digest[:12])
    return Candidate(version=version, model=fitted.model, training=how, blob=blob)
