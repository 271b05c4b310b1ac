"""Kind classify on a small world of card fraud: what is trained, judged, scored, and what nobody may know."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from perennial.config.models import Pipeline
from perennial.context import Workspace
from perennial.contracts import Evaluation, Split
from perennial.errors import ConfigError, TrainingError
from perennial.evaluation.classification import COST_FALSE_NEGATIVE, COST_FALSE_POSITIVE, UNIT
from perennial.evaluation.metrics import subset
from perennial.features.events import Events
from perennial.features.panel import epoch_day
from perennial.kinds import classify as problem
from perennial.kinds.base import Fitted
from perennial.models.eventclassifier import EventClassifier
from perennial.monitoring.late import late, late_estimates
from perennial.registry.canonical import dumps, loads
from tests import cards


@dataclass(frozen=True)
class Made:
    """The world as loaded, and what was trained on it."""

    cfg: Pipeline
    rows: pa.Table
    data: Events
    split: Split
    fitted: Fitted
    evaluation: Evaluation

    @property
    def model(self) -> EventClassifier:
        """The candidate."""
        model: EventClassifier = self.fitted.model
        return model


def load(cfg: Pipeline, rows: pa.Table, as_of: date) -> Events:
    """Load rows as a snapshot of a date."""
    snapshot: Any = SimpleNamespace(main="main", as_of=as_of)
    return problem.load(cfg, snapshot, lambda _table: iter(rows.to_batches()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Train and judge once."""
    root = cards.project(tmp_path_factory.mktemp("cards"))
    cfg = Workspace.open(root=root).pipeline("cards").config
    rows = cards.canonical(root)
    data = load(cfg, rows, cards.AS_OF)
    split = problem.split(data, cfg)
    fitted = problem.train(data, split, cfg, champion=None, threads=1)
    return Made(cfg, rows, data, split, fitted, problem.evaluate(data, split, cfg, {"candidate": fitted.model}, 1))


def test_nobody_is_judged_on_what_could_not_have_been_served(made: Made) -> None:
    """Test days end where labels end; training ends as long before them as labels are late."""
    delay = timedelta(days=5)
    assert made.split.windows[-1].origin + timedelta(days=5) == cards.AS_OF - delay
    assert made.split.train_end == made.split.windows[0].origin + timedelta(days=1) - delay
    days = made.evaluation.rows.day
    assert days.min() > epoch_day(made.split.train_end)
    assert days.max() == epoch_day(cards.AS_OF - delay)


def test_the_candidate_beats_the_naive_contenders(made: Made) -> None:
    """On the simulated world it ranks better, and its alerts cost less, than any naive contender's."""
    for metric in ("average_precision_error", "auc_error", "expected_cost"):
        ours = made.evaluation.value("candidate", metric)
        assert ours < min(made.evaluation.value(name, metric) for name in ("base_rate", "past_rate")), metric
    assert made.evaluation.value("candidate", "calibration_error") < 0.05
    assert 0 < made.model.threshold < 1
    assert made.evaluation.charts[0].axis


def test_a_blocked_card_is_not_judged(made: Made) -> None:
    """Once a fraud of a card is known, its later events are nobody's business."""
    rows, data = made.evaluation.rows, made.data
    codes = data.labels["customer"].codes
    names = np.array(data.labels["customer"].names)
    for day in np.unique(rows.day):
        known = names[np.unique(codes[(data.y > 0) & (data.day <= day - 5)])]
        assert not np.isin(rows.entities[rows.entity[rows.day == day]], known).any()


def test_labels_of_the_last_days_change_nothing(made: Made) -> None:
    """With every label of the last five days turned round, model and figures are the same bytes."""
    late = pc.greater(made.rows["ds"], pa.scalar(cards.AS_OF - timedelta(days=5), pa.date32()))
    flipped = pc.if_else(late, pc.subtract(1.0, made.rows["y"]), made.rows["y"])
    other = made.rows.set_column(made.rows.column_names.index("y"), "y", flipped)
    data = load(made.cfg, other, cards.AS_OF)
    again = problem.train(data, made.split, made.cfg, champion=None, threads=1)
    assert dumps(again.model).digest == dumps(made.model).digest
    scores = problem.evaluate(data, made.split, made.cfg, {"candidate": again.model}, 1).scores
    np.testing.assert_equal([s.value for s in scores], [s.value for s in made.evaluation.scores])


def test_a_model_is_its_bytes(made: Made) -> None:
    """Stored and loaded, it scores the day's events alike; every event of the day has one row, none of another."""
    blob = dumps(made.model)
    loaded: Any = loads(blob.data, blob.digest)
    first, again = (
        pa.Table.from_batches(list(problem.predict(made.data, made.cfg, model, threads=1)))
        for model in (made.model, loaded)
    )
    assert first.equals(again)
    assert set(first["ds"].to_pylist()) == {cards.AS_OF}
    assert first["entity"].to_pandas().is_unique
    alert = np.array(first["y_hat"]) >= np.float32(made.model.threshold)
    np.testing.assert_array_equal(np.array(first["alert"]) > 0, alert)


def test_truth_matures_when_labels_arrive(made: Made) -> None:
    """Nothing is known of the day's scores on the day; five days later all of it is."""
    batches = list(problem.predict(made.data, made.cfg, made.model, threads=1))
    made_then = pa.Table.from_batches(batches)
    published = made_then.append_column("as_of", pa.array([cards.AS_OF] * made_then.num_rows, pa.date32()))
    for days, count in ((0, 0), (2, 0), (5, made_then.num_rows)):
        data = load(made.cfg, made.rows, cards.AS_OF + timedelta(days=days))
        rows = problem.mature(data, made.cfg, published)
        assert len(rows.y) == count
    np.testing.assert_array_equal(np.sort(rows.forecasts["served"]), np.sort(np.array(made_then["y_hat"])))


def test_inputs_of_a_past_day_are_those_of_that_day(made: Made) -> None:
    """What the model was given on a day is the same when computed from a later snapshot."""
    day = cards.AS_OF - timedelta(days=6)
    then = problem.inputs(load(made.cfg, made.rows, day), made.cfg, made.model, day, threads=1)
    assert then.num_rows > 0
    later = problem.inputs(made.data, made.cfg, made.model, day, threads=1)
    assert then.to_pandas().equals(later.to_pandas())  # nan is nan there


def test_what_a_stress_set_hides_is_hidden_from_the_forecast_alone(made: Made) -> None:
    """A missed fraud costs its amount, also where the model is not told it; rows stay those of their own customer."""
    settings = made.cfg.classify.model_dump(mode="json") | {"evaluation_sets": {"blind": {"without": ["amount"]}}}
    cfg = made.cfg.model_copy(update={"classify": type(made.cfg.classify).model_validate_json(json.dumps(settings))})
    rows = problem.evaluate(made.data, made.split, cfg, {"candidate": made.fitted.model}, 1).rows
    main, blind = (subset(rows, rows.sets[name]) for name in ("main", "blind"))
    assert (blind.entities[blind.entity] == main.entities[main.entity]).all()
    assert (blind.y == main.y).all()
    for name in (COST_FALSE_NEGATIVE, COST_FALSE_POSITIVE, UNIT):
        assert (blind.extra[name] == main.extra[name]).all()
    assert (blind.forecasts["candidate"] != main.forecasts["candidate"]).mean() > 0.1


def test_without_a_model_there_is_a_naive_score(made: Made) -> None:
    """The last rung scores the same events by what is known of their units; a day without events has none."""
    (batch,) = problem.naive(made.data, made.cfg, cards.AS_OF)
    (scored,) = problem.predict(made.data, made.cfg, made.model, threads=1)
    assert batch["entity"].equals(scored["entity"])
    with pytest.raises(TrainingError, match="no event is known on 2026"):
        list(problem.naive(made.data, made.cfg, date(2026, 1, 1)))
    with pytest.raises(TrainingError, match="say nothing of those of"):
        problem.moved(pa.table({}), made.cfg, cards.AS_OF)


def test_settings_that_could_only_fail_later_are_refused(made: Made) -> None:
    """A parameter no estimator has, and a mode only forecasts have."""
    model = made.cfg.model.model_copy(update={"params": {"max_itr": 3}})
    with pytest.raises(ConfigError, match="did you mean `max_iter`"):
        problem.check(made.cfg.model_copy(update={"model": model}))
    with pytest.raises(ConfigError, match="use 'refit'"):
        problem.check(made.cfg.model_copy(update={"model": made.cfg.model.model_copy(update={"mode": "update"})}))


def test_estimates_stand_beside_what_matured_and_are_muted_when_wrong(made: Made) -> None:
    """True probabilities give estimates that are shown; the same scores with labels turned round mute them."""
    rng = np.random.default_rng(0)
    n = 4_000
    p = rng.beta(0.3, 4.0, n).astype(np.float32)
    day = np.sort(rng.integers(0, 20, n)).astype(np.int32) + epoch_day(cards.AS_OF)
    published = pa.table({"ds": pa.array(day).cast(pa.date32()), "y_hat": p})
    y, ripe = (rng.random(n) < p).astype(np.float32), day <= day.max() - 5
    for labels, muted in ((y, False), (1 - y, True)):
        matured: Any = SimpleNamespace(day=day[ripe], y=labels[ripe], forecasts={"served": p[ripe]})
        for one in late(made.cfg, published, matured):
            assert [d.matured for d in one.days] == [True] * 15 + [False] * 5
            assert one.trust.muted is muted, one.trust.reason
        for told, one in zip(
            late_estimates(made.cfg, published, matured), late(made.cfg, published, matured), strict=True
        ):
            assert told.muted == (one.trust.reason if muted else "")
            assert (told.day, told.estimate) == (one.days[-1].day, one.days[-1].estimate)
            assert (told.checked, told.realised) == (one.days[14].day, one.days[14].realised)
