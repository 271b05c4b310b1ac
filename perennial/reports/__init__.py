"""What a run tells people: an HTML page, a model card and a summary, all from one :class:`ReportInput`."""

from perennial.reports.contents import Quarantined, ReportInput
from perennial.reports.render import render_card, render_run, render_summary

__all__ = ["Quarantined", "ReportInput", "render_card", "render_run", "render_summary"]
