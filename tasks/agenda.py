"""First and last stage of a business day: which dates are to be done, and that one is.

Policy: a date counts as done when its ``day`` run ended well, so that one which was interrupted is done again;
every stage in between is a no-op where its result is already there. What is published is what counts: a monitor run
or a retrain that fails is told, and the date is done.
"""

import logging
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import State

from perennial import alerts, daily
from perennial.context import Run, Workspace
from perennial.contracts import Publication, RunRecord
from perennial.errors import Fenced
from perennial.setbacks import account

log = logging.getLogger(__name__)
T = TypeVar("T")


@task(name="agenda", cache_policy=NO_CACHE)
def agenda(pipeline: str, as_of: date | None, environment: str | None, late: timedelta) -> daily.Agenda:
    """Return the dates that are still to be done up to ``as_of``."""
    plan = daily.agenda(Workspace.open(environment), pipeline, as_of, late)
    log.info("to be done: %s", ", ".join(map(str, plan.dates)) or "nothing")
    if plan.given_up:
        log.warning("%d earlier dates are not made up for: delivery.catch_up_days goes back no further", plan.given_up)
    return plan


def attempt(flow: Callable[..., State[Any]], *args: Any) -> State[Any]:
    """Run a flow and return its state, however it ended; again if a rollback or the like took over meanwhile.

    Not a task: Prefect would hand it the state's result.
    """
    state = flow(*args, return_state=True)
    if not state.is_completed() and isinstance(state.result(raise_on_failure=False), Fenced):
        log.warning("overtaken; trying again")
        return flow(*args, return_state=True)
    return state


def insist(work: Callable[..., T], *args: Any) -> T:
    """Do a piece of work, and again if a rollback or the like took over meanwhile; it is done by then."""
    try:
        return work(*args)
    except Fenced:
        log.warning("overtaken; trying again")
        return work(*args)


def failure(state: State[Any]) -> str:
    """Return why a run failed, or an empty text: whatever it was, the day goes on and people are told.

    A person who cancels means the whole day; that is raised. Not a task, as above.
    """
    if state.is_completed():
        return ""
    error = state.result(raise_on_failure=False)
    if isinstance(error, BaseException) and not isinstance(error, Exception):
        raise error
    log.warning("%s", error)
    return f"{type(error).__name__}: {error}"


@task(name="wants retrain", cache_policy=NO_CACHE)
def wants_retrain(pipeline: str, as_of: date, environment: str | None) -> bool:
    """Return whether this run is to train: where an automation answers the monitor's event, it is not."""
    place = Workspace.open(environment)
    measured = place.ledger.measurement(place.pipeline(pipeline).config.pipeline, as_of)
    return bool(measured and measured.retrain) and place.env.retrain == "call"


@task(name="close", cache_policy=NO_CACHE)
def close(
    run: Run, publication: Publication, retrained: RunRecord | None, scoring: str, monitoring: str, retraining: str
) -> daily.DayRecord:
    """Tell people what failed beside the forecast, and record that the date is done."""
    measured = account(run, scoring=scoring, monitoring=monitoring, retraining=retraining)
    if monitoring or retraining:
        alerts.deliver(run.ledger, run.workspace.env)
    return daily.close(run, publication, measured, retrained, retraining)
