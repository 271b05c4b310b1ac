"""Who is judged, and how much of the past is learned from: neither may depend on what it is to tell."""

import json

import numpy as np
import pytest
import yaml

from perennial.config.models import Pipeline
from perennial.features.events import Events
from perennial.features.panel import Labels
from perennial.kinds.eventfit import Past, remembered
from perennial.kinds.eventsplit import for_judging, judged, training_rows, windows_of
from perennial.models.eventclassifier import EventClassifier
from tests import cards


def settings(**classify: object) -> Pipeline:
    """Return the pipeline of the cards with other settings of the problem."""
    text = yaml.safe_load(cards.PIPELINE)
    text["classify"] |= {"drop_known": False, "calibration_days": 20, **classify}
    return Pipeline.model_validate_json(json.dumps(text))


def returning(n: int = 20_000) -> Events:
    """Return events on 100 days of customers of whom a positive comes back soon: who returns tells the label."""
    rng = np.random.default_rng(0)
    day = np.sort(rng.integers(0, 100, n))
    y = (rng.random(n) < 0.3).astype(np.float64)
    customer = rng.integers(0, n, n)
    for k in np.flatnonzero(y):
        back = np.searchsorted(day, day[k] + 20)
        customer[min(back + rng.integers(200), n - 1)] = customer[k]
    names = tuple(f"c{k:05d}" for k in range(n))
    return Events(
        ids=np.array([f"e{k}" for k in range(n)]),
        time=day.astype(np.int64) * 86_400,
        y=y,
        numbers={},
        labels={"customer": Labels(codes=customer.astype(np.int32), names=names)},
        as_of=99,
    )


def test_who_is_judged_is_never_trained_on_and_training_keeps_its_share_of_positives() -> None:
    """Leaving out who comes back in the test windows would leave out positives; a draw by name does not."""
    data, cfg = returning(), settings(apart=True)
    split = windows_of(cfg, 99, data)
    trained, tested = training_rows(data, split, cfg), judged(data, split, cfg).at
    customer = data.labels["customer"].codes
    assert len(tested) > 300
    assert not np.isin(customer[trained], customer[tested]).any()
    assert for_judging(data, cfg).mean() == pytest.approx(0.5, abs=0.02)
    assert data.y[trained].mean() == pytest.approx(0.3, abs=0.02)


def test_after_a_change_less_of_the_past_is_learned_from() -> None:
    """Once a relation has turned round only the days since are trained on; of a world that stays, all of it."""
    rng = np.random.default_rng(1)
    n = 4000
    x, day = rng.normal(size=n), np.sort(rng.integers(0, 60, n))
    cfg = settings(memory=[30], calibration_folds=3)
    for turns, first in ((30, 30), (60, 0)):
        y = (rng.random(n) < 1 / (1 + np.exp(-2 * np.where(day < turns, x, -x)))).astype(np.float64)
        X = np.asfortranarray(x[:, None].astype(np.float32))
        past = Past(at=np.arange(n), X=X, y=y, day=day.astype(np.int32), unit=np.arange(n), end=59)
        model = EventClassifier(settings=cfg.classify.model_dump_json(), features=["x"], categories={}, members=[])
        kept, raw = remembered(past, model, cfg, 1)
        assert kept.day.min() == first
        assert len(raw) == kept.newest(20).sum()
        assert np.corrcoef(raw, kept.y[kept.newest(20)])[0, 1] > 0.5
