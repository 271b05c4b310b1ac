"""Elec2 in time order with daily retraining, and how soon the market change at row 17,424 is noticed.

Usage: ``python -m benchmarks.elec2 --data ../shared/data/drift`` (or ``make bench-elec2``). The label of a half hour
says whether the price of New South Wales is above its mean of the last 24 hours *including that half hour*: with the
price of the half hour itself and the 47 before it, the label can be computed and there is nothing to predict. The
champion therefore sees nothing of the half hour it predicts: only the clock, and prices, demands, transfers and labels
up to the half hour before, which is also all that "same as the last label" knows. It is fitted anew every
midnight on the days before. The last line is JSON.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from perennial.monitoring.drift import drift

DAY = 48
CHANGE = 17_424
"""Row from which Victoria takes part in the market: prices and transfers begin to move."""
WARM_UP = 14
"""Days before the first prediction."""
HISTORY = 120
"""Days that a model is fitted to."""
WEEKS = 8
PSI = 0.25
CALIBRATION = 182
"""First days, whose largest drift says what is usual; ends half a year before the change."""
MARGIN = 2.0
"""A break moves a column more than so many times as far as anything in the calibration did."""
INPUTS = ("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")

Doubles = npt.NDArray[np.float64]


def design(columns: dict[str, Doubles]) -> Doubles:
    """Return what is known before each half hour, shape (n_rows, n_features)."""
    y, price = columns["class"], columns["nswprice"]
    n = len(y)
    sums = np.concatenate([[0.0], price.cumsum()])
    mean = np.full(n, np.nan)  # of the 47 half hours before: the label compares the price with these and itself
    mean[47:] = (sums[47:n] - sums[: n - 47]) / 47
    out = [_lag(y, k) for k in (1, 2, 3, DAY, 7 * DAY)]
    out += [_lag(price, k) - mean for k in (1, 2, 3, 47, 48, 49, 7 * DAY)]
    out += [np.arange(n) % DAY, np.arange(n) // DAY % 7]
    for name in INPUTS[1:]:
        out += [_lag(columns[name], 1), _lag(columns[name], 1) - _lag(columns[name], 2), _lag(columns[name], DAY)]
    return np.column_stack(out)


def predict(X: Doubles, y: Doubles, every: int = 1) -> Doubles:
    """Return the prediction of every row from :data:`WARM_UP` on, each day by a model of the days before it."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    out = np.full(len(y), np.nan)
    for day in range(WARM_UP, len(y) // DAY, every):
        now = day * DAY
        before = slice(max(0, day - HISTORY) * DAY, now)
        model = HistGradientBoostingClassifier(
            max_iter=50, max_leaf_nodes=15, learning_rate=0.1, early_stopping=False, random_state=0
        )
        model.fit(X[before], y[before])
        out[now : now + every * DAY] = model.predict(X[now : now + every * DAY])
    return out


def breaks(columns: dict[str, Doubles]) -> dict[str, object]:
    """Return when our drift index says that a column moved, before and after the change.

    ``usual`` is the monitor's everyday rule (the same column over its bound on two dates in a row), which also reports
    seasons; ``break`` compares with the largest drift of the first half year.
    """
    found = dict(_drifts(columns))
    ratio = {day: max((r for r in one.values()), default=0.0) for day, one in found.items()}
    usual = [day for day, one in found.items() if _over(one) & _over(found.get(day - 1, {}))]
    limit = MARGIN * max(r for day, r in ratio.items() if day < CALIBRATION)
    broken = [day for day, r in ratio.items() if day >= CALIBRATION and r > limit]
    change = CHANGE // DAY
    after = [day for day in broken if day >= change]
    return {
        "change_day": change,
        "days_until_detected": after[0] - change if after else None,
        "columns": sorted(name for name, r in found[after[0]].items() if r > limit) if after else [],
        "limit": round(limit, 1),
        "ratio_at_detection": round(ratio[after[0]], 1) if after else None,
        "false_before": len([day for day in broken if day < change]),
        "days_before": change - CALIBRATION,
        "everyday_rule_days_until_detected": next((day - change for day in usual if day >= change), None),
        "everyday_rule_days_before": len([day for day in usual if day < change]),
        "everyday_rule_of": change - 7 * WEEKS,
    }


def degradation(wrong: Doubles) -> dict[str, float]:
    """Return the error rate of the 28 days before and after the change."""
    rate = wrong.reshape(-1, DAY).mean(axis=1)
    change = CHANGE // DAY
    return {
        "error_28_days_before": round(float(rate[change - 28 : change].mean()), 4),
        "error_28_days_after": round(float(rate[change : change + 28].mean()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of elec2.parquet")
    parser.add_argument("--every", type=int, default=1, help="days between two refits (1: daily)")
    options = parser.parse_args()
    table = pq.read_table(options.data / "elec2.parquet")
    columns = {name: table[name].to_numpy().astype(np.float64) for name in table.column_names}
    y = columns["class"]
    began = time.process_time()
    found = predict(design(columns), y, options.every)
    fitted = time.process_time() - began
    judged = np.isfinite(found)
    last = _lag(y, 1)
    figures = {
        "baseline": {
            "accuracy": _share(last[judged] == y[judged]),
            "accuracy_all_rows": _share(last[1:] == y[1:]),
            "name": "same as the last label",
        },
        "champion": {"accuracy": _share(found[judged] == y[judged]), "refit_every_days": options.every},
        "rows": int(judged.sum()),
        "after_the_change": {
            "baseline": _share(last[CHANGE:] == y[CHANGE:]),
            "champion": _share(found[CHANGE:] == y[CHANGE:]),
        },
        "change": breaks(columns) | degradation(np.where(judged, found != y, 0.0)),
        "cpu_s": round(fitted),
    }
    print(json.dumps(figures))


def _drifts(columns: dict[str, Doubles]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield each day, and how many times its bound every column moved against the same weekday of earlier weeks."""
    days = {name: columns[name].reshape(-1, DAY) for name in INPUTS}
    for day in range(7 * WEEKS, len(columns["class"]) // DAY):
        now = {name: one[day] for name, one in days.items()}
        before = [{name: one[day - 7 * k] for name, one in days.items()} for k in range(1, WEEKS + 1)]
        yield day, {one.name: one.psi / one.bound for one in drift(now, before, PSI)}


def _over(ratios: dict[str, float]) -> set[str]:
    return {name for name, ratio in ratios.items() if ratio > 1}


def _lag(values: Doubles, rows: int) -> Doubles:
    return np.concatenate([np.full(rows, np.nan), values[:-rows]])


def _share(right: npt.NDArray[np.bool_]) -> float:
    return round(float(right.mean()), 4)


if __name__ == "__main__":
    main()
