"""The streaming statistic: how seldom it is wrong, how soon it is right, and that batches do not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import ConfigError
from perennial.monitoring.stream import Alarm, Stream, Tally, advance, proven, recovered, tally

ALARM = Alarm(usual=0.2, tolerated=0.8, degraded=0.4, after=200.0)


def first_alarm(rate: float, seed: int, most: int, alarm: Alarm = ALARM) -> int:
    """Return after how many observations of a hit rate the alarm was proven; ``most`` if it was not."""
    stream, rng = Stream(), np.random.default_rng(seed)
    while stream.observations < most and not proven(stream, alarm):
        choices = int(rng.integers(1, 6))
        stream = advance(stream, [Tally(choices=choices, hits=int(rng.binomial(choices, rate)))], alarm)
    return stream.observations


def test_false_alarms_are_as_rare_as_promised() -> None:
    """At the least rate that counts as well, an alarm comes after at least 200 observations on average."""
    assert np.mean([first_alarm(ALARM.floor, seed, 1_000) for seed in range(30)]) > ALARM.after


def test_a_fall_is_proven_soon() -> None:
    """With no hits at all the alarm comes within sixty observations, at a quarter of the rate within two hundred."""
    assert first_alarm(0.0, 0, 1_000) < 60
    assert np.mean([first_alarm(0.05, seed, 2_000) for seed in range(30)]) < 200


def test_a_good_past_does_not_hide_a_fall() -> None:
    """After thousands of good observations it takes no longer than from the start."""
    stream = advance(Stream(), [Tally(choices=1, hits=n % 4 == 0) for n in range(4_000)], ALARM)
    assert not proven(stream, ALARM)
    before = stream.observations
    while not proven(stream, ALARM):
        stream = advance(stream, [Tally(choices=1, hits=0)], ALARM)
    assert stream.observations - before < 80
    assert stream.since <= stream.observations - before + 20


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)).map(lambda t: (t[0], min(t))), max_size=30), st.data())
def test_batches_do_not_matter(pairs: list[tuple[int, int]], data: st.DataObject) -> None:
    """However observations are cut into batches, the statistic is the same, positive and finite."""
    tallies = [Tally(choices=c, hits=h) for c, h in pairs]
    cut = data.draw(st.integers(0, len(tallies)))
    whole = advance(Stream(), tallies, ALARM)
    assert advance(advance(Stream(), tallies[:cut], ALARM), tallies[cut:], ALARM) == whole
    assert 0 < whole.level < np.inf
    assert (whole.choices, whole.hits) == (sum(c for c, _ in pairs), sum(h for _, h in pairs))


def test_a_user_in_a_batch_is_one_observation() -> None:
    """A choice counts once, and not if the user had it; nobody is counted without a list, or who chose nothing new."""
    lists, had = {"a": frozenset("xy"), "b": frozenset("z")}, {"a": frozenset("old"), "b": frozenset("old")}

    def of(*chosen: tuple[str, str]) -> tuple[Tally, ...]:
        return tally(chosen, lists.get, lambda user: had.get(user, frozenset()))

    assert of(("a", "x"), ("a", "x"), ("a", "q"), ("a", "o"), ("b", "z")) == (
        Tally(choices=2, hits=1),
        Tally(choices=1, hits=1),
    )
    assert of(("b", "o"), ("c", "z")) == ()


def test_after_an_alert_it_starts_again() -> None:
    """The counts go on, the evidence does not."""
    stream = advance(Stream(), [Tally(choices=1, hits=0)] * 100, ALARM)
    assert proven(stream, ALARM)
    assert not proven(recovered(stream), ALARM)
    assert recovered(stream).choices == stream.choices


@pytest.mark.parametrize(
    "wrong", [{"usual": 0.0}, {"usual": float("nan")}, {"tolerated": 0.3}, {"degraded": -0.1}, {"after": 1.0}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    """A rate of zero cannot fall, and a bound below the degraded rate says nothing."""
    with pytest.raises(ConfigError):
        Alarm(**({"usual": 0.2} | wrong))
