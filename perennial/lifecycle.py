"""What a person may do to a model: put an earlier version back, let one in, refuse it, rule it out for good.

Each is one ledger commit, then the MLflow alias; each works while MLflow and Prefect are down. A run that works on
the same pipeline is overtaken rather than waited for: its token is stale from now on, so it can record nothing more,
and ends with ``Fenced``.
"""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Literal, TypeVar

from perennial.contracts import ModelVersion, RoleChange
from perennial.errors import Busy, Refused, sample
from perennial.faults import fault_point

if TYPE_CHECKING:
    from perennial.context import Workspace
    from perennial.ledger import Lease

Answer = TypeVar("Answer")


def roll_back(workspace: "Workspace", model: str, to: int | None = None, *, actor: str, reason: str) -> RoleChange:
    """Put an earlier champion back in force.

    Args:
        workspace: Where everything is kept.
        model: Name of the model.
        to: Version to return to; ``None`` takes the newest champion before the present one.
        actor: Who asks, for the audit trail.
        reason: Why, for the audit trail.

    Returns:
        The change; the MLflow alias follows at once, or when MLflow answers again.

    Raises:
        Refused: There is nothing to go back to, or that version never passed its gates or was retired.
    """
    ledger = workspace.ledger
    target = ledger.rollback_target(model).version if to is None else to
    current = ledger.in_force(model)
    if current is not None and current.version == target:
        raise Refused(f"{model} {target} is in force already; see `perennial history {model}`")
    as_of = _newest(workspace, model)
    change = _write(
        workspace,
        model,
        lambda lease: ledger.change_role(lease, model, "champion", target, as_of=as_of, actor=actor, reason=reason),
    )
    _flip(workspace, "rollback.committed")
    return change


def approve(workspace: "Workspace", model: str, version: int | None = None, *, actor: str, reason: str) -> RoleChange:
    """Let a version that waits for approval come into force, as champion or on trial as its pipeline says.

    Args:
        workspace: Where everything is kept.
        model: Name of the model.
        version: Which one; ``None`` takes the newest that waits.
        actor: Who says yes, for the audit trail.
        reason: Why, for the audit trail.

    Raises:
        Refused: Nothing waits, or that version has another answer already.
    """
    change = _review(workspace, model, version, "approved", actor, reason)
    _flip(workspace, "approval.committed")
    if change is None:
        raise Refused(f"{model} {version} was approved before and holds no role; see `perennial history {model}`")
    return change


def reject(workspace: "Workspace", model: str, version: int | None = None, *, actor: str, reason: str) -> None:
    """Refuse a version that waits for approval; the champion stays. See :func:`approve`."""
    _review(workspace, model, version, "rejected", actor, reason)


def retire(workspace: "Workspace", model: str, version: int, *, actor: str, reason: str) -> ModelVersion:
    """Rule a version out for good; its bytes and its history stay.

    Raises:
        Refused: It is in force.
        LedgerError: There is no such version.
    """
    return _write(
        workspace,
        model,
        lambda lease: workspace.ledger.retire(lease, model, version, actor=actor, reason=reason),
    )


def _review(
    workspace: "Workspace",
    model: str,
    version: int | None,
    verdict: Literal["approved", "rejected"],
    actor: str,
    reason: str,
) -> RoleChange | None:
    ledger = workspace.ledger
    number = version or _newest_waiting(workspace, model)
    known = ledger.version(model, number)
    as_of = max(_newest(workspace, model), known.as_of) if known else _newest(workspace, model)
    return _write(
        workspace,
        model,
        lambda lease: ledger.review(lease, model, number, verdict, as_of=as_of, actor=actor, reason=reason),
    )


def _newest_waiting(workspace: "Workspace", model: str) -> int:
    waiting = workspace.ledger.waiting(model)
    if not waiting:
        others = [name for name in workspace.ledger.models() if workspace.ledger.waiting(name)]
        raise Refused(f"no version of {model!r} waits for approval; models with one: {sample(others) or 'none'}")
    return waiting[-1].version


def _newest(workspace: "Workspace", model: str) -> date:
    """Return the date of the newest change: what was in force on earlier dates stays as it was."""
    changes = workspace.ledger.role_history(model)
    return max((change.as_of for change in changes), default=workspace.now().date())


def _write(workspace: "Workspace", model: str, act: "Callable[[Lease], Answer]") -> Answer:
    try:
        with workspace.ledger.hold(model, locks=workspace.home / "locks", wait_s=0.2) as lease:
            return act(lease)
    except Busy:
        return act(workspace.ledger.overtake(model))


def _flip(workspace: "Workspace", point: str) -> None:
    from perennial.registry.projection import flip  # the door to MLflow need not be opened here

    fault_point(point)
    flip(workspace)
