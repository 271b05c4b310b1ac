"""The retraining graph, top to bottom: extract, check, split, train, evaluate, decide, report, register."""

from prefect import flow
from prefect.states import Completed, State

from perennial.config.choices import Day, EnvironmentChoice, PipelineChoice
from perennial.config.overrides import OfOneRun
from perennial.context import open_run
from perennial.contracts import RunRecord
from tasks import champion, check, decide, evaluate, extract, late, recall, register, report, run_name, split, train


@flow(name="retrain", flow_run_name=run_name, log_prints=False)
def retrain(
    pipeline: PipelineChoice,
    as_of: Day = None,
    environment: EnvironmentChoice = None,
    overrides: OfOneRun = None,
) -> State[RunRecord]:
    """Retrain one model; promote it only if every gate passes.

    Args:
        pipeline: Name of a file in ``configs/``, for example ``demand``.
        as_of: Business date the run stands on: nothing that became known later is used. Empty: the day before the
            one that the run was wanted for, or the fixed date of a pipeline whose data has ended.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.
        overrides: Settings of the model for this run alone; they are part of its run key.

    Returns:
        ``Promoted``, ``Kept champion``, ``Not promoted`` (there was no champion to keep) or ``Already done``: all
        are COMPLETED, since a refusal is a result and not an error. The state carries the run record.

    Raises:
        ConfigError: The pipeline or environment file is not valid.
        SourceError: The source cannot be read, also after three more tries.
        DataCheckFailed: A critical check did not hold; nothing was trained.
    """
    with open_run("retrain", pipeline, as_of, environment=environment, late=late(), overrides=overrides) as run:
        landings = extract(run)
        snapshot = check(run, landings)
        if record := recall(run, snapshot):
            return Completed(name="Already done", message=record.summary, data=record)
        data = split(run, snapshot)
        current = champion(run)
        candidate = train(run, snapshot, data)
        scores = evaluate(run, data, candidate, current)
        decision = decide(run, scores)
        page = report(run, snapshot, data, candidate, current, scores, decision)
        record = register(run, snapshot, candidate, scores, decision, page)
    return Completed(name=record.outcome.capitalize(), message=record.summary, data=record)
