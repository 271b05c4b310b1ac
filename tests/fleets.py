"""A project with pipelines in every state, written through the ledger's own functions."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from perennial.context import Workspace
from perennial.contracts import DailyError, Drift, Finding, Measurement, Score
from perennial.ledger import Lease
from perennial.monitoring.alerting import alert_of
from tests import ledgers, shop

DAY = ledgers.DAY
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e=1+1'


def workspace(root: Path, *names: str) -> Workspace:
    """Write a project with one valid file for each name and open it on the morning after ``DAY``."""
    for name in names:
        shop.write_project(root, pipeline(name), name=name)
    if not names:
        shop.write_project(root)
        (root / "configs" / "shop.yaml").unlink()
    place = Workspace.open("local", root=root)
    place.now = lambda: ledgers.cutoff(DAY) + timedelta(hours=8)
    return place


def pipeline(name: str, owner: str = "planning", more: str = "") -> str:
    """Return the text of a pipeline's file."""
    text = shop.PIPELINE.replace("pipeline: shop", f"pipeline: {name}")
    return f"{text}owner: {owner}\n{more}"


def measurement(name: str = "shop", day: date = DAY, *, days: int = 5, wrong: tuple[Finding, ...] = ()) -> Measurement:
    """Return what was measured: errors that grow day by day, a served error of 0.2 and a baseline of 0.25."""
    errors = tuple(
        DailyError(
            day=day - timedelta(days=n),
            key=key,
            metric="wape",
            value=0.5 - 0.05 * n,
            usual=0.3,
            bound=0.45,
            baseline=0.4,
            rows=90,
        )
        for n in reversed(range(days))
        for key in ("", "category=c0")
    )
    scores = tuple(
        Score(contender=who, metric="wape", part="overall", key="", value=value, rows=450)
        for who, value in (("served", 0.2), ("last_value", 0.3), ("seasonal_naive", 0.25), ("canary", 0.1))
    )
    return Measurement(
        pipeline=name,
        as_of=day,
        champion=1,
        canary=None,
        scores=scores,
        expected={"wape": 0.2},
        daily=errors,
        drift=(Drift(name="price", psi=0.4, distance=0.2, bound=0.25), Drift(name="y", psi=0.1, distance=0, bound=0.3)),
        skew=0.002,
        matured=450,
        pending=10,
        model_age_days=0,
        data_age_days=1,
        cost={"retrain_s": 12.5, "score_s": 2.0, "s_per_1000": 0.4},
        findings=wrong,
    )


def finding(cause: str = "accuracy", level: str = "critical", summary: str = "wape was 0.5 on 2011-11-01") -> Finding:
    """Return something that is wrong since the day before."""
    return Finding(
        cause=cause,  # type: ignore[arg-type]
        level=level,  # type: ignore[arg-type]
        since=DAY - timedelta(days=1),
        summary=summary,
        parts=("category=c0",),
        likely="Demand itself moved.",
        command="perennial run shop",
    )


def hold(place: Workspace, name: str):
    """Hold the right to write for a pipeline."""
    return place.ledger.hold(name, locks=place.home / "locks")


def live(place: Workspace, lease: Lease, *, days: int = 1, last: date = DAY) -> None:
    """Put version 1 in force, and publish and measure the last ``days`` dates up to ``last``."""
    name = lease.pipeline
    ledgers.promoted(place.ledger, lease, key=f"{name}-k1".ljust(64, "0"), digest=f"{name}-d1")
    for n in reversed(range(days)):
        day = last - timedelta(days=n)
        place.ledger.record_publication(lease, replace(ledgers.publication(1, day), pipeline=name))
        place.ledger.record_measurement(lease, measurement(name, day))


def alerted(place: Workspace, lease: Lease, wrong: Finding, day: date = DAY) -> str:
    """Open an alert and return its key."""
    alert = alert_of(lease.pipeline, "planning", day, wrong)
    assert place.ledger.open_alert(lease, alert)
    return alert.key
