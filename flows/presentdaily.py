"""How the daily operation looks on a terminal: records in, renderable lines out."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.present import short
from perennial.contracts import Alert, Measurement
from perennial.daily import DayRecord
from perennial.reports.text import estimated
from perennial.streaming import Batch

HEALTH = {"healthy": "green", "degraded": "bold red", "unknown": "yellow"}
LEVELS = {"info": "cyan", "warning": "yellow", "critical": "bold red"}


def days(records: Sequence[DayRecord]) -> Iterable[Any]:
    """Show one line per business date that was done."""
    if not records:
        yield Text("Already done: ", style="bold cyan").append("nothing is missing up to this date", style="default")
        return
    table = Table(box=None, pad_edge=True)
    for name in ("date", "published", "by", "health", "findings", "retrain"):
        table.add_column(name)
    for one in records:
        health = Text(one.health, style=HEALTH[one.health])
        table.add_row(str(one.as_of), f"{one.rows:,} rows", one.rung, health, str(one.findings), one.retrain or "-")
    yield table


def measurement(m: Measurement, home: Path) -> Iterable[Any]:
    """Show what a monitor run found: health, errors beside what is usual, every finding with its next step."""
    line = Text(f"{m.health.capitalize()}: ", style=HEALTH[m.health])
    yield line.append(
        f"{m.pipeline} as of {m.as_of}; {m.matured:,} forecasts matured, {m.pending:,} pending", style="default"
    )
    overall = [d for d in m.daily if d.key == "" and math.isfinite(d.value)]
    if overall:
        table = Table(title="Error of each matured day", title_justify="left", box=None, pad_edge=True)
        for name in ("day", overall[0].metric, "usual", "bad beyond", "naive"):
            table.add_column(name, justify="left" if name == "day" else "right")
        for d in overall[-7:]:
            style = "bold red" if d.bad else None
            table.add_row(str(d.day), *(f"{v:.3f}" for v in (d.value, d.usual, d.bound, d.baseline)), style=style)
        yield table
    for g in m.late_estimates:
        yield f"  While labels are late: {estimated(g)}"
    for f in m.findings:
        yield Text(f"  {f.level:<9}", style=LEVELS[f.level]).append(f.summary, style="default")
        for note in filter(None, (f.likely, f.command and f"next: {f.command}")):
            yield f"           {note}"
    if m.retrain:
        yield f"  A retrain is wanted: {m.retrain}"
    yield f"  Fleet page: {short(home / 'fleet' / 'index.html')}"


def alerts(found: Sequence[Alert]) -> Iterable[Any]:
    """Show alerts that were opened just now."""
    if not found:
        yield "Everything expected by now has been published."
    for one in found:
        yield Text(f"{one.finding.level}: ", style=LEVELS[one.finding.level]).append(
            f"{one.pipeline}: {one.finding.summary}", style="default"
        )


def batch(one: Batch) -> Iterable[Any]:
    """Yield what one file of choices said."""
    if one.problem:
        yield f"{one.file}: left out: {one.problem}"
        return
    seen = one.stream
    said = f"{seen.hits:,} of {seen.choices:,} choices stood on a list ({seen.rate:.3f})"
    yield f"{one.file}: {said}; evidence {seen.level:.3g}"
    if one.alert:
        yield f"  ALERT after {one.seconds:.1f} s: {one.alert.finding.summary}"
