"""First stage of scoring: the version in force, or a clear refusal."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial.context import Run
from perennial.contracts import Incumbent
from perennial.errors import Refused
from perennial.registry.tracking import incumbent


@task(name="resolve", cache_policy=NO_CACHE)
def resolve(run: Run) -> Incumbent:
    """Resolve the champion through the ledger and load it by digest.

    Raises:
        Refused: No version has been promoted yet.
        IntegrityError: Its stored bytes are not those that were judged.
    """
    with run.stage("resolve"):
        found = incumbent(run.ledger, run.workspace.store, run.name)
    if found is None:
        raise Refused(f"model {run.name!r} has no champion to score with; run `perennial run {run.name}` first")
    return found
