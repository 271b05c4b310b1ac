"""The world of the soak: a shop's real sales, day by day, with what goes wrong in them, and a webhook.

Sales are the bundled Online Retail II table from 5 September 2011, of the 300 products that sold on most of the 90
days before, sales above 500 a day cut to 500 (bulk orders). One file a day arrives in the source's folder. What is
planted:

* day 3: somebody tries another model, behind lenient gates and a canary: it forecasts one number for everything;
* day 8: the file comes a day late;
* day 12: there is no file, and there never will be; the webhook is down on days 12 and 13;
* day 20: demand of one product range falls to a fifth, for good (each piece is kept with probability 0.2).
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

SALES = Path(__file__).resolve().parent.parent / "data" / "online_retail_ii" / "daily_sales.parquet"
FIRST = date(2011, 9, 5)
HISTORY_DAYS = 200
PRODUCTS = 300
MOST = 500
RANGE, KEPT = "21", 0.2
LATE_DAY, MISSING_DAY, BAD_DAY = 8, 12, 20
OUTAGE = (12, 13)
SATURDAY = 5

CONFIG = """
pipeline: demand
kind: forecast
description: Units sold per product and day, a week ahead
owner: demand-planning
timezone: Europe/London
data:
  source: {type: files, path: data/sales}
  columns: {entity: product, ds: date, y: units, extra: {range: range}}
guards: {min_rows: 10000, min_entities: 200, max_age_days: 0, max_missing_days: 3, min_coverage: 0.2, min_value: 0}
forecast:
  horizon: 7
  closed_weekdays: [sat]
  static: [range]
  features: {lags: [6], windows: [7, 14, 28], spreads: [], weekday_means: [4, 8]}
split: {holdout: 3, step: 3}
model:
  params: {loss: poisson, max_iter: 40, max_leaf_nodes: 15, min_samples_leaf: 20}
  rows: 30000
  history_days: 21
  seed: 1
evaluation: {slices: [range], horizons: [[1, 7]]}
gates:
  - {metric: wape, against: champion, ratio: 1.05}
  - {metric: rmse, against: baseline, baseline: last_value, ratio: 1.1}
monitor: {slices: [range], min_rows: 300, min_ratio: 1.8, tolerance: 3, clear_after: 7}
retrain: {policy: degraded, days: 60, cooldown_days: 3}
rollout: {strategy: immediate, days: 5, min_days: 2}
delivery: {deadline: "07:00"}
"""
LENIENT = {
    "{metric: wape, against: champion, ratio: 1.05}": "{metric: wape, against: champion, ratio: 9}",
    "last_value, ratio: 1.1": "last_value, ratio: 9",
    "{loss: poisson, max_iter: 40,": "{loss: squared_error, max_iter: 1, learning_rate: 0.01,",
    "strategy: immediate": "strategy: canary",
}
ENVIRONMENT = """
environment: local
home: .perennial
data_roots: [data]
threads: 2
channels: {planners: {url: "%s"}}
"""


class World:
    """The project folder and what arrives in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.first = FIRST

    def day(self, n: int) -> date:
        """Return the nth business date, from 1."""
        return FIRST + timedelta(days=n - 1)

    def write(self, webhook: str) -> None:
        """Write the configuration and the sales before the first date."""
        folder = self.root / "configs" / "environments"
        folder.mkdir(parents=True, exist_ok=True)
        (self.root / "configs" / "demand.yaml").write_text(CONFIG)
        (folder / "local.yaml").write_text(ENVIRONMENT % webhook)
        self._file("before", self._sales[self._sales["date"] < FIRST])

    def arrive(self, n: int) -> None:
        """Put the files into the source's folder that are there on the morning after the nth date."""
        for k in {LATE_DAY: (), LATE_DAY + 1: (LATE_DAY, n), MISSING_DAY: ()}.get(n, (n,)):
            rows = self._sales[self._sales["date"] == self.day(k)]
            if len(rows):
                self._file(str(self.day(k)), rows)

    @contextmanager
    def worse_challenger(self) -> Iterator[None]:
        """Have the pipeline's file ask for a model that forecasts one number, behind gates that pass it."""
        path, text = self.root / "configs" / "demand.yaml", CONFIG
        for old, new in LENIENT.items():
            if old not in text:
                raise ValueError(f"{old!r} is not in the configuration any more")
            text = text.replace(old, new)
        path.write_text(text)
        yield
        path.write_text(CONFIG)

    def planted(self, n: int) -> str:
        """Say what was planted on the nth date."""
        marks = {3: "a worse challenger", LATE_DAY: "no file yet", MISSING_DAY: "no file, webhook down"}
        return (marks | {BAD_DAY: f"range {RANGE} falls to {KEPT:.0%}"}).get(n, "")

    def explains(self, cause: str, opened: date) -> bool:
        """Return whether an alert is owed to something that was planted."""
        n = (opened - FIRST).days + 1
        if cause == "data":
            return n in (LATE_DAY, MISSING_DAY)
        if cause == "canary":
            return 3 < n <= 3 + 7
        return cause == "accuracy" and n >= BAD_DAY

    def has_sales(self, day: date) -> bool:
        """Return whether anything was sold on a day."""
        return day in self._open

    def wape(self, place: Any, pipeline: str, days: int) -> tuple[float, float, float] | None:
        """Return the WAPE of what was served for the broken range: before the break, at first, in the last week."""
        served = _served(place, pipeline, days)
        truth = self._sales[self._sales["range"] == RANGE].rename(columns={"date": "ds", "product": "entity"})
        cells = served[served["entity"].isin(set(truth["entity"]))]
        both = cells.merge(truth[["entity", "ds", "units"]], on=["entity", "ds"], how="left").fillna({"units": 0})
        both["error"] = (both["y_hat"] - both["units"]).abs()
        first = self.day(BAD_DAY)
        broken = [d for d in (first + timedelta(days=k) for k in range(7)) if self.has_sales(d)][:3]
        spans = [(FIRST, first - timedelta(days=1)), (broken[0], broken[-1])]
        spans.append((self.day(days) - timedelta(days=6), self.day(days)))
        if self.day(days) <= broken[-1]:
            return None
        parts = [both[both["ds"].between(a, b) & both["ds"].map(self.has_sales)] for a, b in spans]
        before, at, after = (float(part["error"].sum() / part["units"].sum()) for part in parts)
        return before, at, after

    def _file(self, name: str, rows: pd.DataFrame) -> None:
        path = self.root / "data" / "sales" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        rows.to_parquet(part, index=False)
        part.replace(path)

    @cached_property
    def _open(self) -> frozenset[date]:
        return frozenset(self._sales["date"])

    @cached_property
    def _sales(self) -> pd.DataFrame:
        table = pd.read_parquet(SALES, columns=["date", "product", "range", "units"])
        table = table.astype({"product": str, "range": str, "units": "int64"})
        table["date"] = pd.to_datetime(table["date"]).dt.date
        table = table[table["date"] >= FIRST - timedelta(days=HISTORY_DAYS)]
        recent = table[(table["date"] < FIRST) & (table["date"] >= FIRST - timedelta(days=90))]
        often = recent.groupby("product").size().sort_values(ascending=False, kind="stable").index[:PRODUCTS]
        table = table[table["product"].isin(set(often)) & (table["date"] != self.day(MISSING_DAY))].copy()
        table["units"] = np.minimum(table["units"], MOST)
        broken = (table["date"] >= self.day(BAD_DAY)) & (table["range"] == RANGE)
        table.loc[broken, "units"] = np.random.default_rng(0).binomial(table.loc[broken, "units"], KEPT)
        return table[table["units"] > 0].reset_index(drop=True)


def _served(place: Any, pipeline: str, days: int) -> pd.DataFrame:
    """Return every published forecast of the soak that readers saw."""
    from perennial import publishing
    from perennial.context import open_run

    last = FIRST + timedelta(days=days - 1)
    with open_run("look", pipeline, last, workspace=place) as run:
        return publishing.published_rows(run, FIRST, last).to_pandas(date_as_object=True)


class Sink:
    """A webhook on loopback that keeps what it is sent, and can be down."""

    def __init__(self) -> None:
        self.down = False
        self.received: list[tuple[float, str]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not sink.down:
                    key = re.search(r"Key: (\S+)", body["message"])
                    sink.received.append((time.monotonic(), key.group(1) if key else ""))
                self.send_response(503 if sink.down else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/alerts"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
