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
{unit}_lift_{w}d         log of that share, pulled to everybody's by 20 events, over everybody's  0
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
PULL = 20
"""Events at everybody's share that a unit's own is pulled by before the two are compared."""
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
    if unit.lifts:
        yield from (f"{u}_lift_{w}d" for w in windows)
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


def unit_rates(events: Events, column: str, delay: int, window: int) -> tuple[Doubles, Doubles]:
    """Return the known labels and the share of positive ones of each event's unit, each of shape (n_events,).

    Args:
        events: Everything that is known.
        column: The unit column.
        delay: Label delay in days.
        window: Seconds looked back, from ``delay`` days before the event.
    """
    from perennial.features import eventkernels as kernels

    order, first = _grouped(events.labels[column].codes)
    found = kernels.rates(events.time[order], first, np.array([window], np.int64), events.y[order], delay * DAY)
    known, rate = _placed(found, order)
    return known, rate


def _grouped(codes: Ints) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Return the order by unit, then time, and the place of each unit's first event; -1 is a unit of its own."""
    order = np.argsort(codes, kind="stable")
    grouped = codes[order]
    head = np.ones(len(grouped), dtype=np.bool_)
    head[1:] = (grouped[1:] != grouped[:-1]) | (grouped[1:] < 0)
    return order, np.maximum.accumulate(np.where(head, np.arange(len(grouped)), 0))


def _placed(columns: Doubles, order: npt.NDArray[np.intp]) -> Iterator[Doubles]:
    """Yield columns that are in order of units, back in order of time."""
    for column in columns:
        out = np.empty(len(order))
        out[order] = column
        yield out


def _of_unit(events: Events, unit: UnitFeatures, delay: int) -> Iterator[Doubles]:
    """Yield the features of one unit column."""
    from perennial.features import eventkernels as kernels

    order, first = _grouped(events.labels[unit.column].codes)
    time, y, lag = events.time[order], events.y[order], delay * DAY
    windows = np.array(unit.windows, np.int64) * DAY
    if unit.counts:
        yield from _placed(kernels.counts(time, first, windows), order)
    for x in unit.means:
        yield from _placed(kernels.means(time, first, windows, events.numbers[x][order]), order)
    if unit.rates:
        yield from _placed(kernels.rates(time, first, windows, y, lag), order)
    if unit.lifts:
        everybody = kernels.rates(events.time, np.zeros(len(order), np.int64), windows, events.y, lag)
        yield from _lifts(list(_placed(kernels.rates(time, first, windows, y, lag), order)), everybody)
    if unit.past:
        yield from _placed(kernels.past(time, first, y, lag), order)
    if unit.gap:
        yield from _placed(kernels.gap(time, first), order)
    for x in unit.usual:
        yield from _placed(kernels.usual(time, first, y, events.numbers[x][order], lag), order)


def _lifts(own: Sequence[Doubles], everybody: Doubles) -> Iterator[Doubles]:
    """Yield the lift of each window; of both come the known labels of each window, then the shares of positives."""
    for known, rate, usual in zip(*np.split(np.array(own), 2), np.split(everybody, 2)[1], strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            lift = np.log((known * rate + PULL * usual) / ((known + PULL) * usual))
        yield np.where(usual > 0, lift, 0.0)


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
