"""Replenishment from rows to orders, on a small shop: what is chosen, judged, ordered and matured."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from perennial.config.models import Pipeline
from perennial.contracts import Snapshot, TablePin
from perennial.errors import TrainingError
from perennial.evaluation.gates import judge
from perennial.features.panel import epoch_day
from perennial.kinds import kind
from perennial.registry.canonical import dumps, loads
from tests.panels import day, dense, pipeline, table

DAYS = 240
replenish = kind("replenish")
HOW = {"pack": 6, "order_cost": 0.2, "lead_days": 2, "choose_days": 28, "shelf_days": 0}


def cfg(**how: Any) -> Pipeline:
    """Return a pipeline of the kind."""
    extra = {name: name for name in ("on_hand", "on_order") if name in how}
    columns = {"entity": "item", "ds": "day", "y": "sold", "extra": extra}
    known = {
        "plan": {
            "source": {"type": "predictions", "pipeline": "demand"},
            "columns": {"entity": "entity", "ds": "ds", "available_at": "available_at", "extra": {"y_hat": "y_hat"}},
        }
    }
    return pipeline(
        pipeline="orders",
        kind="replenish",
        forecast={},
        data={"source": {"type": "files", "path": "sales.parquet"}, "columns": columns},
        known=known if "forecast" in how else {},
        replenish=HOW | how,
        split={"holdout": 28, "step": 28},
        gates=[{"metric": "cost", "against": "baseline"}, {"metric": "unmet", "against": "bound", "max": 0.2}],
    )


def shop(seed: int = 0) -> np.ndarray:
    """Return six products: steady, slow, lumpy, and one that nobody has bought for long."""
    rng = np.random.default_rng(seed)
    rate = np.array([[8.0], [5.0], [3.0], [1.0], [0.3]])
    sold = rng.poisson(rate, (5, DAYS)).astype(float)
    sold[4] *= 12
    return np.concatenate([sold, np.zeros((1, DAYS))])


def loaded(settings: Pipeline, main: pa.Table, plan: pa.Table | None = None, as_of: int = DAYS - 1) -> Any:
    """Load a shop as of a day."""
    pins = {name: TablePin(table=name, version=0, landings=()) for name in ("main", "plan")}
    snapshot = Snapshot(
        snapshot_id="s",
        pipeline="orders",
        as_of=day(as_of),
        cutoff=None,  # type: ignore[arg-type]
        main=pins["main"],
        known={"plan": pins["plan"]} if plan is not None else {},
    )
    keep = pa.array([d <= day(as_of) for d in main["ds"].to_pylist()])
    tables = {"main": main.filter(keep), "plan": plan}
    return replenish.load(settings, snapshot, lambda pin: iter(tables[pin.table].to_batches()))


@pytest.fixture(scope="module")
def run() -> tuple[Pipeline, Any, Any, Any]:
    """Train once."""
    settings = cfg()
    data = loaded(settings, dense(shop()))
    split = replenish.split(data, settings)
    return settings, data, split, replenish.train(data, split, settings, champion=None, threads=1)


def test_the_candidate_beats_ordering_last_week_and_foresight_beats_all(run: Any) -> None:
    """Every contender is played on the same days; perfect foresight is what excess cost is measured from."""
    settings, data, split, fitted = run
    found = replenish.evaluate(data, split, settings, {"candidate": fitted.model}, 1)
    assert set(found.rows.forecasts) == {"candidate", "last_week", "point_plus_safety"}
    assert found.value("candidate", "cost") < found.value("last_week", "cost")
    assert min(found.value(name, "excess_cost") for name in found.rows.forecasts) > 0
    assert found.rows.day.min() == epoch_day(split.train_end) + 1
    assert all(np.isfinite(verdict.value) for verdict in judge(found, settings.gates).verdicts)


def test_the_model_is_stored_as_plain_values_and_training_repeats_itself(run: Any) -> None:
    """The same days give the same bytes, and they load without pickle."""
    settings, data, split, fitted = run
    again = replenish.train(data, split, settings, champion=None, threads=1)
    blob = dumps(fitted.model)
    assert blob.digest == dumps(again.model).digest
    assert loads(blob.data, blob.digest).classes == fitted.model.classes


def test_what_is_chosen_depends_on_no_held_out_day(run: Any) -> None:
    """Replacing the held-out sales by anything else changes nothing."""
    settings, _, _, fitted = run
    other = shop()
    other[:, -28:] = 99
    data = loaded(settings, dense(other))
    again = replenish.train(data, replenish.split(data, settings), settings, champion=None, threads=1)
    assert again.model.classes == fitted.model.classes


def test_orders_are_whole_packs_of_every_product_for_the_next_day(run: Any) -> None:
    """Quantities are packs; what has not sold for half a year is not ordered."""
    settings, data, _, fitted = run
    (batch,) = replenish.predict(data, settings, fitted.model, threads=1)
    rows = batch.to_pandas()
    assert rows["entity"].tolist() == list("abcdef")
    assert set(rows["ds"]) == {day(DAYS)}
    assert (rows["y_hat"] % 6 == 0).all()
    assert rows["y_hat"].iloc[5] == 0
    assert rows["expected"].iloc[0] == pytest.approx(16, rel=0.3)  # two days at eight


def test_the_published_forecast_is_what_is_ordered_by(run: Any) -> None:
    """Where it expects a rush the order is larger than without; elsewhere nothing changes."""
    _, data, _, fitted = run
    settings = cfg(forecast="plan")
    plan = table(["a", "a"], [DAYS, DAYS + 1], y_hat=pa.array([40.0, 30.0]), known=[DAYS - 1, DAYS - 1])
    informed = loaded(settings, dense(shop()), plan)
    assert informed.mean[0] == 70
    assert np.isnan(informed.mean[1:]).all()
    (before,), (after,) = (
        replenish.predict(one, how, fitted.model, threads=1) for one, how in ((data, cfg()), (informed, settings))
    )
    assert after["expected"].to_pylist()[0] == 70
    assert after["y_hat"].to_pylist()[0] >= before["y_hat"].to_pylist()[0]
    assert after["y_hat"].to_pylist()[1:] == before["y_hat"].to_pylist()[1:]


def test_counted_stock_counts(run: Any) -> None:
    """A full shelf orders nothing, an empty one does; days without stock are no demand."""
    *_, fitted = run
    sold, on_hand, on_order = shop(), np.full((6, DAYS), 500.0), np.zeros((6, DAYS))
    on_hand[1], on_order[2], on_hand[3] = 1.0, 40.0, np.nan
    settings = cfg(on_hand="on_hand", on_order="on_order")
    counted = dense(sold, on_hand=on_hand, on_order=on_order)
    (batch,) = replenish.predict(loaded(settings, counted), settings, fitted.model, threads=1)
    (book,) = replenish.predict(loaded(cfg(), dense(sold)), cfg(), fitted.model, threads=1)
    assert batch["on_hand"].to_pylist()[:3] == [500, 1, 500]
    assert batch["on_order"].to_pylist()[:3] == [0, 0, 40]
    assert batch["y_hat"].to_pylist()[0] == 0
    assert batch["y_hat"].to_pylist()[1] > 0
    for name in ("on_hand", "on_order"):  # nobody counted the fourth: that is not the same as none
        assert batch[name].to_pylist()[3] == book[name].to_pylist()[3]


def test_half_a_count_is_refused() -> None:
    """Without what is on its way the same units would be ordered every evening until they arrive."""

    def complaint(**how: Any) -> str:
        settings = cfg(**how)
        return " ".join(message for _, message in settings.problem.problems(settings))

    assert "is required with `on_hand`" in complaint(on_hand="on_hand")
    assert "is read with `on_hand` only" in complaint(on_order="on_order")
    assert complaint(on_hand="on_hand", on_order="on_order") == ""
    assert complaint(on_hand="on_hand", lead_days=1) == ""  # nothing is on its way in the evening


def test_the_fallback_orders_on_evenings_of_review_alone() -> None:
    """What the last week sold is ordered once a week, not on each of its evenings."""
    settings = cfg(review_days=7)
    ordered = []
    for back in range(7):
        data = loaded(settings, dense(shop()), as_of=DAYS - 1 - back)
        rows = pa.Table.from_batches(list(replenish.naive(data, settings, day(DAYS - 1 - back))))
        ordered.append(sum(rows["y_hat"].to_pylist()))
    assert sorted(ordered)[:6] == [0] * 6
    assert max(ordered) > 0


def test_published_orders_mature_into_cost_and_fill_rate(run: Any) -> None:
    """Orders of the last two weeks are played on the sales that came; ordering nothing costs more."""
    settings, data, _, _ = run
    rows = [(name, k) for k in range(DAYS - 15, DAYS) for name in "abcde"]
    as_of = pa.array([day(k) for _, k in rows], pa.date32())
    usual = dict(zip("abcde", (8.0, 5.0, 3.0, 1.0, 4.0), strict=True))
    costs = {}
    for name, share in (("usual", 1.0), ("nothing", 0.0)):
        y_hat = pa.array([usual[entity] * share for entity, _ in rows], pa.float32())
        published = pa.table({"entity": [entity for entity, _ in rows], "as_of": as_of, "y_hat": y_hat})
        found = replenish.mature(data, settings, published)
        assert set(found.forecasts) == {"served", "last_week", "point_plus_safety"}
        costs[name] = found.extra["cost.served"].sum()
    assert costs["usual"] < costs["nothing"]
    assert not len(replenish.mature(data, settings, published.slice(0, 0)).y)


def test_the_ladder_orders_last_week_and_never_the_same_twice(run: Any) -> None:
    """Without a model the last week's sales are ordered; an order that is on its way is not placed again."""
    settings, data, _, _ = run
    (batch,) = replenish.naive(data, settings, day(DAYS - 1))
    assert batch["y_hat"].to_pylist()[0] == pytest.approx(shop()[0, -7:].sum() / 7, abs=6)
    assert set(batch["ds"].to_pylist()) == {day(DAYS)}
    with pytest.raises(TrainingError, match="on their way"):
        replenish.moved(pa.table({"ds": []}), settings, day(DAYS))


def test_a_short_history_is_refused_with_what_is_missing() -> None:
    """The message counts the days."""
    settings = cfg()
    data = loaded(settings, dense(shop()[:, :60]), as_of=59)
    with pytest.raises(TrainingError, match="60 days of history, 84 are needed"):
        replenish.split(data, settings)


def test_a_version_is_played_again_on_what_it_was_judged_on(run: Any) -> None:
    """As contender `served`, on the same days, with the same cost."""
    settings, data, split, fitted = run
    again = replenish.backtest(data, settings, fitted.model, data.panel.as_of, threads=1)
    judged = replenish.evaluate(data, split, settings, {"candidate": fitted.model}, 1).rows
    assert again.extra["cost.served"].tolist() == judged.extra["cost.candidate"].tolist()
    assert split.windows[0].origin == data.panel.as_of - timedelta(days=28)
