"""Alerts within the time that people have: a threshold learned from history, one alert for each group.

Investigators look at invoices, not at lines: the rows of a group share one alert, which its strangest row stands
for. The threshold is the score that history exceeded ``budget`` times a day on average; a day on which everything is
strange raises at most ``most`` times as many.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """What alerts found and cost.

    Attributes:
        recall: Share of the true events whose group was alerted; nan without any.
        precision: Share of alerts with a verdict that were confirmed; nan without any.
        per_day: Alerts on the average day.
        alerts: Alerts in all.
        true: True events.
    """

    recall: float
    precision: float
    per_day: float
    alerts: int
    true: int


def leaders(score: Doubles, day: Codes, group: Codes) -> npt.NDArray[np.intp]:
    """Return the row with the highest score of every group and day, best first within a day.

    Rows with equal scores keep their order, so that the answer is one and the same.
    """
    by_group = np.lexsort((np.arange(len(score)), -score, group, day))
    first = np.ones(len(score), bool)
    first[1:] = (group[by_group][1:] != group[by_group][:-1]) | (day[by_group][1:] != day[by_group][:-1])
    rows = by_group[first]
    return rows[np.lexsort((rows, -score[rows], day[rows]))]


def learn_threshold(score: Doubles, day: Codes, group: Codes, budget: float) -> float:
    """Return the score that ``budget`` groups a day reached on average.

    Args:
        score: Scores of history, shape (n_rows,).
        day: Days since 1970-01-01, shape (n_rows,); days without a row do not count.
        group: Code of what one alert speaks for, shape (n_rows,).
        budget: Alerts a day, > 0.

    Raises:
        TrainingError: There is no history.

    Example:
        >>> learn_threshold(np.arange(4.0), np.array([0, 0, 1, 1], np.int32), np.arange(4, dtype=np.int32), 1)
        2.0
    """
    if not len(score):
        raise TrainingError("no scores to learn a threshold from; let history begin earlier")
    best = np.sort(score[leaders(score, day, group)])[::-1]
    wanted = round(budget * len(np.unique(day)))
    return float(best[min(max(wanted, 1), len(best)) - 1])


def alerted(score: Doubles, day: Codes, group: Codes, threshold: float, most: int) -> Mask:
    """Return which rows are alerts: the leaders at or above the threshold, the best ``most`` of each day.

    Example:
        >>> alerted(np.array([3.0, 2, 1]), np.zeros(3, np.int32), np.array([0, 0, 1], np.int32), 1, 5).tolist()
        [True, False, True]
    """
    out = np.zeros(len(score), bool)
    rows = leaders(score, day, group)
    if not len(rows):
        return out
    first = np.ones(len(rows), bool)
    first[1:] = day[rows][1:] != day[rows][:-1]
    rank = np.arange(len(rows)) - np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
    out[rows[(rank < most) & (score[rows] >= threshold)]] = True
    return out


def most_a_day(budget: float, most: float) -> int:
    """Return the alerts that no day exceeds: ``most`` times the budget, at least one."""
    return max(1, math.ceil(budget * most))


def caught(alerts: Mask, day: Codes, group: Codes, verdict: Doubles) -> Caught:
    """Hold alerts against verdicts.

    Args:
        alerts: Rows that are alerts.
        day: Days since 1970-01-01.
        group: Code of what one alert speaks for.
        verdict: 1 confirmed, 0 dismissed, nan unknown, shape (n_rows,). Any confirmed row confirms its group.
    """
    key = day.astype(np.int64) << 32 | (group.astype(np.int64) & 0xFFFFFFFF)
    true = verdict == 1
    found = np.isin(key, key[alerts])
    confirmed = np.isin(key[alerts], key[true])
    dismissed = np.isin(key[alerts], key[verdict == 0]) & ~confirmed
    judged = int(confirmed.sum() + dismissed.sum())
    return Caught(
        recall=float(found[true].mean()) if true.any() else math.nan,
        precision=float(confirmed.sum()) / judged if judged else math.nan,
        per_day=float(alerts.sum()) / max(len(np.unique(day)), 1),
        alerts=int(alerts.sum()),
        true=int(true.sum()),
    )
