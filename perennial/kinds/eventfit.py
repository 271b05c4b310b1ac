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
from perennial.models.decisions import calibrate, cheapest_threshold, fit_calibration, log_loss
from perennial.models.eventclassifier import EventClassifier

Doubles = npt.NDArray[np.float64]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is learned from, in order of time.

    Attributes:
        at: Index of each event, shape (n_rows,).
        X: Its features, shape (n_rows, n_features).
        y: Its label, 0 or 1, shape (n_rows,).
        day: Its day, shape (n_rows,).
        unit: Code of its unit, shape (n_rows,).
        end: Last day of training.
    """

    at: npt.NDArray[np.intp]
    X: npt.NDArray[np.float32]
    y: npt.NDArray[np.float64]
    day: npt.NDArray[np.int32]
    unit: npt.NDArray[np.intp]
    end: int

    def only(self, keep: npt.NDArray[np.bool_]) -> "Past":
        """Return the rows that are marked, shape (n_rows,)."""
        at, X, y, day, unit = self.at[keep], self.X[keep], self.y[keep], self.day[keep], self.unit[keep]
        return Past(at=at, X=X, y=y, day=day, unit=unit, end=self.end)

    def newest(self, days: int) -> npt.NDArray[np.bool_]:
        """Return which rows are of the last days, shape (n_rows,)."""
        return self.day > self.end - days

    def until(self, end: int) -> "Past":
        """Return the rows up to a day."""
        return self.only(self.day <= end)


def remembered(past: Past, model: EventClassifier, cfg: Pipeline, threads: int) -> tuple[Past, Doubles]:
    """Choose how much of the past is trained on, by how well the newest days are told from it.

    Members fitted on the days before the newest would know less than those that are served: after a change, what
    corrects the former corrects the latter twice. So the newest days are scored by members that know them, and none of
    the units that they score.

    Args:
        past: Every row that may be trained on.
        model: Whose members are replaced by those of the last fold.
        cfg: ``classify.memory``, ``classify.calibration_days`` and ``classify.calibration_folds``.
        threads: Cores to use.

    Returns:
        The rows to train on, and the raw scores of the newest days, in their order; of equally good pasts the longest.
    """
    best: tuple[float, Past, Doubles] | None = None
    for days in sorted({cfg.model.history_days, *cfg.classify.memory}, reverse=True):
        part = past.only(past.newest(days))
        raw = _unseen_scores(part, model, cfg, threads)
        loss = log_loss(part.y[part.newest(cfg.classify.calibration_days)], raw)
        if best is None or loss < best[0]:
            best = loss, part, raw
    assert best is not None  # the whole past is one of them
    return best[1], best[2]


def _unseen_scores(past: Past, model: EventClassifier, cfg: Pipeline, threads: int) -> Doubles:
    """Return the raw score of each of the newest days' rows, by members fitted on all days but not on its unit."""
    folds = cfg.classify.calibration_folds or 1
    names, code = np.unique(past.unit, return_inverse=True)
    fold = np.random.default_rng(cfg.model.seed).permutation(len(names))[code] % folds
    held, raw = past.newest(cfg.classify.calibration_days), np.empty(len(past.y))
    for k in range(folds):
        rest, asked = past.only(fold != k), held & (fold == k)
        model.members, _ = fit(rest.X, rest.y, cfg, threads)
        raw[asked] = model.score(past.X[asked], threads)
    return raw[held]


def settle(model: EventClassifier, raw: Doubles, held: Past, data: Events, cfg: Pipeline) -> None:
    """Set calibration and threshold by raw scores of labelled events that the members had not seen."""
    model.slope, model.intercept = fit_calibration(held.y, raw)
    risk = calibrate(raw, model.slope, model.intercept)
    model.threshold = cheapest_threshold(held.y, risk, *costs(data, cfg, held.at))


def both(y: npt.NDArray[np.float64]) -> bool:
    """Whether labels are of both classes."""
    return bool(len(y)) and y.min() != y.max()


def flat_settings(cfg: Pipeline) -> dict[str, str | int | float | bool]:
    """Return the settings of model and problem, flat, for MLflow."""
    settings = {**flat(cfg.model, "model."), **flat(cfg.classify, "classify.")}
    return {key: value if isinstance(value, int | float | bool) else str(value) for key, value in settings.items()}
