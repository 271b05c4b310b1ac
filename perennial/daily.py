"""Business dates: which are still to be done, and what was done on each."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from perennial.contracts import Health, Measurement, Publication, RunRecord, to_json

if TYPE_CHECKING:
    from perennial.context import Run, Workspace

FLOW = "day"
DONE = "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRecord:
    """What was done on one business date.

    Attributes:
        rows: Published forecasts.
        rung: Rungs of the delivery ladder behind them, best first.
        findings: Number of things found wrong.
        retrain: How a retrain ended, or ``failed``; empty if none was wanted.
    """

    pipeline: str
    as_of: date
    rows: int
    rung: str
    health: Health
    findings: int
    retrain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """What a ``day`` run has before it.

    Attributes:
        dates: Business dates to be done, oldest first; empty when the asked one is done.
        untrained: Whether no model is in force on the first of them yet.
        given_up: Dates before them that were missed too and lie too far back; see ``delivery.catch_up_days``.
        timeout_s: Seconds a score run may take before the next rung takes over.
    """

    pipeline: str
    dates: tuple[date, ...]
    untrained: bool
    timeout_s: int
    given_up: int = 0


def agenda(workspace: "Workspace", pipeline: str, as_of: date | None, late: timedelta = timedelta(0)) -> Agenda:
    """Return the dates that were missed up to ``as_of``, and that one, each unless it is done.

    A pipeline that was never run starts with the asked date; one that stood still catches up on the last
    ``delivery.catch_up_days``.
    """
    cfg = workspace.pipeline(pipeline).config
    day = as_of or workspace.business_date(cfg, late)
    done = {run.as_of for run in workspace.ledger.runs(cfg.pipeline) if run.flow == FLOW and run.status == DONE}
    published = {one.as_of for one in workspace.ledger.publications(cfg.pipeline)}
    dates = missing(done, day, cfg.delivery.catch_up_days, published)
    untrained = bool(dates) and workspace.ledger.in_force(cfg.pipeline, on=dates[0]) is None
    before = [one for one in done | published if one < day]
    given_up = (dates[0] - max(before)).days - 1 if dates and before else 0
    return Agenda(
        pipeline=cfg.pipeline, dates=dates, untrained=untrained, timeout_s=cfg.delivery.timeout_s, given_up=given_up
    )


def missing(
    done: set[date], asked: date, catch_up_days: int, published: AbstractSet[date] = frozenset()
) -> tuple[date, ...]:
    """Return the dates to be done, oldest first: from the one after the last that was done, or published by hand.

    Example:
        >>> missing({date(2024, 1, 1)}, date(2024, 1, 3), 14)
        (datetime.date(2024, 1, 2), datetime.date(2024, 1, 3))
    """
    if asked in done:
        return ()
    before = [day for day in done | published if day < asked]
    if not before:
        return (asked,)
    first = max(max(before) + timedelta(days=1), asked - timedelta(days=catch_up_days))
    return tuple(first + timedelta(days=n) for n in range((asked - first).days + 1))


def close(
    run: "Run", publication: Publication, measured: Measurement, retrained: RunRecord | None, retraining: str = ""
) -> DayRecord:
    """Say what was done on the run's date; once the run has ended so, the date is done.

    Args:
        run: The run.
        publication: What the date delivered.
        measured: What was measured.
        retrained: How a retrain ended, if there was one.
        retraining: Why it failed, if it did.
    """
    record = DayRecord(
        pipeline=run.name,
        as_of=run.as_of,
        rows=publication.rows,
        rung=_rungs(tuple(publication.rungs)),
        health=measured.health,
        findings=len(measured.findings),
        retrain="failed" if retraining else retrained.outcome if retrained else "",
    )
    run.record = to_json(record)
    return record


def _rungs(found: Sequence[str]) -> str:
    order = ("challenger", "champion", "stale_features", "last_forecast", "naive")
    return " and ".join(sorted(found, key=order.index)).replace("_", " ") or "nothing to score"
