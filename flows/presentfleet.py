"""How all pipelines look on a terminal: one line each, and what needs a person below."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.presentdaily import HEALTH
from perennial.overview import PipelineOverview, spark
from perennial.reports.text import brief, figure

NONE = "–"
DAYS = 8
COLUMNS = (
    *(("model", "left"), ("in use", "left"), ("age", "right"), ("health", "left"), ("decision", "left")),
    *(("error", "right"), ("naive", "right"), ("trend", "left"), ("alerts", "right")),
    *(("fit", "right"), ("per 1,000", "right"), ("published", "left")),
)
DECISIONS = {"kept champion": "kept", "not promoted": "refused", "awaiting approval": "to approve"}


def models(rows: Sequence[PipelineOverview]) -> Iterable[Any]:
    """Show one line per pipeline in a table of at most 110 columns, then what waits for a person."""
    if not rows:
        yield "No models yet; train one with `perennial run PIPELINE` or see `perennial demo`."
        return
    table = Table(box=None, pad_edge=True, collapse_padding=True)
    for name, justify in COLUMNS:
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name != "model")  # type: ignore[arg-type]
    idle = [one.model for one in rows if _untrained(one)]
    begun = [one for one in rows if one.model not in idle]
    for one in begun:
        table.add_row(*_cells(one))
    if begun:
        yield table
        yield from _below(begun)
    if idle:
        yield Text("  untrained", style="dim").append(f" {', '.join(idle)}: `perennial run PIPELINE`", style="default")


def _untrained(one: PipelineOverview) -> bool:
    """Return whether there is nothing to show of a pipeline but its configuration."""
    return one.decision == "none" and one.published is None and not (one.broken or one.trouble or one.alerts)


def _cells(one: PipelineOverview) -> tuple[Any, ...]:
    return (
        Text(one.model),
        f"v{one.champion}" if one.champion else "none",
        Text(f"{one.age_days} d" if one.age_days is not None else NONE, style="yellow" if one.stale else ""),
        Text("invalid", style="bold red") if one.broken else Text(one.health, style=HEALTH[one.health]),
        DECISIONS.get(one.decision, one.decision),
        _figure(one.error, one.metric),
        _figure(one.baseline, one.metric),
        spark([day.value for day in one.daily], DAYS) or NONE,
        Text(str(len(one.alerts)), style="bold red" if one.alerts else "dim"),
        brief(one.retrain_s),
        brief(one.s_per_1000),
        str(one.published or "never"),
    )


def _figure(value: float, metric: str) -> str:
    return figure(value, metric).replace("\N{NO-BREAK SPACE}", " ")


def _below(rows: Sequence[PipelineOverview]) -> Iterable[Any]:
    metrics = sorted({one.metric for one in rows if math.isfinite(one.error)})
    if metrics:
        yield Text(
            f"  error: {', '.join(metrics)} of what came true lately; naive: the best simple rule on the same rows; "
            "fit and per 1,000 forecasts: computing time",
            style="dim",
        )
    for one in rows:
        for mark, style, text in _notes(one):
            yield Text(f"  {mark:<9}", style=style).append(f"{one.model}: {text}", style="default")


def _notes(one: PipelineOverview) -> Iterable[tuple[str, str, str]]:
    """Yield what a person should know or do, each with a word for what it is."""
    if one.broken:
        yield "config", "bold red", " ".join(one.broken.split())[:300]
    if one.trouble:
        yield "run", "bold red", one.trouble
    for alert in one.alerts:
        yield alert.finding.level, "bold red" if alert.finding.level == "critical" else "yellow", alert.finding.summary
    for version in one.waiting:
        yield (
            "approval",
            "yellow",
            f"v{version} passed its gates; `perennial approve {one.model} {version}` or reject it",
        )
    for role, tried in (("canary", one.canary), ("shadow", one.shadow)):
        if tried:
            yield "trial", "cyan", f"v{tried} is on trial as {role}"
    for word, text in (("stale", one.stale), ("unused", one.unused)):
        if text:
            yield word, "yellow", text
