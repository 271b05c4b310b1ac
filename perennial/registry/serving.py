"""Which versions a date is scored with."""

from datetime import date
from typing import TYPE_CHECKING, Literal

from perennial.contracts import Serving
from perennial.errors import Refused
from perennial.registry.modelstore import ModelStore, incumbent

if TYPE_CHECKING:
    from perennial.ledger import Ledger

TRIALS: tuple[Literal["canary", "shadow"], ...] = ("canary", "shadow")


def serving(ledger: "Ledger", store: ModelStore, model: str, on: date) -> Serving:
    """Return the champion and, if there is one, the version on trial for a run that stands on a date.

    Raises:
        Refused: No version that stands on that date or before has been promoted yet.
        IntegrityError: Stored bytes are not those that were judged.
    """
    champion = incumbent(ledger, store, model, on=on)
    if champion is None:
        raise Refused(_nobody(ledger, model, on))
    for role in TRIALS:
        trial = incumbent(ledger, store, model, role, on=on)
        if trial is not None:
            return Serving(champion=champion, trial=trial, role=role)
    return Serving(champion=champion)


def _nobody(ledger: "Ledger", model: str, on: date) -> str:
    later = ledger.in_force(model)
    if later is None:
        return (
            f"model {model!r} has no champion to score with; run `perennial run {model}` first, and if its "
            "candidate was not promoted, see in the report which gates it failed"
        )
    return (
        f"model {model!r} had no champion yet on {on}: version {later.version} stands on {later.as_of} and "
        f"knows what came after; score {later.as_of} or a later date"
    )
