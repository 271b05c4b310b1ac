"""How results look on a terminal: records in, renderable lines out; nothing is printed or computed here."""

import math
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from perennial.config.files import Loaded
from perennial.contracts import Check, Publication, RoleChange, RunRecord, Score

METRICS = ("wape", "mase", "rmsse", "wrmsse", "bias", "instability")
"""Of a forecast's metrics, those that a terminal has room for."""
COLUMNS = 5
"""Metrics of any other kind that are shown, as they come in its catalogue."""
OUTCOMES = {"promoted": "green", "kept champion": "yellow", "not promoted": "yellow", "already done": "cyan"}
OUTCOMES |= {"canary": "green", "shadow": "green", "awaiting approval": "yellow"}


def run(record: RunRecord, home: Path) -> Iterable[Any]:
    """Show a retrain: the outcome, the contenders side by side, every gate's verdict, where the report is."""
    headline = Text(f"{record.outcome.capitalize()}: ", style=f"bold {OUTCOMES[record.outcome]}")
    yield headline.append(
        f"{record.pipeline} version {record.version} as of {record.as_of}, {record.summary}", style="default"
    )
    if record.scores:
        yield scores(record.scores)
    for verdict in record.verdicts:
        mark = Text("  pass " if verdict.passed else "  FAIL ", style="green" if verdict.passed else "bold red")
        said = verdict.reason if verdict.metric in verdict.reason else f"{verdict.gate}: {verdict.reason}"
        yield mark.append(said, style="default")
    if record.doubt:
        yield Text("  Doubt: ", style="bold yellow").append(record.doubt, style="default")
    if record.report:
        yield f"  Report: {short(home / record.report)}"
    if record.seconds:
        total = sum(record.seconds.values())
        parts = ", ".join(f"{name} {took:.1f}" for name, took in record.seconds.items() if took >= 0.05)
        yield f"  {total:.1f} s ({parts}); peak memory {record.peak_mib:,.0f} MiB"


def scores(rows: Sequence[Score]) -> Table:
    """Return the contenders' overall errors as a table; lower is better in every column."""
    overall = [s for s in rows if s.part == "overall"]
    known = dict.fromkeys(s.metric for s in overall if math.isfinite(s.value))
    metrics = [m for m in METRICS if m in known] if METRICS[0] in known else list(known)[:COLUMNS]
    table = Table(title="Errors on the same test rows (lower is better)", title_justify="left", box=None, pad_edge=True)
    table.add_column("contender")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for contender in dict.fromkeys(s.contender for s in overall):
        found = {s.metric: s.value for s in overall if s.contender == contender}
        style = "bold" if contender == "candidate" else None
        table.add_row(contender, *(f"{found[m]:.3f}" if m in found else "" for m in metrics), style=style)
    return table


def publication(done: Publication, lake: str) -> Iterable[Any]:
    """Show what was published, or that it had been before."""
    verb = "Published" if done.fresh else "Already published, nothing to do"
    yield Text(f"{verb}: ", style="bold green" if done.fresh else "bold cyan").append(
        f"{done.rows:,} predictions for {done.entities:,} entities, {done.first} to {done.last}", style="default"
    )
    rungs = ", ".join(f"{name} {rows:,}" for name, rows in done.rungs.items())
    yield f"  by {done.pipeline} version {done.version}; rows by rung: {rungs}"
    yield f"  Table: {short(lake)}/{done.pipeline}.predictions at version {done.table_version}"


def history(model: str, changes: Sequence[RoleChange], on: date | None) -> Iterable[Any]:
    """Show what was in force on a date, or every change."""
    if on is not None:
        in_force = {c.role: c for c in changes}
        for role, change in in_force.items():
            yield f"{model} {role} on {on}: {_version(change.version)}, since {change.as_of} ({change.reason})"
    else:
        table = Table(box=None, pad_edge=True)
        for name in ("as of", "role", "from", "to", "by", "why"):
            table.add_column(name)
        for c in changes:
            table.add_row(str(c.as_of), c.role, _version(c.previous), _version(c.version), c.actor, c.reason)
        yield table
    if not changes:
        yield f"{model}: nothing was in force{f' on {on}' if on else ''}."


def rollback(change: RoleChange) -> Iterable[Any]:
    """Show that another version is in force now."""
    yield Text("Rolled back: ", style="bold green").append(
        f"{change.model} is {_version(change.version)} again (was {_version(change.previous)})", style="default"
    )


def violations(found: Sequence[Any]) -> Iterable[Any]:
    """Show every violated invariant, or that there is none."""
    if not found:
        yield Text("Verified: ", style="bold green").append("audit chain, digests and invariants hold", style="default")
    for one in found:
        yield Text(f"  {one.invariant} ", style="bold red").append(str(one.detail), style="default")


def valid(loaded: Loaded, data: Sequence[str]) -> Iterable[Any]:
    """Show what a valid pipeline amounts to, and why its data could not be read now."""
    cfg = loaded.config
    yield Text("Valid: ", style="bold green").append(
        f"{loaded.path.name}: {cfg.kind} pipeline {cfg.pipeline!r}, {len(cfg.gates)} gates",
        style="default",
    )
    for one in data:
        yield Text("  but its data cannot be read now: ", style="yellow").append(one, style="default")


def diagnosis(checks: Sequence[Check]) -> Iterable[Any]:
    """Show each check of the installation; what failed says what to do."""
    for c in checks:
        style, word = (
            ("green", "ok") if c.passed else (("bold red", "MEND") if c.severity == "critical" else ("yellow", "note"))
        )
        line = Text(f"  {word:<5}", style=style).append(f"{c.name}: {c.observed}", style="default")
        yield line if c.passed else line.append(f"; expected {c.expected}", style="default")


def short(path: Path | str) -> str:
    """Return a path as seen from the working folder, if it lies below; addresses stay as they are."""
    here = f"{Path.cwd()}/"
    return str(path).removeprefix(here)


def _version(number: int | None) -> str:
    return f"v{number}" if number else "nothing"
