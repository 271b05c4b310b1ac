"""How metrics are presented to people: names, abbreviations, one sentence each, and units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perennial.reports.words import sentence

Unit = Literal["share", "score", "amount"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricWords:
    """How a metric is presented to people; lower is better for every metric.

    Attributes:
        label: Name in plain words.
        short: The field's own abbreviation; ``""`` if it has none.
        says: One sentence a planner understands.
        unit: ``share`` is shown in percent, ``score`` with three decimals, ``amount`` in a unit of its own.
        points: Compare in percentage points, because a relative change of a figure near zero says nothing.
    """

    label: str
    short: str
    says: str
    unit: Unit
    points: bool = False


def _words(label: str, short: str, says: str, unit: Unit = "score", *, points: bool = False) -> MetricWords:
    return MetricWords(label=label, short=short, says=says, unit=unit, points=points)


_METRICS: Mapping[str, MetricWords] = {
    "wape": _words(
        "Absolute error",
        "WAPE",
        "All misses, series by series and day by day, as a share of the actual volume.",
        "share",
    ),
    "bias": _words(
        "Bias of the total",
        "bias",
        "How far the sum of all forecasts is from the sum of all actuals.",
        "share",
        points=True,
    ),
    "mae": _words("Mean miss", "MAE", "Average miss of one series on one day.", "amount"),
    "rmse": _words("Root mean squared miss", "RMSE", "Like the mean miss; large misses weigh more.", "amount"),
    "mase": _words(
        "Scaled absolute error",
        "MASE",
        "Mean miss compared with repeating last week in training; below 1 is better than that.",
    ),
    "rmsse": _words("Scaled squared error", "RMSSE", "Like MASE on squared misses, so that large misses weigh more."),
    "wrmsse": _words(
        "Weighted scaled error", "WRMSSE", "RMSSE of totals, groups and series together; what sells more counts more."
    ),
    "pinball": _words(
        "Quantile loss",
        "pinball",
        "Quality of the uncertainty band: narrow is good, missing the actual is penalised.",
        "amount",
    ),
    "coverage_error": _words(
        "Coverage error",
        "coverage",
        "How far the share of actuals inside the band is from what the band promises.",
        "share",
        points=True,
    ),
    "instability": _words(
        "Instability", "", "How much the forecast of one and the same day moved from one run to the next.", "share"
    ),
    "average_precision_error": _words(
        "Ranking error by precision", "1 − AP", "How far the ranking is from one with all that is looked for on top."
    ),
    "auc_error": _words(
        "Ranking error by pairs", "1 − AUC", "How often an event that is looked for ranks below another; 0.5 is a coin."
    ),
    "card_precision_error": _words(
        "Looked at in vain", "1 − precision", "Share of what tops a day's list that was not worth a look.", "share"
    ),
    "brier": _words("Squared error of the risk", "Brier", "Honest and telling risks are low; large misses weigh more."),
    "log_loss": _words("Surprise", "log loss", "Surprise at what happened, given the risk; sure and wrong costs most."),
    "calibration_error": _words(
        "Calibration error", "ECE", "How far risks are from how often it happened: whether 10 % means 10 %.", "share"
    ),
    "expected_cost": _words(
        "Cost of an event", "", "Mean cost of missed events and vain alerts, at the prices in the settings.", "amount"
    ),
    "miss_rate": _words("Missed", "1 − sensitivity", "Share of what is looked for without an alert.", "share"),
    "false_alert_rate": _words("Vain alerts", "1 − specificity", "Share of the other events with an alert.", "share"),
    "alert_volume": _words("Alerts a day", "", "How many alerts somebody has to look into.", "amount"),
    "missed_injected": _words("Planted errors missed", "", "Share of planted errors that raised no alert.", "share"),
    "alert_volume_error": _words("Alerts off budget", "", "How far alerts a day are from the budget.", "share"),
    "recall_error": _words("Not found", "1 − recall", "Share of what should have been found, and was not.", "share"),
    "precision_error": _words("Alerts dismissed", "1 − precision", "Share of judged alerts about nothing.", "share"),
    "ndcg_error": _words("Order of the lists", "1 − NDCG", "How far lists are from ones with what was chosen on top."),
    "mrr_error": _words("First hit", "1 − MRR", "How far down a list the first item stands that was chosen."),
    "hit_error": _words("Chosen elsewhere", "1 − hits", "Share of what was chosen that stood on no list.", "share"),
    "coverage_gap": _words("Never listed", "", "Share of the catalogue that stands on nobody's list.", "share"),
    "popularity_bias": _words("Popularity bias", "", "How much more popular what is listed is than what is chosen."),
    "cost": _words("Cost of ordering", "", "Holding, waste, lost margin and orders, per money of demand.", "share"),
    "excess_cost": _words("Cost above foresight", "", "The same above what it costs who knows the demand.", "share"),
    "unmet": _words("Unmet demand", "1 − fill rate", "Share of what was asked for and not there.", "share"),
    "waste": _words("Waste", "", "What was thrown away, per money of demand.", "share"),
    "stock": _words("Stock", "", "What is held overnight, in days of demand.", "amount"),
}


def metric_words(metric: str) -> MetricWords:
    """Return how ``metric`` is presented; an unknown one goes by its own name as a plain score."""
    return _METRICS.get(metric) or MetricWords(label=sentence(metric), short="", says="", unit="score")


def metric_order(metric: str) -> int:
    """Return where a metric stands in a table: known ones in the order of reading, others after them."""
    return list(_METRICS).index(metric) if metric in _METRICS else len(_METRICS)
