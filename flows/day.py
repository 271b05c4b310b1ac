"""One business date after another: score or fall back, monitor, retrain if it is wanted. What the schedule runs."""

from datetime import date

from prefect import flow
from prefect.states import Completed, State

from flows.monitor import monitor
from flows.retrain import retrain
from flows.score import score
from perennial.config.choices import Day, EnvironmentChoice, PipelineChoice
from perennial.context import open_run
from perennial.contracts import Publication, RunRecord
from perennial.daily import DayRecord
from tasks import agenda, attempt, close, deliver, failure, insist, late, run_name, wants_retrain


@flow(name="day", flow_run_name=run_name, log_prints=False)
def day(pipeline: PipelineChoice, as_of: Day = None, environment: EnvironmentChoice = None) -> State[list[DayRecord]]:
    """Do a business date, and before it those that were missed, oldest first, each once.

    Args:
        pipeline: Name of a file in ``configs/``, for example ``demand``.
        as_of: Business date; nothing known later is used. Empty: what the pipeline says, which is the day
            before the one that the run was scheduled for, where the pipeline lives; a late start does not change it.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.

    Returns:
        ``Delivered``, or ``Already done``. The state carries one record for each date.

    Raises:
        Refused: There is nothing that could be published: no model was ever promoted.
    """
    done = []
    plan = agenda(pipeline, as_of, environment, late())
    for today in plan.dates:
        retrained: RunRecord | None = None
        if plan.untrained and today == plan.dates[0]:
            retrained = retrain(pipeline, today, environment)
        scored = attempt(score.with_options(timeout_seconds=plan.timeout_s), pipeline, today, environment)
        scoring, retraining = failure(scored), ""
        publication = insist(delivered, pipeline, today, environment, scoring)
        monitoring = failure(attempt(monitor, pipeline, today, environment, scoring))
        if wants_retrain(pipeline, today, environment):
            trained = attempt(retrain, pipeline, today, environment)
            retraining = failure(trained)
            retrained = retrained if retraining else trained.result()
        with open_run("day", pipeline, today, environment=environment) as run:
            done.append(close(run, publication, retrained, scoring, monitoring, retraining))
    return Completed(name="Delivered" if done else "Already done", message=f"{len(done)} dates", data=done)


def delivered(pipeline: str, today: date, environment: str | None, scoring: str) -> Publication:
    """Return the date's publication, whatever became of its scoring."""
    with open_run("deliver", pipeline, today, environment=environment, overtake=bool(scoring)) as run:
        done: Publication = deliver(run, scoring)
    return done
