"""The fleet pages: an overview of all pipelines and one page for each, written as files that need no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.durable import write_atomically
from perennial.ledger.survey import Standing
from perennial.overview import Fleet, History, history
from perennial.overview.gather import Known, configured
from perennial.overview.gather import fleet as gather_fleet
from perennial.reports.fleetrows import fleet_context
from perennial.reports.fleettable import render_fleet_summary
from perennial.reports.fleetviews import page_name
from perennial.reports.pipelinerows import pipeline_context
from perennial.reports.render import asset, render_page

if TYPE_CHECKING:
    from perennial.context import Workspace

FOLDER = "fleet"
INDEX = "index.html"
PUBLIC = 0o644
"""Planners open them, perhaps through a web server."""


def write_fleet(workspace: "Workspace", only: str | None = None) -> Path:
    """Write the overview and the pages of the pipelines.

    Args:
        workspace: Where everything is kept; the pages come into ``<home>/fleet``.
        only: Write the page of this pipeline and those that are not there yet; ``None`` writes all of them.

    Returns:
        The overview.
    """
    return write_fleet_and_tell(workspace, only)[0]


def write_fleet_and_tell(workspace: "Workspace", only: str | None = None) -> tuple[Path, str]:
    """Write the pages as :func:`write_fleet` does; return the overview and its essentials as Markdown."""
    folder = workspace.home / FOLDER
    known, standings = configured(workspace), {one.pipeline: one for one in workspace.ledger.survey()}
    fleet = gather_fleet(workspace, known, tuple(standings.values()))
    for one in fleet.pipelines:
        page = folder / page_name(one.model)
        if only is None or one.model == only or not page.exists():
            write_atomically(page, _page(workspace, fleet, one.model, known, standings).encode(), mode=PUBLIC)
    write_atomically(folder / INDEX, render_fleet(fleet).encode(), mode=PUBLIC)
    return folder / INDEX, render_fleet_summary(fleet)


def render_fleet(fleet: Fleet) -> str:
    """Return the overview: one self-contained HTML page."""
    return render_page("fleet.html.j2", css=("run.css", "fleet.css"), script=asset("fleet.js"), **fleet_context(fleet))


def render_pipeline(fleet: Fleet, found: History) -> str:
    """Return the page of one pipeline: one self-contained HTML page."""
    context = pipeline_context(fleet, found)
    return render_page("pipeline.html.j2", css=("run.css", "fleet.css"), script=asset("run.js"), **context)


def _page(
    workspace: "Workspace", fleet: Fleet, model: str, known: Mapping[str, Known], standings: Mapping[str, Standing]
) -> str:
    one = next(one for one in fleet.pipelines if one.model == model)
    settings = known.get(model)
    found = history(
        workspace.ledger,
        workspace.home,
        one,
        standings.get(model) or Standing(pipeline=model, roles={}),
        settings.config if settings else None,
    )
    return render_pipeline(fleet, found)
