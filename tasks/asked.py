"""What Prefect knows of a request and the library does not: when it was wanted, by whom, what it is called.

Policy: a run stands on the date it was scheduled for, however late it starts. Not tasks: they ask about the run itself.
"""

from datetime import timedelta

from prefect.context import FlowRunContext

from perennial.clock import lateness
from perennial.context import Workspace
from perennial.errors import PerennialError


def late() -> timedelta:
    """Return how long after its scheduled time this flow run has started; 0 outside of one."""
    context = FlowRunContext.get()
    wanted = context.flow_run.expected_start_time if context and context.flow_run else None
    return lateness(wanted) if wanted else timedelta(0)


def run_name() -> str:
    """Return the name of this flow run: flow, pipeline and the date it stands on, also if it was given none."""
    context = FlowRunContext.get()
    asked = context.parameters or {}
    pipeline, day = asked.get("pipeline"), asked.get("as_of")
    try:
        if day is None:
            place = Workspace.open(asked.get("environment"))
            day = place.business_date(place.pipeline(str(pipeline)).config, late())
    except PerennialError:  # the run itself ends with it; its name need not hide why
        day = "not valid"
    return f"{context.flow.name}-{pipeline}-{day}"


def actor() -> str:
    """Return who asks, for the audit trail: a flow run, which Prefect's own record ties to a person or schedule."""
    context = FlowRunContext.get()
    if not context or not context.flow_run:
        return "prefect"
    by = context.flow_run.created_by
    return f"prefect run {context.flow_run.id}" + (f" by {by.display_value}" if by and by.display_value else "")
