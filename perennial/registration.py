"""From a judged candidate to a version in force: its page, its MLflow run, the one commit, the alias."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from perennial import privacy
from perennial.context import Run, peak_mib
from perennial.contracts import (
    Candidate,
    CheckReport,
    Decision,
    Evaluation,
    Incumbent,
    Landing,
    ModelVersion,
    Outcome,
    Prepared,
    RoleChange,
    RunRecord,
    Score,
    Snapshot,
)
from perennial.evaluation.suspicion import against_rules, too_good
from perennial.faults import fault_point
from perennial.identity import code_digest, lock_digest
from perennial.registry.tracking import Registration, flat_metrics, reconcile
from perennial.reports import Quarantined, ReportInput, render_card, render_run, render_summary

PAGE = "index.html"
CARD = "model_card.md"
SUMMARY = "summary.md"
PER_ENTITY = "per_entity.parquet"
ARTIFACTS = (PAGE, CARD, SUMMARY, PER_ENTITY)


def lineage(run: Run, snapshot: Snapshot) -> Mapping[str, str]:
    """Return everything a version depends on, as digests by readable name."""
    return {
        "run key": run.key(snapshot),
        "snapshot": snapshot.snapshot_id,
        "code": code_digest(),
        "lock file": lock_digest(run.workspace.root),
        "configuration": run.loaded.digest,
    }


def recalled(run: Run, snapshot: Snapshot) -> RunRecord | None:
    """Return what an earlier run with the same key led to, or ``None``; a flip it did not get to is made up."""
    key = run.key(snapshot)
    version, decision = run.ledger.version_by_key(key), run.ledger.decision(key)
    if version is None or decision is None:
        return None
    if run.ledger.pending("alias"):
        reconcile(run.ledger, run.workspace.registry)
    page = run.folder(key) / PAGE
    return RunRecord(
        run_id=run.run_id,
        run_key=key,
        pipeline=run.name,
        as_of=run.as_of,
        outcome="already done",
        version=version.version,
        champion=_champion(run),
        summary="promoted when it was judged" if decision.promote else f"not promoted: {decision.summary}",
        report=_relative(run, page) if page.exists() else None,
        scores=_scores(run, key),
        verdicts=decision.verdicts,
        seconds=dict(run.seconds),
        peak_mib=peak_mib(),
    )


def write_report(
    run: Run,
    snapshot: Snapshot,
    data: Prepared,
    candidate: Candidate,
    current: Incumbent | None,
    scores: Evaluation,
    decision: Decision,
) -> Path:
    """Write the run's page, model card, summary and per-entity metrics; return their folder."""
    landings = tuple(run.ledger.landings(run.name))
    visible = [one for one in landings if one.landing_id in snapshot.main.landings]
    shown = privacy.shown_evaluation(scores, run.cfg)
    report = ReportInput(
        pipeline=run.cfg,
        snapshot=snapshot,
        landings=tuple(one for one in visible if one.as_of == run.as_of),
        checks=_checks(run, snapshot),
        quarantine=_quarantine(visible),
        split=privacy.shown_split(data.split, run.cfg),
        training=privacy.shown_training(candidate.training, run.cfg),
        evaluation=shown,
        decision=decision,
        version=candidate.version,
        champion=current.version if current else None,
        lineage=lineage(run, snapshot),
        seconds=dict(run.seconds),
        peak_mib=peak_mib(),
        rows=sum(one.counts.accepted for one in visible),
        generated_at=run.workspace.now(),
    )
    folder = run.folder(run.key(snapshot))
    _write(folder / PAGE, render_run(report))
    _write(folder / CARD, render_card(report))
    _write(folder / SUMMARY, render_summary(report, link=(folder / PAGE).resolve().as_uri()))
    pq.write_table(shown.per_entity, folder / PER_ENTITY, compression="zstd")
    return folder


def register(
    run: Run, snapshot: Snapshot, candidate: Candidate, scores: Evaluation, decision: Decision, page: Path
) -> RunRecord:
    """Tell MLflow, commit the decision with everything that follows from it, then flip the alias.

    Every step finds what an interrupted run has left of it and goes on from there.

    Raises:
        RegistryError: MLflow does not answer; the version stays unregistered, the champion stays in force.
    """
    version = _registered(run, snapshot, candidate, scores, page)
    fault_point("registration.recorded")
    champion = run.ledger.in_force(run.name)
    change = run.ledger.commit_decision(
        run.lease,
        version,
        decision,
        as_of=run.as_of,
        actor=run.lease.holder,
        strategy=run.cfg.rollout.strategy,
        approval=run.cfg.rollout.approval == "required",
    )
    fault_point("registration.committed")
    if run.ledger.pending("alias"):
        reconcile(run.ledger, run.workspace.registry)
    before = f"; the champion stays version {champion.version}" if champion and not decision.promote else ""
    return RunRecord(
        run_id=run.run_id,
        run_key=version.run_key,
        pipeline=run.name,
        as_of=run.as_of,
        outcome=_outcome(decision, change, champion),
        version=version.version,
        champion=_champion(run),
        summary=decision.summary + before,
        report=_relative(run, page / PAGE),
        scores=tuple(s for s in scores.scores if s.part in ("overall", "set")),
        verdicts=decision.verdicts,
        seconds=dict(run.seconds),
        peak_mib=peak_mib(),
        doubt=too_good(scores.scores, candidate.training.importance, against_rules(run.cfg)),
    )


def _registered(run: Run, snapshot: Snapshot, candidate: Candidate, scores: Evaluation, page: Path) -> ModelVersion:
    known, training = candidate.version, privacy.shown_training(candidate.training, run.cfg)
    mlflow_run, mlflow_version = run.workspace.registry.register(
        Registration(
            model=run.name,
            version=known.version,
            run_key=known.run_key,
            as_of=run.as_of,
            blob=candidate.blob,
            params=training.params,
            metrics=flat_metrics(scores.scores),
            tags={name.replace(" ", "_"): value for name, value in lineage(run, snapshot).items()},
            dataset=run.name,
            snapshot_id=snapshot.snapshot_id,
            source=run.cfg.data.source.model_dump_json(),
            rows=training.rows,
            features=training.features,
            example=training.example,
            artifacts={f"report/{name}": page / name for name in ARTIFACTS},
            description=(page / CARD).read_text(encoding="utf-8"),
        )
    )
    fault_point("mlflow.registered")
    return run.ledger.record_registration(run.lease, run.name, known.version, mlflow_run, mlflow_version)


def _outcome(decision: Decision, change: RoleChange | None, champion: ModelVersion | None) -> Outcome:
    if not decision.promote:
        return "kept champion" if champion else "not promoted"
    if change is None:
        return "awaiting approval"
    return "promoted" if change.role == "champion" else change.role


def _champion(run: Run) -> int | None:
    found = run.ledger.in_force(run.name)
    return found.version if found else None


def _scores(run: Run, key: str) -> tuple[Score, ...]:
    """Return the overall scores that the run which did the work recorded; none if it was killed before."""
    records: Iterable[Mapping[str, Any]] = (one.record for one in run.ledger.runs(run.name))
    found = [r["scores"] for r in records if r.get("run_key") == key and r.get("scores")]
    # the record holds nan as text, since JSON has no word for it
    return tuple(Score(**{**one, "value": float(one["value"])}) for one in found[-1]) if found else ()


def _checks(run: Run, snapshot: Snapshot) -> CheckReport:
    """Return what was checked when the newest visible landing was last judged."""
    reports = (run.ledger.check_report(landing) for landing in reversed(snapshot.main.landings))
    return next((report for report in reports if report), CheckReport(checks=()))


def _quarantine(landings: Iterable[Landing]) -> tuple[Quarantined, ...]:
    totals: dict[tuple[str, str], int] = {}
    for landing in landings:
        for reason, rows in landing.counts.reasons.items():
            totals[landing.table, reason] = totals.get((landing.table, reason), 0) + rows
    return tuple(Quarantined(table=table, reason=reason, rows=n) for (table, reason), n in sorted(totals.items()))


def _relative(run: Run, path: Path) -> str:
    return path.relative_to(run.workspace.home).as_posix()


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
