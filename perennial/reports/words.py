"""The words of the report: names, explanations and units of what the machine calls ``wape`` or ``h=1-7``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perennial.contracts import ModelVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricWords:
    """How a metric is presented to people; lower is better for every metric.

    Attributes:
        label: Name in plain words.
        short: The field's own abbreviation; ``""`` if it has none.
        says: One sentence a planner understands.
        unit: ``share`` is shown in percent, ``score`` with three decimals, ``amount`` in the target's unit.
        points: Compare in percentage points, because a relative change of a figure near zero says nothing.
    """

    label: str
    short: str
    says: str
    unit: Literal["share", "score", "amount"]
    points: bool = False


_METRICS: Mapping[str, MetricWords] = {
    "wape": MetricWords(
        label="Absolute error",
        short="WAPE",
        says="All misses, series by series and day by day, as a share of the actual volume.",
        unit="share",
    ),
    "bias": MetricWords(
        label="Bias of the total",
        short="bias",
        says="How far the sum of all forecasts is from the sum of all actuals.",
        unit="share",
        points=True,
    ),
    "mae": MetricWords(label="Mean miss", short="MAE", says="Average miss of one series on one day.", unit="amount"),
    "rmse": MetricWords(
        label="Root mean squared miss", short="RMSE", says="Like the mean miss; large misses weigh more.", unit="amount"
    ),
    "mase": MetricWords(
        label="Scaled absolute error",
        short="MASE",
        says="Mean miss compared with repeating last week in training; below 1 is better than that.",
        unit="score",
    ),
    "rmsse": MetricWords(
        label="Scaled squared error",
        short="RMSSE",
        says="Like MASE on squared misses, so that large misses weigh more.",
        unit="score",
    ),
    "wrmsse": MetricWords(
        label="Weighted scaled error",
        short="WRMSSE",
        says="RMSSE of totals, groups and series together; what sells more counts more.",
        unit="score",
    ),
    "pinball": MetricWords(
        label="Quantile loss",
        short="pinball",
        says="Quality of the uncertainty band: narrow is good, missing the actual is penalised.",
        unit="amount",
    ),
    "coverage_error": MetricWords(
        label="Coverage error",
        short="coverage",
        says="How far the share of actuals inside the band is from what the band promises.",
        unit="share",
        points=True,
    ),
    "instability": MetricWords(
        label="Instability",
        short="",
        says="How much the forecast of one and the same day moved from one run to the next.",
        unit="share",
    ),
}

_REASONS: Mapping[str, str] = {
    "bad_number": "The value is not a number",
    "bad_date": "The date cannot be read",
    "bad_key": "The name of the series is too long or holds characters that are not allowed",
    "bad_text": "A text is too long or holds characters that are not allowed",
    "missing_date": "The date is missing",
    "date_out_of_range": "The date is before 1900 or after 2200",
    "missing_available_at": "When the row became known is missing",
    "missing_entity": "The name of the series is missing or empty",
    "conflict": "Two different values for the same series and date",
    "superseded": "A value that became known later had landed before",
    "non_finite": "The value is infinite or not a number",
    "below_min_value": "Below the lowest value allowed",
    "above_max_value": "Above the highest value allowed",
}


def metric_words(metric: str) -> MetricWords:
    """Return how ``metric`` is presented; an unknown one goes by its own name as a plain score."""
    return _METRICS.get(metric) or MetricWords(label=sentence(metric), short="", says="", unit="score")


def metric_order(metric: str) -> int:
    """Return where a metric stands in a table: known ones in the order of reading, others after them."""
    return list(_METRICS).index(metric) if metric in _METRICS else len(_METRICS)


def reason_words(reason: str) -> str:
    """Return why rows were quarantined, in words.

    Example:
        >>> reason_words("bad_date")
        'The date cannot be read'
    """
    return _REASONS.get(reason) or sentence(reason)


def sentence(name: str) -> str:
    """Turn an identifier into words.

    Example:
        >>> sentence("seasonal_naive")
        'Seasonal naive'
    """
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def estimator_name(estimator: str) -> str:
    """Return an estimator's name in words."""
    return "Histogram gradient boosting" if estimator == "hist_gradient_boosting" else sentence(estimator)


def contender_name(contender: str, version: ModelVersion, champion: ModelVersion | None) -> str:
    """Return what a contender is called in tables and legends, for example ``Champion v6``."""
    if contender == "candidate":
        return f"Candidate v{version.version}"
    if contender == "champion" and champion is not None:
        return f"Champion v{champion.version}"
    return sentence(contender)


def part_name(part: str, key: str) -> str:
    """Return the reader's name of a slice value or a horizon bucket.

    Example:
        >>> part_name("horizon", "h=1-7"), part_name("slice", "volume=A")
        ('Days 1–7', 'A')
    """
    value = key.partition("=")[2] or key
    return f"Days {value.replace('-', '–')}" if part == "horizon" else value
