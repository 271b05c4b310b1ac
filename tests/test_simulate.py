"""Simulated worlds: the same bytes for the same seed, and a truth that holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from perennial.errors import Refused
from perennial.simulate import simulator
from perennial.simulate.fraud import AMOUNT, CARD, LIMIT, TERMINAL, World, simulate, write

SMALL = World(customers=150, terminals=400, days=45, taken_over=0.3, leaked=0.3)


def test_equal_seeds_write_equal_bytes(tmp_path: Path) -> None:
    """Two worlds of one seed are the same files; another seed is another world."""
    files = [write(tmp_path / name, seed, SMALL).files for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, again, other = ([Path(f).read_bytes() for f in one] for one in files)
    assert first == again
    assert first != other
    table = pq.read_table(tmp_path / "a" / "transactions")
    assert table["transaction"].to_pandas().is_unique
    assert table["date"].to_pandas().is_monotonic_increasing


def test_fraud_is_what_the_scenarios_say() -> None:
    """Amounts above the limit, whole terminals for 28 days, a third of a leaked card's payments at five times."""
    made = simulate(replace(SMALL, days=60, customers=300), 3)
    assert (made.scenario[made.amount > LIMIT] > 0).all()
    assert (made.amount[made.scenario == AMOUNT] > LIMIT).all()
    for terminal in np.unique(made.terminal[made.scenario == TERMINAL]):
        here = made.terminal == terminal
        days = made.day[here & (made.scenario == TERMINAL)]
        inside = here & (made.day >= days.min()) & (made.day <= min(days.max(), days.min() + 27))
        assert (made.scenario[inside] > 0).all()
    usual = made.amount[made.scenario == 0].mean()
    assert made.amount[made.scenario == CARD].mean() > 3 * usual


def test_an_unknown_world_is_refused() -> None:
    """The answer names the worlds there are."""
    with pytest.raises(Refused, match="only fraud"):
        simulator("weather")
