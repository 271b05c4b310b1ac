"""First and last stage of a business day: which dates are to be done, and that one is.

Policy: a date counts as done when its ``day`` run ended well, so that one which was interrupted is done again;
every stage in between is a no-op where its result is already there.
"""

import logging
from datetime import date, timedelta
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import State

from perennial import daily
from perennial.context import Run, Workspace
from perennial.contracts import Measurement, Publication, RunRecord

log = logging.getLogger(__name__)


@task(name="agenda", cache_policy=NO_CACHE)
def agenda(pipeline: str, as_of: date | None, environment: str | None, late: timedelta) -> daily.Agenda:
    """Return the dates that are still to be done up to ``as_of``."""
    plan = daily.agenda(Workspace.open(environment), pipeline, as_of, late)
    log.info("to be done: %s", ", ".join(map(str, plan.dates)) or "nothing")
    return plan


def failure(state: State[Any]) -> str:
    """Return why a score run failed, or an empty text: whatever it was, the ladder takes over and people are told.

    A person who cancels means the whole day; that is raised. Not a task: Prefect would hand it the state's result.
    """
    if state.is_completed():
        return ""
    error = state.result(raise_on_failure=False)
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        raise error
    log.warning("scoring failed: %s", error)
    return f"{type(error).__name__}: {error}"


@task(name="wants retrain", cache_policy=NO_CACHE)
def wants_retrain(measured: Measurement, environment: str | None) -> bool:
    """Return whether this run is to train: where an automation answers the monitor's event, it is not."""
    return bool(measured.retrain) and Workspace.open(environment).env.retrain == "call"


@task(name="close", cache_policy=NO_CACHE)
def close(run: Run, publication: Publication, measured: Measurement, retrained: RunRecord | None) -> daily.DayRecord:
    """Record that the date is done."""
    return daily.close(run, publication, measured, retrained)
