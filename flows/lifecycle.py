"""What a person decides about a model, as flows, so that it can be clicked: approve, reject, roll back, retire."""

from prefect import flow
from prefect.states import Completed, State

from perennial import lifecycle
from perennial.config.choices import EnvironmentChoice, PipelineChoice
from perennial.context import Workspace
from perennial.contracts import ModelVersion, RoleChange
from tasks import actor


@flow(name="approve", flow_run_name="approve-{model}", log_prints=False)
def approve(
    model: PipelineChoice, reason: str, version: int | None = None, environment: EnvironmentChoice = None
) -> State[RoleChange]:
    """Let a version that passed its gates come into force, where `rollout.approval` asks for a person.

    Args:
        model: A model, which has its pipeline's name.
        reason: Why, for the record.
        version: Which version. Empty: the newest that waits for approval.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.

    Raises:
        Refused: Nothing waits, or that version has another answer already.
    """
    done = lifecycle.approve(Workspace.open(environment), model, version, actor=actor(), reason=reason)
    return Completed(name="Approved", message=f"{model} version {done.version} is {done.role}", data=done)


@flow(name="reject", flow_run_name="reject-{model}", log_prints=False)
def reject(
    model: PipelineChoice, reason: str, version: int | None = None, environment: EnvironmentChoice = None
) -> State[None]:
    """Refuse a version that waits for approval; the champion stays.

    Args:
        model: A model, which has its pipeline's name.
        reason: Why, for the record.
        version: Which version. Empty: the newest that waits for approval.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.

    Raises:
        Refused: Nothing waits, or that version has another answer already.
    """
    lifecycle.reject(Workspace.open(environment), model, version, actor=actor(), reason=reason)
    return Completed(name="Rejected", message=f"the champion of {model} stays")


@flow(name="rollback", flow_run_name="rollback-{model}", log_prints=False)
def rollback(
    model: PipelineChoice, reason: str, to: int | None = None, environment: EnvironmentChoice = None
) -> State[RoleChange]:
    """Put an earlier champion back in force. A run that works on the same pipeline is overtaken, not waited for.

    Args:
        model: A model, which has its pipeline's name.
        reason: Why, for the record.
        to: Version to return to. Empty: the champion before the present one.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.

    Raises:
        Refused: There is nothing to go back to, or that version never passed its gates or was retired.
    """
    done = lifecycle.roll_back(Workspace.open(environment), model, to, actor=actor(), reason=reason)
    return Completed(name="Rolled back", message=f"{model} is version {done.version} again", data=done)


@flow(name="retire", flow_run_name="retire-{model}-{version}", log_prints=False)
def retire(
    model: PipelineChoice, version: int, reason: str, environment: EnvironmentChoice = None
) -> State[ModelVersion]:
    """Rule a version out for good; its bytes and its history stay.

    Args:
        model: A model, which has its pipeline's name.
        version: Version to rule out; it must not be in force.
        reason: Why, for the record.
        environment: Name of a file in ``configs/environments/``. Empty: ``$PERENNIAL_ENV`` or ``local``.

    Raises:
        Refused: It is in force.
        LedgerError: There is no such version.
    """
    done = lifecycle.retire(Workspace.open(environment), model, version, actor=actor(), reason=reason)
    return Completed(name="Retired", message=f"{model} version {version}", data=done)
