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
        raise Refused(nobody(ledger, model, on))
    for role in TRIALS:
        trial = incumbent(ledger, store, model, role, on=on)
        if trial is not None:
            return Serving(champion=champion, trial=trial, role=role)
    return Serving(champion=champion)


def nobody(ledger: "Ledger", model: str, on: date) -> str:
    """Say why no version is in force on a date, and what helps."""
    later, known = ledger.in_force(model), ledger.versions(model)
    if later is None and not known:
        return f"model {model!r} has no champion yet; run `perennial run {model}` first"
    if later is None:
        return (
            f"model {model!r} has no champion: none of its {len(known)} versions is in force, the newest as of "
            f"{known[-1].as_of}; its report says which gates it failed. Give it more history or columns, or change "
            "its gates, and run again"
        )
    return (
        f"model {model!r} had no champion yet on {on}: version {later.version} stands on {later.as_of} and "
        f"knows what came after; score {later.as_of} or a later date"
    )
