"""What goes wrong beside the forecast of a date: a monitor run or a retrain that fails.

Neither keeps the date from being done, or one lost model would keep every later date from its forecast too. Both are
findings of the date and are told like any other: once, until they have stayed away for long enough.
"""

from dataclasses import replace

from perennial.config.modelerrors import redact
from perennial.context import Run
from perennial.contracts import Cause, Finding, Level, Measurement
from perennial.monitoring import judge, likely
from perennial.monitoring.alerting import raise_alerts
from perennial.observing import EARLIER, trouble_of

LEVELS: dict[Cause, Level] = {"monitor": "critical", "retrain": "warning"}
"""Without a monitor run nobody is told of anything else; without a retrain the champion still serves."""


def account(run: Run, *, scoring: str, monitoring: str, retraining: str) -> Measurement:
    """Return the measurement of the run's date, with what else failed on it recorded and told.

    Args:
        run: The run.
        scoring: Why scoring failed; empty if it did not.
        monitoring: Why the monitor run failed; then the measurement may have no figures.
        retraining: Why a retrain that was wanted failed.

    Raises:
        Fenced: Another run has taken over.
    """
    wanted: dict[Cause, str] = {"monitor": monitoring, "retrain": retraining}
    failed = {cause: text for cause, text in wanted.items() if text and not _succeeded(run, cause)}
    known = run.ledger.measurement(run.name, run.as_of)
    if known and not failed:
        return known
    history = [one for one in run.ledger.measurements(run.name, EARLIER) if one.as_of < run.as_of]
    measured = known or _unmeasured(run, history, scoring)
    others = tuple(one for one in measured.findings if one.cause not in failed)
    found = tuple(_finding(run, history, cause, text) for cause, text in failed.items())
    measured = replace(measured, findings=others + found)
    run.ledger.record_measurement(run.lease, measured)
    raise_alerts(run.ledger, run.lease, run.cfg, measured)
    return measured


def _succeeded(run: Run, flow: str) -> bool:
    """Return whether the newest run of a flow on the date ended well by the ledger, whatever became of its state."""
    mine = [one.status for one in run.ledger.runs(run.name) if (one.flow, one.as_of) == (flow, run.as_of)]
    return mine[-1:] == ["succeeded"]


def _unmeasured(run: Run, history: list[Measurement], scoring: str) -> Measurement:
    """Return a measurement without figures, judged by what is known without them."""
    champion, canary = (run.ledger.in_force(run.name, role, on=run.as_of) for role in ("champion", "canary"))
    empty = Measurement(
        pipeline=run.name,
        as_of=run.as_of,
        champion=champion.version if champion else None,
        canary=canary.version if canary else None,
        scores=(),
        expected={},
        daily=(),
        drift=(),
        skew=float("nan"),
        matured=0,
        pending=0,
        model_age_days=(run.as_of - champion.as_of).days if champion else -1,
        data_age_days=-1,
    )
    publication = run.ledger.publication(run.name, run.as_of)
    found = judge.findings(
        run.cfg,
        empty,
        history,
        rungs=publication.rungs if publication else {},
        trouble=trouble_of(run, publication, scoring),
        verdict=None,
    )
    return replace(empty, findings=found)


def _finding(run: Run, history: list[Measurement], cause: Cause, text: str) -> Finding:
    since = [one.since for one in (history[-1].findings if history else ()) if one.cause == cause]
    verb = {"monitor": "monitor", "retrain": "run"}[cause]
    said = redact(" ".join(text.split()))[:300]  # it leaves the house
    return Finding(
        cause=cause,
        level=LEVELS[cause],
        since=min([run.as_of, *since]),
        summary=f"{'monitoring' if cause == 'monitor' else 'a wanted retrain'} failed on {run.as_of}: {said}",
        likely=likely.DATA_ERRORS.get(text.partition(":")[0], ""),
        command=f"perennial {verb} {run.name} --as-of {run.as_of}",
    )
