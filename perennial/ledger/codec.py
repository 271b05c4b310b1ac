"""Contracts to canonical JSON and back; canonical means: equal facts have equal text, hence equal digests."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from perennial.contracts import to_json

Fact = TypeVar("Fact")


def canonical(value: object) -> str:
    """Write plain values as ASCII JSON with sorted keys, no spaces, and nan and infinities as text.

    Example:
        >>> canonical({"b": float("nan"), "a": (1, True)})
        '{"a":[1,true],"b":"NaN"}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the SHA-256 of UTF-8 text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def encode(fact: object) -> str:
    """Write one contract as canonical JSON."""
    return canonical(to_json(fact))


def decode(kind: type[Fact], text: str) -> Fact:
    """Read one contract of class ``kind`` back from its canonical JSON.

    Raises:
        pydantic.ValidationError: The text is not such a contract.
    """
    key: Any = kind  # mypy does not take type[Fact] for hashable
    fact: Fact = _adapter(key).validate_json(text)
    return fact


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
