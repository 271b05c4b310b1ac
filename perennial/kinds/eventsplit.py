"""Which events are trained on, judged and scored; none is judged on what could not have been served."""

import hashlib
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from perennial.config.models import Pipeline
from perennial.contracts import Split, Window
from perennial.features.events import Events
from perennial.features.panel import EPOCH, epoch_day
from perennial.kinds.eventrows import Rows, blocked


def apart(cfg: Pipeline) -> int:
    """Return the days between the last trained event and the first one judged."""
    return max(cfg.classify.label_delay_days, 1) + cfg.split.gap


def windows_of(cfg: Pipeline, as_of: int, data: Events) -> Split:
    """Divide the days whose labels are known on a day into training days and test windows."""
    last = as_of - cfg.classify.label_delay_days  # the last day whose labels are known
    first = last - cfg.split.holdout + 1
    end = first - apart(cfg)
    known = set(np.unique(unit_codes(data, cfg)[data.day <= end]).tolist()) if cfg.classify.unit else set()
    unit_names = data.labels[cfg.classify.unit].names if cfg.classify.unit else ()
    return Split(
        train_end=EPOCH + timedelta(days=end),
        windows=tuple(
            Window(origin=EPOCH + timedelta(days=day - 1), horizon=min(cfg.split.step, last - day + 1))
            for day in range(first, last + 1, cfg.split.step)
        ),
        entities=len(unit_names) or len(data),
        new_entities=tuple(name for code, name in enumerate(unit_names) if code not in known),
    )


def unit_codes(data: Events, cfg: Pipeline) -> npt.NDArray[np.intp]:
    """Return a code of each event's unit; an event without one is its own, shape (n_events,)."""
    if cfg.classify.unit is None:
        return np.arange(len(data))
    codes = data.labels[cfg.classify.unit].codes.astype(np.intp)
    return np.where(codes >= 0, codes, len(data.labels[cfg.classify.unit].names) + np.arange(len(data)))


def for_judging(data: Events, cfg: Pipeline) -> npt.NDArray[np.bool_]:
    """Return which events are of units that are judged and never trained on, shape (n_events,); needs `apart`.

    A unit is drawn by its name alone, whatever happens to it. Leaving out of training who happens to come back in the
    test windows would leave out positives more often than negatives, and every risk learned would be too low. And it
    is the same draw on every date: the champion has not been trained on those who are judged either.
    """
    names = data.labels[cfg.classify.unit].names if cfg.classify.unit else ()
    drawn = np.array([_draw(name) < cfg.classify.apart_share for name in names], dtype=np.bool_)
    codes = unit_codes(data, cfg)
    alone = np.flatnonzero(codes >= len(names))  # events without a unit: each is its own
    found = np.zeros(len(data), dtype=np.bool_)
    found[codes < len(names)] = drawn[codes[codes < len(names)]]
    found[alone] = [_draw(name) < cfg.classify.apart_share for name in data.ids[alone].tolist()]
    return found


def _draw(name: str) -> float:
    """Return a number in [0, 1) that a name always has."""
    return int.from_bytes(hashlib.sha256(f"apart:{name}".encode()).digest()[:6]) / 2**48


def training_rows(data: Events, split: Split, cfg: Pipeline) -> npt.NDArray[np.intp]:
    """Return the labelled events up to the end of training; with `apart` none of a unit that is for judging."""
    end = epoch_day(split.train_end)
    keep = data.known(cfg.classify.label_delay_days) & (data.day <= end) & (data.day > end - cfg.model.history_days)
    if cfg.classify.apart:
        keep &= ~for_judging(data, cfg)
    return np.flatnonzero(keep)


def judged(data: Events, split: Split, cfg: Pipeline) -> Rows:
    """Return the labelled events of the test windows; those of units that were blocked by then are left out.

    With `apart` they are those of the units that are for judging.
    """
    day = data.day
    begin = np.array([epoch_day(one.origin) + 1 for one in split.windows], dtype=np.int64)
    last = epoch_day(split.windows[-1].origin) + split.windows[-1].horizon if split.windows else -1
    inside = (day >= begin[0]) & (day <= last) if len(begin) else np.zeros(len(day), dtype=np.bool_)
    keep = inside & data.known(cfg.classify.label_delay_days) & ~blocked(data, cfg)
    if cfg.classify.apart:
        keep &= for_judging(data, cfg)
    at = np.flatnonzero(keep)
    window = np.searchsorted(begin, day[at], side="right") - 1
    horizon = np.ones(len(at), dtype=np.int16)
    return Rows(at=at, window=window.astype(np.int16), horizon=horizon)


def to_score(data: Events, cfg: Pipeline, as_of: int) -> npt.NDArray[np.intp]:
    """Return the events of the last days up to a day, less those of blocked units."""
    day = data.day
    return np.flatnonzero((day > as_of - cfg.classify.score_days) & (day <= as_of) & ~blocked(data, cfg))


def base_rate_of(data: Events, cfg: Pipeline, as_of: int) -> float:
    """Return the share of positives among the labels known on a day; 0 without any."""
    known = data.known(cfg.classify.label_delay_days, as_of)
    return float(data.y[known].mean()) if known.any() else 0.0
