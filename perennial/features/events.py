"""Point-in-time features of events: what was known about a card, a terminal, a patient when something happened.

An event at time ``t`` may look at the events of its units up to ``t`` (in order of time, then of arrival in
:class:`Events`), itself included, and at labels of events up to ``t - delay`` alone. With windows of ``w`` days:

======================== =================================================================== ==================
feature                  what it is                                                           where there is none
======================== =================================================================== ==================
{unit}_count_{w}d        events in (t - w, t]                                                 at least 1
{unit}_mean_{x}_{w}d     mean of x over the events in (t - w, t] that have it                 nan
{unit}_known_{w}d        events with a known label in (t - delay - w, t - delay]              0
{unit}_rate_{w}d         share of positive labels among those                                 0
{unit}_positives         known positives up to t - delay                                      0
{unit}_streak            how many of them came after the last known negative                  0
{unit}_since_positive    days since the last known positive                                   nan
{unit}_since_streak      days since the first of the streak                                   nan
{unit}_since_negative    days since the last known negative                                   nan
{unit}_gap               days since the event before                                          nan
{unit}_usual_{x}         mean of x over earlier events that are not known to be positive      nan
{unit}_excess_{x}        (x - usual) / (standard deviation of the same + 10 % of |usual|)      nan
{unit}_largest_{x}       largest excess among this and the events of the 7 days before        nan
======================== =================================================================== ==================

An event without a unit (null) has counts of 1 and knows nothing else. Deleting every event after ``t`` and every
label after ``t - delay`` changes nothing; ``tests/test_events.py`` holds that against an obvious implementation.

Source of the counts, means and rates: Le Borgne et al. 2022, Fraud Detection Handbook, "Baseline feature
transformation". The rest is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from perennial.config.classify import Classify, UnitFeatures
from perennial.errors import TrainingError, sample
from perennial.features.panel import Floats, Labels

DAY = 86_400
"""Seconds."""
PAST = ("positives", "streak", "since_positive", "since_streak", "since_negative")
NIGHT_ENDS = 7
"""First hour that is not night."""

Ints = npt.NDArray[np.int32]
Seconds = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Events in order of time; those of one time in order of their ids.

    Attributes:
        ids: Name of each event, shape (n_events,).
        time: Seconds since 1970-01-01 00:00, not decreasing, shape (n_events,).
        y: 1, 0, or nan where the label is not known, shape (n_events,).
        numbers: Number columns, nan where there is no value, each of shape (n_events,).
        labels: Text columns (units and categories).
        as_of: Last day that is known, days since 1970-01-01.
    """

    ids: npt.NDArray[np.str_]
    time: Seconds
    y: Doubles
    numbers: Mapping[str, Doubles]
    labels: Mapping[str, Labels]
    as_of: int

    def __len__(self) -> int:
        return len(self.time)

    @property
    def day(self) -> Ints:
        """Days since 1970-01-01, shape (n_events,)."""
        return (self.time // DAY).astype(np.int32)

    def known(self, delay_days: int, as_of: int | None = None) -> npt.NDArray[np.bool_]:
        """Return where the label is there and old enough on a day (default: the as-of date), shape (n_events,)."""
        return np.isfinite(self.y) & (self.day + delay_days <= (self.as_of if as_of is None else as_of))

    def until(self, day: int) -> "Events":
        """Return the events up to a day, as known on it."""
        keep = slice(0, int(np.searchsorted(self.time, (day + 1) * DAY)))
        return replace(
            self,
            ids=self.ids[keep],
            time=self.time[keep],
            y=self.y[keep],
            numbers={name: values[keep] for name, values in self.numbers.items()},
            labels={name: Labels(codes=one.codes[keep], names=one.names) for name, one in self.labels.items()},
            as_of=min(self.as_of, day),
        )


def feature_names(cfg: Classify) -> tuple[str, ...]:
    """Return the names of the columns of :func:`design`, in order."""
    features = cfg.features
    units = (name for unit in features.units for name in _unit_names(unit))
    return (*features.numbers, *features.categories, *features.calendar, *units)


def design(events: Events, cfg: Classify, rows: npt.NDArray[np.int64] | None = None) -> Floats:
    """Return the features of events, each as of its own time.

    Args:
        events: Everything that is known; more history only sharpens the features, it is never needed.
        cfg: Which features, and the label delay.
        rows: Indices of the events wanted, shape (n_rows,); default: all.

    Returns:
        Shape (n_rows, n_features), Fortran order, nan where undefined; columns as :func:`feature_names` says.

    Raises:
        TrainingError: A column that the settings name is not there, or not of the kind that is needed.
    """
    _require(events, cfg)
    at = np.arange(len(events)) if rows is None else rows
    names = feature_names(cfg)
    out = np.empty((len(at), len(names)), dtype=np.float32, order="F")
    for k, column in enumerate(_columns(events, cfg)):
        out[:, k] = column[at]
    return out


def _unit_names(unit: UnitFeatures) -> Iterator[str]:
    u, windows = unit.column, unit.windows
    if unit.counts:
        yield from (f"{u}_count_{w}d" for w in windows)
    for x in unit.means:
        yield from (f"{u}_mean_{x}_{w}d" for w in windows)
    if unit.rates:
        yield from (f"{u}_known_{w}d" for w in windows)
        yield from (f"{u}_rate_{w}d" for w in windows)
    if unit.past:
        yield from (f"{u}_{what}" for what in PAST)
    if unit.gap:
        yield f"{u}_gap"
    for x in unit.usual:
        yield from (f"{u}_{what}_{x}" for what in ("usual", "excess", "largest"))


def _columns(events: Events, cfg: Classify) -> Iterator[npt.NDArray[np.floating]]:
    """Yield every feature of every event, in the order of :func:`feature_names`."""
    for name in cfg.features.numbers:
        yield events.numbers[name]
    for name in cfg.features.categories:
        codes = events.labels[name].codes
        yield np.where(codes >= 0, codes, np.nan)
    for what in cfg.features.calendar:
        yield _calendar(events.time, what)
    if cfg.features.units:
        for unit in cfg.features.units:
            yield from _of_unit(events, unit, cfg.label_delay_days)


def _calendar(time: Seconds, what: str) -> Doubles:
    day, hour = time // DAY, time % DAY / 3600
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    if what == "month":
        return ((day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12) + 1).astype(np.float64)
    values = {"weekend": weekday >= 5, "night": hour < NIGHT_ENDS, "hour": hour, "day_of_week": weekday}
    return values[what].astype(np.float64)


def _of_unit(events: Events, unit: UnitFeatures, delay: int) -> Iterator[Doubles]:
    """Yield the features of one unit column, computed over the events sorted by unit, then time."""
    from perennial.features import eventkernels as kernels

    codes = events.labels[unit.column].codes
    order = np.argsort(codes, kind="stable")
    grouped = codes[order]
    # Each event without a unit (code -1) is a unit of its own.
    head = np.r_[True, (grouped[1:] != grouped[:-1]) | (grouped[1:] < 0)] if len(grouped) else np.empty(0, bool)
    first = np.maximum.accumulate(np.where(head, np.arange(len(grouped)), 0))
    time, y = events.time[order], events.y[order]

    def placed(values: Doubles) -> Iterator[Doubles]:
        for column in values:
            out = np.empty(len(order))
            out[order] = column
            yield out

    windows = np.array(unit.windows, np.int64) * DAY
    lag = delay * DAY
    if unit.counts:
        yield from placed(kernels.counts(time, first, windows))
    for x in unit.means:
        yield from placed(kernels.means(time, first, windows, events.numbers[x][order]))
    if unit.rates:
        yield from placed(kernels.rates(time, first, windows, y, lag))
    if unit.past:
        yield from placed(kernels.past(time, first, y, lag))
    if unit.gap:
        yield from placed(kernels.gap(time, first))
    for x in unit.usual:
        yield from placed(kernels.usual(time, first, y, events.numbers[x][order], lag))


def _require(events: Events, cfg: Classify) -> None:
    features = cfg.features
    numbers = {*features.numbers} | {x for unit in features.units for x in (*unit.means, *unit.usual)}
    labels = {*features.categories} | {unit.column for unit in features.units}
    for wanted, there, kind in ((numbers, events.numbers, "number"), (labels, events.labels, "text")):
        missing = sorted(wanted - set(there))
        if missing:
            raise TrainingError(
                f"classify.features names {kind} columns that the rows do not have: {sample(missing)}; "
                f"there are {sample(sorted(there)) or 'none'}: map them in data.columns.extra"
            )


def columns_needed(cfg: Classify) -> tuple[Sequence[str], Sequence[str]]:
    """Return the number columns and the text columns that the settings name, each sorted."""
    features = cfg.features
    numbers = {*features.numbers} | {x for unit in features.units for x in (*unit.means, *unit.usual)}
    numbers |= {name for name in (cfg.time, cfg.costs.amount) if name}
    labels = {*features.categories} | {unit.column for unit in features.units} | ({cfg.unit} if cfg.unit else set())
    return sorted(numbers), sorted(labels)
