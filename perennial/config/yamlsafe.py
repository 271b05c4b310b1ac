"""YAML as plain data: mappings, lists and scalars, each of which knows its line.

Tags, anchors, aliases, duplicate keys and further documents are refused, so that a file means what it shows
and can neither run code nor grow when read. Scalars follow the YAML 1.2 core schema: only ``true`` and
``false`` are booleans, so the country code ``NO`` and the answer ``yes`` stay text, and so do dates.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from perennial.errors import ConfigError

MAX_BYTES = 2**20
"""Largest file that is read; the longest pipeline we know of has 4 kB."""
MAX_DEPTH = 20
"""Deepest nesting of lists and mappings."""

Place = tuple[str | int, ...]
"""Keys and list positions from the root to a value."""

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a file, and where."""

    line: int
    place: Place
    message: str

    def __str__(self) -> str:
        where = ".".join(map(str, self.place))
        return f"{where}: {self.message}" if where else self.message


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed file.

    Attributes:
        name: How messages call the file.
        value: Nested ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool`` and ``None``.
        lines: Line, from 1, of every key and list item.
    """

    name: str
    text: str
    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of a value, or of the nearest enclosing one that the file holds."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def problem(self, place: Place, message: str) -> Problem:
        """Return a problem with the line of ``place``."""
        return Problem(line=self.line(place), place=place, message=message)


def read(path: Path) -> Document:
    """Parse a YAML file.

    Raises:
        ConfigError: The file is missing, too large, not UTF-8, not YAML, or holds something that is refused;
            one message lists every problem with its line.

    Example:
        >>> read(Path("configs/demand.yaml")).value["pipeline"]  # doctest: +SKIP
        'demand'
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; check the path") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than 1 MiB; a configuration names data, it does not hold it")
    try:
        return parse(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def parse(text: str, name: str) -> Document:
    """Parse YAML text; ``name`` stands in the messages.

    Raises:
        ConfigError: As :func:`read`.
    """
    builder = _Builder(yaml.parse(text, Loader=_LOADER))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise combined(
            name, [Problem(line=line, place=(), message=f"not readable as YAML: {error.problem}")]
        ) from error
    except yaml.YAMLError as error:
        message = f"not readable as YAML: {str(error).splitlines()[0][:120]}"
        raise combined(name, [Problem(line=1, place=(), message=message)]) from error
    if builder.problems:
        raise combined(name, builder.problems)
    return Document(name=name, text=text, value=value, lines=builder.lines)


def combined(name: str, problems: Iterable[Problem]) -> ConfigError:
    """Return one error that lists all problems in order of line, at most 50 of them."""
    found = sorted(set(problems), key=lambda p: (p.line, [str(part) for part in p.place]))
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    listed = "".join(f"\n  {name}:{p.line}: {p}" for p in found[:50])
    more = f"\n  ... and {len(found) - 50} more" if len(found) > 50 else ""
    return ConfigError(f"{count} in {name}{listed}{more}")


def nearest(value: object, allowed: Iterable[str]) -> str:
    """Say which allowed name was probably meant, and which are allowed.

    Example:
        >>> nearest("ration", ["ratio", "max"])
        'did you mean `ratio`? allowed: max, ratio'
    """
    names = sorted(allowed)
    close = get_close_matches(str(value)[:80], names, n=1)
    hint = f"did you mean `{close[0]}`? " if close else ""
    shown = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return f"{hint}allowed: {shown or 'none'}"


class _Builder:
    """Builds the value from the event stream, so that nothing is constructed that was not looked at."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self.problems: list[Problem] = []
        self.lines: dict[Place, int] = {}

    def document(self) -> Any:
        event = self._content()
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(event, ())
        event = self._content()
        if not isinstance(event, yaml.StreamEndEvent):
            self._report(event, (), "a second document; keep one document in a file")
        return value

    def _content(self) -> Any:
        framing = (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent)
        return next(event for event in self._events if not isinstance(event, framing))

    def _value(self, event: Any, place: Place) -> Any:
        self._refuse_indirection(event, place)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, yaml.AliasEvent):
            return None
        if len(place) >= MAX_DEPTH:
            message = f"lists and mappings are nested deeper than {MAX_DEPTH} levels"
            raise yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(place)
        return self._mapping(place)

    def _refuse_indirection(self, event: Any, place: Place) -> None:
        if getattr(event, "anchor", None):
            message = f"anchor or alias `{event.anchor[:40]}` is not allowed; write the value out"
            self._report(event, place, message)
        if getattr(event, "tag", None):
            self._report(event, place, f"tag `{event.tag[:60]}` is not allowed; only plain values are read")

    def _list(self, place: Place) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*place, len(values))
            self.lines[here] = _line(event)
            values.append(self._value(event, here))
        return values

    def _mapping(self, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            here = (*place, self._key(event, place))
            if here[-1] in values:
                first = self.lines[here]
                self._report(event, here, f"stands twice in this mapping (first in line {first}); remove one")
            self.lines.setdefault(here, _line(event))
            values[str(here[-1])] = self._value(next(self._events), here)
        return values

    def _key(self, event: Any, place: Place) -> str:
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_indirection(event, place)
            return str(event.value)
        self._report(event, place, "a key must be one word, not a list, mapping or alias")
        return str(self._value(event, (*place, "?")))

    def _scalar(self, event: Any, place: Place) -> str | int | float | bool | None:
        try:
            value = _plain(event.value) if event.implicit[0] else str(event.value)
        except ValueError:  # int() refuses more than 4,300 digits
            value = math.inf
        if isinstance(value, float) and math.isinf(value):
            self._report(event, place, "the number is too large")
            return 0
        return value

    def _report(self, event: Any, place: Place, message: str) -> None:
        self.problems.append(Problem(line=_line(event), place=place, message=message))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _plain(text: str) -> str | int | float | bool | None:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.match(text):
        return float(text)
    return text
