"""The fitted classifier of events: members whose probabilities are averaged, a calibration, a threshold.

Only plain attributes, arrays and estimators are held, so that :mod:`perennial.registry.canonical` can store it
without pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.config.classify import Classify
from perennial.errors import TrainingError
from perennial.features.events import Events, design
from perennial.features.panel import Floats, Labels
from perennial.models.classifiers import probability
from perennial.models.decisions import calibrate

BLOCK = 100_000
"""Rows scored at a time: bounds the memory of scoring."""


class EventClassifier:
    """A fitted classifier.

    Args:
        settings: JSON of the classify section it was trained with.
        features: Input columns, in order.
        categories: Names of each text feature; a value's code is its position.
        members: Fitted members of each estimator; the mean of the means is the score.
        slope: Of the calibration; see :mod:`perennial.models.decisions`.
        intercept: Of the calibration.
        threshold: Probability from which on an alert is raised; infinity for none.
        base_rate: Share of positives in training.
    """

    def __init__(
        self,
        *,
        settings: str,
        features: Sequence[str],
        categories: Mapping[str, Sequence[str]],
        members: Sequence[Sequence[Any]],
        slope: float = 1.0,
        intercept: float = 0.0,
        threshold: float = 0.5,
        base_rate: float = 0.5,
    ) -> None:
        self.settings = settings
        self.features = list(features)
        self.categories = {name: list(values) for name, values in categories.items()}
        self.members = [list(group) for group in members]
        self.slope, self.intercept = float(slope), float(intercept)
        self.threshold, self.base_rate = float(threshold), float(base_rate)

    @property
    def classify(self) -> Classify:
        """The section the model was trained with, less the settings that have been abolished since."""
        return Classify.model_validate_json(self.settings, extra="ignore")

    def design(self, events: Events, rows: npt.NDArray[np.intp]) -> Floats:
        """Compute this model's input for some events, shape (n_rows, n_features)."""
        return design(recoded(events, self.categories), self.classify, rows)

    def score(self, X: Floats, threads: int) -> npt.NDArray[np.float64]:
        """Return the mean probability of the members, before calibration, shape (n_rows,)."""
        if not len(X):
            return np.empty(0)
        return np.asarray(np.mean([probability(group, X, threads) for group in self.members], axis=0))

    def risk(self, X: Floats, threads: int) -> npt.NDArray[np.float32]:
        """Return the calibrated probability of a positive from a design matrix, shape (n_rows,).

        Raises:
            TrainingError: A probability is not finite.
        """
        found = np.empty(len(X), dtype=np.float32)
        for start in range(0, len(X), BLOCK):
            block = slice(start, start + BLOCK)
            found[block] = calibrate(self.score(X[block], threads), self.slope, self.intercept)
        if not np.isfinite(found).all():
            raise TrainingError(f"{int((~np.isfinite(found)).sum())} probabilities are not finite; retrain the model")
        return found


def recoded(events: Events, categories: Mapping[str, Sequence[str]]) -> Events:
    """Return events whose text features have the codes of training; a value unknown then has none."""
    labels = dict(events.labels)
    for name, values in categories.items():
        place = {value: code for code, value in enumerate(values)}
        lookup = np.array([*(place.get(one, -1) for one in labels[name].names), -1], dtype=np.int32)
        labels[name] = Labels(codes=lookup[labels[name].codes], names=tuple(values))
    return replace(events, labels=labels)
