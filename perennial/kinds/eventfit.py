"""Fitting a classifier of events: its members, its calibration, its threshold."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.config.models import Pipeline
from perennial.config.section import flat
from perennial.features.events import Events
from perennial.kinds.eventrows import costs
from perennial.models import classifiers
from perennial.models.decisions import calibrate, cheapest_threshold, fit_calibration
from perennial.models.eventclassifier import EventClassifier

SEEDS = 2**31
"""Seeds lie below this; those of bags count on from the configured one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An estimator, its parameters, and how many of different seeds are averaged."""

    estimator: str
    params: dict[str, Any]
    bags: int


def recipes(cfg: Pipeline) -> list[Recipe]:
    """Return what is fitted: the model's estimator, then those it is blended with.

    Raises:
        ConfigError: A parameter does not exist for its estimator.
    """
    first = Recipe(
        estimator=cfg.model.estimator,
        params=classifiers.parameters(cfg.model.estimator, cfg.model.params),
        bags=cfg.model.bags,
    )
    more = [
        Recipe(estimator=one.estimator, params=classifiers.parameters(one.estimator, one.params), bags=1)
        for one in cfg.classify.blend
    ]
    return [first, *more]


def fit(
    X: npt.NDArray[np.float32], y: npt.NDArray[np.float64], cfg: Pipeline, threads: int
) -> tuple[list[list[Any]], npt.NDArray[np.float64]]:
    """Fit every member; return them by estimator, and the shares of gain of the features, added up."""
    groups, gains = [], np.zeros(X.shape[1])
    for recipe in recipes(cfg):
        group = []
        for bag in range(recipe.bags):
            seed = (cfg.model.seed + bag) % SEEDS
            member, gain = classifiers.fit(recipe.estimator, recipe.params, X, y, seed=seed, threads=threads)
            group.append(member)
            gains += gain / max(gain.sum(), 1e-300)
        groups.append(group)
    return groups, gains


def settle(
    model: EventClassifier,
    X: npt.NDArray[np.float32],
    data: Events,
    rows: npt.NDArray[np.intp],
    cfg: Pipeline,
    threads: int,
) -> None:
    """Set calibration and threshold by labelled events that the members have not seen."""
    raw = model.score(X, threads)
    model.slope, model.intercept = fit_calibration(data.y[rows], raw)
    risk = calibrate(raw, model.slope, model.intercept)
    model.threshold = cheapest_threshold(data.y[rows], risk, *costs(data, cfg, rows))


def both(y: npt.NDArray[np.float64]) -> bool:
    """Whether labels are of both classes."""
    return bool(len(y)) and y.min() != y.max()


def flat_settings(cfg: Pipeline) -> dict[str, str | int | float | bool]:
    """Return the settings of model and problem, flat, for MLflow."""
    settings = {**flat(cfg.model, "model."), **flat(cfg.classify, "classify.")}
    return {key: value if isinstance(value, int | float | bool) else str(value) for key, value in settings.items()}
