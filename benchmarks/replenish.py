"""What ordering by the quantile forecast is worth, on real sales that neither forecast nor policy has seen.

Usage: ``python -m benchmarks.replenish`` (or ``make bench-replenish``), with ``--data ../shared/data/m5`` for a store
of M5 instead of the bundled shop. The last days are held out for judging; the same number of days before them choose
the parameters (the level of each class of products, the safety stock of the baseline). The forecaster of the
pipeline's configuration is trained twice, each time on targets before the days it forecasts.

Sales are taken for demand: neither data set says when a shelf was empty. Costs, lead time, packs and shelf life are
assumptions, the same for every policy, and part of the output. The last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.m5 import ROOT, Store, read_store, tables
from perennial.clock import cutoff
from perennial.config.files import load_pipeline
from perennial.config.models import Pipeline
from perennial.contracts import Snapshot, Split, TablePin
from perennial.evaluation.foresight import perfect_foresight
from perennial.evaluation.stock import result, review_days
from perennial.evaluation.tuning import Choice, Outlook, Season, ceiling, choose, chosen, policy_of
from perennial.features import Panel
from perennial.features.panel import grid
from perennial.kinds import kind
from perennial.kinds.slices import volume
from perennial.models.leadtime import daily_variance
from perennial.models.replenishment import (
    Floats,
    Ints,
    LastWeek,
    OrderUpTo,
    Policy,
    Terms,
    critical_fractile,
    whole_packs,
)

PACKS = (1, 6, 12, 24)
"""The largest that is not above the median sale of a day is the product's pack."""
SAFETY_DAYS = (0, 1, 2, 3, 4, 5, 7, 10, 14, 21, 28)
"""Safety stocks the baseline chooses from, in days of mean sales."""
MONTH = 28
BLOCK = 1024
"""Products forecast at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What the data does not say; money is in the data's currency."""

    lead_days: int
    review_days: int
    shelf_days: int
    cost_share: float = 0.6
    holding_per_year: float = 0.25
    order_cost: float = 0.5
    days: int = 56


def terms_of(panel: Panel, price: Floats, end: int, assumed: Assumed) -> Terms:
    """Return the terms of every product from what was known on column ``end``: lost is the margin."""
    size = np.where(panel.y[:, : end + 1] > 0, panel.y[:, : end + 1], np.nan)
    with np.errstate(all="ignore"):
        median = np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 1.0 for row in size])
    value = price * assumed.cost_share
    return Terms.of(
        panel.n_entities,
        lead_days=assumed.lead_days,
        review_days=assumed.review_days,
        pack=np.array(PACKS, float)[np.searchsorted(PACKS, np.maximum(median, 1), side="right") - 1],
        shelf_days=assumed.shelf_days,
        value=value,
        holding=value * assumed.holding_per_year / 365,
        waste=value,
        lost=price - value,
        order=assumed.order_cost,
    )


def forecast(panel: Panel, model: Any, products: Ints, columns: Ints, span: int, threads: int) -> Outlook:
    """Forecast, on the evening of each column, the demand of the ``span`` days after it; days are independent."""
    mean, variance = np.zeros((len(products), len(columns))), np.zeros((len(products), len(columns)))
    for start in range(0, len(products), BLOCK):
        part = products[start : start + BLOCK]
        for k, origin in enumerate(columns.tolist()):
            ahead = origin + 1 + np.arange(span, dtype=np.int32)
            ahead = ahead[panel.open[ahead]]
            found = model.predict(panel, grid(part, origin, ahead), threads=threads, group=len(ahead))
            shape = (len(part), len(ahead))
            daily = found.mean.astype(np.float64)
            spread = daily_variance(daily, found.quantiles, model.levels)
            mean[start : start + BLOCK, k] = daily.reshape(shape).sum(axis=1)
            variance[start : start + BLOCK, k] = spread.reshape(shape).sum(axis=1)
    most = ceiling(panel.y[products, : columns[0]], np.full(len(products), span))
    return Outlook(mean=mean, variance=variance, ceiling=most)


def season(
    panel: Panel, cfg: Pipeline, first: int, price: Floats, assumed: Assumed, threads: int
) -> tuple[Season, Ints]:
    """Train on the days before column ``first`` and forecast the days from it on; also return which products take part.

    That is every product that sold something in the 182 days before.
    """
    before = first - 1
    split = Split(train_end=panel.day(before), windows=(), entities=panel.n_entities, new_entities=())
    model = kind("forecast").train(panel, split, cfg, champion=None, threads=threads).model
    products = np.flatnonzero(np.nansum(panel.y[:, max(0, first - 182) : first], axis=1) > 0).astype(np.int32)
    terms = terms_of(panel, price, before, assumed).take(products)
    columns = np.arange(first, first + assumed.days, dtype=np.int32)
    span = assumed.lead_days + assumed.review_days - 1
    rate = np.nan_to_num(panel.y[products, first - MONTH : first].astype(np.float64)).sum(axis=1) / MONTH
    return (
        Season(
            demand=panel.y[products][:, columns].astype(np.float64),
            terms=terms,
            start=whole_packs(rate * (assumed.lead_days + assumed.review_days), terms.pack),
            reviews=review_days(panel.first_day + first, assumed.days, terms),
            outlook=forecast(panel, model, products, columns, span, threads),
            recent=np.nan_to_num(panel.y[products, first - 7 : first].astype(np.float64)),
        ),
        products,
    )


def point_forecast(one: Season, days: float) -> Policy:
    """Return order-up-to the point forecast plus so many days of the mean forecast at the start of the season."""
    safety = one.outlook.believed[:, :1] / one.terms.protection_days[:, None] * days
    return OrderUpTo(upto=one.outlook.believed + safety, pack=one.terms.pack)


def safety_days(one: Season) -> int:
    """Return the safety stock that would have been cheapest for all products together."""
    costs = {days: one.play(point_forecast(one, days)).cost(one.terms).sum() for days in SAFETY_DAYS}
    return min(costs, key=lambda days: (costs[days], days))


def played(one: Season, policy: Policy) -> dict[str, float]:
    """Return what a policy achieved, rounded."""
    found = asdict(result(one.play(policy), one.terms))
    return {name: round(value, 4 if name == "fill_rate" else 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the M5 files; default: the bundled sales")
    parser.add_argument("--store", default="CA_1", help="one of the stores of M5")
    parser.add_argument("--lead", type=int, default=3, help="days from order to delivery")
    parser.add_argument("--review", type=int, default=1, help="days between two chances to order")
    parser.add_argument("--shelf", type=int, default=28, help="days a unit can be sold; 0: it keeps")
    parser.add_argument("--days", type=int, default=56, help="days held out, and as many before to choose on")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    assumed = Assumed(lead_days=options.lead, review_days=options.review, shelf_days=options.shelf, days=options.days)
    began = time.process_time()
    cfg, panel, price = m5(options.data, options.store) if options.data else bundled()
    span = assumed.lead_days + assumed.review_days - 1
    test = panel.n_days - assumed.days
    earlier, products = season(panel, cfg, test - assumed.days, price(test - assumed.days), assumed, options.threads)
    classes = volume(panel, test - assumed.days - 1)
    choices, safety = choose([(earlier, classes[products])]), safety_days(earlier)
    held_out, products = season(panel, cfg, test, price(test), assumed, options.threads)
    policies: dict[str, Policy] = {
        "last_week": LastWeek(held_out.terms),
        "point_plus_safety": point_forecast(held_out, safety),
        "critical_fractile": policy_of(
            "order_up_to", held_out.outlook, held_out.terms, critical_fractile(held_out.terms)
        ),
        "champion": chosen(choices, volume(panel, test - 1)[products], held_out.outlook, held_out.terms),
        "perfect_foresight": perfect_foresight(
            held_out.demand, held_out.terms, start=held_out.start, reviews=held_out.reviews
        ),
    }
    figures = {name: played(held_out, policy) for name, policy in policies.items()}
    for name, found in figures.items():
        print(f"{name:18}", "  ".join(f"{key} {value:>14,.4g}" for key, value in found.items()))
    print(json.dumps(_report(options, panel, assumed, choices, safety, span, products, figures, began)))


def _report(
    options: argparse.Namespace,
    panel: Panel,
    assumed: Assumed,
    choices: dict[str, Choice],
    safety: int,
    span: int,
    products: Ints,
    figures: dict[str, dict[str, float]],
    began: float,
) -> dict[str, Any]:
    return {
        "data": f"m5 {options.store}" if options.data else "online_retail_ii",
        "held_out": [panel.day(panel.n_days - assumed.days).isoformat(), panel.as_of.isoformat()],
        "products": len(products),
        "protection_days": span,
        "assumed": asdict(assumed),
        "chosen": {name: [one.policy, one.level] for name, one in sorted(choices.items())},
        "safety_days": safety,
        "baseline": {name: figures[name] for name in ("last_week", "point_plus_safety", "critical_fractile")},
        "champion": figures["champion"],
        "perfect_foresight": figures["perfect_foresight"],
        "cpu_s": round(time.process_time() - began, 1),
    }


# --- data --------------------------------------------------------------------------------------------------


def bundled() -> tuple[Pipeline, Panel, Callable[[int], Floats]]:
    """Return the pipeline ``demand``, its panel, and what gives the mean price of each product before a column."""
    cfg = load_pipeline(ROOT / "configs" / "demand.yaml").config
    rows = pd.read_parquet(ROOT / "data" / "online_retail_ii" / "daily_sales.parquet")
    rows = rows[rows["units"] <= (cfg.guards.max_value or np.inf)]
    rows = rows.astype({"product": str, "range": str})  # a category would name products that are left out
    frame = rows.rename(columns={"product": "entity", "date": "ds", "units": "y"})
    panel = _panel(cfg, {"demand": frame})
    return cfg, panel, lambda first: _mean_price(panel, panel.observed["price"].values, first)


def m5(data: Path, name: str) -> tuple[Pipeline, Panel, Callable[[int], Floats]]:
    """Return the same for a store of M5."""
    cfg = load_pipeline(ROOT / "configs" / "m5.yaml").config
    store: Store = read_store(data, name)
    frames = tables(store, store.units.shape[1])
    names = {"item": "entity", "date": "ds", "units": "y"}
    given = {"m5": "sales", "m5.prices": "prices", "m5.events": "events"}
    panel = _panel(cfg, {table: frames[frame].rename(columns=names) for table, frame in given.items()})
    return cfg, panel, lambda first: _mean_price(panel, panel.known["price"].values, first)


def _mean_price(panel: Panel, prices: Any, first: int) -> Floats:
    """Return the mean of the prices known before a column; the median product's where there is none."""
    known = prices[:, max(0, first - 182) : first].astype(np.float64)
    count = np.isfinite(known).sum(axis=1)
    mean = np.nan_to_num(known).sum(axis=1) / np.maximum(count, 1)
    found: Floats = np.where(count > 0, mean, np.median(mean[count > 0]))
    return found


def _panel(cfg: Pipeline, frames: dict[str, pd.DataFrame]) -> Panel:
    as_of = pd.to_datetime(frames[cfg.pipeline]["ds"]).max().date()
    pins = {table: TablePin(table=table, version=0, landings=()) for table in frames}
    snapshot = Snapshot(
        snapshot_id="benchmark",
        pipeline=cfg.pipeline,
        as_of=as_of,
        cutoff=cutoff(as_of),
        main=pins[cfg.pipeline],
        known={table.partition(".")[2]: pin for table, pin in pins.items() if table != cfg.pipeline},
    )
    known = pa.scalar(datetime(2009, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="UTC"))

    def read(pin: TablePin) -> Iterator[pa.RecordBatch]:
        rows = pa.Table.from_pandas(frames[pin.table], preserve_index=False)
        yield from rows.append_column("available_at", pa.repeat(known, rows.num_rows)).to_batches()

    loaded: Panel = kind(cfg.kind).load(cfg, snapshot, read)
    return loaded


if __name__ == "__main__":
    main()
