"""The panel and the features: against a slow oracle, and blind to whatever lies after the origin."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perennial.errors import ConfigError, TrainingError
from perennial.features import Panel, Rows, as_known, design, feature_names
from perennial.features.calendar import REACH, calendar, holiday_distance
from perennial.features.panel import epoch_day, grid
from tests.panels import dense, gather, pipeline, table

DAYS = 40
UNITS = st.sampled_from([np.nan, 0.0, 0.0, 1.0, 2.0, 7.0])
MATRIX = arrays(np.float64, (3, DAYS), elements=UNITS).filter(lambda m: np.isfinite(m).any())
FEATURES = {"lags": [0, 3], "windows": [7, 28], "spreads": [7], "weekday_means": [2, 4]}


def everything(panel: Panel, origin: int, cfg: Any, **more: Any) -> np.ndarray:
    """Return the features of every entity and horizon standing on one column."""
    f = cfg.forecast
    rows = grid(np.arange(panel.n_entities, dtype=np.int32), origin, origin + 1 + np.arange(f.horizon))
    names = {name: labels.names for name, labels in panel.static.items()}
    names |= {name: column.names for name, column in panel.known.items()}
    more = {"features": feature_names(f, panel), "categories": names} | more
    return design(panel, rows, settings=f, **more)


def oracle(panel: Panel, row: int, now: int, ahead: int) -> list[float]:
    """Compute the history features of FEATURES the obvious way, from a slice that ends at the origin."""
    low = panel.begin[row] if panel.begin[row] <= now else panel.first[row]
    past = [float(v) for v in panel.y[row, low : now + 1]]
    if not past:
        return [np.nan] * 11

    def mean(values: list[float]) -> float:
        known = [v for v in values if not np.isnan(v)]
        return float(np.mean(known)) if known else np.nan

    known = [v for v in past[-7:] if not np.isnan(v)]
    lags = [past[-1 - k] if k < len(past) else np.nan for k in (0, 3)]
    zeros = [mean([float(v == 0) if not np.isnan(v) else np.nan for v in past[-w:]]) for w in (28, 182)]
    sold = [k for k, v in enumerate(reversed(past)) if v > 0]
    same = [past[c - low] for c in range(now, low - 1, -1) if (now + ahead - c) % 7 == 0]
    return [
        *lags,
        *(mean(past[-w:]) for w in (7, 28)),
        float(np.std(known)) if known else 0.0,
        *zeros,
        float(sold[0]) if sold else np.nan,
        float(len(past)),
        *(mean(same[:n]) for n in (2, 4)),
    ]


@settings(max_examples=25, deadline=None)
@given(values=MATRIX, origin=st.integers(0, DAYS - 1), trim=st.booleans())
def test_history_equals_the_oracle(values: np.ndarray, origin: int, trim: bool) -> None:
    """Compiled features equal those computed from a plain list of the past."""
    cfg = pipeline(forecast={"horizon": 9, "features": FEATURES, "absent": "missing", "trim_leading_zeros": trim})
    panel = gather(cfg, DAYS - 1, dense(values))
    origin = min(origin, panel.n_days - 1)
    found = everything(panel, origin, cfg)[:, :11].reshape(panel.n_entities, 9, 11)
    wanted = [[oracle(panel, row, origin, h) for h in range(1, 10)] for row in range(panel.n_entities)]
    np.testing.assert_allclose(found, np.array(wanted), rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(values=MATRIX, prices=arrays(np.float64, (3, DAYS), elements=st.floats(1, 9)), cut=st.integers(8, DAYS - 1))
def test_features_do_not_change_when_later_rows_are_deleted(values: np.ndarray, prices: np.ndarray, cut: int) -> None:
    """As-of invariance: standing on day t, rows after t make no difference to any feature."""
    cfg = pipeline(
        data={"columns": {"entity": "item", "ds": "day", "y": "sold", "extra": {"paid": "paid"}}},
        forecast={"horizon": 7, "observed": ["paid"], "features": {"holidays": "GB"}},
    )
    rows = dense(values, paid=prices)
    if np.isnan(values[:, : cut + 1]).all():
        return
    whole, cut_off = gather(cfg, DAYS - 1, rows), gather(cfg, cut, rows)
    same = np.flatnonzero(np.isin(whole.entities, cut_off.entities))
    full = everything(whole, whole.column(cut_off.as_of), cfg).reshape(whole.n_entities, 7, -1)[same]
    np.testing.assert_array_equal(full.reshape(-1, full.shape[2]), everything(cut_off, cut_off.n_days - 1, cfg))


def test_the_number_of_threads_and_the_order_of_rows_change_nothing() -> None:
    """Blocks of rows are computed apart, and every row only depends on itself."""
    cfg = pipeline()
    rng = np.random.default_rng(0)
    panel = gather(cfg, DAYS - 1, dense(rng.poisson(1.0, (9, DAYS))))
    rows = [rng.integers(low, high, 200).astype(np.int32) for low, high in ((0, 9), (-3, DAYS), (1, 8))]
    rows[1] = np.minimum(rows[1], DAYS - 1)
    asked = Rows(entity=rows[0], origin=rows[1], horizon=rows[2])
    args: dict[str, Any] = {"settings": cfg.forecast, "features": feature_names(cfg.forecast, panel), "categories": {}}
    one, three = (design(panel, asked, threads=n, **args) for n in (1, 3))
    order = np.argsort(asked.entity)
    sorted_rows = Rows(entity=rows[0][order], origin=rows[1][order], horizon=rows[2][order])
    np.testing.assert_array_equal(one, three)
    np.testing.assert_array_equal(one[order], design(panel, sorted_rows, **args))


@pytest.mark.parametrize("batch", [1, 3, 1_000])
def test_the_latest_known_value_of_a_day_wins(batch: int) -> None:
    """Restatements replace what was known before, in whatever order and batches they are read."""
    rows = table(["a", "a", "a", "b"], [0, 0, 1, 1], known=[5, 0, 1, 1], y=[9.0, 1.0, 2.0, 3.0])
    assert gather(pipeline(), 5, rows, batch).y[0, 0] == 9
    assert gather(pipeline(), 1, rows, batch).y[0, 0] == 1


@pytest.mark.parametrize("batch", [1, 2, 1_000])
def test_a_static_column_that_changes_has_the_value_of_the_newest_day(batch: int) -> None:
    """Late and restated rows, and rows in any order, leave an attribute as it was known last of its newest day."""
    columns = {"columns": {"entity": "item", "ds": "day", "y": "sold", "extra": {"kind": "kind"}}}
    cfg = pipeline(data=columns, forecast={"static": ["kind"]})
    kinds = ["new", "old", None, "mended", "plain", "other"]
    rows = table(["a", "a", "a", "b", "b", "c"], [3, 0, 4, 2, 2, 1], known=[3, 5, 4, 4, 2, 1], y=[1.0] * 6, kind=kinds)
    found = gather(cfg, 5, rows, batch).static["kind"]
    assert [found.names[code] for code in found.codes] == ["new", "mended", "other"]


@pytest.mark.parametrize(("absent", "cell"), [("zero", 0.0), ("missing", np.nan)])
def test_absence_means_what_the_configuration_says(absent: str, cell: float) -> None:
    """A day without a row is zero or unknown, but unknown before the first row and where nobody has one."""
    cfg = pipeline(forecast={"absent": absent})
    panel = gather(cfg, 4, table(["a", "a", "b", "b"], [1, 4, 0, 2], y=[2.0, 3.0, 1.0, 4.0]))
    np.testing.assert_array_equal(panel.y[0], [np.nan, 2, cell, np.nan, 3])


def test_closed_weekdays_have_no_value() -> None:
    """Day 5 is a Saturday: closed, whatever the source says."""
    panel = gather(pipeline(forecast={"closed_weekdays": ["sat"]}), 6, table(["a"] * 7, range(7), y=[1.0] * 7))
    assert np.flatnonzero(np.isnan(panel.y[0])).tolist() == [5]
    assert not panel.open[5]
    assert panel.open[6]


def test_a_series_starts_at_its_first_sale_once_there_is_one() -> None:
    """Leading zeros are cut off when a sale is known, and are all that is known before."""
    panel = gather(pipeline(), 3, table(["a"] * 4, range(4), y=[0.0, 0.0, 5.0, 1.0]))
    assert [panel.started(c)[0] for c in range(4)] == [0, 0, 2, 2]


def covariates() -> Any:
    """Return a pipeline with a price by entity, a text event for all and a static column."""
    prices = {"columns": {"entity": "item", "ds": "day", "extra": {"price": "p"}}, "fill": "forward"}
    events = {"columns": {"ds": "day", "extra": {"event": "e"}}}
    source = {"source": {"type": "files", "path": "x"}}
    return pipeline(
        data={"columns": {"entity": "item", "ds": "day", "y": "sold", "extra": {"shelf": "shelf"}}},
        known={"prices": {**source, **prices}, "events": {**source, **events}},
        forecast={"known": ["price", "event"], "static": ["shelf"]},
    )


def covered() -> Panel:
    """Return two series with prices from before the first day, one event and a shelf each."""
    main = table(["b", "a"] * 3, [0, 0, 1, 1, 2, 2], y=[1.0] * 6, shelf=["top", "low"] * 3)
    prices = table(["a", "a", "a", "z"], [-9, -2, 4, 0], known=[-9] * 4, price=[1.0, 2.0, 3.0, 8.0])
    events = table(None, [3, 4], known=[-9] * 2, event=["sale", None])
    return gather(covariates(), 2, main, prices=prices, events=events)


def test_known_covariates_reach_over_the_horizon() -> None:
    """Values hold until the next one where asked, text becomes codes, an unknown entity is left out."""
    panel = covered()
    np.testing.assert_array_equal(panel.known["price"].values[0], [2, 2, 2, 2, 3, 3, 3, 3, 3, 3])
    assert np.isnan(panel.known["price"].values[1]).all()
    assert panel.known["event"].names == ("sale",)
    assert np.flatnonzero(np.isfinite(panel.known["event"].values[0])).tolist() == [3]
    assert [panel.static["shelf"].names[c] for c in panel.static["shelf"].codes] == ["low", "top"]


@settings(max_examples=25, deadline=None)
@given(
    price=arrays(np.float64, (2, 20), elements=UNITS.map(lambda v: v or 3.0)),
    event=arrays(np.bool_, 20),
    known=arrays(np.int64, (3, 20), elements=st.integers(-9, 30)),
    cut=st.integers(1, 12),
)
def test_known_covariates_are_seen_as_they_were_known(
    price: np.ndarray, event: np.ndarray, known: np.ndarray, cut: int
) -> None:
    """As-of invariance: rows that became available after the origin make no difference, whatever their day."""
    main = table(["a", "b"] * 13, np.repeat(np.arange(13), 2).tolist(), y=[1.0] * 26, shelf=["low"] * 26)
    cells = [(row, col) for row, col in np.ndindex(2, 20) if np.isfinite(price[row, col])]
    days, when = [col for _, col in cells], [int(known[cell]) for cell in cells]
    prices = table(["ab"[row] for row, _ in cells], days, known=when, price=[price[cell] for cell in cells])
    names = pa.array(["fair" if on else None for on in event], pa.string())
    tables = {"prices": prices, "events": table(None, range(20), known=known[2].tolist(), event=names)}
    if min([*when, 99]) > cut or known[2].min() > cut:
        return
    cfg = covariates()
    late, early = gather(cfg, 12, main, **tables), gather(cfg, cut, main, **tables)
    more: dict[str, Any] = {"categories": {"shelf": ["low"], "event": ["fair"]}}
    np.testing.assert_array_equal(everything(late, cut, cfg, **more), everything(early, cut, cfg, **more))


def test_a_value_holds_until_the_next_one_is_known() -> None:
    """A price of day 4, known on day 3, is not seen on day 2: there the one before holds; an event is unknown."""
    main = table(["a"] * 4, range(4), y=[1.0] * 4, shelf=["low"] * 4)
    prices = table(["a"] * 3, [-9, 1, 4], known=[-9, 0, 3], price=[1.0, 2.0, 3.0])
    events = table(None, [4, 5], known=[3, 2], event=["fair", "fair"])
    panel, rows = gather(covariates(), 3, main, prices=prices, events=events), np.array([0, 2, 3], dtype=np.int32)
    asked = Rows(entity=np.zeros(3, dtype=np.int32), origin=rows, horizon=4 - rows)
    assert as_known(panel.known["price"], asked).tolist() == [2, 2, 3]
    assert np.isfinite(as_known(panel.known["event"], asked)).tolist() == [False, False, True]
    assert panel.known["price"].ahead.dtype == np.int16
    assert panel.known["event"].ahead[0, 4:6].tolist() == [1, 3]


def test_a_row_from_before_the_panel_is_not_seen_before_it_is_known() -> None:
    """A price of long ago that landed on day 2 is unknown on day 1."""
    main = table(["a"] * 4, range(4), y=[1.0] * 4, shelf=["low"] * 4)
    prices, events = table(["a"], [-50], known=[2], price=[2.0]), table(None, [0], event=["fair"])
    panel = gather(covariates(), 3, main, prices=prices, events=events)
    asked = Rows(
        entity=np.zeros(2, dtype=np.int32), origin=np.array([1, 2], np.int32), horizon=np.array([1, 1], np.int32)
    )
    np.testing.assert_array_equal(as_known(panel.known["price"], asked), [np.nan, 2])


def test_names_a_model_has_not_seen_are_minus_one() -> None:
    """Codes follow the order of the model's own list; a column the panel lacks is nan."""
    cfg, panel = covariates(), covered()
    known = {"shelf": ["mid", "top"], "event": ["fair", "sale"]}
    found = everything(panel, 2, cfg, features=[*feature_names(cfg.forecast, panel), "gone"], categories=known)
    names = [*feature_names(cfg.forecast, panel), "gone"]
    assert found[[0, 7], names.index("shelf")].tolist() == [-1, 1]
    assert found[:2, names.index("event")].tolist() == [1, -1]
    assert found[1, names.index("price_vs_recent")] == 1.5
    assert np.isnan(found[:, -1]).all()


def test_text_where_a_number_is_needed_is_an_error() -> None:
    """An observed covariate must be a number, and the message says which column is not."""
    cfg = pipeline(
        data={"columns": {"entity": "item", "ds": "day", "y": "sold", "extra": {"paid": "paid"}}},
        forecast={"observed": ["paid"]},
    )
    with pytest.raises(TrainingError, match="'paid' is string"):
        gather(cfg, 0, table(["a"], [0], y=[1.0], paid=["x"]))


def test_missing_rows_are_an_error() -> None:
    """Neither an empty snapshot nor a covariate without any row gives a panel."""
    with pytest.raises(TrainingError, match="no row is visible"):
        gather(pipeline(), 0, table(["a"], [3], y=[1.0]))
    empty = table(None, [], event=pa.array([], pa.string()))
    with pytest.raises(TrainingError, match="known covariates 'price', 'event'"):
        gather(covariates(), 0, table(["a"], [0], y=[1.0], shelf=["x"]), prices=empty, events=empty)


@given(offset=st.integers(-20_000, 40_000))
def test_calendar_agrees_with_the_standard_library(offset: int) -> None:
    """Every calendar feature equals what `datetime` says of the same day."""
    then = date(1970, 1, 1) + timedelta(days=offset)
    wanted = {
        "day_of_week": then.weekday(),
        "day_of_month": then.day,
        "week_of_year": (then.timetuple().tm_yday - 1) // 7,
        "month": then.month,
        "trend": offset,
    }
    assert {name: calendar(name, np.array([offset]))[0] for name in wanted} == wanted


def test_holidays_are_counted_from_both_sides() -> None:
    """Christmas 2024 is followed by Boxing Day; far from any holiday the distance is cut off."""
    days = [epoch_day(date(2024, 12, d)) for d in (1, 24, 25, 26, 27)]
    assert holiday_distance("GB", np.array(days)).tolist() == [-REACH, -1, 0, 0, 1]
    with pytest.raises(ConfigError, match="no calendar for 'ATLANTIS'"):
        holiday_distance("ATLANTIS", np.array(days))
