"""Put a report into its three forms: an HTML page, a Markdown model card and a Markdown summary."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from perennial.reports.charts import legend, plot
from perennial.reports.contents import ReportInput
from perennial.reports.data import check_rows, landing_rows, quarantine_rows
from perennial.reports.gatetable import gate_rows
from perennial.reports.headline import headline, key_figures, tally
from perennial.reports.kindwords import kind_words
from perennial.reports.metricwords import metric_words
from perennial.reports.run import (
    cost_facts,
    feature_bars,
    lineage_facts,
    missed_rows,
    new_entities,
    setting_facts,
    stage_bars,
    timeline,
    training_facts,
)
from perennial.reports.scoreboard import Scores, metric_rows, part_tables, standings
from perennial.reports.text import day, markdown, moment, plain

_HERE = Path(__file__).parent
_ADDRESS = ":/?#=&%~@+,;"


def render_run(report: ReportInput) -> str:
    """Return the page of one run: one self-contained HTML file that needs no network.

    Style, script and pictures are inline. Its content security policy allows nothing else, not even another
    script, so that a name in the data that slipped through escaping could not run.
    """
    return render_page("run.html.j2", css=("run.css",), script=asset("run.js"), **_context(report))


def render_page(template: str, *, css: tuple[str, ...], script: str, **context: Any) -> str:
    """Return a page with its style and script inline; its policy lets no other script run.

    Args:
        template: Name of a file of this folder.
        css: Names of its style sheets, in order.
        script: Text of its script.
        context: Everything else that the template shows; text in it is escaped.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _html().get_template(template)
    return page.render(css="".join(map(asset, css)), script=script, script_digest=digest, **context)


def render_card(report: ReportInput) -> str:
    """Return the model card: what the version is for, how good it is, where it is weak, where it came from."""
    return _markdown().get_template("card.md.j2").render(**_context(report))


def render_summary(report: ReportInput, link: str | None = None) -> str:
    """Return a short Markdown summary for the Prefect artifact: the decision, the main figures, the cost.

    ``link`` is the address or path of the page; without it the summary stands alone.
    """
    # encoded, so that no bracket, space or line break can end the link
    address = Markup(quote(link, safe=_ADDRESS)) if link else None
    return _markdown().get_template("summary.md.j2").render(link=address, **_context(report))


def _context(report: ReportInput) -> dict[str, Any]:
    """Gather every section; ``StrictUndefined`` makes a template that asks for more fail at once."""
    scores = Scores(report)
    return {
        **_names(report),
        **_judgement(report, scores),
        "checks": check_rows(report.checks.checks),
        "docs": plain(report.checks.docs or "", 200),
        "landings": landing_rows(report),
        "quarantine": quarantine_rows(report),
        "timeline": timeline(report),
        "missed": missed_rows(report),
        "new_entities": new_entities(report),
        "features": feature_bars(report),
        "training": training_facts(report),
        "lineage": lineage_facts(report),
        "settings": setting_facts(report),
        "cost": cost_facts(report),
        "stages": stage_bars(report),
    }


def _names(report: ReportInput) -> dict[str, Any]:
    return {
        "pipeline": report.pipeline.pipeline,
        "description": plain(report.pipeline.description, 300),
        "owner": plain(report.pipeline.owner),
        "unit": plain(report.pipeline.data.columns.y or "value", 30),
        "kind": kind_words(report.pipeline.kind),
        "as_of": day(report.snapshot.as_of),
        "generated": moment(report.generated_at),
        "version": report.version.version,
        "champion": report.champion.version if report.champion else None,
        "horizon": report.pipeline.problem.reach(),
    }


def _judgement(report: ReportInput, scores: Scores) -> dict[str, Any]:
    unit = plain(report.pipeline.data.columns.y or "value", 30)
    plots = [
        plot(c, unit=f"{unit} per day", version=report.version, champion=report.champion)
        for c in report.evaluation.charts
    ]
    return {
        "head": headline(report, scores),
        "tally": tally(report),
        "figures": key_figures(report, scores),
        "gates": gate_rows(report, scores),
        "main": metric_words(scores.main),
        "by_part": metric_words(scores.by_part),
        "contenders": [scores.name(c) for c in scores.contenders],
        "metrics": metric_rows(scores),
        "standings": standings(scores),
        "parts": part_tables(scores),
        "plots": plots,
        "legend": legend(plots),
    }


def templates(**options: Any) -> Environment:
    """Return an environment for the templates of this folder, in which a name without a value is an error."""
    return Environment(
        loader=FileSystemLoader(_HERE), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, **options
    )


@cache
def _html() -> Environment:
    return templates(autoescape=True)


@cache
def _markdown() -> Environment:
    """Every value that a template prints passes through :func:`markdown`; only an encoded address does not."""
    return templates(autoescape=False, finalize=_cell)


def _cell(value: object) -> str:
    return value if isinstance(value, Markup) else markdown(value)


@cache
def asset(name: str) -> str:
    """Return the text of a file of this folder: style or script, to be put into a page."""
    return (_HERE / name).read_text(encoding="utf-8")
