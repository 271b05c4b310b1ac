"""Alerts of every contender on the judged days, beside planted errors and what investigators decided."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.config.anomaly import Anomaly
from perennial.config.models import Pipeline
from perennial.contracts import TestRows
from perennial.evaluation.budget import alerted, learn_threshold, most_a_day
from perennial.features.judgedtable import EventTable
from perennial.features.peers import Codes, Doubles, Mask
from perennial.features.unusual import Compared, compare, plain
from perennial.models.anomalies import EventScorer
from perennial.models.planting import Planted, plant

BELOW = np.float32(0.999)
"""What a group over the threshold is brought to on a day that has its most alerts already."""
REAL = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A way to score, and the score from which it alerts.

    Attributes:
        model: The scorer that compares, and that scores unless a baseline is named.
        baseline: Name of a naive contender, or empty.
    """

    model: EventScorer
    threshold: float
    baseline: str = ""

    def score(self, compared: Compared) -> Doubles:
        """Score events that were held against their peers, shape (n_asked,)."""
        if not self.baseline:
            return self.model.judge(compared).score
        return naive_scores(self.baseline, compared, self.model)


def naive_scores(name: str, compared: Compared, model: EventScorer) -> Doubles:
    """Return the scores of a naive contender, >= 0.

    ``largest``: the largest measure, by the widest of them, as multiples of its usual size. ``gaussian``: how many
    standard deviations an event lies from the mean of these events, in the unit of the data, at most over measures.
    """
    columns = []
    for key, measure in model.cfg.measures.items():
        values = compared.value[key]
        if name == "largest":
            columns.append(np.maximum(values - model.centres[key], 0))
        else:
            raw = plain(values, measure.unit)
            columns.append(np.abs(raw - model.means[key]) / model.deviations[key])
    out: Doubles = np.nan_to_num(np.max(columns, axis=0))
    return out


def rules(model: EventScorer, table: EventTable, trained: Mask, baselines: tuple[str, ...]) -> dict[str, Rule]:
    """Return the naive contenders, each with its threshold from the training days."""
    compared = compare(table.events, trained, model.cfg)
    day, group = table.events.day[trained], table.events.group[trained]
    return {
        name: Rule(
            model=model,
            baseline=name,
            threshold=learn_threshold(naive_scores(name, compared, model), day, group, model.cfg.budget),
        )
        for name in baselines
    }


def relative(score: Doubles, day: Codes, group: Codes, threshold: float, cfg: Anomaly) -> npt.NDArray[np.float32]:
    """Return each row's group score over the threshold, shape (n_rows,): 1 or more is an alert.

    Groups beyond the most alerts of a day are brought below 1.
    """
    key = np.unique(day.astype(np.int64) << 32 | group.astype(np.int64), return_inverse=True)[1].ravel()
    best = np.zeros(int(key.max(initial=-1)) + 1)
    np.maximum.at(best, key, score)
    out: npt.NDArray[np.float32] = (best / max(threshold, 1e-9))[key].astype(np.float32)
    alerts = alerted(score, day, group, threshold, most_a_day(cfg.budget, cfg.most))
    kept = np.isin(key, key[alerts])
    found: npt.NDArray[np.float32] = np.where(kept, np.maximum(out, np.float32(1)), np.minimum(out, BELOW))
    return found


def test_rows(
    table: EventTable, cfg: Pipeline, asked: Mask, contenders: Mapping[str, Rule], *, planted: bool
) -> TestRows:
    """Score the asked events, and errors planted among them, with every contender.

    Args:
        table: What is known.
        cfg: Budget, errors to plant and the seed.
        asked: Events of the judged days.
        contenders: By name.
        planted: Whether to plant errors.
    """
    compared = compare(table.events, asked, cfg.anomaly)
    day, group = table.events.day[asked], table.events.group[asked]
    settings = cfg.anomaly if planted else cfg.anomaly.model_copy(update={"plants": 0})
    errors = plant(compared, day, settings, seed=cfg.model.seed)
    forecasts = {}
    for name, rule in contenders.items():
        real = relative(rule.score(compared), day, group, rule.threshold, cfg.anomaly)
        copies = rule.score(errors.compared) / max(rule.threshold, 1e-9)
        forecasts[name] = np.concatenate([real, copies.astype(np.float32)])
    return rows_of(table, cfg, asked, forecasts, errors)


def rows_of(
    table: EventTable,
    cfg: Pipeline,
    asked: Mask,
    forecasts: Mapping[str, npt.NDArray[np.float32]],
    errors: Planted | None = None,
) -> TestRows:
    """Put alerts beside verdicts and planted errors; the entities are what alerts speak for, and each planted event."""
    day, code = table.events.day[asked], table.events.group[asked]
    source = errors.source if errors is not None else np.empty(0, np.intp)
    kinds = errors.error if errors is not None else np.empty(0, np.str_)
    groups, entity = np.unique(code, return_inverse=True)
    known = np.array(table.groups.take(groups).to_pylist() if len(groups) else [], dtype=np.str_)
    names = np.concatenate([known, np.array([f"planted {n}" for n in range(len(source))], dtype=np.str_)])
    real, extra = len(day), len(source)
    verdict = table.verdict[asked]
    days = np.concatenate([day, day[source]]).astype(np.int32)
    n = real + extra
    none = np.empty(len(names)) * np.nan
    return TestRows(
        entities=names,
        entity=np.concatenate([entity.ravel(), len(groups) + np.arange(extra)]).astype(np.int32),
        window=np.zeros(n, np.int16),
        horizon=np.ones(n, np.int16),
        day=days,
        y=np.concatenate([(verdict == 1), np.ones(extra)]).astype(np.float32),
        forecasts=forecasts,
        levels=(),
        quantiles={},
        scale_abs=none,
        scale_sq=none,
        weight=np.full(len(names), 1 / max(len(names), 1)),
        slices={"error": np.concatenate([np.full(len(groups), REAL), kinds]).astype(np.str_)},
        groups={},
        group_scale_sq={},
        kind="anomaly",
        extra=_extra(day, code, verdict, extra, cfg.anomaly.budget),
    )


def _extra(
    day: Codes, group: Codes, verdict: Doubles, planted: int, budget: float
) -> dict[str, npt.NDArray[np.generic]]:
    """Return what the metrics need of each row: who was planted, who speaks for a group, what was decided."""
    n = len(day)
    key, first = np.unique(day.astype(np.int64) << 32 | group.astype(np.int64), return_index=True)
    index = np.searchsorted(key, day.astype(np.int64) << 32 | group.astype(np.int64))
    speaks, confirmed, judged = np.zeros(n, bool), np.zeros(len(key), bool), np.zeros(len(key), bool)
    speaks[first] = True
    confirmed[index[verdict == 1]] = True
    judged[index[np.isfinite(verdict)]] = True
    no = np.zeros(planted, bool)
    return {
        "planted": np.concatenate([np.zeros(n, bool), ~no]),
        "first": np.concatenate([speaks, no]),
        "confirmed": np.concatenate([confirmed[index], no]),
        "judged": np.concatenate([judged[index], no]),
        "budget": np.full(n + planted, budget),
    }
