"""Features of events: against a slow oracle, and blind to what was not known when the event happened."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st

from perennial.config.classify import Classify, EventFeatures, UnitFeatures
from perennial.errors import TrainingError
from perennial.features.events import DAY, Events, design, feature_names
from tests.events import log_of, logs, settings


def oracle(events: Events, i: int, delay: int) -> list[float]:
    """Compute the features of EVERYTHING for one event from plain lists of what it may look at."""
    t, x = int(events.time[i]), events.numbers["amount"]
    card = events.labels["card"].codes
    mine = [j for j in range(i + 1) if j == i or (card[j] == card[i] and card[i] >= 0)]
    seen = [j for j in mine if events.time[j] <= t - delay * DAY and events.time[j] < t and np.isfinite(events.y[j])]
    out = [x[i], 0.0]
    stamp = np.datetime64(t, "s").astype(object)
    out += [stamp.weekday() >= 5, stamp.hour < 7, (t % DAY) / 3600, stamp.weekday(), stamp.month]
    inside = {w: [j for j in mine if events.time[j] > t - w * DAY] for w in (1, 3)}
    out += [len(inside[w]) for w in (1, 3)]
    for w in (1, 3):
        there = [x[j] for j in inside[w] if np.isfinite(x[j])]
        out.append(np.mean(there) if there else np.nan)
    labelled = {w: [events.y[j] for j in seen if events.time[j] > t - (delay + w) * DAY] for w in (1, 3)}
    out += [len(labelled[w]) for w in (1, 3)] + [np.mean(labelled[w]) if labelled[w] else 0.0 for w in (1, 3)]
    out += [lift(events, i, delay, w, labelled[w]) for w in (1, 3)]
    positive, negative = [j for j in seen if events.y[j] == 1], [j for j in seen if events.y[j] == 0]
    streak = [j for j in positive if not negative or j > negative[-1]]
    out += [len(positive), len(streak)]
    for j in (positive[-1:], streak[:1], negative[-1:]):
        out.append((t - events.time[j[0]]) / DAY if j else np.nan)
    out.append((t - events.time[mine[-2]]) / DAY if len(mine) > 1 else np.nan)
    recent = [excess(events, j, delay)[1] for j in mine if events.time[j] > t - 7 * DAY]
    known = [value for value in recent if np.isfinite(value)]
    return [float(v) for v in (*out, *excess(events, i, delay), max(known) if known else np.nan)]


def lift(events: Events, i: int, delay: int, window: int, own: list[float]) -> float:
    """Return the log of the card's share of positives, pulled by 20 events at everybody's, over everybody's."""
    t = int(events.time[i]) - delay * DAY
    before = [j for j in range(i) if t - window * DAY < events.time[j] <= t and events.time[j] < events.time[i]]
    usual = np.mean([events.y[j] for j in before if np.isfinite(events.y[j])] or [0.0])
    return float(np.log((sum(own) + 20 * usual) / (len(own) + 20) / usual)) if usual > 0 else 0.0


def excess(events: Events, i: int, delay: int) -> tuple[float, float]:
    """Return the usual amount of the event's card before it, and how far its own amount lies above."""
    t, x, card = int(events.time[i]), events.numbers["amount"], events.labels["card"].codes
    past = []
    for j in range(i):
        caught = events.y[j] == 1 and events.time[j] <= t - delay * DAY and events.time[j] < t
        if card[j] == card[i] and card[i] >= 0 and not caught and np.isfinite(x[j]):
            past.append(x[j])
    if not past:
        return np.nan, np.nan
    scale = np.std(past) + 0.1 * abs(np.mean(past))
    return float(np.mean(past)), float((x[i] - np.mean(past)) / scale)


@given(logs(), st.sampled_from([0, 1, 4]))
@trials(max_examples=60, deadline=None)
def test_features_are_what_the_docs_say(events: Events, delay: int) -> None:
    """Every feature of every event equals the one computed from plain lists."""
    found = design(events, settings(delay))
    expected = np.array([oracle(events, i, delay) for i in range(len(events))])
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@given(logs(), st.sampled_from([0, 1, 4]), st.integers(0, 39))
@trials(max_examples=60, deadline=None)
def test_nothing_unknown_is_looked_at(events: Events, delay: int, pick: int) -> None:
    """Without the rows after an event, and without the labels it cannot know, its features are the same bits."""
    i = min(pick, len(events) - 1)
    past = slice(0, i + 1)
    unknown = (events.time[past] > events.time[i] - delay * DAY) | (events.time[past] >= events.time[i])
    less = replace(
        events,
        ids=events.ids[past],
        time=events.time[past],
        y=np.where(unknown, np.nan, events.y[past]),
        numbers={"amount": events.numbers["amount"][past]},
        labels={name: replace(one, codes=one.codes[past]) for name, one in events.labels.items()},
    )
    full = design(events, settings(delay))[i]
    np.testing.assert_array_equal(full, design(less, settings(delay))[i])


def test_a_label_is_known_from_its_day_plus_the_delay_on() -> None:
    """Seven days later to the second the first label counts; a second earlier it does not."""
    cfg = Classify(
        label_delay_days=7, features=EventFeatures(units=(UnitFeatures(column="card", windows=(1,), rates=True),))
    )
    known = design(log_of([0, 7 * DAY - 1, 7 * DAY], [0, 0, 0], [1, 1, 1], [1, 0, 0]), cfg)
    assert feature_names(cfg) == ("card_known_1d", "card_rate_1d")
    assert known.tolist() == [[0, 0], [0, 0], [1, 1]]


def test_what_is_known_on_a_day_ends_with_it() -> None:
    """A log cut at a day holds the rows up to its last second, and the labels that are old enough."""
    log = log_of([0, DAY - 1, DAY, 3 * DAY], [0, 0, 0, 0], [1, 2, 3, 4], [1, 0, 1, 0])
    assert log.until(0).ids.tolist() == ["e0", "e1"]
    assert log.known(2).tolist() == [True, True, True, False]
    assert log.known(2, as_of=2).tolist() == [True, True, False, False]


def test_a_column_that_is_not_there_is_named() -> None:
    """A setting that names an unmapped column says where to map it."""
    log = log_of([0], [0], [1], [0])
    cfg = Classify(features=EventFeatures(numbers=("speed",)))
    with pytest.raises(TrainingError, match=r"speed.*there are 'amount'.*data\.columns\.extra"):
        design(log, cfg)
