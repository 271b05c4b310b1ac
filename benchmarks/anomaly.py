"""Anomalies in real data: NAB's real known causes, and the invoice lines of Online Retail II.

Usage: ``python -m benchmarks.anomaly --data ../shared/data`` (or ``make bench-anomaly DATA=../shared/data``).

NAB: both contenders score every value knowing only earlier ones; the first 15 % of a series is warm-up, as in NAB. A
threshold holds for a day and is the level that the largest scores of *earlier days of the same series* exceeded as
often as the budget (alarms a week) allows: no label is used. After an alarm there is none for a day. The baseline is
NAB's windowed Gaussian (window 6,400, renewed every 100 values) by its absolute z, so that its scores do not saturate.
A false alarm is one outside every window; weeks are those outside the windows.

Online Retail II: invoice lines of products with a price, in time order; trained on the first year, judged on the rest
but for the last week. Labels come from what happened *afterwards* and are seen by no contender:
*cancelled bulk orders*, lines of at least 100 GBP that a cancellation of the same customer, product, quantity and
price took back within 7 days; *price errors*, lines taken back so and invoiced again to the same customer at a price
more than 20 % away within 7 days. An alert speaks for an invoice; thresholds are learned on the first year. JSON comes
last.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from perennial.config.anomaly import Anomaly, Measure
from perennial.evaluation.budget import alerted, learn_threshold, most_a_day
from perennial.features.unusual import Events, compare
from perennial.kinds.detected import naive_scores
from perennial.models.anomalies import fit_scorer
from perennial.models.planting import plant
from perennial.models.seasonal import CUTOFF, DAY_MIN, SeasonalSettings, budget_thresholds, raised, seasonal_scores

WARM_UP = 0.15
PER_WEEK = (0.5, 1.0, 2.0)
HEADLINE = 1.0
"""Alarms a week of the headline figures, fixed before any was computed."""
WINDOW, RENEW = 6400, 100
BACK = pd.Timedelta(days=7)
BULK_GBP = 100
OTHER_PRICE = 1.2
CONFIG = Anomaly(
    measures={
        "price": Measure(columns=("price",), unit=0.01),
        "quantity": Measure(columns=("quantity",)),
        "amount": Measure(columns=("price", "quantity"), unit=0.1),
    },
    peers=("product", "customer"),
    repeats=("product", "customer", "quantity", "price"),
    seconds="second",
    group="invoice",
    budget=10,
    plant={"price": 100.0, "quantity": 50.0},
    plants=30,
)

Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One NAB series in time order: minutes since 1970, values, and whether each lies in a labelled window."""

    name: str
    minute: npt.NDArray[np.int64]
    values: Doubles
    inside: Mask


def nab(data: Path) -> Iterator[Series]:
    """Yield the series."""
    table = pd.read_parquet(data / "anomaly" / "nab_real_known_cause.parquet")
    for name, rows in table.groupby("series", observed=True):
        rows = rows.sort_values("timestamp", kind="stable")
        yield Series(
            name=str(name).split("/")[-1].removesuffix(".csv"),
            minute=rows["timestamp"].to_numpy().astype("datetime64[m]").astype(np.int64),
            values=rows["value"].to_numpy(np.float64),
            inside=rows["in_window"].to_numpy(bool),
        )


def windowed_gaussian(values: Doubles) -> Doubles:
    """Return the absolute z of NAB's windowed Gaussian detector, each value against the window before it."""
    out = np.full(len(values), np.nan)
    window, buffer = list(values[:1]), []
    mean, deviation = float(values[0]), 1e-6
    for n in range(1, len(values)):
        out[n] = abs(values[n] - mean) / deviation
        if len(window) < WINDOW:
            window.append(values[n])
            renewed = True
        else:
            buffer.append(values[n])
            renewed = len(buffer) == RENEW
            if renewed:
                window, buffer = window[RENEW:] + buffer, []
        if renewed:
            now = np.asarray(window)
            mean, deviation = float(now.mean()), float(now.std()) or 1e-6
    return out


def ours(series: Series) -> Doubles:
    """Return the scores of the robust seasonal baseline, in slots of the series' own step."""
    step = int(np.median(np.diff(series.minute)))
    settings = SeasonalSettings(step=step, spans=(step, 60, DAY_MIN))
    return seasonal_scores(series.minute, series.values, settings)


def alarms(series: Series, score: Doubles, per_week: float, at_least: float) -> dict[str, float]:
    """Return windows, windows found, false alarms and weeks outside windows, after the warm-up."""
    begin = int(WARM_UP * len(score))
    threshold = budget_thresholds(score, series.minute // DAY_MIN, per_week, at_least=at_least)
    late = np.where(np.arange(len(score)) >= begin, score, np.nan)
    found = raised(late, threshold, series.minute, DAY_MIN)
    number = np.cumsum(np.diff(series.inside.astype(int), prepend=0) == 1) * series.inside
    there = set(number[begin:].tolist()) - {0}
    step = float(np.median(np.diff(series.minute)))
    return {
        "windows": len(there),
        "found": len(set(number[found].tolist()) & there),
        "false": int((~series.inside[found]).sum()),
        "weeks": float((~series.inside[begin:]).sum()) * step / (7 * DAY_MIN),
    }


def bench_nab(data: Path) -> dict[str, Any]:
    """Return recall of windows and false alarms a week by contender and budget, and by series at the headline one."""
    every = list(nab(data))
    contenders = {
        "baseline": ([windowed_gaussian(one.values) for one in every], 0.0),
        "baseline_3_sigma": (None, 3.0),
        "champion": ([ours(one) for one in every], CUTOFF),
    }
    out: dict[str, Any] = {}
    for name, (scores, least) in contenders.items():
        scores = contenders["baseline"][0] if scores is None else scores
        for per_week in PER_WEEK:
            each = [alarms(one, score, per_week, least) for one, score in zip(every, scores, strict=True)]
            total = {key: sum(one[key] for one in each) for key in each[0]}
            figures: dict[str, Any] = {
                "recall": round(total["found"] / total["windows"], 3),
                "found": f"{total['found']} of {total['windows']}",
                "false_alarms_per_week": round(total["false"] / total["weeks"], 2),
            }
            if per_week == HEADLINE:
                figures["by_series"] = {
                    one.name: f"{r['found']}/{r['windows']}, {r['false']} false"
                    for one, r in zip(every, each, strict=True)
                }
            out.setdefault(name, {})[f"{per_week:g}_a_week"] = figures
    return out


def retail(data: Path) -> tuple[pd.DataFrame, dict[str, Mask]]:
    """Return the lines of sales in time order, and what later turned out to be wrong with them."""
    rows = pd.read_parquet(data / "retail" / "online_retail_ii_transactions.parquet")
    rows = rows[~rows["overlap_duplicate"]].sort_values("InvoiceDate", kind="stable")
    rows = rows.assign(
        StockCode=rows["StockCode"].astype(str), customer=rows["CustomerID"].astype("float64").fillna(-1)
    )
    sold = rows["StockCode"].str.match(r"\d{5}") & (rows["Price"] > 0)
    cancelled = rows["Invoice"].str.startswith("C")
    sales = rows[sold & ~cancelled & (rows["Quantity"] > 0)].reset_index(drop=True)
    back = _taken_back(sales, rows[sold & cancelled & (rows["customer"] >= 0)])
    bulk = back & (sales["Quantity"] * sales["Price"] >= BULK_GBP).to_numpy()
    return sales, {"cancelled_bulk_orders": bulk, "price_errors": back & _other_price(sales, back)}


def _taken_back(sales: pd.DataFrame, cancelled: pd.DataFrame) -> Mask:
    keys = ["customer", "StockCode", "Quantity", "Price"]
    left = sales[[*keys, "InvoiceDate"]].reset_index(names="row")
    right = cancelled.assign(Quantity=-cancelled["Quantity"], back=cancelled["InvoiceDate"])[[*keys, "back"]]
    both = left.merge(right, on=keys)
    soon = (both["back"] >= both["InvoiceDate"]) & (both["back"] <= both["InvoiceDate"] + BACK)
    out = np.zeros(len(sales), bool)
    out[both.loc[soon, "row"].unique()] = True
    return out


def _other_price(sales: pd.DataFrame, back: Mask) -> Mask:
    keys = ["customer", "StockCode"]
    left = sales.loc[back, [*keys, "InvoiceDate", "Price"]].reset_index(names="row")
    again = sales[[*keys, "InvoiceDate", "Price"]].rename(columns={"InvoiceDate": "again", "Price": "other"})
    both = left.merge(again, on=keys)
    soon = (both["again"] >= both["InvoiceDate"]) & (both["again"] <= both["InvoiceDate"] + BACK)
    ratio = both["Price"] / both["other"]
    out = np.zeros(len(sales), bool)
    out[both.loc[soon & ((ratio > OTHER_PRICE) | (ratio < 1 / OTHER_PRICE)), "row"].unique()] = True
    return out


def bench_retail(data: Path, threads: int) -> dict[str, Any]:
    """Return what each contender finds within the budget in the second year."""
    sales, labels = retail(data)
    events = _events(sales)
    first, last = int(events.day[0]), int(events.day[-1])
    trained = (events.day >= first + 28) & (events.day < first + 365)
    judged = (events.day >= first + 365) & (events.day <= last - BACK.days)
    model = fit_scorer(events, trained, CONFIG, threads=threads)
    before, now = compare(events, trained, CONFIG), compare(events, judged, CONFIG)
    planted = plant(now, events.day[judged], CONFIG, seed=0)
    out: dict[str, Any] = {}
    for name in ("largest", "gaussian", "champion"):

        def scores(compared: Any, name: str = name) -> Doubles:
            return model.judge(compared).score if name == "champion" else naive_scores(name, compared, model)

        threshold = learn_threshold(scores(before), events.day[trained], events.group[trained], CONFIG.budget)
        day, group = events.day[judged], events.group[judged]
        alerts = alerted(scores(now), day, group, threshold, most_a_day(CONFIG.budget, CONFIG.most))
        found = np.isin(group, group[alerts])
        wrong = np.logical_or.reduce([label[judged] for label in labels.values()])
        missed = scores(planted.compared) < threshold
        out[name] = {
            "alerts_a_day": round(float(alerts.sum()) / len(np.unique(day)), 1),
            **{f"recall_{key}": round(float(found[label[judged]].mean()), 3) for key, label in labels.items()},
            "alerts_with_a_label": round(float(np.isin(group[alerts], group[wrong]).mean()), 3),
            "missed_injected": {
                e: round(float(missed[planted.error == e].mean()), 3) for e in np.unique(planted.error)
            },
        }
    groups = events.group[judged]
    out["labels"] = {key: int(label[judged].sum()) for key, label in labels.items()}
    out["chance"] = round(CONFIG.budget * len(np.unique(events.day[judged])) / len(np.unique(groups)), 3)
    return out


def _events(sales: pd.DataFrame) -> Events:
    price, quantity = sales["Price"].to_numpy(np.float64), sales["Quantity"].to_numpy(np.float64)

    def codes(column: Any) -> npt.NDArray[np.int32]:
        return pd.factorize(column)[0].astype(np.int32)

    customer = np.where(sales["customer"] >= 0, codes(sales["customer"]), -1).astype(np.int32)
    same = sales.groupby(["StockCode", "customer", "Quantity", "Price"], observed=True).ngroup()
    return Events(
        day=sales["InvoiceDate"].to_numpy().astype("datetime64[D]").astype(np.int32),
        measures={"price": price, "quantity": quantity, "amount": price * quantity},
        peers={"product": codes(sales["StockCode"]), "customer": customer},
        same=same.to_numpy(np.int32),
        hour=sales["InvoiceDate"].dt.hour.to_numpy(np.int32),
        group=codes(sales["Invoice"]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with anomaly/ and retail/")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    series, lines = bench_nab(options.data), bench_retail(options.data, options.threads)
    head = f"{HEADLINE:g}_a_week"
    figures = {
        "baseline": {"nab": series["baseline"][head], "retail": lines["gaussian"]},
        "champion": {"nab": series["champion"][head], "retail": lines["champion"]},
        "nab": series,
        "retail": lines,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
