"""What the page of one pipeline shows: how it is, what was in force, decided, published and told."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from perennial.config.section import flat
from perennial.contracts import Publication
from perennial.overview import Fleet, History
from perennial.reports.errorcharts import MetricUnit, cost_plot, error_plots
from perennial.reports.fleetrows import (
    DECISIONS,
    USUAL_RUNGS,
    champion_cell,
    decision_cell,
    published_cell,
)
from perennial.reports.fleetviews import Cell, Mark, alert_rows, idle, trials, wiring_row
from perennial.reports.metricwords import metric_words
from perennial.reports.run import Fact, setting_text
from perennial.reports.text import (
    NONE,
    amount,
    brief,
    count,
    day,
    days,
    estimated,
    figure,
    mebibytes,
    moment,
    plain,
    short_day,
)
from perennial.reports.words import sentence

TRAININGS = 10
DRIFTS = 12
SETTINGS = ("retrain.", "rollout.", "delivery.", "monitor.")
BADGES = {"healthy": ("good", "Healthy"), "degraded": ("bad", "Degraded"), "unknown": ("still", "Not known yet")}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision with its verdicts.

    Attributes:
        report: Relative address of the run's page; "" if it is not there.
        verdicts: Each gate's answer and reason.
    """

    day: str
    version: str
    outcome: str
    mark: Mark | Literal[""]
    summary: str
    review: str
    report: str
    verdicts: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRow:
    """How far one input, or the predictions, has moved."""

    name: str
    part: str
    mark: Mark
    psi: str
    bound: str
    distance: str


def pipeline_context(fleet: Fleet, found: History) -> dict[str, Any]:
    """Return everything that the template of a pipeline asks for."""
    one = found.overview
    unit = MetricUnit(metric=one.metric)
    overall, slices, left_out = error_plots(found, unit)
    return {
        "name": plain(one.model, 64),
        "description": plain(one.description, 300),
        "owner": plain(one.owner, 60),
        "generated": moment(fleet.at),
        "head": _headline(found),
        "figures": _figures(found),
        "broken": plain(one.broken, 1500),
        "trouble": plain(one.trouble, 500),
        "open": alert_rows(one.alerts),
        "notes": [*trials(one), *idle(one)],
        "error_name": f"{unit.words.label} ({unit.words.short})" if unit.words.short else unit.words.label,
        "overall": overall,
        "slices": slices,
        "left_out": left_out,
        "roles": [_role(change) for change in found.roles],
        "decisions": _decisions(found),
        "strip": [_tile(p) for p in reversed(found.publications)],
        "publications": [_publication(p) for p in found.publications],
        "alerts": alert_rows(found.alerts),
        "drift": _drift(found),
        "drift_left": max(len(found.measured.drift) - DRIFTS, 0) if found.measured else 0,
        "skew": _skew(found),
        "late_estimates": [estimated(one) for one in found.measured.late_estimates] if found.measured else [],
        "measured": day(one.measured) if one.measured else "",
        "cost": cost_plot(found.spent),
        "trainings": _trainings(found),
        "wiring": wiring_row(one),
        "lineage": _lineage(found),
        "settings": _settings(found),
    }


def _headline(found: History) -> dict[str, str]:
    one = found.overview
    tone, badge = BADGES[one.health]
    if one.broken:
        tone, badge = "bad", "Bad settings"
    elif one.alerts and tone == "good":
        tone, badge = "warn", "Healthy, alerted"
    if one.champion is None:
        lead = "No version is in force yet; train one, and this page fills itself."
        return {"tone": tone, "badge": badge, "title": plain(one.model, 64), "lead": lead}
    since = f"Version {one.champion} has been in force since {day(one.champion_since)}" if one.champion_since else ""
    return {"tone": tone, "badge": badge, "title": plain(one.model, 64), "lead": f"{since}. {_compared(found)}"}


def _compared(found: History) -> str:
    one = found.overview
    if not math.isfinite(one.error):
        return "Nothing that it forecast has come true yet."
    window = f"the last {found.config.monitor.window_days} days" if found.config else "the last days"
    text = f"Over {window} its {metric_words(one.metric).label.lower()} was {figure(one.error, one.metric)}"
    if not math.isfinite(one.baseline) or one.baseline <= 0:
        return f"{text}."
    change = one.error / one.baseline - 1
    best = f"the best simple rule, {sentence(plain(one.baseline_name, 40)).lower()}"
    if abs(change) < 0.0005:
        return f"{text}, the same as {best}."
    how = f"{abs(change) * 100:.1f}\N{NO-BREAK SPACE}% {'less' if change < 0 else 'more'} than {best}"
    return f"{text}: {how} ({figure(one.baseline, one.metric)})."


def _figures(found: History) -> list[dict[str, str]]:
    one = found.overview
    champion, published, decision = champion_cell(one), published_cell(one), decision_cell(one)
    allowed = f"policy: at most {one.age_limit} days" if one.age_limit else "no limit set"
    data = days(one.data_age_days) if one.data_age_days is not None else NONE
    found_figures = [
        ("In force", champion.text, f"{champion.note}; {allowed}" if one.champion else champion.note, one.stale),
        ("Last decision", decision.text, decision.note, ""),
        (
            "Published",
            published.text,
            f"{count(one.rows)} rows, {published.note}; data {data} old" if one.published else "",
            "",
        ),
        ("Cost of a training", brief(one.retrain_s), f"{brief(one.s_per_1000)} for 1,000 forecasts", ""),
    ]
    return [
        {"label": label, "value": value, "note": note, "tone": "bad" if bad else ""}
        for label, value, note, bad in found_figures
    ]


def _role(change: Any) -> dict[str, str]:
    def version(number: int | None) -> str:
        return f"v{number}" if number is not None else "vacant"

    return {
        "day": day(change.as_of),
        "role": sentence(change.role),
        "previous": version(change.previous),
        "version": version(change.version),
        "actor": plain(change.actor, 60),
        "reason": plain(change.reason, 400),
        "at": moment(change.at),
    }


def _decisions(found: History) -> list[DecisionRow]:
    return [
        DecisionRow(
            day=day(judged.as_of),
            version=f"v{judged.version.version}",
            outcome=sentence(outcome),
            mark=DECISIONS[outcome],
            summary=plain(judged.decision.summary, 300),
            review=plain(f"{judged.review} by {judged.reviewer}: {judged.why}", 300) if judged.review else "",
            report=f"../{found.reports[judged.version.version]}" if judged.version.version in found.reports else "",
            verdicts=tuple(
                Cell(text=plain(v.gate, 100), note=plain(v.reason, 300), mark="passed" if v.passed else "failed")
                for v in judged.decision.verdicts
            ),
        )
        for judged, outcome in zip(found.judged, found.outcomes, strict=True)
    ]


def _rungs(published: Publication) -> str:
    return ", ".join(f"{plain(rung.replace('_', ' '), 30)} {count(rows)}" for rung, rows in published.rungs.items())


def _low(published: Publication) -> bool:
    return bool(set(published.rungs) - USUAL_RUNGS)


def _tile(published: Publication) -> dict[str, str]:
    return {"tone": "low" if _low(published) else "", "says": f"{short_day(published.as_of)}: {_rungs(published)}"}


def _publication(published: Publication) -> dict[str, str]:
    versions = ", ".join(
        f"v{version} {count(rows)}" if version != "0" else f"no model {count(rows)}"
        for version, rows in published.versions.items()
    )
    return {
        "day": day(published.as_of),
        "rows": count(published.rows),
        "entities": count(published.entities),
        "of": f"{short_day(published.first)} to {short_day(published.last)}",
        "rungs": _rungs(published),
        "mark": "warning" if _low(published) else "",
        "versions": plain(versions or f"v{published.version}", 100),
        "at": moment(published.published_at),
    }


def _drift(found: History) -> list[DriftRow]:
    drift = found.measured.drift if found.measured else ()
    ranked = sorted(drift, key=lambda one: -(one.psi / one.bound if one.bound > 0 else math.inf))
    return [
        DriftRow(
            name=plain(sentence(one.name), 60),
            part=plain(one.key or "all", 60),
            mark="warning" if one.psi > one.bound else "passed",
            psi=f"{one.psi:.2f}",
            bound=f"{one.bound:.2f}",
            distance=f"{one.distance:.2f}",
        )
        for one in ranked[:DRIFTS]
    ]


def _skew(found: History) -> str:
    if found.measured is None or not math.isfinite(found.measured.skew):
        return "Not measured: no model input was logged by the version in force."
    most = f" (allowed: {amount(found.config.monitor.max_skew)})" if found.config else ""
    far = f"{found.measured.skew:.3g} standard deviations"
    return f"Features at scoring and the same ones computed now differ by {far} at most{most}."


def _trainings(found: History) -> list[dict[str, str]]:
    return [
        {
            "day": day(one.as_of),
            "status": sentence(one.status),
            "seconds": brief(one.seconds),
            "memory": mebibytes(one.peak_mib) if math.isfinite(one.peak_mib) else NONE,
        }
        for one in found.spent
        if one.flow == "retrain"
    ][:TRAININGS]


def _lineage(found: History) -> tuple[Fact, ...]:
    champion = found.champion
    if champion is None:
        return ()
    facts = [
        ("Stands on", day(champion.as_of), False),
        ("Trained at", moment(champion.created_at), False),
        ("Model digest", champion.digest, True),
        ("Run key", champion.run_key, True),
        ("Snapshot", champion.snapshot_id, True),
        ("MLflow run", champion.mlflow_run or "not registered", bool(champion.mlflow_run)),
        ("MLflow version", str(champion.mlflow_version) if champion.mlflow_version else "not registered", False),
    ]
    if found.snapshot:
        pinned = [found.snapshot.main, *found.snapshot.known.values()]
        facts.append(("Rows known before", moment(found.snapshot.cutoff), False))
        facts += [
            (f"Table {pin.table}", f"version {pin.version}, {count(len(pin.landings))} landings", False)
            for pin in pinned
        ]
    return tuple(Fact(name=plain(name, 80), value=plain(value, 200), code=code) for name, value, code in facts)


def _settings(found: History) -> tuple[Fact, ...]:
    if found.config is None:
        return ()
    wanted = {k: v for k, v in flat(found.config).items() if k.startswith(SETTINGS)}
    return tuple(Fact(name=plain(k, 60), value=plain(setting_text(v), 200)) for k, v in wanted.items())
