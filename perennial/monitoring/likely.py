"""Why a finding is there: one sentence, taken from what was measured beside it and from nothing else."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, timedelta

from perennial.config.models import Pipeline
from perennial.contracts import DailyError, Drift, Measurement

DATA_ERRORS = {
    "DataCheckFailed": "What landed, or the table it landed in, breaks a critical check.",
    "SchemaError": "Columns or types of a source are not the configured ones.",
    "SourceUnusable": "A source is missing or damaged.",
    "SourceError": "A source could not be read.",
}
"""Errors that the owner of the data can mend, and what each says."""
NAMED = 3


def reason(
    cfg: Pipeline,
    measured: Measurement,
    history: Sequence[Measurement],
    worst: DailyError,
    since: date,
    keys: AbstractSet[str],
) -> str:
    """Return the likeliest cause of bad accuracy, the strongest evidence first.

    Args:
        cfg: The pipeline.
        measured: What was measured as of the date.
        history: Earlier measurements, oldest first.
        worst: The latest matured day of everything, or of the worst part.
        since: First bad day.
        keys: Parts that are bad; ``""`` is everything.
    """
    first = since - timedelta(days=cfg.monitor.horizon)
    lower = [
        m.as_of for m in history if first <= m.as_of < worst.day and any(f.cause == "fallback" for f in m.findings)
    ]
    if lower:
        more = f" and {len(lower) - 1} more dates" if len(lower) > 1 else ""
        return f"Forecasts made on {lower[-1]}{more} came from a fallback, not from the champion."
    if measured.skew > cfg.monitor.max_skew:
        return "Features at scoring were not those that are computed now: see the skew."
    near = sorted((one for one in moved(measured.drift) if one.key in keys | {""}), key=lambda one: not one.key)
    if near:
        text = ", ".join(moved_text(one) for one in near[:NAMED])
        itself = "Demand itself moved" if any(one.name == "target" for one in near) else "The model's inputs moved"
        return f"{itself} against the same weekday of earlier weeks: {text}."
    return _by_age(cfg, measured) or _by_baseline(worst)


def moved(drift: Iterable[Drift]) -> tuple[Drift, ...]:
    """Return what lies beyond its bound, worst first."""
    return tuple(sorted((one for one in drift if one.psi > one.bound), key=lambda one: -one.psi / one.bound))


def moved_text(one: Drift) -> str:
    """Return one entry in words, for example ``price of range=22 (PSI 0.61, bound 0.25)``."""
    return f"{one.name}{f' of {one.key}' if one.key else ''} (PSI {one.psi:.2f}, bound {one.bound:.2f})"


def _by_age(cfg: Pipeline, measured: Measurement) -> str:
    most = cfg.monitor.max_model_age_days or cfg.retrain.days
    age = measured.model_age_days
    return (
        f"The model is old: it stands on {measured.as_of - timedelta(days=age)}, {age} days ago." if age > most else ""
    )


def _by_baseline(worst: DailyError) -> str:
    if worst.baseline < worst.value:
        return (
            f"Demand itself seems to have changed: the best naive forecast, which follows the newest days, did better "
            f"({worst.baseline:.3g}), and neither drift nor skew nor a fallback was found."
        )
    return "Neither drift nor skew nor a fallback was found; demand itself may have changed."
