"""The scorer of single events: robust distances from what was usual, tail probabilities, an isolation forest.

Each feature of an event is a robust z (Iglewicz & Hoaglin 1993) against one peer, turned into a *surprise*: the
negative decimal logarithm of how rare so large a distance is, upwards and downwards apart. An isolation forest
(Liu, Ting & Zhou 2008) on all surprises together finds combinations that are rare although no part is. The score is
a weighted mean of the largest surprise and the forest's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perennial.config.anomaly import Anomaly
from perennial.errors import TrainingError
from perennial.features.peers import Codes, Doubles, Mask, Usual
from perennial.features.unusual import ALL, REPEATS, Compared, Events, compare, feature_names
from perennial.models.tails import Tail, fit_tail, surprise

NORMAL = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""
PRIOR_EVENTS = 10
"""Events that the usual spread of all peers counts as, in the spread of one."""
NARROWEST = 0.02
"""Least spread: prices that never moved may be wrong by a rounding."""
TINY = 1e-9
CERTAIN = 12.0
"""No number of repetitions is more surprising."""
CLIP = 8.0
"""Surprises that the forest sees are at most so large."""
SAMPLE = 256
"""Events that each tree of the forest is grown on (Liu et al., section 4.2)."""
MOST_ROWS = 100_000
"""Events that tails and forest are fitted to; drawn at random from more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of the asked events.

    Attributes:
        score: Higher is stranger, >= 0, shape (n_asked,).
        z: Robust z by feature, shape (n_asked, n_features).
        surprise: By feature, >= 0, shape (n_asked, n_features).
        forest: Surprise of the isolation forest, shape (n_asked,).
        compared: What the events were held against.
    """

    score: Doubles
    z: Doubles
    surprise: Doubles
    forest: Doubles
    compared: Compared


class EventScorer:
    """A fitted scorer of events; plain attributes, arrays and one estimator.

    Args:
        settings: JSON of the anomaly section it was trained with.
        centres: Median of each measure over all events, on its logarithmic scale.
        spreads: Robust standard deviation of each measure over all events.
        means: Mean of each measure in the unit of the data, for the naive contender.
        deviations: Its standard deviation there.
        priors: Usual spread around a peer's median by feature.
        tails: Two tables of :mod:`perennial.models.tails` by feature: above and below what was usual.
        forest: Fitted isolation forest, or ``None`` with a weight of zero.
        forest_tail: Table of its scores.
        threshold: Score from which an event is an alert; ``inf`` before it was learned.
    """

    def __init__(
        self,
        *,
        settings: str,
        centres: Mapping[str, float],
        spreads: Mapping[str, float],
        means: Mapping[str, float],
        deviations: Mapping[str, float],
        priors: Mapping[str, float],
        tails: Sequence[Sequence[Tail]] = (),
        forest: Any = None,
        forest_tail: Tail | None = None,
        threshold: float = float("inf"),
    ) -> None:
        self.settings = settings
        self.centres = dict(centres)
        self.spreads = dict(spreads)
        self.means = dict(means)
        self.deviations = dict(deviations)
        self.priors = dict(priors)
        self.tails = [list(pair) for pair in tails]
        self.forest = forest
        self.forest_tail = forest_tail
        self.threshold = threshold

    @property
    def cfg(self) -> Anomaly:
        """The section the scorer was trained with."""
        return Anomaly.model_validate_json(self.settings, extra="ignore")

    def distances(self, compared: Compared) -> Doubles:
        """Return the robust z of every feature, shape (n_asked, n_features)."""
        cfg = self.cfg
        columns = [
            _far(compared.value[name], compared.usual.get((name, peer)), self, f"{name} vs {peer}", cfg.least)
            for name in cfg.measures
            for peer in (*cfg.peers, ALL)
        ]
        if cfg.repeats:
            columns.append(compared.repeats.astype(np.float64))
        if cfg.seconds:
            columns.append(-np.log10(np.minimum(compared.hour_share, 1.0)))
        return np.column_stack(columns)

    def score(self, events: Events, asked: Mask) -> Scored:
        """Score events of any days after the first; no event looks at its own day or later.

        Args:
            events: Everything known, history included.
            asked: Which of them to score, shape (n_events,).
        """
        return self.judge(compare(events, asked, self.cfg))

    def judge(self, compared: Compared) -> Scored:
        """Score events that were already held against their peers."""
        z = self.distances(compared)
        rare = self._surprises(z, compared)
        largest = rare.max(axis=1) if rare.shape[1] else np.zeros(len(z))
        alone = self._forest(z, rare)
        weight = self.cfg.forest_weight if self.forest is not None else 0.0
        return Scored(
            score=(1 - weight) * largest + weight * alone, z=z, surprise=rare, forest=alone, compared=compared
        )

    def _surprises(self, z: Doubles, compared: Compared) -> Doubles:
        columns = []
        for name, column, (above, below) in zip(feature_names(self.cfg), z.T, self.tails, strict=True):
            if name == REPEATS:
                columns.append(_by_chance(compared, self.priors[REPEATS]))
            else:
                columns.append(np.where(column > 0, surprise(above, column), surprise(below, -column)))
        return np.column_stack(columns)

    def _forest(self, z: Doubles, rare: Doubles) -> Doubles:
        if self.forest is None or self.forest_tail is None or not len(z):
            return np.zeros(len(z))
        return surprise(self.forest_tail, _isolation(self.forest, z, rare))


def fit_scorer(events: Events, trained: Mask, cfg: Anomaly, *, seed: int = 0, threads: int = 1) -> EventScorer:
    """Learn what distances are rare among the events of the training days.

    Args:
        events: Everything known.
        trained: Events to learn from, shape (n_events,); the earlier ones are their history.
        cfg: Measures, peers, forest.
        seed: Decides the sample and the forest; equal seeds give equal models.
        threads: Cores to use; the result does not depend on it.

    Raises:
        TrainingError: There are no events to learn from.
    """
    if trained.sum() < SAMPLE:
        raise TrainingError(f"{trained.sum()} events to learn from; at least {SAMPLE} are needed: land more history")
    random = np.random.default_rng(seed)
    rows = np.flatnonzero(trained)
    chosen = np.zeros(len(events), bool)
    chosen[np.sort(random.choice(rows, min(len(rows), MOST_ROWS), replace=False))] = True
    compared = compare(events, chosen, cfg)
    model = EventScorer(
        settings=cfg.model_dump_json(),
        centres={name: float(np.nanmedian(column)) for name, column in compared.value.items()},
        spreads={name: _spread(column) for name, column in compared.value.items()},
        means={name: float(np.nanmean(events.measures[name][chosen])) for name in cfg.measures},
        deviations={name: max(float(np.nanstd(events.measures[name][chosen])), TINY) for name in cfg.measures},
        priors={f"{name} vs {peer}": _prior(one, cfg.least) for (name, peer), one in compared.usual.items()},
    )
    z = model.distances(compared)
    model.tails = [[fit_tail(np.where(np.isnan(c), 0, c)), fit_tail(np.where(np.isnan(c), 0, -c))] for c in z.T]
    if cfg.repeats:
        model.priors[REPEATS] = _usual_repeats(compared, events.day[chosen])
    if cfg.forest_weight > 0:
        _grow(model, z, model._surprises(z, compared), seed, threads)
    return model


def _grow(model: EventScorer, z: Doubles, rare: Doubles, seed: int, threads: int) -> None:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=model.cfg.trees, max_samples=SAMPLE, random_state=seed, n_jobs=threads)
    model.forest = forest.fit(_seen(z, rare)).set_params(n_jobs=None)
    model.forest_tail = fit_tail(_isolation(model.forest, z, rare))


def _by_chance(compared: Compared, rate: float) -> Doubles:
    """Return the surprise of so many repeated events in a group, if each repeated another by chance alone.

    Not their frequency in history: what is entered twice every other day is common there, and still wrong.
    """
    from scipy.stats import binom

    found: Doubles = -binom.logsf(compared.repeats - 1, compared.lines, rate) / np.log(10)
    return np.minimum(found, CERTAIN)


def _usual_repeats(compared: Compared, day: Codes) -> float:
    """Return the share of events that repeat another by chance: that of the quieter half of the days."""
    days, index = np.unique(day, return_inverse=True)
    alone = (compared.repeats > 0) / np.maximum(compared.lines, 1) * compared.repeats
    count = np.bincount(index, minlength=len(days))
    share = np.sort((np.bincount(index, alone, minlength=len(days)) + 0.5) / (count + 1))
    return float(np.clip(share[: max(1, len(days) // 2)].mean(), TINY, 0.5))


def _seen(z: Doubles, rare: Doubles) -> Doubles:
    """Return what the forest sees: surprises with the sign of their distance."""
    return np.sign(np.nan_to_num(z)) * np.minimum(rare, CLIP)


def _isolation(forest: Any, z: Doubles, rare: Doubles) -> Doubles:
    found: Doubles = -forest.score_samples(_seen(z, rare))
    return found


def _far(value: Doubles, found: Usual | None, model: EventScorer, feature: str, least: int) -> Doubles:
    """Return the robust z of values against their peers; unknown ones and those without peers are 0."""
    name = feature.partition(" vs ")[0]
    wide = (value - model.centres[name]) / model.spreads[name]
    if found is None:
        return np.nan_to_num(wide)
    n = found.count
    prior = model.priors[feature]
    spread = np.sqrt((n * (NORMAL * np.nan_to_num(found.mad)) ** 2 + PRIOR_EVENTS * prior**2) / (n + PRIOR_EVENTS))
    near = (value - found.median) / np.maximum(spread, NARROWEST)
    return np.nan_to_num(np.where(n >= least, near, 0.0))


def _spread(values: Doubles) -> float:
    known = values[np.isfinite(values)]
    return max(float(NORMAL * np.median(np.abs(known - np.median(known)))) if len(known) else 0.0, NARROWEST)


def _prior(found: Usual, least: int) -> float:
    enough = found.mad[found.count >= least]
    return max(float(NORMAL * enough.mean()) if len(enough) else 0.0, NARROWEST)
