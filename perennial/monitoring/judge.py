"""What the measured figures mean: findings, by rules with hysteresis.

One bad day is chance and is not reported; neither is a distribution that moved once. What is one event is one finding:
500 slices that are bad together, or a failed check and the fallback that followed from it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby
from statistics import median

from perennial.config.modelerrors import redact
from perennial.config.models import Pipeline
from perennial.config.types import WEEKDAYS
from perennial.contracts import CanaryVerdict, Cause, Drift, Finding, Level, Measurement
from perennial.monitoring import likely
from perennial.monitoring.degraded import Degraded, degraded

NAMED = 5
"""Parts, columns or figures that a summary names."""
EARLIER = 5
"""Earlier runs that a usual cost needs."""
NOISE_S = 10.0
"""Shorter run times are not judged: the machine's own mood would be."""
ON_TOP = ("challenger", "champion")
"""Rungs that are not a fallback."""
LOW = ("last_forecast", "naive")
"""Rungs without today's model."""
LEVELS: tuple[Level, ...] = ("critical", "warning", "info")
DATED = ("run", "score")
"""Commands that take the date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Everything that a rule may look at."""

    cfg: Pipeline
    now: Measurement
    history: Sequence[Measurement]
    rungs: Mapping[str, int]
    trouble: str

    def since(self, cause: Cause, first: date) -> date:
        """Return when it began: a finding that the measurement before had too began then."""
        last = self.history[-1].findings if self.history else ()
        return min([first, *(one.since for one in last if one.cause == cause)])

    def finding(self, cause: Cause, level: Level, summary: str, *, because: str = "", verb: str = "") -> Finding:
        """Return a finding of the measured date."""
        day = self.now.as_of
        return Finding(
            cause=cause,
            level=level,
            since=self.since(cause, day),
            summary=summary,
            likely=because,
            command=f"perennial {verb} {self.cfg.pipeline}{f' --as-of {day}' if verb in DATED else ''}" if verb else "",
        )


def findings(
    cfg: Pipeline,
    measured: Measurement,
    history: Sequence[Measurement],
    *,
    rungs: Mapping[str, int],
    trouble: str,
    verdict: CanaryVerdict | None,
) -> tuple[Finding, ...]:
    """Return what is wrong as of a date, worst first, at most one finding for each cause.

    Args:
        cfg: The pipeline.
        measured: What was measured as of the date.
        history: Earlier measurements of the pipeline, oldest first, without this date.
        rungs: Rows of the date's publication by rung of the delivery ladder; empty if there is none.
        trouble: Why scoring failed on the date, beginning with the error's class; empty if it did not.
        verdict: What the matured forecasts of a version on trial say, if there is one.
    """
    seen = _Seen(cfg=cfg, now=measured, history=history, rungs=rungs, trouble=trouble)
    rules = (_trouble, _fallback, _accuracy, _drift, _skew, _stale_model, _stale_data, _cost, _spiral)
    found = [one for rule in rules if (one := rule(seen)) is not None]
    found += [one for one in (_trial(seen, verdict),) if one is not None]
    return tuple(sorted(found, key=lambda one: LEVELS.index(one.level)))


# --- what the run itself ran into --------------------------------------------------------------------------


def _trouble(seen: _Seen) -> Finding | None:
    if not seen.trouble:
        return None
    text = redact(" ".join(seen.trouble.split()))[:300]  # it leaves the house
    name = text.partition(":")[0]
    lower = _rows_below(seen.rungs)
    served = f"; {_words(lower)} served the date" if lower else ""
    cause: Cause = "data" if name in likely.DATA_ERRORS else "run"
    verb = "validate" if name == "SchemaError" else "score"
    because = likely.DATA_ERRORS.get(name, "")
    return seen.finding(
        cause, "critical", f"scoring failed on {seen.now.as_of}{served}: {text}", because=because, verb=verb
    )


def _fallback(seen: _Seen) -> Finding | None:
    lower = _rows_below(seen.rungs)
    if not lower:
        return None
    level: Level = "critical" if any(rung in lower for rung in LOW) else "warning"
    total = sum(seen.rungs.values())
    summary = f"{sum(lower.values()):,} of {total:,} forecasts of {seen.now.as_of} came from {_words(lower)}"
    because = f"Scoring failed: {seen.trouble.partition(':')[0]}." if seen.trouble else ""
    return seen.finding("fallback", "info" if seen.trouble else level, summary, because=because, verb="score")


def _rows_below(rungs: Mapping[str, int]) -> dict[str, int]:
    return {rung: rows for rung, rows in rungs.items() if rung not in ON_TOP and rows}


def _words(rungs: Mapping[str, int]) -> str:
    return "the rung " + " and ".join(rung.replace("_", " ") for rung in rungs)


# --- accuracy ----------------------------------------------------------------------------------------------


def _accuracy(seen: _Seen) -> Finding | None:
    """Report every part that is degraded as one finding."""
    bad = degraded(seen.now.daily, seen.cfg.monitor)
    if not bad:
        return None
    overall = next((part for part in bad if part.key == ""), None)
    parts = [part for part in bad if part is not overall]
    head, since = overall or parts[0], min(part.since for part in bad)
    return Finding(
        cause="accuracy",
        level="critical" if overall else "warning",
        since=seen.since("accuracy", since),
        summary=_how_bad(head, [part for part in parts if part is not head]),
        parts=tuple(part.key for part in parts),
        likely=likely.reason(seen.cfg, seen.now, seen.history, head.latest, since, {part.key for part in bad}),
        command=f"perennial run {seen.cfg.pipeline} --as-of {seen.now.as_of}",
    )


def _how_bad(head: Degraded, others: Sequence[Degraded]) -> str:
    one = head.latest
    text = (
        f"{one.metric} of {one.key or 'all forecasts'} was {one.value:.3g} on {one.day} (usual {one.usual:.3g}, bad "
        f"beyond {one.bound:.3g}); {head.bad} of the last {head.days} matured days were bad"
    )
    return f"{text}; {'also' if one.key else 'worst'}: {_named([str(part) for part in others])}" if others else text


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


# --- inputs ------------------------------------------------------------------------------------------------


def _drift(seen: _Seen) -> Finding | None:
    """Report what moved on this date and on the one before; of no concern while the forecasts do not suffer."""
    before = {(one.name, one.key) for one in likely.moved(seen.history[-1].drift)} if seen.history else set()
    held = [one for one in likely.moved(seen.now.drift) if (one.name, one.key) in before]
    if not held:
        return None
    told = bool(degraded(seen.now.daily, seen.cfg.monitor))
    level: Level = "info" if told or _sound(seen) else "warning"
    return Finding(
        cause="drift",
        level=level,
        since=seen.since("drift", seen.history[-1].as_of),
        summary=f"moved against the same weekday of earlier weeks: {_shown(held)}",
        parts=tuple(dict.fromkeys(one.key for one in held if one.key)),
        likely="The forecasts do not suffer from it so far." if _sound(seen) and not told else "",
        command=f"perennial monitor {seen.cfg.pipeline} --as-of {seen.now.as_of}",
    )


def _sound(seen: _Seen) -> bool:
    """Return whether accuracy was measured, and no recent day was bad over all forecasts."""
    overall = sorted((one for one in seen.now.daily if one.key == ""), key=lambda one: one.day)
    known = [one for one in overall[-seen.cfg.monitor.of :] if math.isfinite(one.value) and math.isfinite(one.bound)]
    return seen.now.matured > 0 and bool(known) and not any(one.bad for one in known)


def _shown(drift: Sequence[Drift]) -> str:
    return _named([likely.moved_text(one) for one in drift])


def _skew(seen: _Seen) -> Finding | None:
    value, most = seen.now.skew, seen.cfg.monitor.max_skew
    if not value > most:  # nan was not measured
        return None
    how = f"differ by {value:.3g} standard deviations" if math.isfinite(value) else "are known only on one side"
    return seen.finding(
        "skew",
        "warning",
        f"features logged at scoring and the same ones computed now {how} (allowed: {most:g})",
        because="Observations were restated after scoring, or features are computed in another way than then.",
        verb="run",
    )


# --- ages and costs ----------------------------------------------------------------------------------------


def _stale_model(seen: _Seen) -> Finding | None:
    age, most = seen.now.model_age_days, seen.cfg.monitor.max_model_age_days
    if most is None or age <= most:
        return None
    stands = seen.now.as_of - timedelta(days=age)
    summary = f"version {seen.now.champion} stands on {stands}, {age} days ago (allowed: {most})"
    return seen.finding("stale_model", "warning", summary, verb="run")


def _stale_data(seen: _Seen) -> Finding | None:
    """Judge the newest observation as the guard ``max_age_days`` does: in days on which there should be one."""
    most, age = seen.cfg.guards.max_age_days, seen.now.data_age_days
    if most is None or age < 0:
        return None
    days = (seen.now.as_of - timedelta(days=n) for n in range(age))
    missing = sum(WEEKDAYS[day.weekday()] not in seen.cfg.problem.closed() for day in days)
    if missing <= most:
        return None
    newest = seen.now.as_of - timedelta(days=age)
    summary = f"the newest observation is of {newest}, {missing} open days before {seen.now.as_of} (allowed: {most})"
    return seen.finding("stale_data", "info" if seen.trouble else "warning", summary, verb="score")


def _cost(seen: _Seen) -> Finding | None:
    """Report what the last two runs had in excess; a date without a run repeats the figure of the run before."""
    held, ratio = [], seen.cfg.monitor.cost_ratio
    for name in seen.now.cost:
        known = (one.cost[name] for one in (*seen.history, seen.now) if name in one.cost)
        runs = [value for value, _ in groupby(known)]
        if len(runs) < EARLIER + 2:
            continue
        usual, least, last = median(runs[:-2]), min(runs[-2:]), runs[-1]
        if least > ratio * usual and (name.endswith("_mib") or least >= NOISE_S):
            held.append(f"{name} {last:,.3g} (usual {usual:,.3g})")
    if not held:
        return None
    summary = f"more than {ratio:g} times the usual cost, twice in a row: {_named(held)}"
    return seen.finding("cost", "warning", summary, verb="history")


def _spiral(seen: _Seen) -> Finding | None:
    """Report what no error shows: out of stock, forecast as zero, and therefore not ordered."""
    names = seen.now.spiral
    if not names:
        return None
    summary = f"{len(names):,} out of stock and expected to sell nothing, though they used to sell: {_named(names)}"
    because = "Sales without stock were taken for demand, or nobody ordered: see `forecast.stockouts`."
    return seen.finding("spiral", "warning", summary, because=because, verb="monitor")


# --- a version on trial ------------------------------------------------------------------------------------


def _trial(seen: _Seen, verdict: CanaryVerdict | None) -> Finding | None:
    if verdict is None or verdict.outcome == "continue":
        return None
    level: Level = "warning" if verdict.outcome == "revert" else "info"
    done = "reverted" if verdict.outcome == "revert" else "promoted"
    return seen.finding("canary", level, f"the version on trial was {done}: {verdict.reason}", verb="history")
