"""The estimators a configuration may name: their defaults, how one is fitted, how one is continued."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.config.models import ModelSettings
from perennial.errors import ConfigError
from perennial.features.panel import Floats

DEFAULTS: Mapping[str, Mapping[str, int | float | str | bool]] = {
    "hist_gradient_boosting": {
        "loss": "poisson",
        "learning_rate": 0.1,
        "max_iter": 100,
        "max_leaf_nodes": 63,
        "min_samples_leaf": 200,
        "l2_regularization": 1.0,
        "early_stopping": False,
    },
    "lightgbm": {
        "objective": "tweedie",
        "tweedie_variance_power": 1.1,
        "n_estimators": 120,
        "learning_rate": 0.1,
        "num_leaves": 127,
        "min_child_samples": 50,
        "colsample_bytree": 0.8,
    },
    "random_forest": {
        "n_estimators": 60,
        "max_samples": 100_000,
        "max_features": 0.33,
        "min_samples_leaf": 5,
    },
    "linear": {"alpha": 1.0},
}
"""Parameters by estimator; those of the configuration are laid over them."""

UPDATABLE: Mapping[str, str] = {"hist_gradient_boosting": "max_iter", "lightgbm": "n_estimators"}
"""Estimators that can be continued with a few trees, and the parameter that says with how many."""

RESERVED = ("random_state", "seed", "n_jobs", "verbose", "warm_start", "categorical_features", "importance_type")
"""Arguments that `params` may not set: seed and threads have settings of their own, categories are codes."""

POWERS = {"poisson": 1.0, "tweedie": 1.5, "gamma": 2.0}
"""Losses with a log link, and how the variance grows with the mean (tweedie's may be configured)."""
SMALLEST = 1e-6
"""Floor of an earlier forecast that a new stage is fitted in proportion to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One fitted stage of a forecaster.

    Attributes:
        model: Estimator, or the text of a LightGBM model.
        gains: Split gain or |coefficient| of each feature, not normalised.
    """

    model: Any
    gains: npt.NDArray[np.float64]


def parameters(settings: ModelSettings) -> dict[str, Any]:
    """Return the estimator's defaults overlaid with the configured parameters.

    Raises:
        ConfigError: A parameter does not exist for this estimator, or has a setting of its own.
    """
    allowed = sorted(_arguments(settings.estimator) - set(RESERVED))
    unknown = sorted(set(settings.params) - set(allowed))
    if unknown:
        raise ConfigError(
            f"model.params: {', '.join(unknown)} cannot be set for {settings.estimator}; "
            f"use {', '.join(allowed)} (seed and threads are settings of `model`){_meant(unknown[0], allowed)}"
        )
    return {**DEFAULTS[settings.estimator], **settings.params}


def _meant(name: str, allowed: Sequence[str]) -> str:
    close = get_close_matches(name, allowed, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def fit(
    settings: ModelSettings,
    params: Mapping[str, Any],
    X: Floats,
    y: Floats,
    *,
    threads: int,
    earlier: Floats | None = None,
) -> Stage:
    """Fit one stage.

    Args:
        settings: Estimator and seed.
        params: From :func:`parameters`.
        X: Design matrix, shape (n_rows, n_features), nan where unknown.
        y: Target, shape (n_rows,); with a log link >= 0 and not all zero.
        threads: Cores to use; the result does not depend on it.
        earlier: What the stage starts from, shape (n_rows,): the recent level, or the forecast of the stages
            before. Only what it leaves over is fitted.

    Returns:
        The stage; its raw score adds to that of ``earlier``.
    """
    from threadpoolctl import threadpool_limits

    target: npt.NDArray[Any] = y
    weight: npt.NDArray[Any] | None = None
    if earlier is not None:
        target, weight = _left_over(y, earlier, params)
    with threadpool_limits(threads), _refusing(settings):
        return _FITTERS[settings.estimator](dict(params), _without_empty(X), target, weight, settings.seed, threads)


@contextmanager
def _refusing(settings: ModelSettings) -> Iterator[None]:
    """Turn what an estimator says of values it cannot work with into an error of the file they stand in."""
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError)
    if settings.estimator == "lightgbm":
        from lightgbm.basic import LightGBMError

        refusals += (LightGBMError,)
    try:
        yield
    except refusals as error:
        reason = str(error).strip().partition("\n")[0][:300]
        raise ConfigError(f"{settings.estimator} refused model.params {settings.params}: {reason}") from error


def link(params: Mapping[str, Any]) -> str:
    """Return ``log`` if the raw scores of these parameters' loss are logarithms, else ``identity``."""
    return "log" if _loss(params) in POWERS else "identity"


def _loss(params: Mapping[str, Any]) -> str:
    return str(params.get("loss", params.get("objective", "")))


def _left_over(
    y: Floats, earlier: Floats, params: Mapping[str, Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Return target and weight of a stage that starts from an earlier forecast.

    With a log link the earlier forecast is an exact offset: fitting ``y / earlier`` with weight
    ``earlier ** (2 - power)`` has the same deviance.
    """
    if link(params) == "identity":
        return y - earlier, None
    base = np.maximum(earlier, SMALLEST)
    power = params.get("tweedie_variance_power", POWERS[_loss(params)])
    return y / base, base ** (2 - power)


def _without_empty(X: Floats) -> Floats:
    """Return X with columns that are nan throughout set to 0: nothing can be split there, but binning fails."""
    empty = [k for k in range(X.shape[1]) if np.isnan(X[:, k]).all()]
    if empty:
        X = X.copy(order="F")
        X[:, empty] = 0
    return X


def _arguments(estimator: str) -> set[str]:
    if estimator == "lightgbm":
        from lightgbm import LGBMRegressor as Regressor

        extra = {"tweedie_variance_power", "max_bin", "feature_fraction_bynode", "path_smooth"}
        return set(inspect.signature(Regressor).parameters) - {"kwargs"} | extra
    if estimator == "hist_gradient_boosting":
        from sklearn.ensemble import HistGradientBoostingRegressor as Regressor
    elif estimator == "random_forest":
        from sklearn.ensemble import RandomForestRegressor as Regressor
    else:
        from sklearn.linear_model import Ridge as Regressor
    return set(inspect.signature(Regressor).parameters)


def _hist_gradient_boosting(
    params: dict[str, Any], X: Floats, y: Floats, weight: Floats | None, seed: int, threads: int
) -> Stage:
    from sklearn.ensemble import HistGradientBoostingRegressor

    from perennial.models.damped import LOSSES

    del threads  # taken from the OpenMP limit
    loss = params["loss"]
    model = HistGradientBoostingRegressor(**params, random_state=seed)
    if loss in LOSSES:
        model.set_params(loss=LOSSES[loss](sample_weight=weight))
    model.fit(X, y, sample_weight=weight)
    model.set_params(loss=loss)
    model._loss = model._get_loss(weight)  # the plain one: the model is to be read without this project
    model._bin_mapper.n_threads = None  # how many were free at the fit is no part of the model's bytes
    gains = np.zeros(X.shape[1])
    for (tree,) in model._predictors:
        nodes = tree.nodes[tree.nodes["is_leaf"] == 0]
        np.add.at(gains, nodes["feature_idx"].astype(np.int64), nodes["gain"])
    return Stage(model=model, gains=gains)


def _lightgbm(params: dict[str, Any], X: Floats, y: Floats, weight: Floats | None, seed: int, threads: int) -> Stage:
    """Boost; kept is the text of the trees alone, since the parameters after it tell the number of threads."""
    from lightgbm import LGBMRegressor

    fixed = {"deterministic": True, "force_row_wise": True, "verbose": -1, "importance_type": "gain"}
    model = LGBMRegressor(**params, **fixed, random_state=seed, n_jobs=threads)
    model.fit(X, y, sample_weight=weight)
    text: str = model.booster_.model_to_string()
    trees = text.split("\nparameters:")[0] + "\n"
    return Stage(model=trees, gains=np.asarray(model.feature_importances_, dtype=np.float64))


def _random_forest(
    params: dict[str, Any], X: Floats, y: Floats, weight: Floats | None, seed: int, threads: int
) -> Stage:
    from sklearn.ensemble import RandomForestRegressor

    if isinstance(params["max_samples"], int):
        params["max_samples"] = min(params["max_samples"], len(y))
    model = RandomForestRegressor(**params, random_state=seed, n_jobs=threads).fit(X, y, sample_weight=weight)
    model.n_jobs = None  # the bytes must not tell how many cores there were
    return Stage(model=model, gains=np.asarray(model.feature_importances_))


def _linear(params: dict[str, Any], X: Floats, y: Floats, weight: Floats | None, seed: int, threads: int) -> Stage:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    del seed, threads, weight  # exact, serial, never continued
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), Ridge(**params)).fit(X, y)
    return Stage(model=model, gains=np.abs(model[-1].coef_))


_FITTERS: Mapping[str, Callable[..., Stage]] = {
    "hist_gradient_boosting": _hist_gradient_boosting,
    "lightgbm": _lightgbm,
    "random_forest": _random_forest,
    "linear": _linear,
}
