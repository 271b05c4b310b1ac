"""A month and a half goes by: ``python -m benchmarks.soak`` drives 45 business dates through ``day``.

The world is that of :mod:`benchmarks.soakworld`: real sales that arrive day by day, a break planted on day 20, a day
whose file is late, a day without one, a webhook that is down for two days, and a challenger that passes lenient gates
and forecasts badly. Prefect's server, MLflow's store, the ledger, the lake and the webhook are real; the clock is set.

The last line is one JSON document; every figure in it is computed from the ledger, the published predictions and what
the webhook received.
"""

import argparse
import json
import os
import tempfile
import time
from datetime import date, datetime, timedelta
from datetime import time as of_day
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.soakworld import BAD_DAY, OUTAGE, Sink, World

PIPELINE = "demand"
ZONE = ZoneInfo("Europe/London")
STARTS = of_day(5, 30)
"""When the schedule starts a day's run."""
LOOKS = of_day(7, 5)
"""When the dead man's switch looks: five minutes after the deadline."""
CHALLENGED = 3
"""The day on which somebody tries a model that is worse."""


def main() -> None:
    """Run the soak and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=45)
    parser.add_argument("--keep", type=Path, help="folder to work in, and to leave everything in")
    args = parser.parse_args()
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
        print(json.dumps(soak(args.keep.resolve(), args.days)))
        return
    with tempfile.TemporaryDirectory(prefix="perennial-soak-") as scratch:
        print(json.dumps(soak(Path(scratch), args.days)))


def soak(root: Path, days: int) -> dict[str, Any]:
    """Let ``days`` business dates go by in a project below ``root`` and return what came of it."""
    from flows import server

    before = Path.cwd(), os.environ.get("PREFECT_API_URL")
    world = World(root)
    with Sink() as sink:
        world.write(sink.url)
        os.chdir(root)
        os.environ["PERENNIAL_NOW"] = _moment(world.first, STARTS)
        started = before[1] is None and server.connect(root / ".perennial", configured=False).started
        try:
            seconds = _live(world, sink, days)
            return _figures(world, sink, days) | seconds
        finally:
            if started:
                server.stop(root / ".perennial")
            os.chdir(before[0])
            os.environ.pop("PERENNIAL_NOW", None)
            if before[1] is None:
                os.environ.pop("PREFECT_API_URL", None)


def _live(world: World, sink: Sink, days: int) -> dict[str, float]:
    """Let the dates go by; return how long they took."""
    from flows.server import leaving_at_once

    took, told = [], []
    for n in range(1, days + 1):
        day, start = world.day(n), time.monotonic()
        world.arrive(n)
        sink.down = n in OUTAGE
        received = len(sink.received)
        with leaving_at_once():
            _morning(world, n, day)
        took.append(time.monotonic() - start)
        told += [at - start for at, _ in sink.received[received:]]
        _say(world, n, day, took[-1])
    return {"s_per_date": round(sum(took) / len(took), 2), "s_to_alert": round(max(told, default=0.0), 1)}


def _morning(world: World, n: int, day: date) -> None:
    """Do what happens on the morning after a business date."""
    from flows.day import day as run_day
    from flows.retrain import retrain
    from perennial.context import Workspace
    from perennial.monitoring.watch import watch_once

    os.environ["PERENNIAL_NOW"] = _moment(day, STARTS)
    run_day(PIPELINE, day)
    if n == CHALLENGED:
        with world.worse_challenger():
            retrain(PIPELINE, day)
    os.environ["PERENNIAL_NOW"] = _moment(day, LOOKS)
    watch_once(Workspace.open())


def _moment(day: date, at: of_day) -> str:
    return datetime.combine(day + timedelta(days=1), at, tzinfo=ZONE).isoformat()


def _say(world: World, n: int, day: date, seconds: float) -> None:
    """Tell how a date went, one line."""
    from perennial.context import Workspace

    ledger = Workspace.open().ledger
    measured, published = ledger.measurement(PIPELINE, day), ledger.publication(PIPELINE, day)
    champion = ledger.in_force(PIPELINE, on=day)
    health = measured.health if measured else "not measured"
    findings = ", ".join(f"{f.cause} ({f.level})" for f in measured.findings) if measured else ""
    rungs = " and ".join(published.rungs) if published else "nothing"
    mark = world.planted(n)
    print(
        f"{n:>2}  {day}  {seconds:4.1f} s  {rungs:<22}  champion {champion.version if champion else '-':<3} {health:<9}"
        f"  {findings}{f'   <- {mark}' if mark else ''}",
        flush=True,
    )


def _figures(world: World, sink: Sink, days: int) -> dict[str, Any]:
    from perennial.context import Workspace
    from perennial.invariants import check_invariants

    place = Workspace.open()
    ledger = place.ledger
    alerts = ledger.alerts(PIPELINE)
    accuracy = [a for a in alerts if a.finding.cause == "accuracy" and a.opened >= world.day(BAD_DAY)]
    delivered = [n for n in range(1, days + 1) if _in_time(ledger.publication(PIPELINE, world.day(n)), world.day(n))]
    keys = {key for _, key in sink.received}
    false = [a for a in alerts if not world.explains(a.finding.cause, a.opened)]
    return {
        "dates": days,
        "dates_delivered": len(delivered),
        "break_alerts": len(accuracy),
        "days_to_alert": _matured_days(world, accuracy[0].opened) if accuracy else None,
        "recovered": _recovered(world, place, days),
        "false_alerts": len(false),
        "alerts": len(alerts),
        "alerts_lost": len({a.key for a in alerts} - keys),
        "alerts_twice": len(sink.received) - len(keys),
        "canary_reverted": any(
            c.role == "canary" and c.version is None and c.previous == 2 for c in ledger.role_history(PIPELINE)
        )
        and all(c.version != 2 for c in ledger.role_history(PIPELINE) if c.role == "champion"),
        "retrains": len(ledger.versions(PIPELINE)),
        "promotions": sum(c.role == "champion" for c in ledger.role_history(PIPELINE)),
        "violations": len(check_invariants(place.env)),
    }


def _in_time(publication: Any, day: date) -> bool:
    """Whether a date's publication was there by its deadline, 07:00 of the next morning, for every day ahead."""
    deadline = datetime.combine(day + timedelta(days=1), of_day(7), tzinfo=ZONE)
    return publication is not None and publication.published_at <= deadline and publication.rows > 0


def _matured_days(world: World, opened: date) -> int:
    """Count the days with sales from the break to the alert, both included."""
    return sum(
        world.has_sales(day) for day in (world.day(BAD_DAY) + timedelta(days=k) for k in range(_gap(world, opened)))
    )


def _gap(world: World, opened: date) -> int:
    return (opened - world.day(BAD_DAY)).days + 1


def _recovered(world: World, place: Any, days: int) -> float | None:
    """Return the share of the lost accuracy of the broken range that came back by the last week.

    1 - (after - before) / (broken - before), each the WAPE of served forecasts of up to seven days ahead on the broken
    range: before, of the days up to the break; broken, of the first three days with sales from it; after, of the last
    seven days. Served means what readers saw, whoever made it.
    """
    wape = world.wape(place, PIPELINE, days)
    if wape is None:
        return None
    before, broken, after = wape
    return round(1 - (after - before) / (broken - before), 3)


if __name__ == "__main__":
    main()
