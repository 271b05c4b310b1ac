"""One pipeline from its beginning: what was in force, decided, published, measured and told, and what it took."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from perennial.config.models import Pipeline
from perennial.contracts import ModelVersion, RoleChange
from perennial.errors import Refused
from perennial.ledger.facts import Run
from perennial.ledger.survey import Standing
from perennial.overview.contents import History, PipelineOverview, Spend
from perennial.overview.gather import outcome

if TYPE_CHECKING:
    from perennial.ledger import Ledger

ERROR_DAYS = 182
DECISIONS = 100
DATES = 60
FLOWS = ("score", "retrain")


def story(ledger: "Ledger", model: str, on: date | None = None) -> tuple[RoleChange, ...]:
    """Return the role changes of a model, oldest first, up to business date ``on``.

    Raises:
        Refused: There is no such model; the message lists those that exist.
    """
    known = sorted(ledger.models())
    if model not in known:
        raise Refused(f"no model {model!r}; known: {', '.join(known) or 'none yet'}; train one with `perennial run`")
    return ledger.role_history(model, on=on)


def history(
    ledger: "Ledger", home: Path, overview: PipelineOverview, standing: Standing, config: Pipeline | None
) -> History:
    """Return everything that the page of one pipeline shows, from one to a few dozen reads of the ledger.

    Args:
        ledger: The record.
        home: The home folder, in which the runs' reports are.
        overview: Its newest facts.
        standing: The same as the ledger has them.
        config: Its settings, if they are valid.
    """
    name = overview.model
    judged = ledger.judgements(name, DECISIONS)
    champion = standing.champion
    return History(
        overview=overview,
        config=config,
        champion=champion,
        roles=tuple(reversed(ledger.role_history(name))),
        judged=judged,
        outcomes=tuple(outcome(one, standing) for one in judged),
        reports={one.version.version: page for one in judged if (page := _page(home, one.version))},
        publications=ledger.recent_publications(name, DATES),
        errors=ledger.measured_errors(name, ERROR_DAYS),
        alerts=tuple(reversed(ledger.alerts(name))),
        measured=standing.measurement,
        spent=tuple(_spend(run) for run in ledger.recent_runs(name, FLOWS, 2 * DATES)),
        snapshot=ledger.snapshot_by_id(name, champion.snapshot_id) if champion else None,
    )


def _page(home: Path, version: ModelVersion) -> str:
    """Return the page of the run that trained a version, relative to the home folder; "" if it is not there."""
    page = Path("reports") / version.model / f"{version.as_of}-{version.run_key[:12]}" / "index.html"
    return page.as_posix() if (home / page).is_file() else ""


def _spend(run: Run) -> Spend:
    seconds = run.record.get("seconds") or {}
    return Spend(
        flow=run.flow,
        as_of=run.as_of,
        status=run.status,
        seconds=float(sum(map(float, seconds.values()))) if seconds else float("nan"),
        peak_mib=float(run.record.get("peak_mib") or "nan"),
    )
