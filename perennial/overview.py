"""Answers from the ledger alone: which models there are, what was in force when, and why. No MLflow, no network."""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from perennial.contracts import RoleChange
from perennial.errors import Refused

if TYPE_CHECKING:
    from perennial.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOverview:
    """One model in one line.

    Attributes:
        champion: Version in force, ``None`` before the first promotion.
        champion_as_of: Date that version stands on.
        versions: How many were ever trained.
        decision: Outcome of the newest decision, ``"none"`` before the first.
        published: As-of date of the newest publication.
        rows: Its rows.
    """

    model: str
    champion: int | None
    champion_as_of: date | None
    versions: int
    decision: str
    published: date | None
    rows: int


def overview(ledger: "Ledger") -> tuple[ModelOverview, ...]:
    """Return one line per model, by name."""
    return tuple(_line(ledger, model) for model in sorted(ledger.models()))


def story(ledger: "Ledger", model: str, on: date | None = None) -> tuple[RoleChange, ...]:
    """Return the role changes of a model, oldest first, up to business date ``on``.

    Raises:
        Refused: There is no such model; the message lists those that exist.
    """
    known = sorted(ledger.models())
    if model not in known:
        raise Refused(f"no model {model!r}; known: {', '.join(known) or 'none yet'}; train one with `perennial run`")
    return ledger.role_history(model, on=on)


def _line(ledger: "Ledger", model: str) -> ModelOverview:
    champion = ledger.in_force(model, "champion")
    versions = ledger.versions(model)
    judged = [d for v in versions if (d := ledger.decision(v.run_key)) is not None]
    publications = ledger.publications(model)
    last = publications[-1] if publications else None
    return ModelOverview(
        model=model,
        champion=champion.version if champion else None,
        champion_as_of=champion.as_of if champion else None,
        versions=len(versions),
        decision=("promoted" if judged[-1].promote else "not promoted") if judged else "none",
        published=last.as_of if last else None,
        rows=last.rows if last else 0,
    )
