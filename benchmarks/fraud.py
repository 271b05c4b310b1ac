"""Fraud detection against the published figures of the Fraud Detection Handbook, on its own split.

Usage: ``python -m benchmarks.fraud --data ../shared/data/fraud`` (or ``make bench-fraud``). The data are simulated by
the Handbook's authors, 2018-04-01 to 08-31. Training week 2018-07-25 to 31, 7 days in which labels are not known yet,
test week 08-08 to 14; cards that are known to be compromised on a test day are left out. The published rows are rerun
with the Handbook's 15 features; the champion is ours: more features of the same past, and a blend of models.

How the champion was chosen, without looking at the test week: every candidate of :data:`CANDIDATES` (features and
members) is trained and judged on :data:`FOLDS` earlier splits of the same shape, a week of training, 7 days of delay,
a week of test, the last of which ends on 2018-07-24, the day before the training week begins. The candidate with the
largest mean of AUC + average precision + card precision wins and is then fitted on the training week and judged on
the test week once; once more it is fitted on every labelled day before (``champion_all_days``). Its threshold is the
one that would have cost least on those earlier test weeks; costs are 10 an alert, and the amount of a missed fraud.
Feature sets, defaults of the estimators and the candidates themselves were also only tried on these weeks.

The last line is JSON: ``baseline`` (the two rerun rows), ``champion``, ``champion_all_days`` and ``published``.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from perennial.config.classify import Classify, EventFeatures, UnitFeatures
from perennial.evaluation import ranking
from perennial.features.events import DAY, Events, design, feature_names
from perennial.features.panel import Labels, epoch_day
from perennial.models import classifiers
from perennial.models.decisions import cheapest_threshold

PUBLISHED = {
    "logistic": {"auc": 0.871, "average_precision": 0.606, "card_precision_100": 0.291},
    "random_forest": {"auc": 0.867, "average_precision": 0.658, "card_precision_100": 0.287},
    "xgboost": {"auc": 0.862, "average_precision": 0.639, "card_precision_100": 0.273},
}
START = epoch_day(date(2018, 7, 25))
WEEK, DELAY, TOP = 7, 7, 100
COUNTS = ((67_240, 598), (58_264, 385))
"""Rows and frauds of the Handbook's training and test weeks."""
FOLDS = 4
FIRST_TRAINED = epoch_day(date(2018, 5, 9))
"""Earlier days have less than 38 days of history behind their features."""
ALERT_COST = 10.0
BAGS = 2

Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Fit = Callable[[npt.NDArray[np.float32], Doubles], Callable[[npt.NDArray[np.float32]], Doubles]]

_CARD = UnitFeatures(column="customer", counts=True, means=("amount",))
_SHOP = UnitFeatures(column="terminal", rates=True)
HANDBOOK = Classify(
    label_delay_days=DELAY,
    features=EventFeatures(numbers=("amount",), calendar=("weekend", "night"), units=(_CARD, _SHOP)),
)
"""The Handbook's 15 features."""
OURS = Classify(
    label_delay_days=DELAY,
    features=EventFeatures(
        numbers=("amount",),
        calendar=("weekend", "night"),
        units=(
            UnitFeatures(column="customer", counts=True, means=("amount",), usual=("amount",)),
            UnitFeatures(column="terminal", rates=True, past=True),
        ),
    ),
)
"""The same, what is usual for the card, and the terminal's known past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Members by estimator, with how many of different seeds; their probabilities are averaged."""

    members: Mapping[str, int]

    @property
    def name(self) -> str:
        """For example ``lightgbm x 3 + random_forest``."""
        return " + ".join(f"{name} x {n}" if n > 1 else name for name, n in self.members.items())


CANDIDATES = (
    Candidate(members={"lightgbm": BAGS}),
    Candidate(members={"random_forest": 1}),
    Candidate(members={"lightgbm": BAGS, "random_forest": 1}),
)


# --- the data and its split --------------------------------------------------------------------------------


def read(folder: Path) -> Events:
    """Read every transaction."""
    (path,) = sorted(folder.glob("transactions_*.parquet"))
    table = pq.read_table(path).sort_by([("TX_DATETIME", "ascending"), ("TRANSACTION_ID", "ascending")])
    seconds = table["TX_DATETIME"].cast(pa.timestamp("s"), safe=False).cast(pa.int64()).to_numpy()

    def labels(column: str) -> Labels:
        names, codes = np.unique(table[column].to_numpy(), return_inverse=True)
        return Labels(codes=codes.astype(np.int32), names=tuple(map(str, names)))

    return Events(
        ids=pc.cast(table["TRANSACTION_ID"], pa.string()).to_numpy().astype(np.str_),
        time=seconds,
        y=table["TX_FRAUD"].to_numpy().astype(np.float64),
        numbers={"amount": table["TX_AMOUNT"].to_numpy()},
        labels={"customer": labels("CUSTOMER_ID"), "terminal": labels("TERMINAL_ID")},
        as_of=int(seconds[-1] // DAY),
    )


def split(events: Events, start: int) -> tuple[Rows, Rows]:
    """Return the rows of the training week that begins on ``start``, and those of its test week.

    A card is known on a test day if it had a fraud in the training week, or afterwards on a day whose labels are
    known by then: the delay before.
    """
    day, card = events.day, events.labels["customer"].codes
    training = np.flatnonzero((day >= start) & (day < start + WEEK))
    test = []
    for today in range(start + WEEK + DELAY, start + WEEK + DELAY + WEEK):
        labelled = (day >= start) & (day < today - DELAY)
        known = np.unique(card[labelled & (events.y == 1)])
        rows = np.flatnonzero(day == today)
        test.append(rows[~np.isin(card[rows], known)])
    return training, np.concatenate(test)


def figures(events: Events, test: Rows, score: Doubles) -> dict[str, float]:
    """Return AUC, average precision and card precision of scores of the test rows."""
    y, one = events.y[test], np.ones((1, len(test)))
    days, day = np.unique(events.day[test], return_inverse=True)
    unit = events.labels["customer"].codes[test].astype(np.intp)
    lost = ranking.top_precision_error(y, score, one, unit=unit, day=day, day_weight=np.ones((1, len(days))), top=TOP)
    errors = (ranking.auc_error(y, score, one), ranking.average_precision_error(y, score, one), lost)
    names = ("auc", "average_precision", "card_precision_100")
    return {name: float(1 - error[0]) for name, error in zip(names, errors, strict=True)}


# --- contenders --------------------------------------------------------------------------------------------


def logistic(X: npt.NDArray[np.float32], y: Doubles) -> Callable[[npt.NDArray[np.float32]], Doubles]:
    """Fit the published logistic regression: standardised features, scikit-learn's defaults."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(random_state=0)).fit(X.astype(np.float64), y)
    return lambda Z: np.asarray(model.predict_proba(Z.astype(np.float64))[:, 1])


def forest(threads: int) -> Fit:
    """Return a fit of the published random forest: 100 trees, scikit-learn's defaults."""

    def fit(X: npt.NDArray[np.float32], y: Doubles) -> Callable[[npt.NDArray[np.float32]], Doubles]:
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=threads).fit(X, y)
        return lambda Z: np.asarray(model.predict_proba(Z)[:, 1])

    return fit


def members(
    events: Events, X: npt.NDArray[np.float32], rows: Rows, names: Sequence[str], threads: int
) -> dict[str, list[object]]:
    """Fit every member that a candidate may ask for on some rows, by estimator."""
    found: dict[str, list[object]] = {}
    for name in names:
        most = max(c.members.get(name, 0) for c in CANDIDATES)
        params = classifiers.parameters(name, {})
        found[name] = [
            classifiers.fit(name, params, X[rows], events.y[rows], seed=seed, threads=threads)[0]
            for seed in range(most)
        ]
    return found


def blend(
    candidate: Candidate, fitted: Mapping[str, list[object]], X: npt.NDArray[np.float32], threads: int
) -> Doubles:
    """Return the mean over estimators of the mean probability of their members."""
    parts = [classifiers.probability(fitted[name][:n], X, threads) for name, n in candidate.members.items()]
    return np.asarray(np.mean(parts, axis=0))


def choose(events: Events, X: npt.NDArray[np.float32], threads: int) -> tuple[Candidate, float]:
    """Return the best candidate on the earlier splits, and its cheapest threshold there."""
    rows_of: list[Rows] = []
    scores: dict[str, list[Doubles]] = {c.name: [] for c in CANDIDATES}
    results: dict[str, list[dict[str, float]]] = {c.name: [] for c in CANDIDATES}
    names = sorted({name for c in CANDIDATES for name in c.members})
    for k in range(FOLDS, 0, -1):
        training, test = split(events, START - (2 * WEEK + DELAY) - (k - 1) * WEEK)
        fitted = members(events, X, training, names, threads)
        rows_of.append(test)
        for c in CANDIDATES:
            scores[c.name].append(blend(c, fitted, X[test], threads))
            results[c.name].append(figures(events, test, scores[c.name][-1]))
    mean = {name: {m: np.mean([f[m] for f in found]) for m in found[0]} for name, found in results.items()}
    for name, found in mean.items():
        print(f"  {name:36s} " + "  ".join(f"{m} {v:.4f}" for m, v in found.items()))
    best = max(CANDIDATES, key=lambda c: sum(mean[c.name].values()))
    rows, score = np.concatenate(rows_of), np.concatenate(scores[best.name])
    costs = np.full(len(rows), ALERT_COST), events.numbers["amount"][rows]
    return best, cheapest_threshold(events.y[rows], score, *costs)


def costs(events: Events, test: Rows, score: Doubles, threshold: float) -> dict[str, float]:
    """Return cost a day and alerts a day of a threshold, and the cost of no alert at all."""
    y, amount = events.y[test], events.numbers["amount"][test]
    alert = score >= threshold
    paid = ALERT_COST * (alert & (y == 0)).sum() + amount[~alert & (y == 1)].sum()
    return {
        "threshold": round(threshold, 4),
        "alerts_a_day": round(float(alert.sum()) / WEEK, 1),
        "cost_a_day": round(float(paid) / WEEK, 1),
        "cost_a_day_without_alerts": round(float(amount[y == 1].sum()) / WEEK, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the transactions")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    began = time.perf_counter()
    events = read(options.data)
    training, test = split(events, START)
    counts = tuple((len(rows), int(events.y[rows].sum())) for rows in (training, test))
    print(f"training {counts[0][0]:,} rows, {counts[0][1]} frauds; test {counts[1][0]:,} rows, {counts[1][1]} frauds")
    if counts != COUNTS:
        raise SystemExit(f"the Handbook has {COUNTS}: this is another file or another split")
    X = design(events, HANDBOOK)
    rerun = {}
    for name, fit in (("logistic", logistic), ("random_forest", forest(options.threads))):
        rerun[name] = figures(events, test, fit(X[training], events.y[training])(X[test]))
        print(f"  {name:36s} " + "  ".join(f"{m} {v:.4f}" for m, v in rerun[name].items()))
    X = design(events, OURS)
    print(
        f"choosing on {FOLDS} earlier weeks among {len(CANDIDATES)} candidates of {len(feature_names(OURS))} features"
    )
    champion, threshold = choose(events, X, options.threads)
    everything = np.flatnonzero((events.day >= FIRST_TRAINED) & (events.day < START + WEEK))
    found = {}
    for name, rows in (("champion", training), ("champion_all_days", everything)):
        fitted = members(events, X, rows, list(champion.members), options.threads)
        score = blend(champion, fitted, X[test], options.threads)
        found[name] = figures(events, test, score)
        print(f"  {name:36s} " + "  ".join(f"{m} {v:.4f}" for m, v in found[name].items()))
        print(f"    {len(rows):,} rows; {json.dumps(costs(events, test, score, threshold))}")
    print(f"{time.perf_counter() - began:.0f} s; champion: {champion.name}")
    print(json.dumps({"baseline": _rounded(rerun), **_rounded(found), "published": PUBLISHED}))


def _rounded(found: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {metric: round(value, 4) for metric, value in one.items()} for name, one in found.items()}


if __name__ == "__main__":
    main()
