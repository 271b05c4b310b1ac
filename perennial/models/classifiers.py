"""Estimators of kind ``classify``: their defaults, how one is fitted, what probability it gives.

Names and parameters are those of :mod:`perennial.models.estimators`; a fitted member is what the model store can hold:
an estimator, a pipeline, or the text of LightGBM's trees. Fits are deterministic under a seed and do not depend on the
number of threads.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.errors import ConfigError, TrainingError
from perennial.features.panel import Floats

DEFAULTS: Mapping[str, Mapping[str, int | float | str | bool]] = {
    "hist_gradient_boosting": {
        "learning_rate": 0.05,
        "max_iter": 150,
        "max_leaf_nodes": 7,
        "min_samples_leaf": 20,
        "l2_regularization": 1.0,
        "early_stopping": False,
    },
    "lightgbm": {
        "n_estimators": 150,
        "learning_rate": 0.05,
        "num_leaves": 6,
        "min_child_samples": 20,
        "colsample_bytree": 0.4,
        "subsample": 0.7,
        "subsample_freq": 1,
    },
    "random_forest": {"n_estimators": 100, "max_features": 0.3, "min_samples_leaf": 4, "max_samples": 100_000},
    "linear": {"C": 1.0, "max_iter": 1000},
}
"""Parameters by estimator; those of the configuration are laid over them. Small trees: positives are few."""
RESERVED = ("random_state", "seed", "n_jobs", "verbose", "warm_start", "objective", "loss", "criterion")
"""Arguments that `params` may not set: seed and threads have settings of their own, the loss is the kind's."""

Doubles = npt.NDArray[np.float64]


def parameters(estimator: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return an estimator's defaults overlaid with the configured parameters.

    Raises:
        ConfigError: A parameter does not exist for this estimator, or has a setting of its own.
    """
    allowed = sorted(set(inspect.signature(_class_of(estimator)).parameters) - {*RESERVED, "kwargs"})
    unknown = sorted(set(params) - set(allowed))
    if unknown:
        close = get_close_matches(unknown[0], allowed, n=1)
        meant = f"; did you mean `{close[0]}`?" if close else ""
        raise ConfigError(
            f"params: {', '.join(unknown)} cannot be set for {estimator}; use {', '.join(allowed)}{meant}"
        )
    return {**DEFAULTS[estimator], **params}


def fit(
    estimator: str, params: Mapping[str, Any], X: Floats, y: Doubles, *, seed: int, threads: int
) -> tuple[Any, Doubles]:
    """Fit one member.

    Args:
        estimator: A key of :data:`DEFAULTS`.
        params: From :func:`parameters`.
        X: Features, shape (n_rows, n_features), nan where unknown.
        y: 0 or 1, shape (n_rows,).
        seed: Of everything that is drawn.
        threads: Cores to use; the result does not depend on it.

    Returns:
        The member, and the gain or |coefficient| of each feature, not normalised.

    Raises:
        TrainingError: Only one class is there.
        ConfigError: The estimator refused a parameter's value.
    """
    from threadpoolctl import threadpool_limits

    if not len(y) or y.min() == y.max():
        found = f"{len(y)} rows, {int(y.sum()) if len(y) else 0} of them positive"
        raise TrainingError(f"nothing to tell apart: {found}; train on more days")
    with threadpool_limits(threads), _refusing(estimator, params):
        return _FITTERS[estimator](dict(params), _without_empty(X), y, seed, threads)


def probability(members: Sequence[Any], X: Floats, threads: int) -> Doubles:
    """Return the mean of the members' probabilities of a positive, shape (n_rows,)."""
    return np.asarray(np.mean([_probability(one, X, threads) for one in members], axis=0), dtype=np.float64)


def _probability(member: Any, X: Floats, threads: int) -> Doubles:
    if isinstance(member, dict):
        filled = np.where(np.isnan(X), member["median"], X)
        return _sigmoid((filled - member["mean"]) / member["scale"] @ member["coef"] + member["intercept"])
    from perennial.models.trees import compile_forest

    raw = compile_forest([member]).raw(X, threads)
    return np.clip(raw, 0, 1) if hasattr(member, "estimators_") else _sigmoid(raw)


def _sigmoid(z: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -500, 500))))


@contextmanager
def _refusing(estimator: str, params: Mapping[str, Any]) -> Iterator[None]:
    """Turn what an estimator says of values it cannot work with into an error of the file they stand in."""
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError)
    if estimator == "lightgbm":
        from lightgbm.basic import LightGBMError

        refusals += (LightGBMError,)
    try:
        yield
    except refusals as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise ConfigError(f"{estimator} refused params {dict(params)}: {reason}") from error


def _without_empty(X: Floats) -> Floats:
    """Return X with columns that are nan throughout set to 0: nothing can be split there, but binning fails."""
    empty = [k for k in range(X.shape[1]) if np.isnan(X[:, k]).all()]
    if empty:
        X = X.copy(order="F")
        X[:, empty] = 0
    return X


def _class_of(estimator: str) -> Any:
    if estimator == "lightgbm":
        from lightgbm import LGBMClassifier as Found
    elif estimator == "hist_gradient_boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier as Found
    elif estimator == "random_forest":
        from sklearn.ensemble import RandomForestRegressor as Found
    elif estimator == "linear":
        from sklearn.linear_model import LogisticRegression as Found
    else:
        raise ConfigError(f"estimator: {estimator!r} is not one of {', '.join(DEFAULTS)}")
    return Found


def _boosting(params: dict[str, Any], X: Floats, y: Doubles, seed: int, threads: int) -> tuple[Any, Doubles]:
    del threads  # taken from the OpenMP limit
    model = _class_of("hist_gradient_boosting")(**params, random_state=seed).fit(X, y.astype(np.int64))
    model._bin_mapper.n_threads = None  # how many were free at the fit is no part of the model's bytes
    gains = np.zeros(X.shape[1])
    for (tree,) in model._predictors:
        nodes = tree.nodes[tree.nodes["is_leaf"] == 0]
        np.add.at(gains, nodes["feature_idx"].astype(np.int64), nodes["gain"])
    return model, gains


def _lightgbm(params: dict[str, Any], X: Floats, y: Doubles, seed: int, threads: int) -> tuple[Any, Doubles]:
    """Boost; kept is the text of the trees alone, since the parameters after it tell the number of threads."""
    fixed = {"deterministic": True, "force_row_wise": True, "verbose": -1, "importance_type": "gain"}
    model = _class_of("lightgbm")(**params, **fixed, random_state=seed, n_jobs=threads)
    model.fit(X, y.astype(np.int64))
    text: str = model.booster_.model_to_string()
    return text.split("\nparameters:")[0] + "\n", np.asarray(model.feature_importances_, dtype=np.float64)


def _forest(params: dict[str, Any], X: Floats, y: Doubles, seed: int, threads: int) -> tuple[Any, Doubles]:
    """Grow regression trees on 0 and 1: the variance they reduce is half the Gini impurity, the means are shares."""
    if isinstance(params["max_samples"], int):
        params["max_samples"] = min(params["max_samples"], len(y))
    model = _class_of("random_forest")(**params, random_state=seed, n_jobs=threads).fit(X, y)
    model.n_jobs = None  # the bytes must not tell how many cores there were
    return model, np.asarray(model.feature_importances_)


def _linear(params: dict[str, Any], X: Floats, y: Doubles, seed: int, threads: int) -> tuple[Any, Doubles]:
    """Fit a logistic regression of standardised features; kept are its arrays, with medians for what is missing."""
    del threads  # serial
    median = np.nanmedian(X.astype(np.float64), axis=0)
    filled = np.where(np.isnan(X), median, X)
    mean, scale = filled.mean(axis=0), filled.std(axis=0)
    scale[scale == 0] = 1.0
    model = _class_of("linear")(**params, random_state=seed).fit((filled - mean) / scale, y.astype(np.int64))
    coefficients = np.asarray(model.coef_[0], dtype=np.float64)
    arrays = {"median": median, "mean": mean, "scale": scale, "coef": coefficients, "intercept": model.intercept_}
    return arrays, np.abs(coefficients)


_FITTERS: Mapping[str, Callable[..., tuple[Any, Doubles]]] = {
    "hist_gradient_boosting": _boosting,
    "lightgbm": _lightgbm,
    "random_forest": _forest,
    "linear": _linear,
}
