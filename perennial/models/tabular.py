"""A classifier of mixed tables: numbers with nulls, text with nulls and many values; risks one can take at their word.

Everything that is learnt (encodings, medians, trees, calibration) comes from training rows alone, the calibration
from units (patients, customers) that the estimator has not seen. Only plain attributes, arrays and estimators are
held, so that :mod:`perennial.registry.canonical` can store it without pickle.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.errors import ConfigError, TrainingError, sample
from perennial.features.categories import Encoding, encode, fit_encoding, folds, stored
from perennial.models.calibration import Method, calibrated, fit_calibration

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
Estimator = Literal["hist_gradient_boosting", "logistic"]

DEFAULTS: Mapping[Estimator, Mapping[str, int | float | str | bool]] = {
    "hist_gradient_boosting": {
        "learning_rate": 0.05,
        "max_iter": 150,
        "max_leaf_nodes": 15,
        "min_samples_leaf": 50,
        "l2_regularization": 5.0,
        "max_features": 0.5,
        "early_stopping": False,
    },
    "logistic": {"C": 0.1, "max_iter": 1000},
}
"""Parameters by estimator; those given are laid over them."""
RESERVED = ("random_state", "n_jobs", "verbose", "warm_start", "categorical_features", "class_weight", "scoring")
"""Arguments that may not be set: weights would undo the calibration, the others have settings of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a classifier is fitted.

    Attributes:
        params: Keyword arguments of the estimator, over :data:`DEFAULTS`.
        calibration: How raw scores become risks.
        min_category: Values of a text column with fewer training rows are pooled.
        seed: Deals the folds and draws the estimator's samples.
    """

    estimator: Estimator = "hist_gradient_boosting"
    params: Mapping[str, Any]
    calibration: Method = "sigmoid"
    min_category: int = 30
    seed: int = 0


class TabularClassifier:
    """A fitted classifier.

    Args:
        features: Input columns, in order.
        text: Encoding of each text column by name: ``values``, ``scores`` and ``other``.
        estimator: Which of :data:`DEFAULTS`.
        model: Fitted gradient boosting, or the arrays of a logistic regression.
        calibration: From :func:`perennial.models.calibration.fit_calibration`.
    """

    def __init__(
        self,
        *,
        features: Sequence[str],
        text: Mapping[str, Mapping[str, Any]],
        estimator: Estimator,
        model: Any,
        calibration: Mapping[str, Floats],
    ) -> None:
        self.features = list(features)
        self.text = {name: dict(one) for name, one in text.items()}
        self.estimator = estimator
        self.model = model
        self.calibration = dict(calibration)

    def design(self, rows: pa.Table) -> Floats:
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

    def score(self, X: Floats, *, threads: int = 1) -> Floats:
        """Return uncalibrated log-odds from a design matrix, shape (n_rows,)."""
        if not len(X):
            return np.zeros(0)
        if self.estimator == "logistic":
            scored: Floats = _standardised(X, self.model) @ self.model["coef"] + self.model["intercept"]
            return scored
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads):
            return np.asarray(self.model.decision_function(X), dtype=np.float64)

    def risk(self, rows: pa.Table, *, threads: int = 1) -> Floats:
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
        if self.estimator == "logistic":
            weight = np.zeros(len(self.features))
            np.add.at(weight, self.model["column"], np.abs(self.model["coef"]))
        else:
            weight = np.zeros(len(self.features))
            for (tree,) in self.model._predictors:
                nodes = tree.nodes[tree.nodes["is_leaf"] == 0]
                np.add.at(weight, nodes["feature_idx"].astype(np.int64), nodes["gain"])
        total = float(weight.sum())
        return {name: float(w) / total for name, w in zip(self.features, weight, strict=True)} if total > 0 else {}


def fit(
    rows: pa.Table, y: Floats, units: npt.NDArray[np.int64], held: Marks, recipe: Recipe, *, threads: int
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
        ConfigError: The estimator refuses a parameter.
    """
    params = parameters(recipe)
    shared = np.intersect1d(units[held], units[~held])
    if len(shared):
        raise TrainingError(f"{len(shared)} units are both trained and calibrated on; hold whole units, not rows")
    target, own = y[~held], rows.filter(pa.array(~held))
    if not 0 < target.sum() < len(target):
        raise TrainingError(f"{int(target.sum())} of {len(target)} training rows are events; both classes are needed")
    fold = folds(units[~held], recipe.seed)
    X = np.empty((len(target), rows.num_columns), order="F")
    encodings: dict[str, Encoding] = {}
    for k, name in enumerate(rows.column_names):
        if is_text(rows[name].type):
            encodings[name], X[:, k] = fit_encoding(own[name], target, fold, min_rows=recipe.min_category)
        else:
            X[:, k] = numbers(own[name])
    model = TabularClassifier(
        features=rows.column_names,
        text=stored(encodings),
        estimator=recipe.estimator,
        model=_fit_estimator(recipe, params, X, target, threads),
        calibration={},
    )
    if recipe.calibration != "none":
        score = model.score(model.design(rows.filter(pa.array(held))), threads=threads)
        model.calibration = fit_calibration(score, y[held], recipe.calibration)
    return model


def parameters(recipe: Recipe) -> dict[str, Any]:
    """Return the estimator's defaults overlaid with the given parameters.

    Raises:
        ConfigError: A parameter does not exist for this estimator, or has a setting of its own.
    """
    if recipe.estimator == "logistic":
        from sklearn.linear_model import LogisticRegression as Classifier
    else:
        from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
    allowed = sorted(set(inspect.signature(Classifier).parameters) - set(RESERVED))
    unknown = sorted(set(recipe.params) - set(allowed))
    if unknown:
        raise ConfigError(
            f"model.params: {', '.join(unknown)} cannot be set for {recipe.estimator}; use {', '.join(allowed)}"
        )
    return {**DEFAULTS[recipe.estimator], **recipe.params}


def is_text(type_: pa.DataType) -> bool:
    """Whether a column's values are categories."""
    inner = type_.value_type if pa.types.is_dictionary(type_) else type_
    return bool(pa.types.is_string(inner) or pa.types.is_large_string(inner))


def numbers(column: pa.ChunkedArray) -> Floats:
    """Return a numeric column as floats, nan for null and for what is not finite, shape (n_rows,)."""
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


def _fit_estimator(recipe: Recipe, params: dict[str, Any], X: Floats, y: Floats, threads: int) -> Any:
    from threadpoolctl import threadpool_limits

    logistic = recipe.estimator == "logistic"
    with threadpool_limits(1 if logistic else threads):  # sums of several threads depend on how many there are
        try:
            return _logistic(params, X, y) if logistic else _boosting(params, X, y, recipe.seed)
        except (ValueError, TypeError) as error:
            reason = str(error).strip().partition("\n")[0][:300]
            raise ConfigError(f"{recipe.estimator} refused model.params {dict(recipe.params)}: {reason}") from error


def _boosting(params: dict[str, Any], X: Floats, y: Floats, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    empty = np.isnan(X).all(axis=0)
    if empty.any():  # nothing can be split there, but binning fails
        X = np.where(empty, 0.0, X)
    model = HistGradientBoostingClassifier(**params, random_state=seed).fit(X, y.astype(np.int8))
    model._bin_mapper.n_threads = None  # how many were free at the fit is no part of the model's bytes
    return model


def _logistic(params: dict[str, Any], X: Floats, y: Floats) -> dict[str, Any]:
    """Fit on standardised columns with medians for nulls, and a column that says where nulls were."""
    from sklearn.linear_model import LogisticRegression

    gaps = np.isnan(X)
    known = ~gaps.all(axis=0)
    median = np.zeros(X.shape[1])
    median[known] = np.nanmedian(X[:, known], axis=0)
    filled = np.where(gaps, median, X)
    spread = filled.std(axis=0)
    state: dict[str, Any] = {
        "median": median,
        "mean": filled.mean(axis=0),
        "spread": np.where(spread > 0, spread, 1.0),
        "gaps": np.flatnonzero(gaps.any(axis=0)),
    }
    state["column"] = np.concatenate([np.arange(X.shape[1]), state["gaps"]])
    model = LogisticRegression(**params).fit(_standardised(X, state), y.astype(np.int8))
    return {**state, "coef": model.coef_[0], "intercept": float(model.intercept_[0])}


def _standardised(X: Floats, state: Mapping[str, Any]) -> Floats:
    gaps = np.isnan(X)
    scaled = (np.where(gaps, state["median"], X) - state["mean"]) / state["spread"]
    return np.hstack([scaled, gaps[:, state["gaps"]].astype(np.float64)])
