"""Test rows of patients with known risks, for the gates and pictures of a classifier."""

import numpy as np
import numpy.typing as npt

from perennial.contracts import TestRows
from perennial.evaluation.classification import COST_FALSE_NEGATIVE, COST_FALSE_POSITIVE, TOP, UNIT, alert_column

RACES = np.array(["Asian", "European", "Other"])
THRESHOLD = 0.1


def patients(seed: int = 0, n: int = 6000) -> tuple[TestRows, npt.NDArray[np.float64]]:
    """Return rows of 3 encounters a patient on 60 days with the champion's forecasts, and the true risks."""
    rng = np.random.default_rng(seed)
    unit = np.arange(n) // 3
    odds = rng.normal(-2.4, 1.2, n)
    risk = 1 / (1 + np.exp(-odds))
    y = (rng.random(n) < risk).astype(np.float32)
    champion = 1 / (1 + np.exp(-(odds + rng.normal(0, 1.0, n))))  # sees only part of it
    race = RACES[rng.choice(3, n // 3, p=[0.15, 0.7, 0.15])]
    everybody = unit.max() + 1
    rows = TestRows(
        kind="classify",
        entities=np.array([f"p{k}" for k in range(everybody)]),
        entity=unit.astype(np.int32),
        window=np.zeros(n, np.int16),
        horizon=np.ones(n, np.int16),
        day=(20_000 + np.arange(n) % 60).astype(np.int32),
        y=y,
        forecasts={},
        levels=(),
        quantiles={},
        scale_abs=np.full(everybody, np.nan),
        scale_sq=np.full(everybody, np.nan),
        weight=np.full(everybody, 1 / everybody),
        slices={"race": race},
        groups={},
        group_scale_sq={},
        extra={
            UNIT: unit,
            TOP: np.full(n, 10),
            COST_FALSE_POSITIVE: np.ones(n),
            COST_FALSE_NEGATIVE: np.full(n, 10.0),
        },
    )
    return with_forecast(with_forecast(rows, "champion", champion), "base_rate", np.full(n, y.mean())), risk


def with_forecast(rows: TestRows, name: str, risk: npt.NDArray[np.float64]) -> TestRows:
    """Return the rows with one more contender."""
    from dataclasses import replace

    return replace(
        rows,
        forecasts={**rows.forecasts, name: risk.astype(np.float32)},
        extra={**rows.extra, alert_column(name): risk >= THRESHOLD},
    )
