"""Errors planted in real events, so that there is something to find where nothing is labelled.

A planted event is a copy of a real one, on the same day and against the same peers, in which one thing is wrong: a
number that is many times too large or too small, or all of its group was entered a second time. Planting does not touch
the history that others are held against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from perennial.config.anomaly import Anomaly
from perennial.features.peers import Codes, Usual
from perennial.features.unusual import Compared, logarithmic, plain

DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Planted events.

    Attributes:
        source: Row that each is a copy of, shape (n_planted,).
        error: Name of what is wrong: ``price x 100``, ``duplicate``, shape (n_planted,).
        compared: The planted events beside what was usual.
    """

    source: npt.NDArray[np.intp]
    error: npt.NDArray[np.str_]
    compared: Compared


def errors_of(cfg: Anomaly) -> tuple[str, ...]:
    """Return the names of the errors that are planted, in their order.

    Example:
        >>> errors_of(Anomaly(plant={"price": 100.0}, repeats=("price",)))
        ('price x 100', 'duplicate')
    """
    return tuple(f"{column} x {factor:g}" for column, factor in cfg.plant.items()) + (
        (DUPLICATE,) if cfg.repeats else ()
    )


def plant(compared: Compared, day: Codes, cfg: Anomaly, *, seed: int) -> Planted:
    """Plant ``cfg.plants`` errors in every day, each kind in turn.

    Args:
        compared: Real events.
        day: Day of each of them, shape (n_asked,).
        cfg: Which errors, how many.
        seed: Decides the events; equal seeds plant the same.
    """
    names = errors_of(cfg)
    if not names or not len(day):
        return Planted(source=np.empty(0, np.intp), error=np.empty(0, str), compared=take(compared, np.empty(0, int)))
    random = np.random.default_rng(seed)
    days = np.unique(day)
    source = np.concatenate([random.choice(np.flatnonzero(day == one), cfg.plants) for one in days])
    which = np.arange(len(source)) % len(names)
    return Planted(source=source, error=np.array(names)[which], compared=_spoilt(take(compared, source), which, cfg))


def take(compared: Compared, rows: npt.NDArray[np.intp]) -> Compared:
    """Return some events of a comparison."""
    return Compared(
        value={name: column[rows] for name, column in compared.value.items()},
        usual={
            key: Usual(median=one.median[rows], mad=one.mad[rows], count=one.count[rows])
            for key, one in compared.usual.items()
        },
        repeats=compared.repeats[rows] if len(compared.repeats) else compared.repeats,
        lines=compared.lines[rows],
        hour=compared.hour[rows] if len(compared.hour) else compared.hour,
        hour_share=compared.hour_share[rows] if len(compared.hour_share) else compared.hour_share,
    )


def _spoilt(copies: Compared, which: npt.NDArray[np.intp], cfg: Anomaly) -> Compared:
    value: Mapping[str, npt.NDArray[np.float64]] = copies.value
    for n, (column, factor) in enumerate(cfg.plant.items()):
        value = {
            name: np.where(which == n, _times(value[name], factor, one.unit), value[name])
            if column in one.columns
            else value[name]
            for name, one in cfg.measures.items()
        }
    again = which == len(cfg.plant)  # its group was entered a second time: all of the copy stood in another one before
    repeats = np.where(again, copies.lines, copies.repeats) if len(copies.repeats) else copies.repeats
    return replace(copies, value=value, repeats=repeats)


def _times(values: npt.NDArray[np.float64], factor: float, unit: float) -> npt.NDArray[np.float64]:
    return logarithmic(plain(values, unit) * factor, unit)
