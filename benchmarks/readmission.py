"""30-day readmission of diabetic patients: a calibrated classifier against LACE-like points and the base rate.

Usage: ``python -m benchmarks.readmission --data ../shared/data/health`` (or ``make bench-readmission``). Tested
are discharges of the last fifth of the time, of patients who were never seen before it; labels of the 30 days
before it are not known yet. Estimator, parameters, calibration and threshold are chosen on earlier patients only,
by the same cut one step earlier. The last line is JSON: ``baseline`` (the best of three by Brier score) and
``champion`` side by side, the evaluation sets and the subgroups with intervals over patients.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.readmissiondata import LABS, prepare
from perennial.evaluation.clinical import decision_curve, sensitivity_error, specificity_error, subgroup_figures
from perennial.evaluation.ranking import brier, calibration_error
from perennial.models.calibration import calibrated, fit_calibration
from perennial.models.decisions import cheapest_threshold
from perennial.models.tabular import Recipe, TabularClassifier, fit
from perennial.resources import free_threads, spin_briefly

MISSED, IN_VAIN = 10.0, 1.0
"""What a readmission that nobody prepared for costs, and a call in vain."""
DELAY = 30
TEST_FROM, CHOOSE_FROM, HELD = 0.8, 0.64, 0.2
"""Shares of the time: where the test begins, where the choice among recipes is made, what calibration gets."""
NOT_FEATURES = ("encounter", "patient", "discharged", "readmitted", "admission_source", "site", "lace")
_BOOSTING = {"learning_rate": 0.03, "max_iter": 300, "max_leaf_nodes": 8, "min_samples_leaf": 100, "max_features": 0.3}
RECIPES: Mapping[str, Recipe] = {
    "logistic": Recipe(estimator="linear", params={}),
    "logistic, little regularised": Recipe(estimator="linear", params={"C": 1.0}, min_category=100),
    "boosting": Recipe(params={}),
    "boosting, shallow and slow": Recipe(params=_BOOSTING),
    "boosting, shallow and slow, isotonic": Recipe(params=_BOOSTING, calibration="isotonic"),
    "boosting, codes of 100 rows": Recipe(params=_BOOSTING, min_category=100),
}

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Rows by role; no patient has two.

    Attributes:
        fit: Encodings and estimator learn from them.
        held: Calibration and threshold.
        test: Patients who are first seen from the cut on.
    """

    fit: Marks
    held: Marks
    test: Marks


def cut(rows: pd.DataFrame, share: float, until: float = 1.0) -> Cut:
    """Cut by time and patient at a share of the time; nothing from ``until`` on is looked at."""
    days = pd.to_datetime(rows["discharged"])
    start, span = days.min(), days.max() - days.min()
    at, end, hold = (start + span * part for part in (share, until, share * (1 - HELD)))
    first = days.groupby(rows["patient"]).transform("min")
    known = (days < at - timedelta(days=DELAY)).to_numpy()
    held = known & (first >= hold).to_numpy()
    fitted = known & (first < hold).to_numpy()
    test = ((first >= at) & (days <= end - timedelta(days=DELAY if until < 1 else 0))).to_numpy()
    return Cut(fit=fitted, held=held, test=test)


def features(rows: pd.DataFrame) -> pa.Table:
    """Return the model's input."""
    return pa.Table.from_pandas(rows.drop(columns=list(NOT_FEATURES)), preserve_index=False)


def fitted(rows: pd.DataFrame, at: Cut, recipe: Recipe) -> TabularClassifier:
    """Fit on the cut's training patients, calibrate on those held."""
    use = at.fit | at.held
    units = pd.factorize(rows["patient"][use])[0].astype(np.int64)
    y = rows["readmitted"].to_numpy()[use]
    return fit(features(rows[use]), y, units, at.held[use], recipe, threads=free_threads())


def choose(rows: pd.DataFrame) -> tuple[str, dict[str, float]]:
    """Return the recipe with the lowest log loss on patients between the two cuts, and the loss of each."""
    at = cut(rows, CHOOSE_FROM, until=TEST_FROM)
    y = rows["readmitted"].to_numpy()[at.test]
    losses = {}
    for name, recipe in RECIPES.items():
        risk = fitted(rows, at, recipe).risk(features(rows[at.test]), threads=free_threads())
        losses[name] = float(-np.mean(y * np.log(risk) + (1 - y) * np.log(1 - risk)))
    return min(losses, key=lambda name: losses[name]), losses


def baselines(rows: pd.DataFrame, at: Cut) -> dict[str, Floats]:
    """Return the risks that need no model: the base rate, and one number each, read by Platt's method.

    They are calibrated on the patients that the model is calibrated on.
    """
    y = rows["readmitted"].to_numpy()[at.held]
    risks = {"base_rate": np.full(len(rows), y.mean())}
    for name, column in (("prior_inpatient", "number_inpatient"), ("lace_like", "lace")):
        score = 1 / (1 + np.exp(-rows[column].to_numpy(dtype=np.float64)))  # Platt's line is in its log-odds
        risks[name] = calibrated(score, fit_calibration(y, score[at.held], "sigmoid"))
    return risks


def threshold_of(y: Floats, risk: Floats) -> float:
    """Return the threshold that costs least."""
    return cheapest_threshold(y, risk, np.full(len(y), IN_VAIN), np.full(len(y), MISSED))


def figures(y: Floats, risk: Floats, threshold: float) -> dict[str, float]:
    """Return the figures of one contender; rank figures of a constant are those of a guess."""
    once = np.ones((1, len(y)))
    return {
        "auc": float(roc_auc_score(y, risk)),
        "average_precision": float(average_precision_score(y, risk)),
        "brier": float(brier(y, risk, once)[0]),
        "calibration_error": float(calibration_error(y, risk, once)[0]),
        "sensitivity": 1 - float(sensitivity_error(y, risk, once, threshold)[0]),
        "specificity": 1 - float(specificity_error(y, risk, once, threshold)[0]),
        "cost": float(np.mean(np.where(y > 0, MISSED * (risk < threshold), IN_VAIN * (risk >= threshold)))),
        "threshold": threshold,
    }


def sets(rows: pd.DataFrame, at: Cut) -> dict[str, tuple[pd.DataFrame, Marks]]:
    """Return the evaluation sets: rows, and which of them are tested."""
    days = pd.to_datetime(rows["discharged"])
    tested = days[at.test]
    recent = tested.max() - (tested.max() - tested.min()) / 3
    out = {"main": (rows, at.test), "recent": (rows, at.test & (days >= recent).to_numpy())}
    for source in sorted(rows["admission_source"].unique()):
        out[f"source_{source}"] = (rows, at.test & (rows["admission_source"] == source).to_numpy())
    blind = rows.assign(**{name: np.nan if rows[name].dtype.kind == "f" else None for name in LABS})
    return out | {"no_laboratory": (blind, at.test)}


def subgroups(rows: pd.DataFrame, test: Marks, risk: Floats, threshold: float) -> dict[str, Any]:
    """Return sensitivity, calibration and Brier score by race, sex and age with 95 % intervals over patients."""
    part = rows[test]
    unit = pd.factorize(part["patient"])[0].astype(np.int64)
    groups = [
        (f"{name}={value}", (part[name] == value).to_numpy())
        for name in ("race", "gender", "age")
        for value in sorted(part[name].dropna().unique())
        if (part[name] == value).sum() >= 200
    ]
    errors = [("brier", brier), ("sensitivity_error", partial(sensitivity_error, threshold=threshold))]
    found = subgroup_figures(part["readmitted"].to_numpy(), risk, unit, groups, errors)
    out: dict[str, Any] = {}
    for one in found:
        group = out.setdefault(one.group, {"rows": one.rows, "events": one.events})
        group[one.error] = [round(v, 4) for v in (one.value, one.low, one.high)]
    return out


def measure(rows: pd.DataFrame) -> dict[str, Any]:
    """Choose, fit, test."""
    chosen, losses = choose(rows)
    at = cut(rows, TEST_FROM)
    y = rows["readmitted"].to_numpy()
    model = fitted(rows, at, RECIPES[chosen])
    threshold = threshold_of(y[at.held], model.risk(features(rows[at.held]), threads=free_threads()))
    naive = {}
    for name, risk in baselines(rows, at).items():
        naive[name] = figures(y[at.test], risk[at.test], threshold_of(y[at.held], risk[at.held]))
    by_set, champion = {}, np.empty(0)
    for name, (table, test) in sets(rows, at).items():
        risk = model.risk(features(table[test]), threads=free_threads())
        champion = risk if name == "main" else champion
        by_set[name] = {"rows": int(test.sum()), "events": int(y[test].sum()), **figures(y[test], risk, threshold)}
    best = min(naive, key=lambda name: naive[name]["brier"])
    curve = decision_curve(y[at.test], champion, np.linspace(0.02, 0.4, 39))
    return {
        "chosen": chosen,
        "log_loss_when_chosen": losses,
        "rows": {"fit": int(at.fit.sum()), "held": int(at.held.sum()), "test": int(at.test.sum())},
        "baseline": {"name": best, **naive[best]},
        "champion": {key: by_set["main"][key] for key in naive[best]},
        "baselines": naive,
        "sets": by_set,
        "subgroups": subgroups(rows, at.test, champion, threshold),
        "useful_thresholds": [float(curve.useful.min()), float(curve.useful.max())] if len(curve.useful) else [],
        "importance": dict(sorted(model.importance().items(), key=lambda one: -one[1])[:8]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="folder with diabetes130_encounters.parquet")
    args = parser.parse_args()
    spin_briefly()
    start = time.perf_counter()
    rows = prepare(pd.read_parquet(args.data / "diabetes130_encounters.parquet"))
    found = {"benchmark": "readmission", **measure(rows), "seconds": time.perf_counter() - start}
    print(json.dumps(_rounded(found)))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
