"""How often do the gates err? Measured on real sales, where the right answer is known by construction.

``python -m benchmarks.gates --data ../shared/data/m5/sales_CA_1_wide.parquet`` (or the bundled
``data/online_retail_ii/daily_sales.parquet``) prints one JSON line last:

- ``false_promotion``: two contenders of equal quality (the weekday mean of eight weeks with independent noise of
  equal size: shared by a product, by a day, and neither); how often each gate lets the candidate through.
- ``catch``: the candidate is worse by 5, 10 or 20 % of WAPE (biased, or blurred product by product; the size is
  set on all days together, the trial sees one date and some products); how often each gate refuses it.
- ``promotion``: the candidate is better by as much (the champion got the regression); how often it gets through.
- ``same_recipe``: two fits of one gradient boosting recipe on different training rows and seeds, all ordered pairs.

A trial is one date, 300 products and the default split: four windows of 28, 21, 14 and 7 days.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.config.models import Gate
from perennial.contracts import Evaluation, Score, TestRows
from perennial.evaluation.gates import judge
from perennial.evaluation.metrics import METRICS, value

Floats = npt.NDArray[np.float64]
WINDOWS = (28, 21, 14, 7)
WEEKS = 8
NOISE = 0.1
SIZES = (0.05, 0.10, 0.20)
GATES = {
    "figure": Gate(metric="wape", against="champion"),
    "sure_95": Gate(metric="wape", against="champion", confidence=0.95),
    "sure_95_within_102": Gate(metric="wape", against="champion", ratio=1.02, confidence=0.95),
    "sure_95_within_105": Gate(metric="wape", against="champion", ratio=1.05, confidence=0.95),
    "slices_95_within_110": Gate(metric="wape", against="champion", slices="volume", ratio=1.10, confidence=0.95),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sales:
    """Daily units, shape (n_entities, n_days); column 0 is any weekday; ``is_open`` has shape (n_days,)."""

    units: npt.NDArray[np.float32]
    is_open: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One date and some products: what was sold and the weekday means, shape (n_products, n_cells).

    Attributes:
        window: Window of each cell.
        horizon: Days ahead of each cell.
        day: Target day of each cell, a column of the sales.
    """

    sold: Floats
    base: Floats
    window: npt.NDArray[np.int16]
    horizon: npt.NDArray[np.int16]
    day: npt.NDArray[np.int32]


def read(path: Path) -> Sales:
    """Read M5's wide table or the long daily table into a dense panel."""
    import pandas as pd

    frame = pd.read_parquet(path)
    if "units" not in frame:
        days = [c for c in frame.columns if c.startswith("d_")]
        units = frame[days].to_numpy(np.float32)
        return Sales(units=units, is_open=units.sum(axis=0) > 0)
    frame["date"] = pd.to_datetime(frame["date"])
    wide = frame.pivot_table(index="product", columns="date", values="units", observed=True, fill_value=0)
    wide = wide.reindex(columns=pd.date_range(wide.columns.min(), wide.columns.max()), fill_value=0)
    units = wide.to_numpy(np.float32)
    return Sales(units=units, is_open=units.sum(axis=0) > 0)


# --- trials ------------------------------------------------------------------------------------------------


def trial(sales: Sales, as_of: int, products: npt.NDArray[np.intp]) -> Trial:
    """Cut the test windows of one date for some products."""
    cells = [(w, h, as_of - length + h) for w, length in enumerate(WINDOWS) for h in range(1, length + 1)]
    window, horizon, day = (np.array(c) for c in zip(*[c for c in cells if sales.is_open[c[2]]], strict=True))
    units = sales.units[products].astype(np.float64)
    newest = day - 7 * -(-horizon // 7)
    base = np.mean([units[:, newest - 7 * k] for k in range(WEEKS)], axis=0)
    return Trial(
        sold=units[:, day],
        base=base,
        window=window.astype(np.int16),
        horizon=horizon.astype(np.int16),
        day=day.astype(np.int32),
    )


def draw_trials(sales: Sales, n: int, products: int, rng: np.random.Generator) -> Iterator[Trial]:
    """Draw dates of the last two years and products that sold in the eight weeks before the windows."""
    last = sales.units.shape[1] - 1
    for as_of in rng.integers(max(last - 730, 7 * WEEKS + 60), last + 1, n):
        start = as_of - WINDOWS[0]
        alive = np.flatnonzero(sales.units[:, start - 7 * WEEKS : start].sum(axis=1) > 0)
        yield trial(sales, int(as_of), rng.choice(alive, min(products, alive.size), replace=False))


def noisy(t: Trial, rng: np.random.Generator) -> Floats:
    """Blur the weekday mean as two fits of one recipe differ: by product, by day, by product and day."""
    days, place = np.unique(t.day, return_inverse=True)
    rows = len(t.base)
    noise = (
        rng.normal(size=(rows, 1)) + rng.normal(size=days.size)[place] + rng.normal(size=(rows, days.size))[:, place]
    )
    return t.base * np.exp(NOISE * noise)


def biased(forecast: Floats, size: float, rng: np.random.Generator) -> Floats:
    """Forecast too much of everything."""
    del rng
    return forecast * (1 + size)


def blurred(forecast: Floats, size: float, rng: np.random.Generator) -> Floats:
    """Multiply every product by a wrong factor of its own, as a broken join does."""
    return forecast * np.exp(size * rng.normal(size=(len(forecast), 1)) - size**2 / 2)


def lay_out(t: Trial, candidate: Floats, champion: Floats) -> TestRows:
    """Lay two forecasts out as the evaluation does."""
    n, cells = t.sold.shape
    volume = np.argsort(np.argsort(-t.base.sum(axis=1))) * 3 // n
    return TestRows(
        entities=np.arange(n).astype(str),
        entity=np.repeat(np.arange(n, dtype=np.int32), cells),
        window=np.tile(t.window, n),
        horizon=np.tile(t.horizon, n),
        day=np.tile(t.day, n),
        y=t.sold.ravel().astype(np.float32),
        forecasts={"candidate": candidate.ravel().astype(np.float32), "champion": champion.ravel().astype(np.float32)},
        levels=(),
        quantiles={},
        scale_abs=np.ones(n),
        scale_sq=np.ones(n),
        weight=np.full(n, 1 / n),
        slices={"volume": np.array(["A", "B", "C"])[volume]},
        groups={},
        group_scale_sq={},
    )


# --- rates -------------------------------------------------------------------------------------------------


def verdicts(t: Trial, candidate: Floats, champion: Floats) -> dict[str, bool]:
    """Ask every gate, as a run would."""
    rows = lay_out(t, candidate, champion)
    scores = tuple(
        Score(
            contender=name,
            metric="wape",
            part="overall",
            key="",
            value=value(METRICS["wape"], rows, name),
            rows=rows.y.size,
        )
        for name in rows.forecasts
    )
    evaluation = Evaluation(scores=scores, rows=rows, per_entity=pa.table({}), charts=())
    return {name: judge(evaluation, [gate]).promote for name, gate in GATES.items()}


def share(answers: list[dict[str, bool]]) -> dict[str, float]:
    """Share of trials that each gate let through."""
    return {name: round(float(np.mean([a[name] for a in answers])), 4) for name in GATES}


Damage = Callable[[Floats, float, np.random.Generator], Floats]
DAMAGES: dict[str, Damage] = {"biased": biased, "blurred": blurred}


def wape(sold: Floats, forecast: Floats) -> float:
    """Sum of absolute errors over sum of sales."""
    return float(np.abs(forecast - sold).sum() / sold.sum())


def strength(trials: list[Trial], damage: Damage, more: float) -> float:
    """Find by bisection the damage that raises the WAPE of all trials together by a share of ``more``."""
    forecasts = [noisy(t, np.random.default_rng(i)) for i, t in enumerate(trials)]
    sold = np.concatenate([t.sold.ravel() for t in trials])

    def error(size: float) -> float:
        parts = [damage(f, size, np.random.default_rng((i, 1))).ravel() for i, f in enumerate(forecasts)]
        return wape(sold, np.concatenate(parts))

    low, high, goal = 0.0, 4.0, (1 + more) * error(0.0)
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if error(middle) < goal else (low, middle)
    return high


def planted(trials: list[Trial], seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Plant regressions of known size: how many are refused, and how many are promoted when the champion has them."""
    catch, promotion = {}, {}
    for name, damage in DAMAGES.items():
        for more in SIZES:
            size = strength(trials[:60], damage, more)
            refused, promoted = [], []
            for i, t in enumerate(trials):
                rng = np.random.default_rng((seed, i))
                good, bad = noisy(t, rng), damage(noisy(t, rng), size, rng)
                refused.append({gate: not passed for gate, passed in verdicts(t, bad, good).items()})
                promoted.append(verdicts(t, good, bad))
            catch[f"{name}_{more:.0%}"], promotion[f"{name}_{more:.0%}"] = share(refused), share(promoted)
    return {"catch": catch, "promotion": promotion}


def false_promotion(trials: list[Trial], seed: int) -> dict[str, float]:
    """Two contenders of equal quality, drawn apart."""
    answers = []
    for i, t in enumerate(trials):
        rng = np.random.default_rng((seed, i))
        answers.append(verdicts(t, noisy(t, rng), noisy(t, rng)))
    return share(answers)


# --- two fits of one recipe --------------------------------------------------------------------------------


def features(sales: Sales, product: npt.NDArray[np.intp], day: npt.NDArray[np.intp], h: npt.NDArray[np.intp]) -> Floats:
    """Look at sales up to ``day - h`` only: weekday means, rolling means, weekday and horizon."""
    total = np.cumsum(np.pad(sales.units.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    origin = day - h
    rolling = [(total[product, origin + 1] - total[product, origin + 1 - n]) / n for n in (1, 7, 28, 56, 182)]
    newest = day - 7 * -(-h // 7)
    weekday = [np.mean([sales.units[product, newest - 7 * k] for k in range(n)], axis=0) for n in (1, 4, 8)]
    return np.column_stack([*rolling, *weekday, day % 7, h]).astype(np.float64)


def fit_and_forecast(sales: Sales, as_of: int, products: npt.NDArray[np.intp], t: Trial, seed: int) -> Floats:
    """Fit on rows drawn with this seed, up to the test windows, and forecast them."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(seed)
    train_end = as_of - WINDOWS[0]
    who, h = rng.choice(products, 60_000), rng.integers(1, 29, 60_000)
    day = rng.choice(np.flatnonzero(sales.is_open[: train_end + 1])[-250:], 60_000)
    model = HistGradientBoostingRegressor(loss="poisson", max_iter=60, random_state=seed, early_stopping=False)
    model.fit(features(sales, who, day, h), sales.units[who, day])
    cells = len(t.day)
    at = features(sales, np.repeat(products, cells), np.tile(t.day, len(products)), np.tile(t.horizon, len(products)))
    return model.predict(at).reshape(t.sold.shape)  # type: ignore[no-any-return]


def same_recipe(sales: Sales, dates: int, fits: int, products: int, seed: int) -> dict[str, float]:
    """Race every ordered pair of fits that differ by seed and drawn rows alone."""
    rng, answers = np.random.default_rng(seed), []
    last = sales.units.shape[1] - 1
    for as_of in np.linspace(last - 120, last, dates).astype(int):
        alive = np.flatnonzero(sales.units[:, as_of - 84 : as_of - 28].sum(axis=1) > 0)
        chosen = rng.choice(alive, min(products, alive.size), replace=False)
        t = trial(sales, int(as_of), chosen)
        forecasts = [fit_and_forecast(sales, int(as_of), chosen, t, seed * 1000 + k) for k in range(fits)]
        answers += [verdicts(t, a, b) for i, a in enumerate(forecasts) for j, b in enumerate(forecasts) if i != j]
    return share(answers)


def main() -> None:
    """Measure all rates on one file and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/online_retail_ii/daily_sales.parquet"))
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--products", type=int, default=300)
    parser.add_argument("--fits", type=int, default=4, help="fits per date of the same recipe; 0 leaves that out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started, sales = time.perf_counter(), read(args.data)
    trials = list(draw_trials(sales, args.trials, args.products, np.random.default_rng(args.seed)))
    out: dict[str, object] = {"data": args.data.name, "trials": args.trials, "products": args.products}
    out["false_promotion"] = false_promotion(trials, args.seed)
    out |= planted(trials[: args.trials // 2], args.seed + 1)
    if args.fits:
        out["same_recipe"] = same_recipe(sales, 8, args.fits, args.products, args.seed)
    out["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
