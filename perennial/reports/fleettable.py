"""The overview's essentials as Markdown, for those who look at a run in the Prefect UI."""

from perennial.overview import Fleet, PipelineOverview, spark
from perennial.reports.fleetrows import champion_cell, decision_cell, published_cell
from perennial.reports.text import brief, figure, markdown, plain

HEADER = ("Pipeline", "Champion", "Health", "Error", "Simple rule", "Last days", "Alerts", "Decision", "Published")
MOST = 50


def render_fleet_summary(fleet: Fleet) -> str:
    """Return a table of all pipelines and the alerts that are open."""
    rows = fleet.pipelines[:MOST]
    more = len(fleet.pipelines) - len(rows)
    lines = [
        "| " + " | ".join((*HEADER, "Training", "Per 1,000")) + " |",
        "|" + " --- |" * (len(HEADER) + 2),
        *(f"| {' | '.join(markdown(text) for text in _cells(one))} |" for one in rows),
    ]
    if more > 0:
        lines += ["", f"{more} more pipelines are on the page."]
    alerts = [alert for one in fleet.pipelines for alert in one.alerts][:MOST]
    lines += ["", f"**{len(alerts)} open alerts**" if alerts else "No alert is open.", ""]
    for alert in alerts:
        told = f"{alert.pipeline}, since {alert.finding.since}: {alert.finding.summary}"
        lines.append(f"- **{alert.finding.level}** {markdown(plain(told, 400))}")
    return "\n".join(lines) + "\n"


def _cells(one: PipelineOverview) -> tuple[str, ...]:
    champion, published, decision = champion_cell(one), published_cell(one), decision_cell(one)
    return (
        plain(one.model),
        f"{champion.text}, {champion.note}",
        "bad settings" if one.broken else one.health,
        figure(one.error, one.metric),
        figure(one.baseline, one.metric),
        spark([day.value for day in one.daily]),
        str(len(one.alerts)),
        ", ".join(filter(None, (decision.text, decision.note))),
        ", ".join(filter(None, (published.text, published.note))),
        brief(one.retrain_s),
        brief(one.s_per_1000),
    )
