"""How versions that passed their gates come into force: waiting for a person, on trial, concluded."""

from datetime import date
from typing import Literal

from sqlalchemy import Connection, select

from perennial.contracts import ModelVersion, Role, RoleChange
from perennial.errors import LedgerError, Refused
from perennial.ledger.lock import Lease
from perennial.ledger.models import ModelFacts
from perennial.ledger.schema import reviews, rollouts

Review = Literal["approved", "rejected"]


class RolloutFacts(ModelFacts):
    """The part of the ledger that speaks of versions on their way into force."""

    def waiting(self, model: str) -> tuple[ModelVersion, ...]:
        """Return the versions that passed, need a person's approval and have no answer yet; oldest first."""
        asked = select(rollouts.c.version).where(rollouts.c.model == model, rollouts.c.approval)
        with self._read() as tx:
            answered = set(tx.scalars(select(reviews.c.version).where(reviews.c.model == model)))
            open_ = set(tx.scalars(asked)) - answered
        return tuple(one for one in self.versions(model) if one.version in open_ and one.state != "retired")

    def rejected(self, model: str) -> set[int]:
        """Return the versions that a person refused."""
        refused = select(reviews.c.version).where(reviews.c.model == model, reviews.c.verdict == "rejected")
        return {row["version"] for row in self._rows(refused)}

    def strategy(self, run_key: str) -> tuple[str, bool]:
        """Return how the version of a run key was to come into force, and whether a person was to be asked."""
        row = self._first(select(rollouts).where(rollouts.c.run_key == run_key))
        return (row["strategy"], row["approval"]) if row else ("immediate", False)

    def review(
        self, lease: Lease, model: str, version: int, verdict: Review, *, as_of: date, actor: str, reason: str
    ) -> RoleChange | None:
        """Record a person's answer and, if it is yes, give the version its role: in one transaction.

        Returns:
            The change of a role; ``None`` for a rejection. The same answer again returns what it led to.

        Raises:
            Refused: It does not wait for approval, or has another answer already.
            LedgerError: There is no such version, or the lease is for another model.
        """
        if lease.pipeline != model:
            raise LedgerError(f"the lease is for {lease.pipeline!r} and cannot write facts of {model!r}")
        with self._write(lease, "reviewed") as tx:
            found = self._existing(tx, model, version)
            self._require_fit(tx, found)
            plan = tx.execute(select(rollouts).where(rollouts.c.run_key == found.run_key)).mappings().one_or_none()
            if plan is None or not plan["approval"]:
                raise Refused(f"{model} {version} does not wait for approval; see `perennial models`")
            change = None
            if not self._answered(tx, model, version, verdict):
                row = {"model": model, "version": version, "verdict": verdict, "as_of": as_of}
                row |= {"actor": actor, "reason": reason, "at": self._now()}
                self._put(tx, reviews, row, action=f"version {verdict}", actor=actor)
                if verdict == "approved":
                    change = self._let_in(tx, found, plan["strategy"], as_of, actor, f"approved: {reason}")
            elif verdict == "approved":
                change = self._promotion_of(tx, found)
        self._anchor()
        return change

    @staticmethod
    def _answered(tx: Connection, model: str, version: int, verdict: Review) -> bool:
        """Return whether the answer was given before; refuse another one."""
        known = select(reviews.c.verdict).where(reviews.c.model == model, reviews.c.version == version)
        found = tx.scalar(known)
        if found is not None and found != verdict:
            raise Refused(f"{model} {version} was {found} before; train anew, or roll back to an earlier champion")
        return found is not None

    def conclude(
        self, lease: Lease, model: str, role: Role, *, promote: bool, as_of: date, actor: str, reason: str
    ) -> RoleChange:
        """End the trial of a canary or shadow: vacate its role and, if it is promoted, make it champion.

        Both changes are one transaction. A trial that is over already changes nothing.

        Returns:
            The champion's change, or that of the vacated role.

        Raises:
            Refused: Nobody holds the role.
            LedgerError: The lease is for another model.
        """
        if lease.pipeline != model:
            raise LedgerError(f"the lease is for {lease.pipeline!r} and cannot write facts of {model!r}")
        with self._write(lease, "concluded") as tx:
            last = self._last_change(tx, model, role)
            if last is None or last["version"] is None:
                raise Refused(f"{model} has no {role}; see `perennial history {model}`")
            change = self._change(tx, model, role, None, as_of, actor, reason)
            if promote:
                change = self._change(tx, model, "champion", last["version"], as_of, actor, reason)
        self._anchor()
        return change

    def trial_since(self, model: str, role: Role) -> date | None:
        """Return the business date on which the present holder of a role got it; ``None`` while it is vacant."""
        with self._read() as tx:
            last = self._last_change(tx, model, role)
            return last["as_of"] if last and last["version"] else None
