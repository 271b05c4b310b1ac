"""Contracts as plain JSON types."""

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
