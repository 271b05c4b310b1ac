"""Contracts as plain JSON types."""

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import Any


def to_json(record: Any) -> Any:
    """Turn a contract, or a collection of them, into plain JSON types: dates as ISO text, no bytes."""
    if is_dataclass(record) and not isinstance(record, type):
        return {key: to_json(value) for key, value in asdict(record).items() if not isinstance(value, bytes)}
    if isinstance(record, Mapping):
        return {str(key): to_json(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_json(value) for value in record]
    if isinstance(record, date | datetime):
        return record.isoformat()
    return record


def without_nan(value: Any) -> Any:
    """Replace nan and infinities in plain values by null: JSON has no word for them.

    Example:
        >>> without_nan({"wape": 0.2, "instability": float("nan")})
        {'wape': 0.2, 'instability': None}
    """
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
