"""The forecasting problem from rows to published columns, on series of every awkward sort."""

import tracemalloc
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from perennial.errors import ConfigError, TrainingError
from perennial.features import Panel
from perennial.features.panel import grid
from perennial.kinds import kind
from perennial.kinds.coverage import warn_of_gaps
from perennial.kinds.forecast import quantile_column
from perennial.kinds.sampling import CALIBRATION_DAYS, draw, split_days
from perennial.kinds.slices import slice_names
from perennial.kinds.testrows import mean_change, successive
from perennial.models.baselines import BASELINES
from perennial.registry.canonical import dumps, loads
from tests.panels import day, dense, gather, pipeline, table

NAN = np.nan
DAYS = 120
forecast = kind("forecast")


def shop(seed: int = 0) -> np.ndarray:
    """Return eight series: four regular, then intermittent, all zero, three points long, brand-new."""
    rng = np.random.default_rng(seed)
    week = 1 + np.arange(DAYS) % 7
    values = np.full((8, DAYS), NAN)
    values[:4] = rng.poisson(week * np.array([[1.0], [2.0], [4.0], [0.5]]))
    values[4] = rng.poisson(0.05, DAYS)
    values[5] = 0
    values[6, [10, 60, 110]] = 4
    values[7, -1] = 3
    return values


def trained(values: Any, cfg: Any, champion: Any = None) -> tuple[Panel, Any, Any]:
    """Return panel, split and fit of a matrix of sales."""
    panel = gather(cfg, DAYS - 1, dense(values))
    split = forecast.split(panel, cfg)
    return panel, split, forecast.train(panel, split, cfg, champion=champion, threads=1)


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "lightgbm", "random_forest", "linear"])
def test_every_sort_of_series_comes_through(name: str) -> None:
    """Each estimator forecasts every entity and day of the horizon with ordered, finite quantiles."""
    cfg = pipeline(model={"estimator": name, "params": {}, "rows": 1_000})
    panel, _, fitted = trained(shop(), cfg)
    (batch,) = forecast.predict(panel, cfg, fitted.model, threads=1)
    table = batch.to_pandas()
    assert list(batch.schema.names) == ["entity", "ds", "horizon", "y_hat", "q05", "q25", "q50", "q75", "q95"]
    assert table.groupby("entity")["ds"].nunique().tolist() == [7] * 8
    assert table["ds"].min() == panel.as_of + timedelta(days=1)
    quantiles = table.filter(like="q").to_numpy()
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (table["y_hat"] >= 0).all()


@pytest.mark.parametrize(
    "values",
    [np.zeros((2, DAYS)), np.full((2, DAYS), 5.0), shop()[:1], np.where(np.arange(DAYS) > 100, 3.0, NAN)[None]],
    ids=["all zero", "constant", "one series", "short"],
)
def test_degenerate_histories_train_and_evaluate(values: np.ndarray) -> None:
    """All-zero, constant and single series give a model, scores and a forecast near what was sold."""
    cfg = pipeline()
    panel, split, fitted = trained(values, cfg)
    scores = forecast.evaluate(panel, split, cfg, {"candidate": fitted.model}, 1)
    (batch,) = forecast.predict(panel, cfg, fitted.model, threads=1)
    assert np.isfinite(scores.value("candidate", "mae"))
    assert batch["y_hat"].to_numpy().mean() == pytest.approx(np.nanmean(values), rel=0.35, abs=1e-9)


def test_the_same_input_gives_the_same_model_with_any_number_of_threads() -> None:
    """Training twice, with one thread and with two, gives equal bytes, forecasts and intervals."""
    cfg = pipeline()
    panel = gather(cfg, DAYS - 1, dense(shop()))
    split = forecast.split(panel, cfg)
    runs = [forecast.train(panel, split, cfg, champion=None, threads=n).model for n in (1, 2)]
    first, second = (
        next(forecast.predict(panel, cfg, model, threads=n)) for model, n in zip(runs, (2, 1), strict=True)
    )
    assert first.equals(second)
    assert dumps(runs[0]).digest == dumps(runs[1]).digest


def test_windows_roll_over_the_held_out_days() -> None:
    """Origins step through the holdout, no target is trained on, and no window reaches past the as-of date."""
    cfg = pipeline(split={"holdout": 14, "step": 5, "gap": 3})
    panel = gather(cfg, DAYS - 1, dense(shop()))
    split = forecast.split(panel, cfg)
    left = [(panel.as_of - w.origin).days for w in split.windows]
    assert (panel.as_of - split.train_end).days == 17
    assert (left, [w.horizon for w in split.windows]) == ([14, 9, 4], [7, 7, 4])
    assert (split.entities, split.new_entities) == (8, ("h",))


def test_too_little_history_is_an_error() -> None:
    """Nothing is left to train on when the holdout covers all days."""
    cfg = pipeline()
    panel = gather(cfg, 9, dense(np.ones((1, 10))))
    with pytest.raises(TrainingError, match="10 days of history, but "):
        forecast.split(panel, cfg)


def test_days_kept_for_intervals_are_not_trained_on() -> None:
    """Calibration days cover all weekdays near the end and are disjoint from training days."""
    panel = gather(pipeline(), DAYS - 1, dense(shop()))
    days = split_days(panel, DAYS - 15, 500)
    assert not set(days.training) & set(days.calibration)
    assert len(days.calibration) == CALIBRATION_DAYS
    assert len({int(day) % 7 for day in days.calibration}) == 7


def test_rows_are_drawn_from_known_targets_only() -> None:
    """Each drawn target is known and lies on an allowed day; the same seed draws the same rows."""
    panel = gather(pipeline(), DAYS - 1, dense(shop()))
    columns = np.arange(20, 90, dtype=np.int32)
    one, two = (draw(panel, columns, 50, 7, np.random.default_rng(4), None) for _ in range(2))
    assert len(one) == 50
    assert np.isfinite(panel.y[one.entity, one.target]).all()
    assert set(one.target) <= set(columns)
    assert set(one.horizon) <= set(range(1, 8))
    np.testing.assert_array_equal(one.origin, two.origin)


def test_closed_days_are_not_forecast() -> None:
    """A shop that is closed on Sundays gets no rows for Sundays."""
    cfg = pipeline(forecast={"closed_weekdays": ["sun"]})
    panel, _, fitted = trained(shop(), cfg)
    (batch,) = forecast.predict(panel, cfg, fitted.model, threads=1)
    assert {d.as_py().weekday() for d in batch["ds"]} == set(range(6))


def test_retired_series_are_forecast_as_zero() -> None:
    """A series that has not sold for longer than configured is zero in every quantile."""
    values = shop()
    values[0, 60:] = 0
    cfg = pipeline(forecast={"retired_after_days": 30})
    panel, _, fitted = trained(values, cfg)
    (batch,) = forecast.predict(panel, cfg, fitted.model, threads=1)
    rows = batch.to_pandas().query("entity == 'a'")
    assert (rows[["y_hat", "q95"]] == 0).all(axis=None)


def test_an_update_continues_the_champion() -> None:
    """The champion's stages stay as they are and one small stage is added; without a champion it is a refit."""
    cfg = pipeline(model={"mode": "update", "update_trees": 3})
    values = shop()
    _, _, first = trained(values, cfg)
    _, _, second = trained(np.where(np.arange(DAYS) > 90, values * 2, values), cfg, champion=first.model)
    assert (first.training.mode, second.training.mode) == ("refit", "update")
    assert second.model.stages[0] is first.model.stages[0]
    assert [s.n_iter_ for s in second.model.stages] == [15, 3]
    assert len(first.model.stages) == 1


def test_bags_are_models_of_their_own_rows_and_seeds() -> None:
    """The first bag is what one bag would be; the others differ; rows are counted together, gains shared out."""
    single, bagged = (trained(shop(), pipeline(model={"rows": 1_000, "bags": n}))[2] for n in (1, 3))
    rows = [model.predict(bagged.training.example) for model in bagged.model.stages]
    np.testing.assert_array_equal(rows[0], single.model.stages[0].predict(single.training.example))
    assert len(np.unique(rows, axis=0)) == 3
    assert [model.random_state for model in bagged.model.stages] == [0, 1, 2]
    assert bagged.training.rows == 3 * single.training.rows
    assert bagged.model.divisors == [3, 3, 3]
    assert sum(bagged.training.importance.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["hist_gradient_boosting", "lightgbm"])
def test_bags_give_the_same_bytes(name: str) -> None:
    """Trained twice, the stored model has one digest, and it forecasts the same after it was loaded."""
    cfg = pipeline(model={"estimator": name, "params": {}, "rows": 1_000, "bags": 2})
    panel = gather(cfg, DAYS - 1, dense(shop()))
    split = forecast.split(panel, cfg)
    one, two = (forecast.train(panel, split, cfg, champion=None, threads=1).model for _ in range(2))
    blob = dumps(one)
    assert blob.digest == dumps(two).digest
    batches = [next(forecast.predict(panel, cfg, m, threads=1)) for m in (one, loads(blob.data, blob.digest))]
    assert batches[0].equals(batches[1])


@pytest.mark.slow
def test_bags_are_fitted_one_after_another() -> None:
    """Four bags take hardly more memory than one: the input of only one of them is held."""
    panel = gather(pipeline(), DAYS - 1, dense(np.random.default_rng(0).poisson(2.0, (400, DAYS))))
    split = forecast.split(panel, pipeline())

    one, four = (pipeline(model={"rows": 30_000, "bags": n, "params": {"max_iter": 2}}) for n in (1, 4))
    forecast.train(panel, split, one, champion=None, threads=1)  # what is loaded and compiled once does not count
    peaks = []
    for cfg in (one, four):
        tracemalloc.start()
        forecast.train(panel, split, cfg, champion=None, threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]  # it is 1.04, and 1.59 if every input is kept


def test_a_bag_in_whose_rows_nothing_was_sold_is_left_out() -> None:
    """The others are averaged among themselves."""
    values = np.zeros((14, DAYS))
    values[3, 51] = 5
    panel, _, fitted = trained(values, pipeline(model={"rows": 1_000, "bags": 10}))
    kept = len(fitted.model.stages)
    assert 0 < kept < 10
    assert fitted.model.divisors == [kept] * kept
    (batch,) = forecast.predict(panel, pipeline(), fitted.model, threads=1)
    assert np.isfinite(batch["y_hat"].to_numpy()).all()


def test_an_update_appends_bags_that_all_continue_the_champion() -> None:
    """Two bags after three: each stage is an average, and the champion is left as it was."""
    values = shop()
    settings: dict[str, Any] = {"mode": "update", "update_trees": 3}
    _, _, first = trained(values, pipeline(model=settings | {"bags": 3}))
    _, _, second = trained(values * 2, pipeline(model=settings | {"bags": 2}), champion=first.model)
    assert [s.n_iter_ for s in second.model.stages] == [15, 15, 15, 3, 3]
    assert second.model.divisors == [3, 3, 3, 2, 2]
    assert first.model.divisors == [3, 3, 3]
    after, before = (fitted.model.mean(second.training.example, 1).sum() for fitted in (second, first))
    assert after > 1.05 * before


def test_an_update_needs_an_estimator_that_can_be_continued() -> None:
    """A linear model has nothing to append to."""
    _, _, first = trained(shop(), pipeline())
    cfg = pipeline(model={"estimator": "linear", "mode": "update", "params": {}})
    with pytest.raises(ConfigError, match="update is not possible with linear"):
        trained(shop(), cfg, champion=first.model)


def promoted(known_on: int) -> tuple[Any, Panel]:
    """Return a pipeline and its panel, promotions (known so many days after their day) doubling sales."""
    source = {"source": {"type": "files", "path": "x"}, "columns": {"ds": "day", "extra": {"promo": "p"}}}
    cfg = pipeline(known={"promos": source}, forecast={"known": ["promo"]})
    days = np.arange(DAYS + 7)
    promo = (days * 7919 % 13 < 4).astype(np.float64)
    promos = table(None, days.tolist(), known=(days + known_on).tolist(), promo=promo)
    return cfg, gather(cfg, DAYS - 1, dense(np.tile(10.0 + 10 * promo[:DAYS], (3, 1))), promos=promos)


@pytest.mark.parametrize(("known_on", "seen"), [(0, 0), (-3, 3), (-7, 7)])
def test_evaluated_and_published_inputs_know_the_same(
    known_on: int, seen: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A covariate is as unknown in the test windows as in the forecast; what most days lack is warned of."""
    cfg, panel = promoted(known_on)
    split = forecast.split(panel, cfg)
    model = forecast.train(panel, split, cfg, champion=None, threads=1).model
    origins = [*(panel.column(window.origin) for window in split.windows), panel.n_days - 1]
    rows = [grid(np.arange(3, dtype=np.int32), origin, origin + 1 + np.arange(7)) for origin in origins]
    inputs = [model.design(panel, asked, 1)[:, list(model.features).index("promo")] for asked in rows]
    for found, asked in zip(inputs, rows, strict=True):
        np.testing.assert_array_equal(np.isfinite(found), asked.horizon <= seen)
    list(forecast.predict(panel, cfg, model, threads=1))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (seen < 4)
    assert not told or f"'promo' has no value for {100 * (7 - seen) / 7:.0f}% of the days" in told[0]


def test_a_rare_event_that_is_not_ahead_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Most days have no event, and nothing is wrong with that unless events come to be known too late."""
    source = {"source": {"type": "files", "path": "x"}, "columns": {"ds": "day", "extra": {"event": "e"}}}
    cfg = pipeline(known={"events": source}, forecast={"known": ["event"]})
    for known, told in (([0, 0], 0), ([20, 90], 1)):
        panel = gather(cfg, DAYS - 1, dense(shop()), events=table(None, [20, 90], known=known, event=[1.0, 1.0]))
        warn_of_gaps(panel, cfg, panel.n_days + np.arange(7, dtype=np.int32))
        assert len(caplog.records) == told


def test_every_contender_is_scored_on_the_same_rows() -> None:
    """Candidate, champion and four baselines forecast each known target of each window."""
    cfg = pipeline(evaluation={"slices": ["volume", "intermittency", "novelty"]})
    panel, split, fitted = trained(shop(), cfg)
    found = forecast.evaluate(panel, split, cfg, {"candidate": fitted.model, "champion": fitted.model}, 1)
    rows = found.rows
    assert set(rows.forecasts) == {"candidate", "champion", *BASELINES}
    assert {len(f) for f in rows.forecasts.values()} == {len(rows.y)}
    assert np.isfinite(rows.y).all()
    assert rows.weight.sum() == pytest.approx(1)
    assert found.value("candidate", "rmse") < found.value("moving_average", "rmse")
    assert [c.title for c in found.charts][:2] == ["All series together", "c"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("seasonal_naive", [8, 9, 10, 11, 12, 13, 7, 8]),
        ("weekday_mean", [4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 7, 4.5]),
        ("last_value", [14] * 8),
        ("moving_average", [7.5] * 8),
    ],
)
def test_baselines_repeat_the_past(name: str, wanted: list[float]) -> None:
    """Fourteen days 1..14 with day 14 known; the newest same weekday, their mean, the last value, the mean."""
    series = np.arange(1.0, 15.0)
    panel = gather(pipeline(), 13, dense(series[None]))
    if name in ("seasonal_naive", "weekday_mean"):
        wanted[6] = 14 if name == "seasonal_naive" else 10.5
    assert BASELINES[name](panel, 13, 8)[0].tolist() == wanted


def test_scales_equal_the_obvious_loop() -> None:
    """Mean changes start at the first sale and skip pairs with an unknown end."""
    history = np.array([[NAN, 0, 2, NAN, 3, 7], [NAN] * 6], np.float32)
    begin = np.array([2, 6], np.int32)
    np.testing.assert_array_equal(mean_change(history, begin, 1, squared=True), [16, NAN])
    np.testing.assert_array_equal(mean_change(history, begin, 2, squared=False), [1, NAN])


def test_a_weekly_table_has_a_scale() -> None:
    """Where never two days in a row are open, a step is from one open day to the next."""
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    own = week[day(0).weekday()]
    cfg = pipeline(forecast={"closed_weekdays": [one for one in week if one != own]})
    values = np.full((2, 70), NAN)
    values[:, ::7] = [[1, 2, 4, 7, 11, 16, 22, 29, 37, 46], [5] * 9 + [6]]
    panel = gather(cfg, 69, dense(values))
    days = successive(panel, 69)
    assert days.tolist() == list(range(0, 70, 7))
    steps = mean_change(panel.y[:, days], np.zeros(2, np.int32), 1, squared=True)
    np.testing.assert_allclose(steps, [np.mean(np.arange(1, 10) ** 2), 1 / 9])
    assert len(successive(gather(pipeline(), 69, dense(values)), 69)) == 70


def test_slices_tell_series_apart() -> None:
    """Best sellers, demand classes and new series are labelled from training days; others are refused."""
    panel = gather(pipeline(), DAYS - 1, dense(shop()))
    found = slice_names(panel, DAYS - 1, ("volume", "intermittency", "novelty"))
    assert found["volume"].tolist() == list("AAABCCCC") or found["volume"][2] == "A"
    assert found["intermittency"].tolist()[4:6] == ["intermittent", "inactive"]
    assert found["novelty"].tolist() == ["old"] * 7 + ["new"]
    with pytest.raises(ConfigError, match="'colour' is not one of volume"):
        slice_names(panel, DAYS - 1, ("colour",))


def test_kinds_are_found_by_name() -> None:
    """An unknown kind is refused with the list of known ones."""
    with pytest.raises(ConfigError, match="'classifier' is not one of forecast"):
        kind("classifier")


@pytest.mark.parametrize(("level", "name"), [(0.05, "q05"), (0.5, "q50"), (0.975, "q97_5"), (0.9, "q90")])
def test_quantile_columns_are_named_by_percent(level: float, name: str) -> None:
    """Column names sort and read well."""
    assert quantile_column(level) == name
