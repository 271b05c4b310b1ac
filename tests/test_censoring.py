"""Demand nobody saw: days without stock are missing, not zero, and the spiral they lead to raises an alarm."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.config.files import load_pipeline
from perennial.contracts import Finding
from perennial.errors import ConfigError
from perennial.features.censoring import censored, sold_out, unlikely_silence
from perennial.features.panel import Rows
from perennial.kinds import kind
from perennial.kinds.base import Stocked
from perennial.models.forecaster import retired
from perennial.monitoring.spiral import QUIET_DAYS, spirals
from tests.panels import day, dense, gather, pipeline
from tests.test_judge import judged, measured

NAN = np.nan
DAYS = 140
forecast = kind("forecast")


def shop(seed: int = 0, empty_from: int = DAYS) -> tuple[np.ndarray, np.ndarray]:
    """Return four steady sellers and the stock of each; the first runs out on a day and is not ordered again."""
    rng = np.random.default_rng(seed)
    sold = rng.poisson(np.array([[4.0], [3.0], [5.0], [2.0]]), (4, DAYS)).astype(float)
    on_hand = np.full((4, DAYS), 20.0)
    sold[0, empty_from:], on_hand[0, empty_from:] = 0, 0
    return sold, on_hand


def cfg(**stockouts: Any) -> Any:
    """Return a pipeline that is told of stock-outs."""
    data = {"source": {"type": "files", "path": "sales.parquet"}}
    columns = {"entity": "item", "ds": "day", "y": "sold", "extra": {"on_hand": "stock"}}
    return pipeline(data={**data, "columns": columns}, forecast={"horizon": 7, "stockouts": stockouts})


def test_no_stock_is_told_from_unknown_stock() -> None:
    """Zero on hand hides demand; a stock that nobody counted proves nothing."""
    assert sold_out(np.array([[0, 3, NAN, -1]], np.float32)).tolist() == [[True, False, False, True]]


def test_a_daily_seller_is_missed_after_days_and_a_rare_one_after_months() -> None:
    """The same ten quiet days are a stock-out of one series and an ordinary week of the other."""
    y = np.zeros((2, 100), np.float32)
    y[0, :90] = 5
    y[1, 0:90:9] = 5
    found = unlikely_silence(y, alpha=0.001, longest=28)
    assert np.flatnonzero(found[0]).tolist() == list(range(91, 100))
    assert not found[1].any()


def test_a_silence_that_lasts_is_the_end_of_the_series() -> None:
    """After `longest` known days zero is zero again, so that what nobody sells any more is not asked for."""
    y = np.concatenate([np.ones(60), np.zeros(60)])[None].astype(np.float32)
    assert np.flatnonzero(unlikely_silence(y, alpha=0.001, longest=10)).tolist() == list(range(61, 70))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.0, 2.0, NAN]), min_size=40, max_size=90), st.integers(30, 80))
def test_what_is_masked_does_not_depend_on_the_future(series: list[float], cut: int) -> None:
    """Days up to t are masked alike whether or not the days after t are known."""
    y = np.array([series], np.float32)
    whole = unlikely_silence(y, alpha=0.05, longest=9)
    assert whole[:, :cut].tolist() == unlikely_silence(y[:, :cut], alpha=0.05, longest=9).tolist()
    assert not (whole & ~(y == 0)).any()


def test_ordinary_silences_are_rarely_taken_for_stock_outs() -> None:
    """Of independent days far fewer than one silence in a thousand is flagged at alpha 0.0001."""
    y = (np.random.default_rng(1).random((200, 700)) < 0.4).astype(np.float32)
    found = unlikely_silence(y, alpha=0.0001, longest=28)
    begins = found & ~np.roll(found, 1, axis=1)
    assert begins.sum() < 0.001 * (y[:, 1:] < y[:, :-1]).sum()


def test_days_without_stock_are_missing_in_the_panel() -> None:
    """Their target is unknown, whatever was sold; nothing else is touched; without settings nothing is."""
    sold, on_hand = shop(empty_from=100)
    panel = gather(cfg(on_hand="on_hand"), DAYS - 1, dense(sold, on_hand=on_hand))
    assert np.isnan(panel.y[0, 100:]).all()
    assert panel.y[:, :100].tolist() == sold[:, :100].tolist()
    assert panel.censored is not None
    assert panel.censored.sum() == 40
    assert "on_hand" not in panel.observed
    plain = gather(pipeline(), DAYS - 1, dense(sold, on_hand=on_hand))
    assert plain.censored is None
    assert plain.y.tolist() == sold.tolist()


def test_stock_stays_at_zero_until_a_row_says_otherwise() -> None:
    """A day without a row is a day without a sale: masked if the last row said that nothing was left."""
    on_hand = np.array([[2, 0, NAN, NAN, 3, NAN]])
    sold = np.array([[4, 2, NAN, NAN, 1, NAN]])
    others = np.ones((1, 6))
    rows = dense(np.concatenate([sold, others]), on_hand=np.concatenate([on_hand, others]))
    panel = gather(cfg(on_hand="on_hand"), 5, rows)
    assert np.nan_to_num(panel.y[0], nan=-1).tolist() == [4, -1, -1, -1, 1, 0]


def test_masking_keeps_the_forecast_where_demand_is() -> None:
    """Trained on zeros of an empty shelf the model forecasts nearly nothing; masked, it forecasts what sells."""
    sold, on_hand = shop(empty_from=105)
    means = {}
    for name, how in (("masked", {"on_hand": "on_hand"}), ("taken for demand", {})):
        settings_ = cfg(**how)
        panel = gather(settings_, DAYS - 1, dense(sold, on_hand=on_hand))
        split = forecast.split(panel, settings_)
        fitted = forecast.train(panel, split, settings_, champion=None, threads=1)
        (batch,) = forecast.predict(panel, settings_, fitted.model, threads=1)
        means[name] = np.mean(batch["y_hat"].to_numpy()[:7])
        rows = forecast.evaluate(panel, split, settings_, {"candidate": fitted.model}, 1).rows
        assert (rows.entity == 0).any() == (name == "taken for demand")
    assert means["masked"] > 2.0
    assert means["taken for demand"] < 0.5


def test_days_without_stock_do_not_retire_a_series() -> None:
    """Thirty quiet days retire a series that could have been sold, and not one that could not."""
    sold, on_hand = shop(empty_from=105)
    rows = Rows(entity=np.zeros(1, np.int32), origin=np.array([DAYS - 1], np.int32), horizon=np.ones(1, np.int32))
    masked = gather(cfg(on_hand="on_hand"), DAYS - 1, dense(sold, on_hand=on_hand))
    plain = gather(cfg(), DAYS - 1, dense(sold, on_hand=on_hand))
    assert not retired(masked, rows, 30).any()
    assert retired(plain, rows, 30).all()


def test_inferred_days_add_to_counted_ones() -> None:
    """With both told, a day is masked if either says so."""
    sold, on_hand = shop(empty_from=120)
    on_hand[:] = 9
    on_hand[1, 50] = 0
    found = censored(
        sold.astype(np.float32), on_hand.astype(np.float32), cfg(on_hand="on_hand", infer=True).forecast.stockouts
    )
    assert found[1].sum() == 1
    assert 10 < found[0, 120:].sum() < 20


def published(*means: float) -> pa.Table:
    """Return a publication of the last day with one forecast for each entity."""
    names = [chr(97 + n) for n in range(len(means))]
    as_of = pa.array([day(DAYS - 1)] * len(means), pa.date32())
    return pa.table({"entity": names, "as_of": as_of, "y_hat": pa.array(means, pa.float32())})


def test_the_spiral_is_found_where_nothing_else_is_wrong() -> None:
    """Out of stock, forecast as zero, sold before: found; forecast as before, or in stock: not."""
    sold, on_hand = shop(empty_from=DAYS - 20)
    panel = gather(cfg(on_hand="on_hand"), DAYS - 1, dense(sold, on_hand=on_hand))
    assert isinstance(forecast, Stocked)
    assert forecast.spirals(panel, cfg(), published(0, 0, 5, 2)) == ("a",)
    assert forecast.spirals(panel, cfg(), published(4, 3, 5, 2)) == ()
    plain = gather(cfg(), DAYS - 1, dense(sold, on_hand=on_hand))
    assert forecast.spirals(plain, cfg(), published(0, 3, 5, 2)) == ()


@pytest.mark.parametrize(("silent", "told"), [(QUIET_DAYS - 1, False), (QUIET_DAYS, True), (182, True), (183, False)])
def test_the_alarm_waits_two_weeks_and_gives_up_after_half_a_year(silent: int, told: bool) -> None:
    """A day without stock is no spiral yet, and what has been gone for long is no surprise any more."""
    sold = np.concatenate([np.full(100, 3.0), np.zeros(silent)])[None]
    found = spirals(sold, sold == 0, np.zeros(1))
    assert len(found.rows) == told
    assert not told or found.usual.tolist() == [3.0]


def test_the_spiral_is_told_although_every_error_is_fine() -> None:
    """The monitor names the products, though accuracy is what it always was."""
    (found,) = judged(measured(spiral=("85123A", "22423")))
    assert isinstance(found, Finding)
    assert (found.cause, found.level) == ("spiral", "warning")
    assert "2 out of stock" in found.summary
    assert "85123A" in found.summary


def test_a_stock_column_that_is_not_mapped_is_a_problem_with_its_line(tmp_path: Any) -> None:
    """The configuration is refused before any data is read."""
    file = tmp_path / "shop.yaml"
    file.write_text(
        "pipeline: shop\nkind: forecast\n"
        "data: {source: {type: files, path: a.csv}, columns: {entity: a, ds: d, y: y}}\n"
        "forecast: {stockouts: {on_hand: stock}}\n"
        "gates: [{metric: wape, against: baseline}]\n"
    )
    with pytest.raises(ConfigError, match=r"stockouts.*`stock` is not in data.columns.extra"):
        load_pipeline(file)
