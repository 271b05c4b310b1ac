"""Single events as numbers: how far each lies from what was usual among its peers before its day.

Every feature of an event of a day rests on earlier days, and on the events of its own day where it counts
repetitions: deleting later days changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from perennial.config.anomaly import Anomaly
from perennial.features.peers import Codes, Doubles, Mask, Usual, usual

ALL = "all"
"""The peer of everybody."""
HOURS = 24
HOUR_DAYS = 56
"""Days that say which hours are usual."""
REPEATS, HOUR = "repeats", "hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events in the order in which they became known; days do not decrease.

    Attributes:
        day: Days since 1970-01-01, shape (n_events,).
        measures: Values by measure in their own unit, nan where unknown, each of shape (n_events,).
        peers: Code by peer column, -1 where there is none, each of shape (n_events,).
        same: Code that events share which differ in nothing the repeats look at, shape (n_events,); empty if unused.
        hour: Hour of the day, 0 to 23, shape (n_events,); empty if unused.
        group: Code of what one alert speaks for, shape (n_events,).
    """

    day: Codes
    measures: Mapping[str, Doubles]
    peers: Mapping[str, Codes]
    same: Codes
    hour: Codes
    group: Codes

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Asked events beside what was usual.

    Attributes:
        value: Logarithmic values by measure, each of shape (n_asked,).
        usual: What was usual by ``(measure, peer)``.
        repeats: Events of its group that stood in another group earlier that day, shape (n_asked,); empty if unused.
        lines: Events of its group that day, shape (n_asked,).
        hour: Hour of the day, shape (n_asked,); empty if unused.
        hour_share: Share of the events of :data:`HOUR_DAYS` days in that hour, shape (n_asked,); empty if unused.
    """

    value: Mapping[str, Doubles]
    usual: Mapping[tuple[str, str], Usual]
    repeats: Codes
    lines: Codes
    hour: Codes
    hour_share: Doubles


def logarithmic(values: Doubles, unit: float) -> Doubles:
    """Return ``sign(x) ln(1 + |x| / unit)``: ratios for large amounts, differences for tiny ones, returns negative.

    Example:
        >>> logarithmic(np.array([0.0, -1.0]), 1.0).round(3)
        array([ 0.   , -0.693])
    """
    out: Doubles = np.sign(values) * np.log1p(np.abs(values) / unit)
    return out


def plain(values: Doubles, unit: float) -> Doubles:
    """Return the amounts whose logarithm this is; undoes :func:`logarithmic`."""
    out: Doubles = np.sign(values) * np.expm1(np.abs(values)) * unit
    return out


def feature_names(cfg: Anomaly) -> tuple[str, ...]:
    """Return the names of the features, in the order of their columns.

    Example:
        >>> feature_names(Anomaly(measures={"price": {"columns": ["price"]}}, peers=("product",), seconds="at"))
        ('price vs product', 'price vs all', 'hour')
    """
    pairs = tuple(f"{measure} vs {peer}" for measure in cfg.measures for peer in (*cfg.peers, ALL))
    return pairs + ((REPEATS,) if cfg.repeats else ()) + ((HOUR,) if cfg.seconds else ())


def compare(events: Events, asked: Mask, cfg: Anomaly) -> Compared:
    """Hold the asked events against what was usual before their day.

    Args:
        events: Everything known, history included.
        asked: Which of them to compare, shape (n_events,).
        cfg: Measures, peers and the window.
    """
    value = {name: logarithmic(events.measures[name], one.unit) for name, one in cfg.measures.items()}
    found = {
        (name, peer): usual(events.peers[peer], events.day, value[name], asked, cfg.window)
        for name in cfg.measures
        for peer in cfg.peers
    }
    repeats, lines = _repeats(events)
    return Compared(
        value={name: column[asked] for name, column in value.items()},
        usual=found,
        repeats=repeats[asked] if len(repeats) else repeats,
        lines=lines[asked],
        hour=events.hour[asked] if len(events.hour) else events.hour,
        hour_share=_hour_share(events, asked) if len(events.hour) else np.empty(0),
    )


def _repeats(events: Events) -> tuple[Codes, Codes]:
    """Count, for each event, the events of its group that day, and those of them seen before in another group."""
    n = len(events)
    pair = np.unique(events.day.astype(np.int64) << 32 | events.group.astype(np.int64), return_inverse=True)[1].ravel()
    lines = np.bincount(pair)[pair].astype(np.int32)
    if not len(events.same):
        return events.same, lines
    order = np.lexsort((np.arange(n), events.same, events.day))
    day, same, group = events.day[order], events.same[order], events.group[order]
    first = np.ones(n, bool)
    first[1:] = (day[1:] != day[:-1]) | (same[1:] != same[:-1])
    begin = np.maximum.accumulate(np.where(first, np.arange(n), 0))
    again = np.empty(n, bool)
    again[order] = group != group[begin]
    return np.bincount(pair, again)[pair].astype(np.int32), lines


def _hour_share(events: Events, asked: Mask) -> Doubles:
    """Return the smoothed share of earlier events within an hour of the event's own."""
    first = int(events.day[0])
    days = int(events.day[-1]) - first + 1
    counts = np.zeros((days + 1, HOURS))
    np.add.at(counts, (events.day - first + 1, events.hour), 1)
    total = counts.cumsum(axis=0)  # row d: events before day d
    now = events.day[asked] - first
    past = total[now] - total[np.maximum(now - HOUR_DAYS, 0)]
    hour = events.hour[asked]
    rows = np.arange(len(now))
    near = past[rows, hour] + past[rows, (hour - 1) % HOURS] + past[rows, (hour + 1) % HOURS]
    share: Doubles = (near + 1) / (past.sum(axis=1) + HOURS / 3)
    return share
