"""Views across pipelines: alerts, trials, unused and stale models, who reads from whom."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from perennial.contracts import Alert
from perennial.overview import PipelineOverview
from perennial.reports.text import count, day, plain, short_day
from perennial.reports.words import sentence

Mark = Literal["passed", "warning", "failed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A value and what stands below it in small print."""

    text: str
    note: str = ""
    mark: Mark | Literal[""] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One alert in words."""

    level: str
    mark: Mark
    pipeline: str
    href: str
    cause: str
    opened: str
    closed: str
    since: str
    summary: str
    parts: str
    likely: str
    command: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to be known of a pipeline: a trial, a version that waits, a model that nobody uses."""

    name: str
    href: str
    what: str
    text: str
    command: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WiringRow:
    """What a pipeline reads and who reads what it makes."""

    name: str
    href: str
    reads: tuple[Cell, ...]
    publishes: str
    rows: str
    readers: tuple[Cell, ...]


def page_name(model: str) -> str:
    """Return the file name of a pipeline's page; ``index`` is taken by the overview."""
    return f"{model}.html" if model != "index" else "index-pipeline.html"


def link(model: str) -> str:
    """Return the relative address of a pipeline's page."""
    return quote(page_name(model))


def alert_rows(alerts: Iterable[Alert]) -> list[AlertRow]:
    """Return alerts in words."""
    return [
        AlertRow(
            level=one.finding.level,
            mark="failed" if one.finding.level == "critical" else "warning",
            pipeline=plain(one.pipeline, 64),
            href=link(one.pipeline),
            cause=sentence(one.finding.cause),
            opened=day(one.opened),
            closed=day(one.closed) if one.closed else "",
            since=day(one.finding.since),
            summary=plain(one.finding.summary, 500),
            parts=plain(", ".join(one.finding.parts), 200),
            likely=plain(one.finding.likely, 400),
            command=plain(one.finding.command, 200),
            owner=plain(one.owner, 60),
        )
        for one in alerts
    ]


def trials(one: PipelineOverview) -> list[Note]:
    """Return the versions of a pipeline that are on trial or wait for a person."""
    name, href = plain(one.model, 64), link(one.model)
    found = [
        Note(
            name=name,
            href=href,
            what="Waits for approval",
            text=f"Version {version} passed its gates. Nothing happens until somebody answers.",
            command=f"perennial approve {one.model} {version}",
        )
        for version in one.waiting
    ]
    for role, version, how in (
        ("canary", one.canary, "publishes for its cohort"),
        ("shadow", one.shadow, "is scored beside the champion and published to nobody"),
    ):
        if version is not None:
            against = f"version {one.champion}" if one.champion else "the champion"
            text = f"Version {version} {how}; its matured errors are compared with those of {against}."
            found.append(Note(name=name, href=href, what=f"On trial as {role}", text=text))
    return found


def idle(one: PipelineOverview) -> list[Note]:
    """Return why a pipeline counts as unused or stale."""
    reasons = (("Unused", one.unused), ("Stale", one.stale))
    return [
        Note(name=plain(one.model, 64), href=link(one.model), what=what, text=f"{sentence(text)}.")
        for what, text in reasons
        if text
    ]


def wiring_row(one: PipelineOverview) -> WiringRow:
    """Return where a pipeline stands between producers and consumers."""
    return WiringRow(
        name=plain(one.model, 64),
        href=link(one.model),
        reads=tuple(
            Cell(
                text=plain(source.place, 120),
                note=f"predictions of {plain(source.producer, 64)}" if source.producer else source.type,
            )
            for source in one.reads
        ),
        publishes=plain(one.publishes, 90),
        rows=f"{count(one.rows)} rows as of {short_day(one.published)}" if one.published else "never published",
        readers=tuple(Cell(text=plain(name, 64), note=link(name)) for name in one.readers),
    )
