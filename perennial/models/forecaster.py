"""The direct forecaster: one model for all entities and horizons, with the horizon as a feature.

A forecaster is a list of *stages* whose raw scores add up. A refit has one; each update appends a few trees
that were fitted to what the stages before leave over. With ``model.bags`` above 1 a stage stands in the list as
several estimators, each divided by their number. Only plain attributes, arrays and estimators are held, so that
:mod:`perennial.registry.canonical` can store it without pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.config.forecast import Forecast
from perennial.errors import TrainingError
from perennial.features import Panel, Rows, design
from perennial.features.kernels import idle
from perennial.features.panel import Floats
from perennial.models.intervals import apply_intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Forecast of some rows.

    Attributes:
        mean: Expected value, >= 0, shape (n_rows,).
        quantiles: One column per level, not decreasing along a row, shape (n_rows, n_levels).
    """

    mean: Floats
    quantiles: Floats


class DirectForecaster:
    """A fitted forecaster.

    Args:
        settings: JSON of the forecast section it was trained with.
        features: Input columns, in order.
        categories: Names of each text column; a value's code is its position.
        stages: Fitted estimators (LightGBM as the text of its model); none predicts zero.
        divisors: What the raw score of each of them is divided by before they are added up: the number of bags
            it is averaged with. Left out, 1 for all.
        link: ``log`` if the stages' raw scores are logarithms, else ``identity``.
        level: Input columns whose mean a log-linked model starts from: it learns by which factor the near
            future differs from the recent past, which carries over to sizes of demand it has not seen.
        bounds: Smallest, usual and largest level to start from. Beyond the largest is not what a series usually
            sells but what one order did to it; there the trees say it all.
        intervals: Table of :mod:`perennial.models.intervals`, or empty without quantiles.
        levels: Quantile levels, increasing.
    """

    def __init__(
        self,
        *,
        settings: str,
        features: Sequence[str],
        categories: Mapping[str, Sequence[str]],
        stages: Sequence[Any],
        link: str,
        intervals: Mapping[str, npt.NDArray[Any]],
        levels: Sequence[float],
        divisors: Sequence[int] = (),
        level: Sequence[str] = (),
        bounds: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        self.settings = settings
        self.features = list(features)
        self.categories = {name: list(values) for name, values in categories.items()}
        self.stages = list(stages)
        self.divisors = list(divisors) or [1] * len(stages)
        self.link = link
        self.level = list(level)
        self.bounds = [float(bound) for bound in bounds]
        self.intervals = dict(intervals)
        self.levels = list(levels)

    @property
    def forecast(self) -> Forecast:
        """The forecast section the model was trained with, less the settings that have been abolished since."""
        return Forecast.model_validate_json(self.settings, extra="ignore")

    def add(self, bags: Sequence[Any]) -> None:
        """Append a stage: the average of some estimators that were all fitted from the stages before."""
        self.stages += bags
        self.divisors += [len(bags)] * len(bags)

    def design(self, panel: Panel, rows: Rows, threads: int) -> Floats:
        """Compute this model's input for rows of a panel, shape (n_rows, n_features)."""
        return design(
            panel,
            rows,
            settings=self.forecast,
            features=self.features,
            categories=self.categories,
            threads=threads,
        )

    def mean(self, X: Floats, threads: int, group: int = 1) -> Floats:
        """Predict the expected value from a design matrix, >= 0, shape (n_rows,).

        Args:
            X: Shape (n_rows, n_features), column-major.
            threads: Cores to use; the result does not depend on it.
            group: Neighbouring rows that share an entity and an origin; a hint for speed.

        Raises:
            TrainingError: A prediction is not finite.
        """
        if not self.stages or not len(X):
            return np.zeros(len(X), dtype=np.float32)
        raw = raw_score(self.stages, self.divisors, X, threads, group)
        mean = np.exp(raw) * self.start(X) if self.link == "log" else np.maximum(raw, 0)
        if not np.isfinite(mean).all():
            raise TrainingError(f"{int((~np.isfinite(mean)).sum())} predictions are not finite; retrain the model")
        return mean.astype(np.float32)

    def start(self, X: Floats) -> Floats:
        """Return the recent level of each row that a log-linked model starts from, > 0, shape (n_rows,)."""
        low, usual, high = (np.float32(bound) for bound in self.bounds)
        known, total = np.zeros(len(X), np.float32), np.zeros(len(X), np.float32)
        for column in (X[:, self.features.index(name)] for name in self.level):
            known += ~np.isnan(column)
            total += np.nan_to_num(column)
        return np.clip(np.where(known > 0, total / np.maximum(known, 1), usual), low, high)

    def predict(self, panel: Panel, rows: Rows, *, threads: int = 1, group: int = 1) -> Prediction:
        """Forecast rows of a panel, retired series as zero.

        Args:
            panel: What is known.
            rows: Which entity, standing where, how far ahead; sorted by entity for speed.
            threads: Cores to use; the result does not depend on it.
            group: Neighbouring rows that share an entity and an origin; a hint for speed.
        """
        mean = self.mean(self.design(panel, rows, threads), threads, group)
        over = retired(panel, rows, self.forecast.retired_after_days)
        mean[over] = 0
        if not self.levels:
            return Prediction(mean=mean, quantiles=np.empty((len(rows), 0), dtype=np.float32))
        quantiles = apply_intervals(self.intervals, mean, rows.horizon, threads=threads)
        quantiles[over] = 0
        return Prediction(mean=mean, quantiles=quantiles)


def retired(panel: Panel, rows: Rows, after_days: int | None) -> npt.NDArray[np.bool_]:
    """Return which rows belong to series without a sale for more than ``after_days`` as of their origin.

    Days without stock do not count: what cannot be sold has not come to its end.
    """
    if after_days is None:
        return np.zeros(len(rows), dtype=np.bool_)
    days = np.empty(len(rows), dtype=np.int32)
    idle(panel.y, panel.first, panel.begin, rows.entity, rows.origin, days)
    if panel.censored is not None:
        days -= _censored_days(panel.censored, rows, days)
    return days > after_days


def _censored_days(censored: npt.NDArray[np.bool_], rows: Rows, days: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Return how many of the last ``days`` up to each row's origin were without stock, shape (n_rows,)."""
    sums = np.zeros((censored.shape[0], censored.shape[1] + 1), dtype=np.int32)
    np.cumsum(censored, axis=1, out=sums[:, 1:])
    end = np.maximum(rows.origin + 1, 0)
    found: npt.NDArray[np.int32] = sums[rows.entity, end] - sums[rows.entity, np.maximum(end - days, 0)]
    return found


def raw_score(
    stages: Sequence[Any], divisors: Sequence[int], X: Floats, threads: int, group: int
) -> npt.NDArray[np.float64]:
    """Add up the stages' scores before the inverse link, each over its divisor, shape (n_rows,)."""
    if hasattr(stages[0], "named_steps"):
        parts = [stage.predict(X) / divisor for stage, divisor in zip(stages, divisors, strict=True)]
        return np.asarray(np.sum(parts, axis=0), dtype=np.float64)
    from perennial.models.trees import compile_forest

    return np.asarray(compile_forest(stages, divisors).raw(X, threads, group), dtype=np.float64)
