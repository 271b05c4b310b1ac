"""What a person may do to a model in force: put an earlier version back, at once, also while MLflow is down."""

from typing import TYPE_CHECKING

from perennial.contracts import RoleChange
from perennial.errors import Busy, Refused
from perennial.faults import fault_point

if TYPE_CHECKING:
    from perennial.context import Workspace


def roll_back(workspace: "Workspace", model: str, to: int | None = None, *, actor: str, reason: str) -> RoleChange:
    """Put an earlier champion back in force: one ledger commit, then the alias.

    A run that works on the same pipeline is overtaken rather than waited for: its token is stale from now
    on, so it can record nothing more, and ends with ``Fenced``.

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
    from perennial.registry.tracking import flip

    ledger = workspace.ledger
    target = ledger.rollback_target(model).version if to is None else to
    current = ledger.in_force(model)
    if current is not None and current.version == target:
        raise Refused(f"{model} {target} is in force already; see `perennial history {model}`")
    # Never before the newest change: what was in force on earlier dates stays as it was.
    changes = ledger.role_history(model)
    as_of = max((change.as_of for change in changes), default=workspace.now().date())
    try:
        with ledger.hold(model, locks=workspace.home / "locks", wait_s=0.2) as lease:
            change = ledger.change_role(lease, model, "champion", target, as_of=as_of, actor=actor, reason=reason)
    except Busy:
        lease = ledger.overtake(model)
        change = ledger.change_role(lease, model, "champion", target, as_of=as_of, actor=actor, reason=reason)
    fault_point("rollback.committed")
    flip(workspace)
    return change
