"""Pydantic's errors in the words of the file's author: line, value, what is allowed, what was meant."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from perennial.config.yamlsafe import Document, Place, Problem, nearest
from perennial.errors import sample

_QUOTED = re.compile(r"'([^']*)'")
_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")

Schema = dict[str, Any]


def explain(error: ValidationError, model: type[BaseModel], document: Document) -> list[Problem]:
    """Return one problem for each wrong place of a file.

    Pydantic reports every branch of a union separately; they become one problem, joined with "or".
    """
    schema = model.model_json_schema()
    messages: dict[Place, list[str]] = {}
    for detail in error.errors(include_url=False):
        if not _follows(detail):
            place = _place(detail, document.value)
            messages.setdefault(place, []).append(_message(detail, schema))
    return [document.problem(at, redact(_joined(found))) for at, found in messages.items()]


def redact(text: str) -> str:
    """Hide the passwords of addresses.

    Example:
        >>> redact("postgresql://ann:secret@db/ledger")
        'postgresql://ann:***@db/ledger'
    """
    return _PASSWORD.sub(r"\1***@", text)


def _follows(detail: Any) -> bool:
    """Whether a list is called too short only because its items were refused, each with its own error."""
    return detail["type"] == "too_short" and bool(len(detail["input"]) >= detail["ctx"]["min_length"])


def _joined(messages: list[str]) -> str:
    """Join what each branch of a union said about one value, which is quoted once."""
    first, *others = dict.fromkeys(messages)
    quoted = first.partition(" should ")[0] + " "
    return ", or ".join([first, *(other.removeprefix(quoted) for other in others)])


def _place(detail: Any, value: Any) -> Place:
    """Turn pydantic's location into one of the file: names of union branches are left out."""
    place: list[str | int] = []
    for part in detail["loc"]:
        if holds(value, part):
            place.append(part)
            value = value[part]
    if detail["type"] == "missing":
        place.append(detail["loc"][-1])
    return tuple(place)


def holds(value: Any, part: Any) -> bool:
    """Return whether a mapping has a key, or a list an item."""
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _message(detail: Any, schema: Schema) -> str:
    loc, kind, given = detail["loc"], detail["type"], detail["input"]
    node = _node(schema, loc)
    if kind == "extra_forbidden":
        return f"unknown key; {nearest(loc[-1], _node(schema, loc[:-1]).get('properties', ()))}"
    if kind == "missing":
        return f"is required. {node.get('description', '')}".strip()
    if kind == "literal_error":
        return f"{sample([given])} is not allowed; {nearest(given, _choices(node) or _QUOTED.findall(detail['msg']))}"
    if kind.startswith("union_tag"):
        tag = given.get("type") if isinstance(given, dict) else given
        return f"type {sample([tag])} is not allowed; {nearest(tag, _tags(node))}"
    if kind == "bool_type":
        return f"{sample([given])} is not a boolean; write true or false"
    text = detail["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
    text = text.replace("be a valid array", "be a list").replace("be an object", "be a mapping")
    if kind == "string_pattern_mismatch" and "description" in node:
        text = f"{text} ({node['description']})"
    return text if kind == "value_error" else f"{sample([given])} {text[:1].lower()}{text[1:]}"


def _node(schema: Schema, loc: Sequence[str | int]) -> Schema:
    """Walk to the part of the JSON schema that a location names; ``{}`` where it leads nowhere."""
    node = schema
    for part in loc:
        node = _step(node, part, schema)
    return _resolved(node, schema)


def _step(node: Schema, part: str | int, schema: Schema) -> Schema:
    node = _resolved(node, schema)
    options: list[Any] = [
        node.get("properties", {}).get(part),
        {"$ref": _tags(node)[str(part)]} if str(part) in _tags(node) else None,
        node.get("additionalProperties"),
        node.get("items"),
        *(_step(option, part, schema) for option in node.get("anyOf", ())),
    ]
    return next((option for option in options if isinstance(option, dict) and option), {})


def _resolved(node: Schema, schema: Schema) -> Schema:
    name = node.get("$ref", "").rpartition("/")[2]
    return {**schema["$defs"][name], **node} if name else node


def _choices(node: Schema) -> list[str]:
    return [str(choice) for choice in node.get("enum", [node["const"]] if "const" in node else [])]


def _tags(node: Schema) -> dict[str, str]:
    tags: dict[str, str] = node.get("discriminator", {}).get("mapping", {})
    return tags
