"""Small fitted forecasters for tests of what stores, loads and registers them."""

from functools import cache

import numpy as np

from perennial.config.forecast import Forecast
from perennial.config.models import ModelSettings
from perennial.contracts import ModelBlob
from perennial.models.estimators import fit, parameters
from perennial.models.forecaster import DirectForecaster
from perennial.registry.canonical import dumps

LINKS = {"hist_gradient_boosting": "log", "lightgbm": "log", "random_forest": "identity", "linear": "identity"}
FEATURES = ("a", "b", "c", "d", "e", "f")


def inputs(rows: int = 400) -> np.ndarray:
    """Return a design matrix with unknown values, always the same."""
    X = np.random.default_rng(0).normal(size=(rows, len(FEATURES))).astype(np.float32)
    X[::7, 2] = np.nan
    return X


def forecaster(estimator: str = "hist_gradient_boosting", seed: int = 0) -> DirectForecaster:
    """Fit a forecaster of a few trees."""
    few = {"hist_gradient_boosting": {"max_iter": 5}, "random_forest": {"n_estimators": 3}}
    few |= {"lightgbm": {"n_estimators": 5}, "linear": {}}
    settings = ModelSettings(estimator=estimator, params=few[estimator], seed=seed)
    X = inputs()
    stage = fit(settings, parameters(settings), X, np.exp(X[:, 0]), threads=1)
    return DirectForecaster(
        settings=Forecast().model_dump_json(),
        features=FEATURES,
        categories={"category": ["food", "toys"]},
        stages=[stage.model],
        link=LINKS[estimator],
        intervals={"edges": np.arange(3.0), "shift": np.arange(4, dtype=np.int16)},
        levels=(0.1, 0.9),
    )


@cache
def blob(estimator: str) -> ModelBlob:
    """Return the bytes of a small forecaster, fitted once."""
    return dumps(forecaster(estimator))
