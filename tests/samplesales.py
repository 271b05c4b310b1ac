"""Real sales of the bundled Online Retail II table, simple forecasts of them, and pictures of both.

The two "models" are blends of averages, so that a sample costs a second and no fit.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.contracts import Chart, TestRows

AS_OF = date(2011, 11, 20)
HORIZON, HISTORY = 28, 400
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_SALES = Path(__file__).parents[1] / "data/online_retail_ii/daily_sales.parquet"
_SATURDAY = 5
Floats = npt.NDArray[np.float32]


@cache
def sales() -> tuple[npt.NDArray[np.str_], Floats]:
    """Return product codes and units, shape (n_products, HISTORY), the last column being ``AS_OF``."""
    table = pd.read_parquet(_SALES, columns=["date", "product", "units"])
    day = HISTORY - 1 - (pd.Timestamp(AS_OF) - pd.to_datetime(table["date"])).dt.days
    table = table.assign(day=day, product=table["product"].astype(str))[day.between(HISTORY - 182, HISTORY - 1)]
    codes = np.sort(table["product"].unique())[::3]
    table = table[table["product"].isin(codes)]
    units = np.zeros((codes.size, HISTORY), dtype=np.float32)
    units[np.searchsorted(codes, table["product"]), table["day"]] = table["units"]
    return codes.astype(np.str_), units


def _open(origin: int, back: int) -> npt.NDArray[np.int64]:
    days = np.arange(origin - back + 1, origin + 1)
    return days[[day_of(int(d)).weekday() != _SATURDAY for d in days]]


def day_of(column: int) -> date:
    """Return the date of a column of :func:`sales`."""
    return AS_OF - timedelta(days=HISTORY - 1 - column)


def _forecasts(origin: int, horizon: int) -> dict[str, Floats]:
    """Forecast the days after ``origin`` in six ways, each of shape (n_products, horizon)."""
    _, y = sales()
    ahead = np.arange(1, horizon + 1)

    def weekdays(weeks: int) -> Floats:
        return np.stack(
            [y[:, [origin + h - 7 * ((h - 1) // 7 + 1 + w) for w in range(weeks)]].mean(1) for h in ahead], 1
        )

    def mean(days: int) -> Floats:
        return np.repeat(y[:, _open(origin, days)].mean(1, keepdims=True), horizon, axis=1)

    def capped(days: int) -> Floats:
        past = y[:, _open(origin, days)]
        return np.minimum(past, np.quantile(past, 0.95, axis=1, keepdims=True)).mean(1, keepdims=True)

    week = weekdays(4).sum(0)
    shape = week / week[week > 0].mean()
    return {
        "candidate": (0.7 * capped(28) + 0.3 * capped(84)) * 1.25 * shape,
        "champion": 0.6 * mean(56) + 0.4 * weekdays(4),
        "last_value": np.repeat(y[:, _open(origin, 2)[-1:]], horizon, axis=1),
        "seasonal_naive": weekdays(1),
        "weekday_mean": weekdays(8),
        "moving_average": mean(28),
    }


def origins() -> tuple[int, ...]:
    """Return the columns of the four rolling origins."""
    return tuple(HISTORY - 1 - HORIZON + step for step in range(0, HORIZON, 7))


@cache
def rows(*, champion: bool = True) -> TestRows:
    """Return the test rows of four rolling origins over the last 28 days; closed days are no rows."""
    codes, y = sales()
    parts = [_window(i, origin) for i, origin in enumerate(origins())]
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    skipped = () if champion else ("champion",)
    names = [k for k in _forecasts(origins()[0], 1) if k not in skipped]
    past = y[:, : origins()[0] + 1]
    scale_sq = (np.diff(past, axis=1).astype(np.float64) ** 2).mean(1)
    range_of = np.unique([c[:2] for c in codes], return_inverse=True)[1].astype(np.int32)
    by_range = np.stack([np.bincount(range_of, weights=units) for units in past.T], axis=1)
    total = past.sum(0, dtype=np.float64)
    return TestRows(
        entities=codes,
        entity=joined["entity"].astype(np.int32),
        window=joined["window"].astype(np.int16),
        horizon=joined["horizon"].astype(np.int16),
        day=joined["day"].astype(np.int32),
        y=joined["y"].astype(np.float32),
        forecasts={name: joined[name].astype(np.float32) for name in names},
        levels=LEVELS,
        quantiles={n: _quantiles(joined, 56 if n == "candidate" else 112) for n in names[: 1 + champion]},
        scale_abs=np.abs(past[:, 7:] - past[:, :-7]).mean(1, dtype=np.float64),
        scale_sq=scale_sq,
        weight=past[:, -28:].sum(1, dtype=np.float64) / past[:, -28:].sum(dtype=np.float64),
        slices=_slices(past),
        groups={
            "total": np.zeros(codes.size, np.int32),
            "range": range_of,
            "entity": np.arange(codes.size, dtype=np.int32),
        },
        group_scale_sq={
            "total": (np.diff(total) ** 2).mean(keepdims=True),
            "range": (np.diff(by_range, axis=1) ** 2).mean(1),
            "entity": scale_sq,
        },
    )


def _slices(past: Floats) -> dict[str, npt.NDArray[np.str_]]:
    volume = np.argsort(np.argsort(-past.sum(1))) / len(past)
    busy = (past[:, -182:] > 0).mean(1)
    return {
        "volume": np.select([volume < 0.1, volume < 0.4], ["A", "B"], "C"),
        "intermittency": np.select([busy > 0.5, busy > 0.15], ["smooth", "intermittent"], "lumpy"),
    }


def _window(index: int, origin: int) -> dict[str, npt.NDArray[np.generic]]:
    """Return one window's rows, one array per column of :class:`TestRows`."""
    codes, y = sales()
    ahead = np.array([h for h in range(1, HISTORY - origin) if day_of(origin + h).weekday() != _SATURDAY])
    forecasts = {k: v[:, ahead - 1].ravel() for k, v in _forecasts(origin, HISTORY - 1 - origin).items()}
    epoch = (day_of(0) - date(1970, 1, 1)).days
    return forecasts | {
        "entity": np.repeat(np.arange(codes.size), ahead.size),
        "window": np.full(codes.size * ahead.size, index),
        "horizon": np.tile(ahead, codes.size),
        "day": np.tile(epoch + origin + ahead, codes.size),
        "y": y[:, origin + ahead].ravel(),
    }


def _quantiles(joined: Mapping[str, npt.NDArray[np.generic]], days: int) -> Floats:
    """Return each product's own quantiles of the open days before the first origin, shape (n_rows, n_levels)."""
    _, y = sales()
    own = np.quantile(y[:, _open(origins()[0], days)], LEVELS, axis=1).T * 1.15
    return own[joined["entity"].astype(np.int64)].astype(np.float32)


def chart(title: str, note: str, products: npt.NDArray[np.int64] | slice, *, spread: float) -> Chart:
    """Return eight weeks of sales and the forecast of the first window; closed days hold nothing."""
    _, y = sales()
    origin, first = origins()[0], HISTORY - 84
    days = [day_of(c) for c in range(first, HISTORY)]
    ahead = _forecasts(origin, HORIZON)
    known: list[float | None] = [None] * (origin + 1 - first)

    def closed(values: list[float | None]) -> tuple[float | None, ...]:
        return tuple(None if d.weekday() == _SATURDAY else v for d, v in zip(days, values, strict=True))

    lines = {name: known + ahead[name][products].sum(0).tolist() for name in ("candidate", "champion", "weekday_mean")}
    middle = np.array(lines["candidate"][len(known) :], dtype=np.float64)
    return Chart(
        title=title,
        note=note,
        dates=tuple(d.isoformat() for d in days),
        lines={"actual": closed(y[products, first:].sum(0).tolist())} | {k: closed(v) for k, v in lines.items()},
        low=closed(known + (middle * max(0.0, 1 - spread)).tolist()),
        high=closed(known + (middle * (1 + 1.3 * spread)).tolist()),
        level=0.9,
    )


def charts() -> tuple[Chart, ...]:
    """Return the total and the four products that sell most."""
    codes, y = sales()
    top = np.argsort(-y[:, -84:].sum(1))[:4]
    total = chart(
        "All products together", "Sales rise towards Christmas; Saturdays are closed.", slice(None), spread=0.3
    )
    own = [chart(str(codes[i]), "One of the products that sell most.", np.array([i]), spread=1.4) for i in top]
    return (total, *own)
