"""Estimators, stages and the direct forecaster: the same bytes from the same rows, and never below zero."""

from typing import Any

import numpy as np
import pytest

from perennial.config.models import ModelSettings
from perennial.errors import ConfigError, TrainingError
from perennial.features import Rows
from perennial.models import estimators
from perennial.models.forecaster import DirectForecaster, retired
from tests.panels import gather, pipeline, table

NAN = np.nan
QUICK: dict[str, dict[str, Any]] = {
    "hist_gradient_boosting": {"max_iter": 12},
    "lightgbm": {"n_estimators": 12},
    "random_forest": {"n_estimators": 5, "max_samples": 300},
    "linear": {},
}
LINKS = {name: estimators.link(params) for name, params in estimators.DEFAULTS.items()}
RNG = np.random.default_rng(1)
X = np.asfortranarray(RNG.normal(size=(2_000, 4)).astype(np.float32))
X[::7, 1] = np.nan
Y = RNG.poisson(np.exp(0.5 + 0.8 * X[:, 0])).astype(np.float32)


def stage(name: str, threads: int = 1, earlier: Any = None, seed: int = 3) -> estimators.Stage:
    """Fit one quick stage."""
    cfg = ModelSettings(estimator=name, params=QUICK[name], seed=seed)  # type: ignore[arg-type]
    return estimators.fit(cfg, estimators.parameters(cfg), X, Y, threads=threads, earlier=earlier)


def forecaster(*stages: estimators.Stage, **changes: Any) -> DirectForecaster:
    """Return a forecaster made of stages, without intervals."""
    args: dict[str, Any] = {
        "settings": pipeline().forecast.model_dump_json(),
        "features": "wxyz",
        "categories": {},
        "stages": [s.model for s in stages],
        "link": "log",
        "level": (),
        "bounds": (1, 1, 1),
        "intervals": {},
        "levels": (),
    }
    return DirectForecaster(**(args | changes))


@pytest.mark.parametrize("name", QUICK)
def test_every_estimator_learns_the_signal(name: str) -> None:
    """The forecast is finite, not negative, better than the mean, and gains point at the one real feature."""
    fitted = stage(name)
    mean = forecaster(fitted, link=LINKS[name]).mean(X, 1)
    assert np.isfinite(mean).all()
    assert (mean >= 0).all()
    assert ((mean - Y) ** 2).mean() < 0.8 * Y.var()
    assert int(np.argmax(fitted.gains)) == 0


@pytest.mark.parametrize("name", QUICK)
def test_threads_do_not_change_the_model(name: str) -> None:
    """One thread and two give equal forecasts to the last bit."""
    one, two = (forecaster(stage(name, threads), link=LINKS[name]).mean(X, 1) for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", estimators.UPDATABLE)
def test_an_update_fits_what_the_stages_before_leave_over(name: str) -> None:
    """After the level has shifted, a second stage removes the bias that the first one has."""
    old = stage(name)
    before = forecaster(old).mean(X, 1)
    cfg = ModelSettings(estimator=name, params=QUICK[name])  # type: ignore[arg-type]
    new = estimators.fit(cfg, estimators.parameters(cfg), X, Y * 3, threads=1, earlier=before)
    after = forecaster(old, new).mean(X, 1)
    assert after.sum() == pytest.approx(3 * Y.sum(), rel=0.05)


def plain(model: Any) -> np.ndarray:
    """Return the raw scores that the estimator's own package computes, shape (n_rows,)."""
    if isinstance(model, str):
        from lightgbm import Booster

        return np.asarray(Booster(model_str=model).predict(X, raw_score=True))
    return np.asarray(model._raw_predict(X).ravel() if hasattr(model, "_raw_predict") else model.predict(X))


@pytest.mark.parametrize("name", QUICK)
def test_bags_are_averaged_in_the_links_space(name: str) -> None:
    """Two, then three more, equal the estimators' own scores to the last bit: each stage divided by its bags."""
    bags = [stage(name, seed=seed) for seed in range(5)]
    made = forecaster(link=LINKS[name])
    made.add([bag.model for bag in bags[:2]])
    made.add([bag.model for bag in bags[2:]])
    raw = np.sum([plain(bag.model) / n for bag, n in zip(bags, [2, 2, 3, 3, 3], strict=True)], axis=0)
    wanted = np.exp(raw) if LINKS[name] == "log" else np.maximum(raw, 0)
    np.testing.assert_array_equal(made.mean(X, 2), wanted.astype(np.float32))


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("bad", ["lerning_rate", "random_state"])
def test_unknown_and_reserved_parameters_are_refused(name: str, bad: str) -> None:
    """A typo, or a setting that has a place of its own, is named together with what is allowed."""
    with pytest.raises(ConfigError, match=f"{bad} cannot be set for {name}; use "):
        estimators.parameters(ModelSettings(estimator=name, params={bad: 1}))  # type: ignore[arg-type]


def test_configured_parameters_are_laid_over_the_defaults() -> None:
    """What is not configured keeps its default."""
    found = estimators.parameters(ModelSettings(params={"max_iter": 3}))
    assert found == estimators.DEFAULTS["hist_gradient_boosting"] | {"max_iter": 3}


def test_a_setting_that_was_abolished_does_not_make_a_model_unreadable() -> None:
    """An older champion can still be compared, scored and replaced."""
    old = forecaster(settings='{"horizon": 7, "abolished": 1, "features": {"lags": [3], "also": true}}')
    assert (old.forecast.horizon, old.forecast.features.lags) == (7, (3,))


def test_without_stages_the_forecast_is_zero() -> None:
    """Where nothing was ever sold there is nothing to fit."""
    assert forecaster().mean(X, 1).tolist() == [0] * len(X)


def test_a_forecast_that_is_not_finite_is_an_error() -> None:
    """A broken model stops the run instead of publishing nonsense."""
    fitted = stage("linear")
    fitted.model[-1].intercept_ = np.inf
    with pytest.raises(TrainingError, match="2000 predictions are not finite"):
        forecaster(fitted, link="identity").mean(X, 1)


def test_a_log_linked_model_starts_from_the_recent_level() -> None:
    """The level is the mean of its known columns within bounds, and the usual one where none is known."""
    model = forecaster(level=("x", "z"), bounds=(0.5, 5, 20))
    rows = np.array([[0, 2, 0, 4], [0, NAN, 0, 6], [0, NAN, 0, NAN], [0, 0, 0, 0], [0, 99, 0, 9]], np.float32)
    np.testing.assert_allclose(model.start(rows), [3, 6, 5, 0.5, 20])


def test_series_without_a_recent_sale_are_retired() -> None:
    """A series is retired when its last sale (or its first row, if none) is too long ago at the origin."""
    panel = gather(pipeline(), 9, table(["a", "a", "b"], [0, 9, 3], y=[1.0, 2.0, 0.0]))
    rows = Rows(
        entity=np.array([0, 0, 0, 1, 1], np.int32),
        origin=np.array([4, 5, 9, 7, 9], np.int32),
        horizon=np.ones(5, np.int32),
    )
    assert retired(panel, rows, 4).tolist() == [False, True, False, True, True]
    assert not retired(panel, rows, None).any()


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_one_large_sale_among_idle_products_stays_finite(loss: str) -> None:
    """Rows whose level is next to nothing and one sale of thousands: boosting must not overshoot, and still learn."""
    X = np.asfortranarray(np.repeat(np.arange(50, dtype=np.float32), 40)[:, None])
    y, level = np.full((2, len(X)), 20, dtype=np.float32)
    y[1600:], level[1600:] = 1e-6 if loss == "gamma" else 0, 1e-4
    y[1600] = 10_000
    settings = ModelSettings(params={"loss": loss, "max_iter": 400, "min_samples_leaf": 40}, seed=1)
    fitted = estimators.fit(settings, estimators.parameters(settings), X, y, threads=1, earlier=level)
    mean = level * fitted.model.predict(X)
    assert np.isfinite(mean).all()
    assert mean[:1600] == pytest.approx(20, rel=0.1)
    assert mean[1600:1640] == pytest.approx(250, rel=0.1)
    assert mean[1640:].max() < 0.01
    assert type(fitted.model._loss).__module__ == "sklearn._loss.loss"
    assert fitted.model.loss == loss
