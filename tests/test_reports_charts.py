"""Charts of the report: axes, gaps and odd series."""

import doctest
import math
import re
from datetime import date, timedelta
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts import Chart
from perennial.reports import (
    charts,
    text,
    words,
)
from perennial.reports.ticks import nice_ticks
from tests import samples


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
@settings(max_examples=200)
def test_ticks_cover_the_range(low: float, span: float, target: int) -> None:
    """Ticks are evenly spaced, few, and reach from at or below the lowest value to at or above the highest."""
    ticks = nice_ticks(low, low + span, target)
    step = ticks[1] - ticks[0]

    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= low + span - 1e-6 * step
    assert len(ticks) <= target + 3
    assert np.allclose(np.diff(ticks), step)


def _plot(lines: dict[str, tuple[float | None, ...]]) -> charts.Plot:
    days = tuple((date(2011, 11, 1) + timedelta(days=i)).isoformat() for i in range(len(lines["actual"])))
    chart = Chart(title="t", note="n", dates=days, lines=lines)
    return charts.plot(chart, unit="units", version=samples.model_version(2, samples.AS_OF), champion=None)


def test_closed_days_are_bridged_and_gaps_stay_open() -> None:
    """A day that nobody knows anything about is skipped; a day that only the actuals lack breaks their line."""
    plot = _plot({"actual": (1.0, None, 2.0, None, 3.0), "candidate": (1.0, None, 1.0, 1.0, 1.0)})
    paths = {line.style: line.path for line in plot.lines}

    assert paths["candidate"].count("M") == 1
    assert paths["actual"].count("M") == 2


@pytest.mark.parametrize("values", [(), (None, None), (0.0, 0.0), (math.nan, 1.0), (-5.0, 5.0), (math.inf,)])
def test_odd_series_draw_without_nan(values: tuple[float | None, ...]) -> None:
    """Empty, constant, negative and non-finite series give paths with numbers only."""
    plot = _plot({"actual": values})

    assert not re.search(r"nan|inf", "".join(line.path for line in plot.lines) + plot.data)


@pytest.mark.parametrize("module", [charts, text, words])
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    """Examples in the documentation are executed."""
    assert doctest.testmod(module).failed == 0
