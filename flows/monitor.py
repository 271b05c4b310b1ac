"""The monitoring graph: measure, roll out, judge, alert, ask for a retrain, write the fleet page."""

from prefect import flow
from prefect.states import Completed, State

from perennial.config.choices import Day, EnvironmentChoice, PipelineChoice
from perennial.context import open_run
from perennial.contracts import Measurement
from tasks import alert, fleet, judge, late, measure, roll_out, run_name


@flow(name="monitor", flow_run_name=run_name, log_prints=False)
def monitor(
    pipeline: PipelineChoice,
    as_of: Day = None,
    environment: EnvironmentChoice = None,
    trouble: str = "",
) -> State[Measurement]:
    """Compare what was published with what came true; tell people what is wrong, and conclude a canary.

    Args:
        pipeline: Name of a file in ``configs/``, for example ``demand``.
        as_of: Business date: truth that arrived up to it is compared. Empty: what the pipeline says.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.
        trouble: Why scoring failed on this date, if it did; it becomes an alert.

    Returns:
        ``Healthy``, ``Degraded`` or ``Unknown`` (nothing has matured yet). The state carries the measurement.

    Raises:
        Refused: Nothing was ever landed.
        IntegrityError: A data file or a model is not the one that was recorded.
    """
    with open_run("monitor", pipeline, as_of, environment=environment, late=late()) as run:
        measured = measure(run)
        verdict = roll_out(run)
        judged = judge(run, measured, verdict, trouble)
        alert(run, judged)
        fleet(run, judged)
    return Completed(name=judged.health.capitalize(), message=f"{len(judged.findings)} findings", data=judged)
