"""Stage 8 of 9: what a planner, a manager or a risk officer reads, written before anything goes into force.

Policy: the page stands alone in a folder of the run; Prefect gets the same figures as a Markdown artifact.
"""

import logging
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from perennial import registration
from perennial.context import Run
from perennial.contracts import Candidate, Decision, Evaluation, Incumbent, Prepared, Snapshot

log = logging.getLogger(__name__)


@task(name="report", cache_policy=NO_CACHE)
def report(
    run: Run,
    snapshot: Snapshot,
    data: Prepared,
    candidate: Candidate,
    current: Incumbent | None,
    scores: Evaluation,
    decision: Decision,
) -> Path:
    """Write the report of the run and return its folder."""
    with run.stage("report"):
        folder = registration.write_report(run, snapshot, data, candidate, current, scores, decision)
    if FlowRunContext.get():
        create_markdown_artifact(
            key=f"{run.name.replace('_', '-')}-retrain",
            markdown=(folder / registration.SUMMARY).read_text(encoding="utf-8"),
            description=f"{run.name} as of {run.as_of}: {decision.summary}",
        )
    log.info("%s", registration.PAGE)
    return folder
