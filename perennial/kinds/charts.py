"""Pictures of the last full test window for the report: what came, what was forecast."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from perennial.contracts import Chart, TestRows
from perennial.features.panel import Panel

BEFORE = 42
"""Days shown before the origin."""
BEST = 3
"""Largest series that get a chart of their own."""

Values = npt.NDArray[np.float64]


def charts(panel: Panel, rows: TestRows) -> tuple[Chart, ...]:
    """Return charts of the first test window: everything together, the largest series, the worst forecast."""
    first = np.flatnonzero(rows.window == 0)
    if not len(first):
        return ()
    return (_total(panel, rows, first), *_single(panel, rows, first))


def _shown(rows: TestRows) -> list[str]:
    """Return the contenders drawn: models and the best baseline by absolute error."""
    models = [name for name in ("candidate", "champion") if name in rows.forecasts]
    error = {n: float(np.abs(f - rows.y).sum()) for n, f in rows.forecasts.items() if n not in models}
    return [*models, *sorted(error, key=error.__getitem__)[:1]]


def _total(panel: Panel, rows: TestRows, at: npt.NDArray[np.int64]) -> Chart:
    known = np.isfinite(panel.y).any(axis=0)
    summed = np.where(known, np.nansum(panel.y, axis=0, dtype=np.float64), np.nan)
    return _chart(panel, rows, at, summed, "All series together", "All forecasts against all that came.")


def _single(panel: Panel, rows: TestRows, at: npt.NDArray[np.int64]) -> Iterator[Chart]:
    size = np.bincount(rows.entity[at], rows.y[at], minlength=len(rows.entities))
    candidate = next(iter(rows.forecasts.values()))
    error = np.bincount(rows.entity[at], np.abs(candidate[at] - rows.y[at]), minlength=len(rows.entities))
    best = np.argsort(-size, kind="stable")[:BEST]
    for entity in best:
        mine = at[rows.entity[at] == entity]
        if len(mine):
            history = panel.y[entity].astype(np.float64)
            yield _chart(panel, rows, mine, history, str(rows.entities[entity]), "One of the largest.")
    worst = int(np.argmax(np.where(np.isin(np.arange(len(size)), best), -1, error)))
    mine = at[rows.entity[at] == worst]
    if len(mine) and worst not in best:
        note = "The largest total error outside those."
        yield _chart(panel, rows, mine, panel.y[worst].astype(np.float64), str(rows.entities[worst]), note)


def _chart(panel: Panel, rows: TestRows, at: npt.NDArray[np.int64], actual: Values, title: str, note: str) -> Chart:
    """Draw the rows ``at`` summed by day, after :data:`BEFORE` days of what was observed."""
    column = rows.day[at] - panel.first_day
    begin, end = max(0, int(column.min()) - BEFORE), int(column.max()) + 1
    days = np.arange(begin, end)

    def by_day(values: npt.NDArray[np.float32]) -> tuple[float | None, ...]:
        total = np.bincount(column - begin, values[at], minlength=end - begin)
        there = np.bincount(column - begin, minlength=end - begin) > 0
        return tuple(round(float(v), 3) if t else None for v, t in zip(total, there, strict=True))

    lines = {"actual": tuple(None if np.isnan(v) else round(float(v), 3) for v in actual[begin:end])}
    lines |= {name: by_day(rows.forecasts[name]) for name in _shown(rows)}
    banded = len(np.unique(rows.entity[at])) == 1 and "candidate" in rows.quantiles and len(rows.levels) > 1
    band = rows.quantiles["candidate"] if banded else np.empty((0, 0), dtype=np.float32)
    return Chart(
        title=title,
        note=note,
        dates=tuple(panel.day(int(c)).isoformat() for c in days),
        lines=lines,
        low=by_day(band[:, 0]) if banded else (),
        high=by_day(band[:, -1]) if banded else (),
        level=round(rows.levels[-1] - rows.levels[0], 6) if banded else 0.0,
    )
