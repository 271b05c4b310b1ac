"""Small logs of events for tests."""

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from perennial.config.classify import Classify, EventFeatures, UnitFeatures
from perennial.features.events import DAY, Events
from perennial.features.panel import Labels

EVERYTHING = EventFeatures(
    numbers=("amount",),
    categories=("shop",),
    calendar=("weekend", "night", "hour", "day_of_week", "month"),
    units=(
        UnitFeatures(
            column="card",
            windows=(1, 3),
            counts=True,
            means=("amount",),
            rates=True,
            lifts=True,
            past=True,
            gap=True,
            usual=("amount",),
        ),
    ),
)


def log_of(
    time: npt.ArrayLike, card: npt.ArrayLike, amount: npt.ArrayLike, y: npt.ArrayLike, as_of: int | None = None
) -> Events:
    """Make a log of seconds since 1970 (sorted), codes of cards (-1: none), amounts and labels."""
    seconds = np.asarray(time, np.int64)
    codes = np.asarray(card, np.int32)
    return Events(
        ids=np.array([f"e{n}" for n in range(len(seconds))], dtype=np.str_),
        time=seconds,
        y=np.asarray(y, np.float64),
        numbers={"amount": np.asarray(amount, np.float64)},
        labels={
            "card": Labels(codes=codes, names=tuple(f"c{n}" for n in range(int(codes.max(initial=-1)) + 1))),
            "shop": Labels(codes=np.zeros(len(seconds), np.int32), names=("only",)),
        },
        as_of=int(seconds[-1] // DAY) if as_of is None and len(seconds) else as_of or 0,
    )


@st.composite
def logs(draw: st.DrawFn) -> Events:
    """Draw a log of up to 40 events on 12 days: ties in time, cards that are missing, labels that are not known."""
    n = draw(st.integers(1, 40))
    pick = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    step = draw(st.sampled_from([1, 3_600, 43_200, DAY]))  # coarse steps make ties
    time = np.sort(pick.integers(0, 12 * DAY // step, n) * step + 20_000 * DAY)
    y = pick.choice([0.0, 0.0, 1.0, np.nan], n)
    amount = np.where(pick.random(n) < 0.1, np.nan, pick.integers(1, 9, n) * 1.5)
    return log_of(time, pick.integers(-1, 3, n), amount, y)


def settings(delay: int) -> Classify:
    """Return settings with every feature and a label delay."""
    return Classify(label_delay_days=delay, features=EVERYTHING)
