"""Versions, decisions and roles: which model came to be, and which is in force."""

from datetime import date
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from perennial.contracts import ROLES, Decision, ModelVersion, Role, RoleChange, Strategy
from perennial.errors import LedgerError, Refused, sample
from perennial.ledger.codec import canonical, decode, encode
from perennial.ledger.lock import Lease
from perennial.ledger.outbox import alias_key, enqueue
from perennial.ledger.schema import decisions, role_changes, rollouts, versions
from perennial.ledger.store import Store


class ModelFacts(Store):
    """The part of the ledger that speaks of models; a model bears the name of its pipeline."""

    # --- versions ------------------------------------------------------------------------------------------

    def record_training(
        self, lease: Lease, *, model: str, run_key: str, digest: str, snapshot_id: str, as_of: date
    ) -> ModelVersion:
        """Record a trained model and give it its version number; the same run key has the same version.

        Raises:
            LedgerError: The run key is known with other bytes, or the lease is for another model.
        """
        _owned(lease, model)
        with self._write(lease, "training") as tx:
            found = self._version_by(tx, versions.c.run_key == run_key)
            if found is None:
                last = tx.scalar(select(func.max(versions.c.version)).where(versions.c.model == model))
                row: dict[str, Any] = {"model": model, "version": (last or 0) + 1}
                row |= {"run_key": run_key, "digest": digest}
                row |= {"snapshot_id": snapshot_id, "as_of": as_of, "mlflow_run": "", "mlflow_version": 0}
                row |= {"state": "trained", "created_at": self._now()}
                self._put(tx, versions, row, action="version trained", actor=lease.holder)
                found = ModelVersion(**row)
        if found.digest != digest:
            raise LedgerError(
                f"run key {run_key[:12]} gave {digest[:12]} but is recorded as {model} {found.version} with "
                f"{found.digest[:12]}: the fit is not deterministic, and the recorded bytes stand"
            )
        return found

    def record_registration(
        self, lease: Lease, model: str, version: int, mlflow_run: str, mlflow_version: int
    ) -> ModelVersion:
        """Record where MLflow keeps a version; a later registration replaces an earlier one.

        Raises:
            LedgerError: There is no such version, or the lease is for another model.
        """
        _owned(lease, model)
        with self._write(lease, "registered") as tx:
            found = self._existing(tx, model, version)
            row = {"model": model, "version": version, "mlflow_run": mlflow_run}
            row |= {"mlflow_version": mlflow_version}
            row |= {"state": "registered" if found.state == "trained" else found.state}
            self._put(tx, versions, row, action="version registered", actor=lease.holder)
            return self._existing(tx, model, version)

    def retire(self, lease: Lease, model: str, version: int, *, actor: str, reason: str) -> ModelVersion:
        """Rule a version out for good; its bytes and its history stay.

        Raises:
            Refused: It is in force.
            LedgerError: There is no such version, or the lease is for another model.
        """
        _owned(lease, model)
        with self._write(lease, "retired") as tx:
            self._existing(tx, model, version)
            for role in ROLES:
                last = self._last_change(tx, model, role)
                if last and last["version"] == version:
                    raise Refused(f"{model} {version} is the {role}; give the role to another version first")
            row = {"model": model, "version": version, "state": "retired"}
            self._put(tx, versions, row, action=f"version retired: {reason}", actor=actor)
            return self._existing(tx, model, version)

    def version_by_key(self, run_key: str) -> ModelVersion | None:
        """Return the version of a run key; ``None`` if that run never finished training."""
        with self._read() as tx:
            return self._version_by(tx, versions.c.run_key == run_key)

    def version(self, model: str, n: int) -> ModelVersion | None:
        """Return version ``n`` of a model; ``None`` if there is none."""
        with self._read() as tx:
            return self._version_by(tx, (versions.c.model == model) & (versions.c.version == n))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return every version of a model, oldest first."""
        rows = self._rows(select(versions).where(versions.c.model == model).order_by(versions.c.version))
        return tuple(ModelVersion(**row) for row in rows)

    def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        return tuple(row["model"] for row in self._rows(select(versions.c.model).distinct().order_by("model")))

    # --- decisions and roles -------------------------------------------------------------------------------

    def commit_decision(
        self,
        lease: Lease,
        version: ModelVersion,
        decision: Decision,
        *,
        as_of: date,
        actor: str,
        strategy: Strategy = "immediate",
        approval: bool = False,
    ) -> RoleChange | None:
        """Record all verdicts on a version and, if it passed, give it a role: in one transaction.

        The first decision on a run key stands: a repeated call returns what it led to.

        Args:
            lease: The lease of the run.
            version: The version that was judged.
            decision: All verdicts.
            as_of: Business date.
            actor: Who decides, for the audit trail.
            strategy: ``immediate``: champion at once; ``canary`` or ``shadow``: that role, beside the champion.
                The first version of all becomes champion whatever it says.
            approval: A person must say yes first; see :meth:`review`.

        Returns:
            The change of a role; ``None`` if the version did not pass, or waits for approval.

        Raises:
            LedgerError: There is no such version, or the lease is for another model.
        """
        _owned(lease, version.model)
        with self._write(lease, "decided") as tx:
            self._existing(tx, version.model, version.version)
            known = tx.scalar(select(decisions.c.promote).where(decisions.c.run_key == version.run_key))
            if known is None:
                row = {"run_key": version.run_key, "model": version.model, "version": version.version}
                row |= {"as_of": as_of, "promote": decision.promote, "fact": encode(decision)}
                row |= {"decided_at": self._now()}
                self._put(tx, decisions, row, action="decision", actor=actor)
                change = None
                if decision.promote:
                    plan = {"run_key": version.run_key, "model": version.model, "version": version.version}
                    plan |= {"strategy": strategy, "approval": approval}
                    self._put(tx, rollouts, plan, action="rollout planned", actor=actor)
                    if not approval:
                        change = self._let_in(tx, version, strategy, as_of, actor, decision.summary)
            else:
                change = self._promotion_of(tx, version) if known else None
        self._anchor()
        return change

    def _let_in(
        self, tx: Connection, version: ModelVersion, strategy: str, as_of: date, actor: str, reason: str
    ) -> RoleChange:
        champion = self._last_change(tx, version.model, "champion")
        role: Role = "champion" if not (champion and champion["version"]) or strategy == "immediate" else strategy  # type: ignore[assignment]
        return self._change(tx, version.model, role, version.version, as_of, actor, reason)

    def change_role(
        self, lease: Lease, model: str, role: Role, version: int | None, *, as_of: date, actor: str, reason: str
    ) -> RoleChange:
        """Give a role to another version (a rollback), or vacate it; asking for what is so changes nothing.

        Raises:
            Refused: The version was retired, or no decision let it pass.
            LedgerError: There is no such version, or the lease is for another model.
        """
        _owned(lease, model)
        with self._write(lease, "role") as tx:
            if version is not None:
                self._require_fit(tx, self._existing(tx, model, version))
            last = self._last_change(tx, model, role)
            if last and last["version"] == version:
                change = _role_change(last)
            else:
                change = self._change(tx, model, role, version, as_of, actor, reason)
        self._anchor()
        return change

    def _require_fit(self, tx: Connection, version: ModelVersion) -> None:
        name = f"{version.model} {version.version}"
        if version.state == "retired":
            raise Refused(f"{name} was retired; choose another version")
        if not tx.scalar(select(decisions.c.promote).where(decisions.c.run_key == version.run_key)):
            raise Refused(f"{name} never passed its gates, so it cannot be put in force; choose another version")

    def _change(
        self, tx: Connection, model: str, role: Role, version: int | None, as_of: date, actor: str, reason: str
    ) -> RoleChange:
        last = self._last_change(tx, model, role)
        row: dict[str, Any] = {"model": model, "role": role, "version": version}
        row |= {"previous": last["version"] if last else None, "as_of": as_of, "at": self._now()}
        count = tx.scalar(select(func.max(role_changes.c.position)).where(role_changes.c.model == model))
        row |= {"actor": actor, "reason": reason, "position": (count or 0) + 1}
        self._put(tx, role_changes, row, action="role changed", actor=actor)
        enqueue(
            tx,
            topic="alias",
            key=alias_key(model, row["position"]),
            payload=canonical({"model": model, "role": role, "version": version}),
            at=row["at"],
        )
        return _role_change(row)

    def in_force(self, model: str, role: Role = "champion", on: date | None = None) -> ModelVersion | None:
        """Return the version that holds a role; ``None`` while it is vacant.

        Args:
            model: Its name.
            role: The role.
            on: As-of date of the asker: a version that stands on a later date knows the asker's future, and the
                one that held the role before it is returned.
        """
        with self._read() as tx:
            last = self._last_change(tx, model, role, on)
            return self._existing(tx, model, last["version"]) if last and last["version"] else None

    def role_history(self, model: str, on: date | None = None) -> tuple[RoleChange, ...]:
        """Return every change of a model's roles, oldest first; with ``on`` those made up to that as-of date."""
        found = select(role_changes).where(role_changes.c.model == model)
        if on is not None:
            found = found.where(role_changes.c.as_of <= on)
        return tuple(_role_change(row) for row in self._rows(found.order_by(role_changes.c.position)))

    def decision(self, run_key: str) -> Decision | None:
        """Return the decision on a run key; ``None`` if there is none yet."""
        row = self._first(select(decisions.c.fact).where(decisions.c.run_key == run_key))
        return decode(Decision, row["fact"]) if row else None

    def rollback_target(self, model: str) -> ModelVersion:
        """Return the newest version before the champion that was champion itself and was not retired.

        Raises:
            Refused: There is no champion, or none before it.
        """
        current = self.in_force(model)
        if current is None:
            raise Refused(f"{model!r} has no champion; models: {sample(self.models()) or 'none yet'}")
        before = {c.version for c in self.role_history(model) if c.role == "champion"}
        fit = [v for v in self.versions(model) if v.version in before and v.state != "retired"]
        older = [v for v in fit if v.version < current.version]
        if not older:
            raise Refused(f"{model} {current.version} is the first champion; there is none to go back to")
        return older[-1]

    # --- rows ----------------------------------------------------------------------------------------------

    @staticmethod
    def _version_by(tx: Connection, condition: Any) -> ModelVersion | None:
        row = tx.execute(select(versions).where(condition)).mappings().one_or_none()
        return ModelVersion(**row) if row else None

    def _existing(self, tx: Connection, model: str, version: int) -> ModelVersion:
        found = self._version_by(tx, (versions.c.model == model) & (versions.c.version == version))
        if found is None:
            last = tx.scalar(select(func.max(versions.c.version)).where(versions.c.model == model))
            raise LedgerError(f"{model} {version} does not exist; versions: {f'1 to {last}' if last else 'none'}")
        return found

    @staticmethod
    def _last_change(tx: Connection, model: str, role: str, on: date | None = None) -> RowMapping | None:
        found = select(role_changes).where(role_changes.c.model == model, role_changes.c.role == role)
        if on is not None:
            later = select(versions.c.version).where(versions.c.model == model, versions.c.as_of > on)
            vacated = role_changes.c.version.is_(None)
            found = found.where(vacated | role_changes.c.version.not_in(later))
        last = found.order_by(role_changes.c.position.desc()).limit(1)
        return tx.execute(last).mappings().one_or_none()

    @staticmethod
    def _promotion_of(tx: Connection, version: ModelVersion) -> RoleChange | None:
        of_version = (
            role_changes.c.model == version.model,
            role_changes.c.version == version.version,
        )
        first = select(role_changes).where(*of_version).order_by(role_changes.c.position).limit(1)
        row = tx.execute(first).mappings().one_or_none()
        return _role_change(row) if row else None


def _owned(lease: Lease, model: str) -> None:
    if lease.pipeline != model:
        raise LedgerError(f"the lease is for {lease.pipeline!r} and cannot write facts of {model!r}")


def _role_change(row: Any) -> RoleChange:
    return RoleChange(**{name: row[name] for name in RoleChange.__dataclass_fields__})
