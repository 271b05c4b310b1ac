"""A classifier of mixed tables: numbers with nulls, text with nulls and many values; risks one can take at their word.

Everything that is learnt (encodings, medians, trees, calibration) comes from training rows alone, the calibration
from units (patients, customers) that the estimator has not seen. Only plain attributes, arrays and estimators are
held, so that :mod:`perennial.registry.canonical` can store it without pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.errors import TrainingError, sample
from perennial.features.categories import Encoding, encode, fit_encoding, folds, stored
from perennial.models import classifiers
from perennial.models.calibration import Method, calibrated, fit_calibration

Doubles = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a classifier is fitted.

    Attributes:
        estimator: A key of :data:`perennial.models.classifiers.DEFAULTS`.
        params: Keyword arguments of the estimator, over its defaults.
        calibration: How raw probabilities become risks.
        min_category: Values of a text column with fewer training rows are pooled.
        seed: Deals the folds and draws the estimator's samples.
    """

    estimator: str = "hist_gradient_boosting"
    params: Mapping[str, Any]
    calibration: Method = "sigmoid"
    min_category: int = 30
    seed: int = 0


class TabularClassifier:
    """A fitted classifier.

    Args:
        features: Input columns, in order.
        text: Encoding of each text column by name: ``values``, ``scores`` and ``other``.
        member: From :func:`perennial.models.classifiers.fit`.
        gains: Gain or |coefficient| of each feature, shape (n_features,).
        calibration: From :func:`perennial.models.calibration.fit_calibration`.
    """

    def __init__(
        self,
        *,
        features: Sequence[str],
        text: Mapping[str, Mapping[str, Any]],
        member: Any,
        gains: Doubles,
        calibration: Mapping[str, Doubles],
    ) -> None:
        self.features = list(features)
        self.text = {name: dict(one) for name, one in text.items()}
        self.member = member
        self.gains = gains
        self.calibration = dict(calibration)

    def design(self, rows: pa.Table) -> Doubles:
        """Return the input as numbers, nan where unknown, shape (n_rows, n_features).

        Raises:
            TrainingError: A feature is missing, or has become text or a number.
        """
        missing = [name for name in self.features if name not in rows.column_names]
        if missing:
            raise TrainingError(
                f"the model needs columns {sample(missing)}; map them in data.columns.extra, or retrain"
            )
        X = np.empty((rows.num_rows, len(self.features)), order="F")
        for k, name in enumerate(self.features):
            column = rows[name]
            if pa.types.is_null(column.type):  # nothing is known of any row, whatever it would have been
                X[:, k] = np.nan
                continue
            if is_text(column.type) != (name in self.text):
                raise TrainingError(f"column {name!r} is {column.type}, but was not in training; retrain the model")
            X[:, k] = encode(column, Encoding(**self.text[name])) if name in self.text else numbers(column)
        return X

    def score(self, X: Doubles, *, threads: int = 1) -> Doubles:
        """Return uncalibrated probabilities from a design matrix, shape (n_rows,)."""
        return classifiers.probability([self.member], X.astype(np.float32), threads) if len(X) else np.zeros(0)

    def risk(self, rows: pa.Table, *, threads: int = 1) -> Doubles:
        """Return the probability of the event for each row, in (0, 1), shape (n_rows,).

        Args:
            rows: At least the model's features.
            threads: Cores to use; the result does not depend on it.

        Raises:
            TrainingError: A feature is missing or retyped.
        """
        return calibrated(self.score(self.design(rows), threads=threads), self.calibration)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the gain, or of the absolute coefficients; sums to 1."""
        total = float(self.gains.sum())
        shares = zip(self.features, self.gains, strict=True)
        return {name: float(gain) / total for name, gain in shares} if total > 0 else {}


def fit(
    rows: pa.Table, y: Doubles, units: npt.NDArray[np.int64], held: Marks, recipe: Recipe, *, threads: int
) -> TabularClassifier:
    """Fit encodings and estimator on the rows that are not held, then the calibration on those that are.

    Args:
        rows: The features: numbers and text, nulls allowed.
        y: 0 or 1, shape (n_rows,).
        units: Code of the unit that rows share (a patient), shape (n_rows,); decides the folds of the encodings.
        held: Rows to calibrate on, shape (n_rows,); no unit may be on both sides.
        recipe: Estimator, parameters, calibration.
        threads: Cores to use; the result does not depend on it.

    Raises:
        TrainingError: A unit is on both sides, one class is missing, or too few events are held.
        ConfigError: The estimator refuses a parameter, or there is no such estimator.
    """
    params = classifiers.parameters(recipe.estimator, recipe.params)
    shared = np.intersect1d(units[held], units[~held])
    if len(shared):
        raise TrainingError(f"{len(shared)} units are both trained and calibrated on; hold whole units, not rows")
    target, own = y[~held], rows.filter(pa.array(~held))
    fold = folds(units[~held], recipe.seed)
    X = np.empty((len(target), rows.num_columns), order="F")
    encodings: dict[str, Encoding] = {}
    for k, name in enumerate(rows.column_names):
        if is_text(rows[name].type):
            encodings[name], X[:, k] = fit_encoding(own[name], target, fold, min_rows=recipe.min_category)
        else:
            X[:, k] = numbers(own[name])
    alone = 1 if recipe.estimator == "linear" else threads  # sums of several BLAS threads depend on their number
    member, gains = classifiers.fit(
        recipe.estimator, params, X.astype(np.float32), target, seed=recipe.seed, threads=alone
    )
    model = TabularClassifier(
        features=rows.column_names, text=stored(encodings), member=member, gains=gains, calibration={}
    )
    if recipe.calibration != "none":
        score = model.score(model.design(rows.filter(pa.array(held))), threads=threads)
        model.calibration = fit_calibration(y[held], score, recipe.calibration)
    return model


def is_text(type_: pa.DataType) -> bool:
    """Whether a column's values are categories."""
    inner = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def numbers(column: pa.ChunkedArray) -> Doubles:
    """Return a numeric column as floats, nan for null and for what is not finite, shape (n_rows,)."""
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)
