"""YAML as plain data: what is refused, how scalars are read, and that nothing else gets through."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.config import yamlsafe
from perennial.errors import ConfigError


def read(folder: Path, content: str | bytes) -> yamlsafe.Document:
    """Write a file and read it back."""
    path = folder / "demand.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return yamlsafe.read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: 2", "1: a: anchor or alias `x` is not allowed"),
        ("a: 1\nb: *x", "2: b: anchor or alias `x`"),
        ("a: !!python/object/apply:os.system [touch canary]", "tag `tag:yaml.org,2002:python/object/apply:os.sys"),
        ("a: 1\na: 2", r"2: a: stands twice in this mapping \(first in line 1\)"),
        ("? [a]\n: 1", "a key must be one word"),
        ("a: b: c", "1: not readable as YAML: mapping values are not allowed"),
        ("a: \x07", "control characters"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: 1e999", "the number is too large"),
        ("a: " + "9" * 5000, "the number is too large"),
        ("[" * 100_000, "nested deeper than 20 levels"),
        ("? " * 10_000, "nested deeper than 20 levels"),
        ("#" * (2**20 + 1), "larger than 1 MiB"),
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """Nothing but plain data is read, quickly, and the line of the trouble is named."""
    start = time.monotonic()
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, text)
    assert time.monotonic() - start < 20
    assert not (tmp_path / "canary").exists()


def test_an_alias_bomb_does_not_grow(tmp_path: Path) -> None:
    """Each of nine levels that would multiply by ten is reported, none is expanded."""
    levels = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match=r"\.\.\. and 50 more"):
        read(tmp_path, "\n".join(levels))


@pytest.mark.parametrize("data", [b"a: \xff", b"\xff\xfea\x00"])
def test_other_encodings_are_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is not UTF-8 is refused with the position of the first bad byte."""
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("true", True),
        ("007", "007"),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("12:30", "12:30"),
        ("2011-12-09", "2011-12-09"),
        (".nan", ".nan"),
        ("~", None),
        ("'5'", "5"),
        ("-0.5", -0.5),
    ],
)
def test_scalars_mean_what_they_show(text: str, value: Any) -> None:
    """Country codes, answers, dates and leading zeros stay text."""
    read = yamlsafe.parse(f"a: {text}", "t").value["a"]
    assert read == value
    assert type(read) is type(value)


TEXT = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_json_is_read_as_json(value: Any) -> None:
    """A JSON document is YAML, and reads back equal."""
    assert yamlsafe.parse(json.dumps(value, ensure_ascii=False), "t").value == value


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!?|>'\"#,\n \t0.~%@`", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input gets past the parser with anything but a value or a ConfigError."""
    try:
        document = yamlsafe.parse(text, "t")
    except ConfigError:
        return
    json.dumps(document.value, allow_nan=False)
