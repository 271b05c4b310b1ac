"""The scoring graph: resolve the versions in force, extract, check, predict, publish."""

from prefect import flow
from prefect.states import Completed, State

from perennial.config.choices import Day, EnvironmentChoice, PipelineChoice
from perennial.context import open_run
from perennial.contracts import Publication
from tasks import check, extract, late, predict, publish, published, resolve, run_name


@flow(name="score", flow_run_name=run_name, log_prints=False)
def score(pipeline: PipelineChoice, as_of: Day = None, environment: EnvironmentChoice = None) -> State[Publication]:
    """Publish the champion's forecast for every entity, once per date.

    Args:
        pipeline: Name of a file in ``configs/``, for example ``demand``.
        as_of: Last day of history; the forecast starts the day after. Empty: what the pipeline says.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.

    Returns:
        ``Published``, or ``Already published`` when the date was done before and nothing was changed.

    Raises:
        Refused: No version is in force yet; run ``retrain`` first.
        IntegrityError: The champion's bytes are not those that were judged.
        DataCheckFailed: A critical check did not hold; nothing was published.
    """
    with open_run("score", pipeline, as_of, environment=environment, late=late()) as run:
        if done := published(run):
            return Completed(name="Already published", message=f"{done.rows:,} rows", data=done)
        versions = resolve(run)
        landings = extract(run)
        snapshot = check(run, landings)
        forecast = predict(run, snapshot, versions)
        publication = publish(run, forecast, versions)
    return Completed(name="Published", message=f"{publication.rows:,} rows", data=publication)
