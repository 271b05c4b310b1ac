"""The words of the report: names, explanations and units of what the machine calls ``wape`` or ``h=1-7``."""

from collections.abc import Mapping

from perennial.contracts import ModelVersion

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
