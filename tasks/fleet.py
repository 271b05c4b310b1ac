"""Last stage of monitoring: the fleet page, linked from the run in the Prefect UI."""

from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from perennial.context import Run
from perennial.contracts import Measurement
from perennial.reports.fleet import write_fleet


@task(name="fleet", cache_policy=NO_CACHE)
def fleet(run: Run, judged: Measurement) -> Path:
    """Write the page of every pipeline and return where the overview is."""
    page = write_fleet(run.workspace)
    if FlowRunContext.get():
        create_link_artifact(
            link=page.resolve().as_uri(),
            link_text="Fleet page",
            key=f"{run.name.replace('_', '-')}-fleet",
            description=f"{run.name} as of {run.as_of}: {judged.health}, {len(judged.findings)} findings",
        )
    return page
