"""Why an event is strange, in words: which of its figures, against whom, and what was usual there."""

from dataclasses import dataclass

import numpy as np

from perennial.features.unusual import ALL, HOUR, REPEATS, feature_names, plain
from perennial.models.anomalies import EventScorer, Scored

LEAST = 2.0
"""A feature that is less surprising (one in a hundred) is left out beside a more surprising one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One feature of an event that makes it strange.

    Attributes:
        feature: For example ``price vs product``.
        value: The event's own, in the unit of the data.
        usual: Median of the peer before its day, in the unit of the data; nan for repeats and hours.
        z: Robust z, signed.
        surprise: Negative decimal logarithm of how rare so large a z is.
        words: All of it as half a sentence.
    """

    feature: str
    value: float
    usual: float
    z: float
    surprise: float
    words: str


def explain(model: EventScorer, scored: Scored, row: int, most: int = 3) -> tuple[Reason, ...]:
    """Return why one event is strange, the most surprising feature first; at least one, at most ``most``."""
    cfg = model.cfg
    names = feature_names(cfg)
    order = np.argsort(-scored.surprise[row], kind="stable")[:most]
    kept = [at for n, at in enumerate(order) if n == 0 or scored.surprise[row, at] >= LEAST]
    return tuple(_reason(model, scored, row, names[at], int(at)) for at in kept)


def sentence(reasons: tuple[Reason, ...]) -> str:
    """Join reasons to one line."""
    return "; ".join(reason.words for reason in reasons)


def _reason(model: EventScorer, scored: Scored, row: int, feature: str, at: int) -> Reason:
    z, rare = float(scored.z[row, at]), float(scored.surprise[row, at])
    if feature == REPEATS:
        value, usual, words = _repeated(int(scored.compared.repeats[row]), int(scored.compared.lines[row]))
    elif feature == HOUR:
        value, usual, words = _early(int(scored.compared.hour[row]), float(scored.compared.hour_share[row]))
    else:
        value, usual, words = _measured(model, scored, row, feature)
    odds = f"; one in {10**rare:,.0f}" if rare < 9 else "; never seen"
    return Reason(feature=feature, value=value, usual=usual, z=z, surprise=rare, words=words + odds)


def _repeated(times: int, lines: int) -> tuple[float, float, str]:
    return float(times), float("nan"), f"{times:,} of the {lines:,} in its group were entered before on its day"


def _early(hour: int, share: float) -> tuple[float, float, str]:
    return float(hour), float("nan"), f"hour {hour:02d}, around which {share:.2%} of events fall"


def _measured(model: EventScorer, scored: Scored, row: int, feature: str) -> tuple[float, float, str]:
    name, _, peer = feature.partition(" vs ")
    unit = model.cfg.measures[name].unit
    log = float(scored.compared.value[name][row])
    found = scored.compared.usual.get((name, peer))
    middle = float(found.median[row]) if found is not None else model.centres[name]
    value, usual = (float(plain(np.array([x]), unit)[0]) for x in (log, middle))
    whose = "of all" if peer == ALL or found is None else f"of its {peer} ({int(found.count[row]):,} earlier)"
    return value, usual, f"{name} {value:,.6g} against a usual {usual:,.6g} {whose}{_ratio(value, usual)}"


def _ratio(value: float, usual: float) -> str:
    if value <= 0 or usual <= 0 or max(value / usual, usual / value) < 2:
        return ""
    return f", {value / usual:,.3g} times" if value > usual else f", 1/{usual / value:,.3g}"
