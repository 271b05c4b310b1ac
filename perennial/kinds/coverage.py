"""What is not known in advance after all: covariates without values for the days that are forecast."""

import logging

import numpy as np

from perennial.config.models import Pipeline
from perennial.features import Panel, as_known
from perennial.features.panel import Covariate, Ints, grid

HALF = 0.5
"""Share of the cells beyond which a covariate counts as missing, as there, or as late."""

log = logging.getLogger(__name__)


def warn_of_gaps(panel: Panel, cfg: Pipeline, columns: Ints) -> None:
    """Log a warning for each known covariate that most cells of the days ahead lack, while past days had it.

    Args:
        panel: What is known at the as-of date.
        cfg: Names the covariates.
        columns: The open days to forecast, as columns of the panel.
    """
    tables = {name: table for table, settings in cfg.known.items() for name in settings.columns.extra}
    for name in cfg.forecast.known:
        column = panel.known[name]
        share = _missing(panel, column, columns)
        if share > HALF and _expected(panel, column):
            log.warning(
                "known covariate %r has no value for %.0f%% of the days to forecast, though past days have: the "
                "forecast does without it there; deliver rows for the days ahead in known.%s, and say when a row is "
                "known (delay_days below 0, or columns.available_at)",
                name,
                100 * share,
                tables[name],
            )


def _missing(panel: Panel, column: Covariate, columns: Ints) -> float:
    """Return the share of the cells of ``columns`` without a value at the as-of date; 0 if there are none."""
    rows = grid(np.arange(len(column.values), dtype=np.int32), panel.n_days - 1, columns)
    return float(np.isnan(as_known(column, rows)).mean()) if len(rows) else 0.0


def _expected(panel: Panel, column: Covariate) -> bool:
    """Whether most open cells of history have a value, or the few there are mostly came on their day or later.

    A covariate that only has a value now and then, such as an event, may well have none in the days ahead.
    """
    there = np.isfinite(column.values[:, : panel.n_days])[:, panel.open[: panel.n_days]]
    if not there.any():
        return False
    late = column.ahead[:, : panel.n_days][:, panel.open[: panel.n_days]] < 1
    return float(there.mean()) > HALF or float(late[there].mean()) > HALF
