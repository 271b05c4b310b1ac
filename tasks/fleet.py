"""Last stage of monitoring: the fleet page, and its essentials where people look at runs.

Policy: the page of this pipeline and the overview are written, others are left as their own runs wrote them. Browsers
refuse to follow a link from an http page to a file, so the Prefect UI gets the overview as a table too.
"""

import logging
from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from perennial.context import Run
from perennial.contracts import Measurement
from perennial.reports.fleet import write_fleet_and_tell

log = logging.getLogger(__name__)


@task(name="fleet", cache_policy=NO_CACHE)
def fleet(run: Run, judged: Measurement) -> Path:
    """Write the overview of every pipeline and the page of this one; return where the overview is."""
    page, summary = write_fleet_and_tell(run.workspace, run.name)
    if FlowRunContext.get():
        name = run.name.replace("_", "-")
        told = f"{run.name} as of {run.as_of}: {judged.health}, {len(judged.findings)} findings"
        create_markdown_artifact(
            key=f"{name}-overview",
            markdown=f"{summary}\nThe pages are in `{page.parent.resolve()}`: open `{page.name}` in a browser.\n",
            description=told,
        )
        create_link_artifact(
            link=page.resolve().as_uri(), link_text="Fleet page", key=f"{name}-fleet", description=told
        )
    log.info("%s", page)
    return page
