"""Events against their peers, what makes them strange, and how many alerts there may be."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.config.anomaly import Anomaly, Measure
from perennial.config.files import load_pipeline
from perennial.errors import TrainingError
from perennial.evaluation.budget import alerted, caught, leaders, learn_threshold, most_a_day
from perennial.features.judgedtable import read_events
from perennial.features.peers import usual
from perennial.features.unusual import Events, compare, feature_names, logarithmic, plain
from perennial.models.anomalies import EventScorer, fit_scorer
from perennial.models.explanations import explain, sentence
from perennial.models.planting import errors_of, plant
from perennial.models.tails import fit_tail, surprise
from perennial.registry import canonical
from tests.shop import ROOT

CFG = Anomaly(
    measures={
        "price": Measure(columns=("price",), unit=0.01),
        "amount": Measure(columns=("price", "quantity"), unit=0.1),
    },
    peers=("product", "customer"),
    repeats=("product", "price", "quantity"),
    seconds="second",
    group="invoice",
    budget=2,
    trees=20,
    plant={"price": 100.0, "quantity": 50.0},
    plants=9,
)
DAYS, A_DAY = 40, 60


def shop(seed: int = 0) -> Events:
    """Return 40 days of an orderly shop: 20 products, 15 customers."""
    random = np.random.default_rng(seed)
    n = DAYS * A_DAY
    product = random.integers(0, 20, n).astype(np.int32)
    price = np.round(2.0 * (1 + product) * random.choice([1.0, 1.0, 0.9], n), 2)
    quantity = 1.0 + random.poisson(3, n)
    same = np.unique(np.column_stack([product, price, quantity]), axis=0, return_inverse=True)[1].ravel()
    return Events(
        day=np.repeat(np.arange(DAYS, dtype=np.int32) + 20_000, A_DAY),
        measures={"price": price, "amount": price * quantity},
        peers={"product": product, "customer": random.integers(-1, 15, n).astype(np.int32)},
        same=same.astype(np.int32),
        hour=np.clip(random.normal(12, 2, n), 0, 23).astype(np.int32),
        group=(np.arange(n) // 3).astype(np.int32),
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[Events, EventScorer]:
    """Return a shop and the scorer of its days 10 to 29."""
    events = shop()
    return events, fit_scorer(events, (events.day >= 20_010) & (events.day < 20_030), CFG, seed=3)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), window=st.integers(1, 9))
def test_usual_is_the_median_of_earlier_days(seed: int, window: int) -> None:
    """The compiled walk equals the definition written out, whatever is unknown or without a peer."""
    random = np.random.default_rng(seed)
    n = 40
    peer, day = random.integers(-1, 3, n).astype(np.int32), np.sort(random.integers(0, 8, n)).astype(np.int32)
    values = np.where(random.random(n) < 0.2, np.nan, random.integers(0, 9, n).astype(float))
    found = usual(peer, day, values, np.ones(n, bool), window)
    for i in range(n):
        past = [v for v, p, d in zip(values, peer, day, strict=True) if p == peer[i] and d < day[i] and not np.isnan(v)]
        past = past[-window:] if peer[i] >= 0 else []
        assert found.count[i] == len(past)
        assert not past or found.median[i] == np.median(past)
        assert not past or found.mad[i] == np.median(np.abs(np.array(past) - np.median(past)))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_logarithmic_is_undone_by_plain(values: list[float]) -> None:
    """Returns, zeros and large amounts come back."""
    given = np.array(values)
    np.testing.assert_allclose(plain(logarithmic(given, 0.01), 0.01), given, rtol=1e-9, atol=1e-9)


def test_a_score_knows_nothing_of_what_comes_later(fitted: tuple[Events, EventScorer]) -> None:
    """Deleting everything after a day changes no score of that day; the order within other days neither."""
    events, model = fitted
    until = events.day <= 20_032
    cut = Events(
        day=events.day[until],
        measures={name: values[until] for name, values in events.measures.items()},
        peers={name: codes[until] for name, codes in events.peers.items()},
        same=events.same[until],
        hour=events.hour[until],
        group=events.group[until],
    )
    whole = model.score(events, events.day == 20_032).score
    np.testing.assert_array_equal(model.score(cut, cut.day == 20_032).score, whole)


def test_the_same_seed_gives_the_same_bytes_and_they_load(fitted: tuple[Events, EventScorer]) -> None:
    """A scorer is stored without pickle, and scores the same after loading."""
    events, model = fitted
    asked = events.day == 20_035
    again = fit_scorer(events, (events.day >= 20_010) & (events.day < 20_030), CFG, seed=3, threads=2)
    blob = canonical.dumps(model)
    assert canonical.dumps(again).digest == blob.digest
    loaded = canonical.loads(blob.data, blob.digest)
    assert isinstance(loaded, EventScorer)
    np.testing.assert_array_equal(loaded.score(events, asked).score, model.score(events, asked).score)


def test_too_little_history_is_refused() -> None:
    """A scorer needs enough events to say what is rare."""
    events = shop()
    with pytest.raises(TrainingError, match="60 events to learn from; at least 256"):
        fit_scorer(events, events.day == 20_005, CFG)


def test_a_wrong_price_is_explained_by_its_product(fitted: tuple[Events, EventScorer]) -> None:
    """The words name the feature, the value, the usual one, whose it is and how far away it lies."""
    events, model = fitted
    row = int(np.flatnonzero(events.day == 20_035)[7])
    usual_price = 2.0 * (1 + events.peers["product"][row])
    price = events.measures["price"].copy()
    price[row] = usual_price * 100
    wrong = replace(events, measures={**events.measures, "price": price})
    scored = model.score(wrong, wrong.day == 20_035)
    reasons = explain(model, scored, 7)
    assert scored.score.argmax() == 7
    assert reasons[0].feature == "price vs product"
    assert reasons[0].usual == pytest.approx(usual_price)
    assert f"price {usual_price * 100:,.6g} against a usual {usual_price:,.6g} of its product" in sentence(reasons)
    assert ", 100 times" in reasons[0].words


def test_what_was_entered_twice_and_at_night_is_said_so(fitted: tuple[Events, EventScorer]) -> None:
    """Repetitions and hours have words of their own."""
    events, model = fitted
    asked = events.day == 20_035
    compared = compare(events, asked, CFG)
    repeats, share = compared.repeats.copy(), compared.hour_share.copy()
    repeats[0], share[1] = 3, 1e-7
    scored = model.judge(replace(compared, repeats=repeats, hour_share=share))
    assert "3 of the 3 in its group were entered before on its day" in explain(model, scored, 0)[0].words
    assert explain(model, scored, 1)[0].words.startswith(f"hour {compared.hour[1]:02d}, around which 0.00%")


def test_repeats_count_what_stood_in_another_group_before() -> None:
    """Two equal lines of one invoice are no repetition; an invoice entered again repeats with every line."""
    events = shop()
    first = events.group == events.group[5 * A_DAY]
    day, same, group = events.day[first], events.same[first], events.group[first]
    twice = Events(
        day=np.tile(day, 2),
        measures={name: np.tile(values[first], 2) for name, values in events.measures.items()},
        peers={name: np.tile(codes[first], 2) for name, codes in events.peers.items()},
        same=np.tile(np.append(same[:-1], same[0]), 2).astype(np.int32),
        hour=np.tile(events.hour[first], 2),
        group=np.concatenate([group, group + 1]),
    )
    found = compare(twice, np.ones(6, bool), CFG)
    assert found.repeats.tolist() == [0, 0, 0, 3, 3, 3]
    assert found.lines.tolist() == [3] * 6


def test_planted_errors_are_found_and_sound_events_are_not(fitted: tuple[Events, EventScorer]) -> None:
    """Within the budget, prices times 100 are all found; planting leaves the history alone."""
    events, model = fitted
    asked = events.day >= 20_030
    scored = model.score(events, asked)
    planted = plant(scored.compared, events.day[asked], CFG, seed=1)
    threshold = learn_threshold(scored.score, events.day[asked], events.group[asked], CFG.budget)
    caught_price = model.judge(planted.compared).score[planted.error == "price x 100"] >= threshold
    assert caught_price.all()
    assert sorted(set(planted.error)) == sorted(errors_of(CFG))
    assert len(planted.source) == CFG.plants * 10


def test_a_plant_changes_only_what_its_column_makes() -> None:
    """A wrong quantity changes the amount and not the price."""
    events = shop()
    compared = compare(events, events.day == 20_020, CFG)
    planted = plant(compared, events.day[events.day == 20_020], CFG, seed=0)
    rows = planted.error == "quantity x 50"
    before = plain(compared.value["amount"][planted.source[rows]], 0.1)
    np.testing.assert_allclose(plain(planted.compared.value["amount"][rows], 0.1), before * 50)
    np.testing.assert_array_equal(planted.compared.value["price"][rows], compared.value["price"][planted.source[rows]])


def test_surprise_is_monotone_and_goes_on_beyond_what_was_seen() -> None:
    """Larger is never less surprising; the tail of a Pareto sample is extrapolated with its exponent."""
    sample = (1 - np.random.default_rng(0).random(20_000)) ** (-1 / 3)
    tail = fit_tail(sample)
    found = surprise(tail, np.geomspace(0.5, 1e4, 50))
    assert (np.diff(found) >= 0).all()
    assert found[-1] == pytest.approx(12, abs=1.5)  # 1e4 ** -3
    assert surprise(tail, np.array([np.nan, -1.0, 0.0])).tolist() == [0, 0, 0]
    assert surprise(fit_tail(np.zeros(99)), np.array([0.0])).tolist() == [0]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), budget=st.sampled_from([0.5, 1, 3]))
def test_alerts_of_history_keep_to_the_budget(seed: int, budget: float) -> None:
    """The threshold learned from some days lets as many through on them as the budget says."""
    random = np.random.default_rng(seed)
    day, group = np.repeat(np.arange(20, dtype=np.int32), 15), random.integers(0, 100, 300).astype(np.int32)
    score = random.random(300)
    threshold = learn_threshold(score, day, group, budget)
    assert alerted(score, day, group, threshold, 100).sum() == round(20 * budget)
    assert alerted(score, day, group, -1, 2).sum() == 40


def test_an_alert_speaks_for_its_group() -> None:
    """One alert an invoice; it finds the invoice's other wrong lines, and verdicts say how good alerts were."""
    day, group = np.zeros(6, np.int32), np.array([0, 0, 1, 1, 2, 3], np.int32)
    score = np.array([5.0, 4, 3, 1, 2, 0])
    alerts = alerted(score, day, group, 2, 9)
    assert leaders(score, day, group).tolist() == [0, 2, 4, 5]
    assert alerts.tolist() == [True, False, True, False, True, False]
    found = caught(alerts, day, group, np.array([np.nan, 1, 0, np.nan, np.nan, 1]))
    assert (found.recall, found.precision, found.alerts, found.true) == (0.5, 0.5, 3, 2)
    assert math.isnan(caught(alerts, day, group, np.full(6, np.nan)).precision)
    assert most_a_day(0.3, 1.0) == 1


def test_a_budget_needs_history() -> None:
    """Without scores there is no threshold, and it is said."""
    nothing = np.empty(0, np.int32)
    with pytest.raises(TrainingError, match="no scores to learn a threshold from"):
        learn_threshold(np.empty(0), nothing, nothing, 1)


def test_settings_that_allow_no_alert_are_refused() -> None:
    """A budget under one alert a day must be allowed to bunch up."""
    with pytest.raises(ValueError, match="allows no alert"):
        Anomaly(budget=0.4, most=2)
    assert feature_names(CFG)[-2:] == ("repeats", "hour")


def test_an_event_of_no_group_speaks_for_itself() -> None:
    """Lines without an invoice are not one large invoice."""
    cfg = load_pipeline(ROOT / "configs" / "transaction_anomalies.yaml").config
    n = 4
    stamp = pa.array([datetime(2024, 5, 2, tzinfo=UTC)] * n, pa.timestamp("us", "UTC"))
    texts = {"invoice": ["i", "i", None, None], "product": ["p"] * n, "customer": ["c"] * n}
    rows = pa.table(
        {
            "entity": ["l0", "l1", "l2", "l3"],
            "ds": pa.array([date(2024, 5, 1)] * n, pa.date32()),
            "y": pa.nulls(n, pa.float64()),
            "available_at": stamp,
            **{name: pa.array(values, pa.string()) for name, values in texts.items()},
            "quantity": [1.0] * n,
            "price": [2.0] * n,
            "second": [60.0] * n,
        }
    )
    snapshot: Any = SimpleNamespace(main="main", as_of=date(2024, 5, 1))
    found = read_events(cfg, snapshot, lambda _table: iter(rows.to_batches()))
    assert found.groups.take(pa.array(found.events.group)).to_pylist() == ["i", "i", "l2", "l3"]
