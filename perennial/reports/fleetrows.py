"""What the overview of all pipelines shows: its headline, one row for each pipeline, and the views across them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from perennial.contracts import Alert
from perennial.overview import Fleet, PipelineOverview
from perennial.reports.fleetviews import Cell, Mark, alert_rows, idle, link, trials, wiring_row
from perennial.reports.metricwords import metric_words
from perennial.reports.scoreboard import Difference, difference
from perennial.reports.sparkline import Sparkline, sparkline
from perennial.reports.text import NONE, brief, count, days, figure, moment, plain, short_day
from perennial.reports.words import sentence

MARKS: dict[str, Mark] = {"healthy": "passed", "degraded": "failed", "unknown": "unknown"}
DECISIONS: dict[str, Mark | Literal[""]] = {
    "promoted": "passed",
    "kept champion": "",
    "not promoted": "failed",
    "awaiting approval": "warning",
    "on trial": "warning",
    "rejected": "failed",
    "reverted": "failed",
    "none": "",
}
USUAL_RUNGS = frozenset({"challenger", "champion"})
NAMED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """One pipeline in the table.

    Attributes:
        filter: What the filter looks at: owner, status and everything that can be searched for.
    """

    name: str
    href: str
    owner: str
    status: Cell
    alerts: int
    champion: Cell
    error: Cell
    versus: Difference
    trend: Sparkline | None
    decision: Cell
    published: Cell
    data: str
    cost: Cell
    filter: dict[str, str]


def fleet_context(fleet: Fleet) -> dict[str, Any]:
    """Return everything that the template of the overview asks for."""
    rows = fleet.pipelines
    return {
        "head": _headline(rows),
        "generated": moment(fleet.at),
        "figures": _figures(fleet),
        "rows": [fleet_row(one) for one in rows],
        "owners": sorted({plain(one.owner) for one in rows if one.owner}),
        "metric": _metrics(rows),
        "open": alert_rows(alert for one in rows for alert in one.alerts),
        "recent": alert_rows(fleet.alerts),
        "unsent": fleet.unsent,
        "trials": [note for one in rows for note in trials(one)],
        "unused": [note for one in rows for note in idle(one)],
        "wiring": [wiring_row(one) for one in rows],
        "lake": plain(fleet.lake, 200),
    }


def _headline(rows: Sequence[PipelineOverview]) -> dict[str, str]:
    wanting = [one for one in rows if one.needs]
    if not rows:
        return {"tone": "still", "badge": "Nothing yet", "title": "No pipeline yet", "lead": ""}
    if not wanting:
        unknown = [one for one in rows if one.health == "unknown"]
        known = "is well" if len(rows) == 1 else "are well"
        title = f"{'The pipeline' if len(rows) == 1 else f'All {len(rows)} pipelines'} {known}"
        if len(unknown) == len(rows):
            title = "Nothing has been measured yet"
        return {"tone": "still" if unknown else "good", "badge": "Quiet", "title": title, "lead": _unmeasured(unknown)}
    verb = "needs" if len(wanting) == 1 else "need"
    which = f"{len(wanting)} of {len(rows)} pipelines {verb}" if len(rows) > 1 else "The pipeline needs"
    worst = any(one.health == "degraded" or one.broken or _critical(one.alerts) for one in wanting)
    told = "; ".join(f"{plain(one.model)} {_why(one)}" for one in wanting[:NAMED])
    more = f"; and {len(wanting) - NAMED} more" if len(wanting) > NAMED else ""
    return {
        "tone": "bad" if worst else "warn",
        "badge": "Look here",
        "title": f"{which} attention",
        "lead": f"{told}{more}.",
    }


def _critical(alerts: Iterable[Alert]) -> int:
    return sum(one.finding.level == "critical" for one in alerts)


def _unmeasured(unknown: Sequence[PipelineOverview]) -> str:
    if not unknown:
        return "No alert is open, no version waits for a person, and no pipeline is degraded."
    names = ", ".join(plain(one.model) for one in unknown[:NAMED])
    more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
    return f"No alert is open. Nothing has been measured yet of {names}{more}."


def _why(one: PipelineOverview) -> str:
    reasons = [
        "is degraded" if one.health == "degraded" else "",
        "has settings that are not valid" if one.broken else "",
        "ran into trouble" if one.trouble else "",
        f"waits for a person to approve version {one.waiting[0]}" if one.waiting else "",
        f"has {len(one.alerts)} open alert{'s' if len(one.alerts) > 1 else ''}" if one.alerts else "",
    ]
    return " and ".join([reason for reason in reasons if reason][:2])


def _figures(fleet: Fleet) -> list[dict[str, str]]:
    rows = fleet.pipelines
    alerts = [alert for one in rows for alert in one.alerts]
    measured = [one for one in rows if math.isfinite(one.error) and math.isfinite(one.baseline)]
    better = sum(one.error < one.baseline for one in measured)
    waiting = sum(len(one.waiting) for one in rows)
    trying = sum(one.canary is not None or one.shadow is not None for one in rows)
    published = sum(one.published is not None and not one.unused for one in rows)
    critical = _critical(alerts)
    return [
        _figure("Pipelines", count(len(rows)), f"{published} publishing, {len(rows) - published} not"),
        _figure(
            "Open alerts",
            count(len(alerts)),
            f"{critical} of them critical" if alerts else "nobody is being told of anything",
            "bad" if critical else "",
        ),
        _figure(
            "Better than simple rules",
            f"{better} of {len(measured)}" if measured else NONE,
            "measured on what came true" if measured else "nothing has come true yet",
            "bad" if better < len(measured) else "",
        ),
        _figure("Waiting for a person", count(waiting), f"versions to approve; {trying} more on trial"),
    ]


def _figure(label: str, value: str, note: str, tone: str = "") -> dict[str, str]:
    return {"label": label, "value": value, "note": note, "tone": tone}


def _metrics(rows: Sequence[PipelineOverview]) -> str:
    found = sorted({one.metric for one in rows if math.isfinite(one.error)})
    return " or ".join(f"{metric_words(m).label.lower()} ({metric_words(m).short or m})" for m in found)


def fleet_row(one: PipelineOverview) -> FleetRow:
    """Return a pipeline as a row of the table."""
    status = _status(one)
    return FleetRow(
        name=plain(one.model, 64),
        href=link(one.model),
        owner=plain(one.owner or "no owner", 60),
        status=status,
        alerts=len(one.alerts),
        champion=champion_cell(one),
        error=Cell(text=figure(one.error, one.metric), note=_against(one)),
        versus=difference(one.error, one.baseline, one.metric),
        trend=sparkline(one.daily, one.metric),
        decision=decision_cell(one),
        published=published_cell(one),
        data=f"data {days(one.data_age_days)} old" if one.data_age_days is not None else "",
        cost=Cell(text=brief(one.retrain_s), note=f"{brief(one.s_per_1000)} per 1,000"),
        filter={
            "owner": plain(one.owner),
            "status": status.text.lower(),
            "alerts": str(len(one.alerts)),
            "text": plain(f"{one.model} {one.owner} {one.description} {_words(one)}", 600).lower(),
        },
    )


def _words(one: PipelineOverview) -> str:
    return " ".join([*(source.place for source in one.reads), *one.readers, *(a.finding.cause for a in one.alerts)])


def _status(one: PipelineOverview) -> Cell:
    if one.broken:
        return Cell(text="Bad settings", note=f"health was {one.health}" if one.measured else "", mark="failed")
    if not one.configured:
        return Cell(text="No file", note="in the record only", mark="unknown")
    told = f"{len(one.alerts)} open alert{'s' if len(one.alerts) > 1 else ''}" if one.alerts else ""
    if one.measured is None:
        return Cell(text="Not measured", note=told or "no monitor run yet", mark="unknown")
    text = "Unknown" if one.health == "unknown" else one.health.capitalize()
    note = told or ("nothing has come true yet" if one.health == "unknown" else "no open alert")
    return Cell(text=text, note=note, mark="warning" if one.alerts and text == "Healthy" else MARKS[one.health])


def champion_cell(one: PipelineOverview) -> Cell:
    """Return the version in force and its age."""
    if one.champion is None or one.age_days is None:
        return Cell(text="none", note=f"{one.versions} trained" if one.versions else "never trained")
    old = " old: stale" if one.stale else " old"
    return Cell(text=f"v{one.champion}", note=f"{days(one.age_days)}{old}", mark="warning" if one.stale else "")


def _against(one: PipelineOverview) -> str:
    if not math.isfinite(one.baseline):
        return ""
    return f"{sentence(plain(one.baseline_name, 40)).lower()} {figure(one.baseline, one.metric)}"


def decision_cell(one: PipelineOverview) -> Cell:
    """Return what the newest decision led to."""
    if one.decided is None:
        return Cell(text="none", note="nothing was judged")
    return Cell(
        text=sentence(one.decision),
        note=f"v{one.decided_version}, {short_day(one.decided)} {one.decided.year}",
        mark=DECISIONS[one.decision],
    )


def published_cell(one: PipelineOverview) -> Cell:
    """Return the last publication, how late it is, and which rungs it came from."""
    if one.published is None:
        return Cell(text="never")
    late = f"{days(one.behind_days)} behind" if one.behind_days else ""
    low = [rung for rung in one.rungs if rung not in USUAL_RUNGS]
    rungs = " and ".join(plain(rung.replace("_", " "), 30) for rung in one.rungs)
    note = ", ".join(filter(None, (late, f"by {rungs}" if rungs else "")))
    return Cell(
        text=f"{short_day(one.published)} {one.published.year}", note=note, mark="warning" if low or late else ""
    )
