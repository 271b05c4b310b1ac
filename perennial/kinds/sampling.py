"""Which (entity, day, horizon) a model is trained and calibrated on."""

from dataclasses import dataclass

import numpy as np

from perennial.errors import TrainingError
from perennial.features.panel import Ints, Panel, Rows
from perennial.models.forecaster import retired

CALIBRATION_DAYS = 14
"""Days near the end of training that no target is learned from: their residuals make the intervals."""
CALIBRATION_STEP = 5
"""Every fifth open day, so that all weekdays take part."""
CALIBRATION_ROWS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Columns of the panel whose targets are learned from, and those kept for the intervals."""

    training: Ints
    calibration: Ints


def split_days(panel: Panel, end: int, history: int) -> Days:
    """Divide the open days of the last ``history`` columns up to ``end``.

    Whole days are set aside, because what all entities of a day have in common would otherwise be learned.
    """
    columns = np.arange(max(0, end - history + 1), end + 1, dtype=np.int32)
    columns = columns[panel.open[columns]]
    aside = columns[::-1][::CALIBRATION_STEP][:CALIBRATION_DAYS] if len(columns) > 1 else columns[:0]
    return Days(training=np.setdiff1d(columns, aside), calibration=np.sort(aside))


def draw(
    panel: Panel, columns: Ints, limit: int, horizon: int, rng: np.random.Generator, retired_after: int | None
) -> Rows:
    """Draw at most ``limit`` known targets of started series at random, each with a random horizon.

    Returns:
        Rows sorted by entity; of series retired at their origin there are none.
    """
    if not len(columns):
        none = np.empty(0, dtype=np.int32)
        return Rows(entity=none, origin=none, horizon=none)
    started = panel.started(int(columns[-1]))
    eligible = np.isfinite(panel.y[:, columns]) & (columns[None, :] >= started[:, None])
    cells = np.flatnonzero(eligible)
    if len(cells) > limit:
        cells = np.sort(rng.choice(cells, limit, replace=False, shuffle=False))
    entity, at = np.divmod(cells, len(columns))
    ahead = rng.integers(1, horizon + 1, len(cells), dtype=np.int32)
    rows = Rows(entity=entity.astype(np.int32), origin=columns[at] - ahead, horizon=ahead)
    keep = ~retired(panel, rows, retired_after)
    return Rows(entity=rows.entity[keep], origin=rows.origin[keep], horizon=rows.horizon[keep])


def require(rows: Rows, pipeline: str) -> Rows:
    """Return rows, or say why there are none.

    Raises:
        TrainingError: Nothing can be learned.
    """
    if not len(rows):
        raise TrainingError(
            f"{pipeline}: no target is known in the days to train on; wait for more history, "
            "shorten split.holdout or lengthen model.history_days"
        )
    return rows
