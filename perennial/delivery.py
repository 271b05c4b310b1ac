"""The delivery ladder: when a date could not be scored, the next best forecast is published, stamped with its rung.

Rungs: the champion on the newest features before this date, the last forecast moved on, a naive one.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from perennial import intake
from perennial.arrow import with_values
from perennial.context import Run
from perennial.contracts import NOBODY, Forecasts, ModelVersion, Publication, Rung, Snapshot
from perennial.errors import Fenced, PerennialError, Refused, TrainingError
from perennial.kinds import kind
from perennial.publishing import publish, stamp, whole
from perennial.registry.serving import nobody
from perennial.registry.tracking import incumbent

log = logging.getLogger(__name__)

RECOVERABLE = (PerennialError, OSError, ArithmeticError, LookupError, ValueError)
"""What a rung may fail of without taking the ladder down with it."""


def deliver(run: Run, trouble: str) -> Publication:
    """Return the date's publication; make one on the first rung that holds if scoring left none.

    Args:
        run: The run.
        trouble: Why scoring failed; empty if it did not.

    Raises:
        Refused: No version is in force as of the date, the ladder is switched off, or every rung failed.
        Fenced: Another run has taken over.
    """
    done = run.ledger.publication(run.name, run.as_of)
    if done:
        return replace(done, fresh=False)
    version = run.ledger.in_force(run.name, on=run.as_of)
    if version is None:
        raise Refused(
            f"nothing is published of {run.name} as of {run.as_of}: {nobody(run.ledger, run.name, run.as_of)}"
        )
    if not run.cfg.delivery.ladder:
        raise Refused(f"nothing is published of {run.name} as of {run.as_of}, since delivery.ladder is off; {trouble}")
    reasons = [f"scoring: {trouble}"]
    for rung, make in _ladder(version).items():
        try:
            rows = pa.concat_tables(make(run))
            if not rows.num_rows:  # of events that were never scored, which is not a day without events
                raise TrainingError("it has nothing to say of this date")
            return publish(run, Forecasts(published=rows), version)
        except Fenced:  # a rollback took over: the next rung could not write either
            raise
        except RECOVERABLE as error:
            log.warning("rung %s failed: %s", rung, error)
            reasons.append(f"{rung}: {type(error).__name__}: {error}")
    raise Refused(f"nothing could be published of {run.name} as of {run.as_of}: {'; '.join(reasons)}")


def _ladder(version: ModelVersion) -> Mapping[Rung, Callable[[Run], Iterable[pa.Table]]]:
    return {
        "stale_features": lambda run: _stale(run, version),
        "last_forecast": _moved_on,
        "naive": _naive,
    }


def _stale(run: Run, version: ModelVersion) -> Iterable[pa.Table]:
    """Forecast with the champion on the newest snapshot before the date, for the horizon after the date."""
    model = incumbent(run.ledger, run.workspace.store, run.name, on=run.as_of)
    if model is None:  # it was in force a moment ago
        raise Refused(f"the champion of {run.name} was taken back meanwhile; run again")
    data = _load(run, before=True)
    batches = kind(run.cfg.kind).predict(data, run.cfg, model.model, threads=run.threads)
    return stamp(batches, version.version, run.as_of, "stale_features")


def _moved_on(run: Run) -> Iterable[pa.Table]:
    """Yield the last predictions as those of this date."""
    earlier = [one for one in run.ledger.publications(run.name) if one.as_of < run.as_of]
    if not earlier:
        raise TrainingError("nothing was published before")
    last = max(earlier, key=lambda one: one.as_of)
    moved = kind(run.cfg.kind).moved(whole(run, last), run.cfg, run.as_of)
    if not moved.num_rows:
        raise TrainingError(f"the last forecast, as of {last.as_of}, reaches to {last.last} only")
    yield with_values(moved, {"as_of": run.as_of, "rung": "last_forecast"})


def _naive(run: Run) -> Iterable[pa.Table]:
    """Return what needs no model, from the newest snapshot there is."""
    batches = kind(run.cfg.kind).naive(_load(run, before=False), run.cfg, run.as_of)
    return stamp(batches, NOBODY, run.as_of, "naive")


def _load(run: Run, *, before: bool) -> Any:
    """Load the newest snapshot up to the date (or before it); days it does not know are unknown, not zero."""
    found = [s for s in run.ledger.snapshots(run.name) if s.as_of < run.as_of or (s.as_of == run.as_of and not before)]
    if not found:
        raise TrainingError(f"no snapshot {'before' if before else 'up to'} {run.as_of}")
    snapshot: Snapshot = max(found, key=lambda one: one.as_of)
    known = replace(snapshot, as_of=run.as_of)
    return kind(run.cfg.kind).load(run.cfg, known, lambda table: intake.read(run, table, snapshot))
