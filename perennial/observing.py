"""What a monitor run does to the stores: gather and measure, conclude a trial, judge and record."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from perennial import intake, policy, publishing
from perennial.context import Run
from perennial.contracts import CanaryVerdict, Measurement, ModelVersion, Publication, Role, Snapshot
from perennial.errors import Refused
from perennial.faults import fault_point
from perennial.kinds import kind
from perennial.monitoring import judge as rules
from perennial.monitoring.degraded import carried
from perennial.monitoring.measure import Logged
from perennial.monitoring.measure import measure as figures
from perennial.registry.tracking import flip, loaded
from perennial.rollout import judge_trial

TRIALS: tuple[Role, ...] = ("canary", "shadow")
EARLIER = 60
"""Measurements that a judgement looks back on."""


def measure(run: Run) -> Measurement:
    """Measure what was published against the truth that the newest snapshot up to the run's date shows.

    Raises:
        Refused: Nothing was ever landed.
    """
    snapshot = _snapshot(run)
    settings = run.cfg.monitor
    served, canary = _served(run)
    champion = loaded(run.workspace.store, served) if served else None
    back = max(settings.window_days, settings.of + 10) + run.cfg.problem.reach()
    return figures(
        run.cfg,
        _load(run, snapshot),
        as_of=run.as_of,
        champion=champion,
        canary=canary,
        published=publishing.published_rows(run, run.as_of - timedelta(days=back)),
        logged=_logged(run, champion.version if champion else None),
        newest=_newest(run, snapshot),
        cost=_cost(run),
        threads=run.threads,
    )


def roll_out(run: Run) -> CanaryVerdict | None:
    """Judge the version on trial by its matured predictions; promote or revert it once they have shown enough.

    Returns:
        The verdict; that of an interrupted run if it concluded the trial on this date; ``None`` without a trial.
    """
    if run.ledger.pending("alias"):  # of an approval, a rollback or a verdict whose process died
        flip(run.workspace)
    for role in TRIALS:
        trial = run.ledger.in_force(run.name, role, on=run.as_of)
        since = run.ledger.trial_since(run.name, role)
        if trial and since and since < run.as_of:  # else it is over, and one that has just begun has shown nothing
            verdict = _verdict(run, role, trial)
            if verdict.outcome != "continue":
                run.ledger.conclude(
                    run.lease,
                    run.name,
                    role,
                    promote=verdict.outcome == "promote",
                    as_of=run.as_of,
                    actor=run.lease.holder,
                    reason=f"{role} {trial.version}: {verdict.reason}",
                )
                fault_point("canary.concluded")
                flip(run.workspace)
            return verdict
    return _concluded(run)


def judge(run: Run, measured: Measurement, verdict: CanaryVerdict | None, trouble: str) -> Measurement:
    """Say what the figures mean and whether a new model is wanted, and record both.

    Args:
        run: The run.
        measured: The figures of the run's date.
        verdict: What the trial has shown, if there is one.
        trouble: Why scoring failed on this date; empty if it did not.
    """
    publication = run.ledger.publication(run.name, run.as_of)
    history = [one for one in run.ledger.measurements(run.name, EARLIER) if one.as_of < run.as_of]
    measured = carried(measured, history, run.cfg.monitor)
    findings = rules.findings(
        run.cfg,
        measured,
        history,
        rungs=publication.rungs if publication else {},
        trouble=trouble_of(run, publication, trouble),
        verdict=verdict,
    )
    judged = replace(measured, findings=findings)
    judged = replace(judged, retrain=_wanted(run, judged))
    run.ledger.record_measurement(run.lease, judged)
    return judged


def trouble_of(run: Run, publication: Publication | None, trouble: str) -> str:
    """Return why scoring failed on the run's date, which an interrupted run may have been the last to know.

    A date that is published by the champion was scored, whoever else tried in vain; so was one without a row, which no
    rung of the ladder publishes.
    """
    if publication and all(rung in rules.ON_TOP for rung in publication.rungs):
        return ""
    if trouble or publication is None:
        return trouble
    mine = [one for one in run.ledger.runs(run.name) if (one.flow, one.as_of) == ("score", run.as_of)]
    failed = [str(one.record["error"]) for one in mine if one.record.get("error")]
    return failed[-1] if failed else ""


def _served(run: Run) -> tuple[ModelVersion | None, ModelVersion | None]:
    """Return champion and canary of the run's date: those that its publication came from.

    The roles themselves may have moved on since: by a verdict or a retrain of this date, whose process then died.
    """
    publication = run.ledger.publication(run.name, run.as_of)
    champion = run.ledger.version(run.name, publication.version) if publication else None
    if publication is None or champion is None:
        return (run.ledger.in_force(run.name, on=run.as_of), run.ledger.in_force(run.name, "canary", on=run.as_of))
    others = {int(n) for n in publication.versions} - {0, champion.version}
    tried = "challenger" in publication.rungs and others  # else they are of an earlier date that was moved on
    return champion, run.ledger.version(run.name, max(others)) if tried else None


def _verdict(run: Run, role: Role, trial: ModelVersion) -> CanaryVerdict:
    """Compare the trial with the champion on the rows that both forecast since the trial began."""
    since = run.ledger.trial_since(run.name, role) or trial.as_of
    published, beside = publishing.published_rows(run, since), publishing.rows_beside(run, since)
    both = pa.concat_tables([published, beside])
    tried = pc.unique(both.filter(pc.equal(both["version"], trial.version))["as_of"])
    both = both.filter(pc.is_in(both["as_of"], value_set=tried))  # dates on which both had their say
    data = _load(run, _snapshot(run))
    mine, other = (
        kind(run.cfg.kind).mature(data, run.cfg, rows)
        for rows in (
            both.filter(pc.equal(both["version"], trial.version)),
            both.filter(pc.not_equal(both["version"], trial.version)),
        )
    )
    return judge_trial(mine, other, run.cfg.rollout)


def _concluded(run: Run) -> CanaryVerdict | None:
    """Return the verdict that a run of the same date reached before it was interrupted."""
    of_date = [one for one in run.ledger.role_history(run.name) if one.as_of == run.as_of]
    for change in of_date:
        if change.role in TRIALS and change.version is None:
            promoted = any(one.role == "champion" and one.version == change.previous for one in of_date)
            outcome = "promote" if promoted else "revert"
            reason = change.reason.removeprefix(f"{change.role} {change.previous}: ")
            return CanaryVerdict(outcome=outcome, reason=reason, days=0, ratio=float("nan"))  # type: ignore[arg-type]
    return None


def _wanted(run: Run, judged: Measurement) -> str:
    """Return why a new model is wanted; nobody asks for one while another is on its way into force.

    Versions of this date do not count where there are older ones: they are what this answer led to, before the
    process died.
    """
    trials = [run.ledger.in_force(run.name, role, on=run.as_of) for role in TRIALS]
    if any(one.as_of < run.as_of for one in (*trials, *run.ledger.waiting(run.name)) if one):
        return ""
    known = [one.as_of for one in run.ledger.versions(run.name) if one.as_of <= run.as_of]
    trained = max((day for day in known if day < run.as_of), default=max(known, default=None))
    return policy.due(
        run.cfg.retrain, as_of=run.as_of, trained=trained, health=judged.health, new_rows=_landed_after(run, trained)
    )


def _landed_after(run: Run, day: date | None) -> int:
    landed = run.ledger.landings(run.name, status="accepted")
    return sum(one.counts.accepted for one in landed if one.as_of <= run.as_of and (day is None or one.as_of > day))


def _snapshot(run: Run) -> Snapshot:
    found = [one for one in run.ledger.snapshots(run.name) if one.as_of <= run.as_of]
    if not found:
        raise Refused(f"nothing of {run.name} was landed up to {run.as_of}; run `perennial day {run.name}` first")
    return max(reversed(found), key=lambda one: one.as_of)  # of several of a date, the last one pinned


def _load(run: Run, snapshot: Snapshot, as_of: date | None = None) -> Any:
    """Load a snapshot as a date (the run's) sees it: what came after it is unknown, not zero."""
    seen = replace(snapshot, as_of=as_of or run.as_of)
    return kind(run.cfg.kind).load(run.cfg, seen, lambda table: intake.read(run, table, snapshot))


def _logged(run: Run, champion: ModelVersion | None) -> Logged | None:
    """Return the newest input logged on an earlier date by the version in force: others have other features."""
    snapshots = run.ledger.snapshots(run.name)
    for one in reversed(run.ledger.publications(run.name)):
        if champion and one.as_of < run.as_of and one.version == champion.version:
            pinned = [snapshot for snapshot in snapshots if snapshot.as_of == one.as_of]
            if len(pinned) != 1:  # of several, nobody knows which the inputs came from
                continue
            inputs = publishing.logged_inputs(run, one)
            if inputs is not None:
                return Logged(as_of=one.as_of, inputs=inputs, data=_load(run, pinned[0], one.as_of))
    return None


def _newest(run: Run, snapshot: Snapshot) -> date | None:
    """Return the date of the newest observation that a snapshot shows."""
    newest: date | None = None
    for batch in intake.read(run, snapshot.main, snapshot, ("ds",)):
        last = pc.max(batch["ds"]).as_py()
        newest = last if newest is None or (last and last > newest) else newest
    return newest


def _cost(run: Run) -> Mapping[str, float]:
    """Return what the newest runs of each flow up to the date took."""
    cost: dict[str, float] = {}
    for one in run.ledger.runs(run.name):
        seconds = one.record.get("seconds")
        if one.flow == "retrain" and one.as_of == run.as_of:
            continue  # it comes after this measurement, unless that is repeated
        if one.as_of <= run.as_of and one.flow in ("score", "retrain") and one.status == "succeeded" and seconds:
            cost[f"{one.flow}_s"] = float(sum(seconds.values()))
            cost[f"{one.flow}_mib"] = float(one.record.get("peak_mib", 0.0))
            if rows := one.record.get("rows"):
                cost["s_per_1000"] = 1000 * cost[f"{one.flow}_s"] / rows
    return cost
