"""First stage of scoring: the version in force, or a clear refusal."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Incumbent
from perennial.errors import Refused
from perennial.registry.tracking import incumbent


@task(name="resolve", cache_policy=NO_CACHE)
def resolve(run: Run) -> Incumbent:
    """Resolve the champion through the ledger and load it by digest; one that knows later days is passed over.

    Raises:
        Refused: No version that stands on the run's date or before has been promoted yet.
        IntegrityError: Its stored bytes are not those that were judged.
    """
    with run.stage("resolve"):
        found = incumbent(run.ledger, run.workspace.store, run.name, on=run.as_of)
    if found is None:
        raise Refused(_nobody(run))
    return found


def _nobody(run: Run) -> str:
    later = run.ledger.in_force(run.name)
    if later is None:
        return (
            f"model {run.name!r} has no champion to score with; run `perennial run {run.name}` first, and if its "
            "candidate was not promoted, see in the report which gates it failed"
        )
    return (
        f"model {run.name!r} had no champion yet on {run.as_of}: version {later.version} stands on {later.as_of} and "
        f"knows what came after; score {later.as_of} or a later date"
    )
