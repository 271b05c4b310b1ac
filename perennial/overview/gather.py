"""How every pipeline is, from one survey of the ledger and from the configuration files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from perennial.config.models import Pipeline
from perennial.contracts import Alert, Measurement, Score
from perennial.errors import ConfigError
from perennial.ledger.survey import Judged, Standing
from perennial.monitoring.daily import SERVED
from perennial.monitoring.watch import expected
from perennial.overview.contents import DecisionOutcome, Fleet, PipelineOverview, Source
from perennial.overview.wiring import addresses, predictions, readers, sources

if TYPE_CHECKING:
    from perennial.context import Workspace

LEVELS = ("critical", "warning", "info")
RECENT = 30
"""Alerts of all pipelines that the fleet tells of."""
_CONTENDERS = frozenset({SERVED, "canary", "shadow", "candidate", "champion"})
"""Those that are not a naive baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a configuration file says of a pipeline: its settings, or what is wrong with them."""

    config: Pipeline | None = None
    broken: str = ""


def overview(workspace: "Workspace") -> tuple[PipelineOverview, ...]:
    """Return how every pipeline is, by name: those with a configuration file and those the ledger knows."""
    return gather(workspace, configured(workspace), workspace.ledger.survey(), workspace.ledger.alerts(open_only=True))


def fleet(workspace: "Workspace", known: Mapping[str, Known], standings: Sequence[Standing]) -> Fleet:
    """Return every pipeline together with what concerns all of them."""
    ledger = workspace.ledger
    alerts = ledger.alerts()
    return Fleet(
        pipelines=gather(workspace, known, standings, [one for one in alerts if one.closed is None]),
        alerts=tuple(reversed(alerts))[:RECENT],
        unsent=len(ledger.pending("alert")),
        lake=workspace.env.lake.removeprefix(f"{workspace.root.resolve()}/"),
        at=workspace.now(),
    )


def configured(workspace: "Workspace") -> dict[str, Known]:
    """Read every pipeline's file; one that is broken is told, not raised."""
    found: dict[str, Known] = {}
    for path in sorted((workspace.root / "configs").glob("*.yaml")):
        if not path.name.endswith(".checks.yaml"):
            try:
                config = workspace.pipeline(path.stem).config
                found[config.pipeline] = Known(config=config)
            except ConfigError as error:
                found.setdefault(path.stem, Known(broken=str(error)))
    return found


def gather(
    workspace: "Workspace", known: Mapping[str, Known], standings: Sequence[Standing], alerts: Sequence[Alert]
) -> tuple[PipelineOverview, ...]:
    """Put together what the files, the ledger and the clock say of each pipeline."""
    stands = {one.pipeline: one for one in standings}
    names = sorted({*known, *stands})
    root = workspace.root
    places = addresses(names, lake=workspace.env.lake, root=root)
    reads = {name: sources(one.config, places, root=root) for name, one in known.items() if one.config is not None}
    used = readers(reads)
    return tuple(
        _one(
            stands.get(name) or Standing(pipeline=name, roles={}),
            known.get(name),
            due=_due(workspace, known.get(name)),
            alerts=[one for one in alerts if one.pipeline == name],
            reads=reads.get(name, ()),
            read_by=used.get(name, ()),
        )
        for name in names
    )


def outcome(judged: Judged | None, stands: Standing) -> DecisionOutcome:
    """Return what a decision led to, as of now."""
    if judged is None:
        return "none"
    number = judged.version.version
    if not judged.decision.promote:
        return "kept champion" if stands.champion else "not promoted"
    if number in stands.waiting:
        return "awaiting approval"
    if judged.review == "rejected":
        return "rejected"
    if any(role != "champion" and change.version == number for role, change in stands.roles.items()):
        return "on trial"
    return "promoted" if judged.entered else "reverted"


def _due(workspace: "Workspace", known: Known | None) -> date | None:
    """Return the newest date whose forecasts should be there by now; ``None`` if none is expected."""
    if known is None or known.config is None or isinstance(known.config.as_of, date):
        return None
    return expected(workspace, known.config.timezone, known.config.delivery.deadline)


def _one(
    stands: Standing,
    known: Known | None,
    *,
    due: date | None,
    alerts: Sequence[Alert],
    reads: tuple[Source, ...],
    read_by: tuple[str, ...],
) -> PipelineOverview:
    cfg = known.config if known else None
    published, judged = stands.publication, stands.judged
    one = PipelineOverview(
        model=stands.pipeline,
        owner=cfg.owner if cfg else next((a.owner for a in reversed(alerts)), ""),
        description=cfg.description if cfg else "",
        configured=known is not None,
        broken=known.broken if known else "",
        versions=stands.versions,
        decision=outcome(judged, stands),
        decided=judged.as_of if judged else None,
        decided_version=judged.version.version if judged else None,
        alerts=tuple(sorted(alerts, key=lambda a: (LEVELS.index(a.finding.level), a.opened))),
        published=published.as_of if published else None,
        rows=published.rows if published else 0,
        rungs=dict(published.rungs) if published else {},
        behind_days=max((due - published.as_of).days, 0) if due and published else None,
        canary=_holder(stands, "canary"),
        shadow=_holder(stands, "shadow"),
        waiting=stands.waiting,
        trouble=_trouble(stands),
        reads=reads,
        publishes=predictions(stands.pipeline),
        readers=read_by,
    )
    one = _with_measurement(_with_champion(one, stands, cfg), stands.measurement, cfg)
    return replace(one, unused=_unused(one, cfg), stale=_stale(one))


def _holder(stands: Standing, role: str) -> int | None:
    change = stands.roles.get(role)
    return change.version if change else None


def _trouble(stands: Standing) -> str:
    run = stands.run
    if run is None or run.status not in ("failed", "lost", "cancelled"):
        return ""
    error = " ".join(str(run.record.get("error", "")).split())
    return f"{run.flow} of {run.as_of} {run.status}{f': {error}' if error else ''}"[:400]


def _with_champion(one: PipelineOverview, stands: Standing, cfg: Pipeline | None) -> PipelineOverview:
    champion = stands.champion
    if champion is None:
        return one
    dates = [one.published, stands.measurement.as_of if stands.measurement else None, champion.as_of]
    newest = max(day for day in dates if day is not None)
    return replace(
        one,
        champion=champion.version,
        champion_as_of=champion.as_of,
        champion_since=stands.roles["champion"].as_of,
        age_days=(newest - champion.as_of).days,
        age_limit=_age_limit(cfg),
    )


def _age_limit(cfg: Pipeline | None) -> int | None:
    """Return how old a model may be: what is watched for, else when the policy would train a new one at the latest."""
    if cfg is None or cfg.monitor.max_model_age_days is not None:
        return cfg.monitor.max_model_age_days if cfg else None
    return None if cfg.retrain.policy == "never" else cfg.retrain.days


def _with_measurement(one: PipelineOverview, measured: Measurement | None, cfg: Pipeline | None) -> PipelineOverview:
    if measured is None:
        return replace(one, metric=(cfg.monitor.metric if cfg else None) or one.metric)
    daily = tuple(sorted((d for d in measured.daily if d.key == ""), key=lambda d: d.day))
    metric = (cfg.monitor.metric if cfg else None) or (daily[-1].metric if daily else one.metric)
    overall = [s for s in measured.scores if s.part == "overall" and s.metric == metric and math.isfinite(s.value)]
    best = min((s for s in overall if s.contender not in _CONTENDERS), key=lambda s: s.value, default=None)
    return replace(
        one,
        health=measured.health,
        measured=measured.as_of,
        metric=metric,
        error=_value(overall),
        baseline=best.value if best else math.nan,
        baseline_name=best.contender if best else "",
        daily=daily,
        data_age_days=measured.data_age_days if measured.data_age_days >= 0 else None,
        retrain_s=measured.cost.get("retrain_s", math.nan),
        score_s=measured.cost.get("score_s", math.nan),
        s_per_1000=measured.cost.get("s_per_1000", math.nan),
    )


def _value(overall: Sequence[Score]) -> float:
    return next((s.value for s in overall if s.contender == SERVED), math.nan)


def _unused(one: PipelineOverview, cfg: Pipeline | None) -> str:
    """Say why nobody can be using what a pipeline makes."""
    if not one.configured:
        return "no configuration file any more"
    if one.published is None:
        return "never published"
    if cfg and one.behind_days is not None and one.behind_days > cfg.delivery.catch_up_days:
        return f"not published since {one.published}, {one.behind_days} days ago"
    return ""


def _stale(one: PipelineOverview) -> str:
    if one.age_days is None or one.age_limit is None or one.age_days <= one.age_limit:
        return ""
    return f"version {one.champion} is {one.age_days} days old (policy: {one.age_limit})"
