"""New rows, repetitions, restatements and contradictions, against a slow and obvious oracle."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.landing.dedupe import (
    CONFLICT,
    DUPLICATE,
    RESTATE,
    SUPERSEDED,
    TAKE,
    Fingerprints,
    InOrder,
    hash_column,
    hash_rows,
    repeats,
    verdicts,
)

Row = tuple[str, int, int, float | None]
"""Entity, day, moment, value."""


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    """Make a batch of canonical columns."""
    names, days, moments, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.RecordBatch.from_arrays(
        [
            pa.array(names, pa.string()),
            pa.array([date(2024, 1, 1) + timedelta(days=day) for day in days], pa.date32()),
            pa.array(moments, pa.timestamp("us", "UTC")),
            pa.array(values, pa.float64()),
        ],
        names=["entity", "ds", "available_at", "y"],
    )


def judged(new: Sequence[Row], landed: Sequence[Row], *, stamped: bool) -> list[int]:
    """Judge rows by way of files, in two batches."""
    with TemporaryDirectory() as folder:
        prints = Fingerprints(Path(folder), ["y"])
        for part in (new[: len(new) // 2], new[len(new) // 2 :]):
            prints.add(batch_of(part))
        prints.add(batch_of(landed), landed=True)
        return verdicts(prints, stamped=stamped).tolist()


def oracle(new: Sequence[Row], landed: Sequence[Row], *, stamped: bool) -> list[int]:
    """Judge each row by looking at all others."""
    found = [TAKE] * len(new)
    for at, row in enumerate(new):
        rivals = [other for other in new if other[:3] == row[:3]]
        rivals += [other for other in landed if stamped and other[:3] == row[:3]]
        if len({other[3] for other in rivals}) > 1:
            found[at] = CONFLICT
        elif any(other[:3] == row[:3] for other in new[:at]):
            found[at] = DUPLICATE
    for at, row in enumerate(new):
        if found[at] != TAKE:
            continue
        versions = [(other[2], 0, other[3]) for other in landed if other[:2] == row[:2]]
        versions += [
            (other[2], 1, other[3])
            for i, other in enumerate(new)
            if other[:2] == row[:2] and found[i] not in (CONFLICT,) and other not in new[:i]
        ]
        versions.sort(key=lambda version: version[:2])
        place = versions.index((row[2], 1, row[3]))
        if place and versions[place - 1][2] == row[3]:
            found[at] = DUPLICATE
        elif any(kind == 0 for _, kind, _ in versions[place:]):
            found[at] = SUPERSEDED
        elif place:
            found[at] = RESTATE
    return found


ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 3), st.sampled_from([0.0, 1.0, 2.0, None])),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(new=ROWS, landed=ROWS, stamped=st.booleans())
def test_verdicts_are_those_of_the_oracle(new: list[Row], landed: list[Row], stamped: bool) -> None:
    """Any mixture of versions, whether the source stamps its rows or not."""
    landed = list({row[:3]: row for row in landed}.values())

    assert judged(new, landed, stamped=stamped) == oracle(new, landed, stamped=stamped)


@pytest.mark.parametrize(
    ("new", "landed", "expected"),
    [
        pytest.param([("a", 0, 1, 5.0)], [], [TAKE], id="new"),
        pytest.param([("a", 0, 1, 5.0)] * 2, [], [TAKE, DUPLICATE], id="repeated"),
        pytest.param([("a", 0, 1, 5.0), ("a", 0, 1, 6.0)], [], [CONFLICT] * 2, id="contradiction"),
        pytest.param([("a", 0, 2, 6.0), ("a", 0, 1, 5.0)], [], [RESTATE, TAKE], id="two versions"),
        pytest.param([("a", 0, 2, 5.0)], [("a", 0, 1, 5.0)], [DUPLICATE], id="stamped again"),
        pytest.param([("a", 0, 2, 6.0)], [("a", 0, 1, 5.0)], [RESTATE], id="restated"),
        pytest.param([("a", 0, 1, 6.0)], [("a", 0, 2, 5.0)], [SUPERSEDED], id="older than what stands"),
        pytest.param([("a", 0, 1, None)], [("a", 0, 1, 0.0)], [CONFLICT], id="null is not zero"),
        pytest.param([("a", 0, 1, -0.0)], [("a", 0, 1, 0.0)], [DUPLICATE], id="minus zero is zero"),
        pytest.param([("a", 1, 1, 5.0), ("b", 0, 1, 5.0)], [("a", 0, 1, 6.0)], [TAKE] * 2, id="other keys"),
    ],
)
def test_verdicts_by_example(new: list[Row], landed: list[Row], expected: list[int]) -> None:
    """What each word means."""
    assert judged(new, landed, stamped=True) == expected


def test_without_stamps_the_later_landing_is_the_later_knowledge() -> None:
    """A second run on one date may correct what the first one landed."""
    assert judged([("a", 0, 1, 6.0)], [("a", 0, 1, 5.0)], stamped=False) == [RESTATE]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", 0), ("a", 1), ("b", 0)], True),
        ([("a", 0), ("b", 0), ("a", 1)], True),
        ([("b", 0), ("a", 0)], False),
        ([("a", 0), ("a", 0)], False),
        ([("a", 1), ("a", 0)], False),
        ([("a", 0), ("b", 1), ("a", 2)], True),
        ([("a", 0), ("c", 1), ("b", 2), ("d", 2), ("d", 1)], False),
        ([("a", 0)], True),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 9])
def test_order_proves_that_nothing_repeats(rows: list[tuple[str, int]], expected: bool, size: int) -> None:
    """Strictly by entity and day, or by day and entity, across batches of any size."""
    batch = batch_of([(name, day, 0, 0.0) for name, day in rows])
    order = InOrder()

    held = [order.holds(batch.slice(at, size)) for at in range(0, len(rows), size)]

    assert all(held) is expected


def test_rows_for_all_entities_are_ordered_by_day() -> None:
    """A table without entities repeats a row when it repeats a day."""
    days = batch_of([("", 0, 0, 0.0), ("", 1, 0, 0.0), ("", 1, 0, 0.0)]).select(["ds"])

    assert InOrder().holds(days.slice(0, 2))
    assert not InOrder().holds(days)


def test_hashes_are_the_same_on_every_machine() -> None:
    """They are stored with quarantined rows, so they may never change."""
    batch = batch_of([("a", 0, 1, 1.5), ("b", 1, 2, None)])

    assert hash_rows(batch, ["entity", "ds", "y"]).tolist() == [16807242738224387069, 2977953274551103670]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, "a", ""]),
        pa.array(["a", None, "a", ""]).dictionary_encode(),
        pa.array([1.0, None, 1.0, 0.0]),
        pa.array([1, None, 1, 0]),
        pa.array([True, None, True, False]),
        pa.array([date(2024, 1, 1), None, date(2024, 1, 1), date(1970, 1, 1)]),
    ],
)
def test_equal_values_have_equal_hashes(column: pa.Array) -> None:
    """And null has one of its own, unlike empty text or zero."""
    one, null, same, other = hash_column(column).tolist()

    assert one == same
    assert len({one, null, other}) == 3
    assert hash_column(column.slice(1)).tolist() == [null, same, other]


def test_the_newest_of_several_versions_is_found() -> None:
    """By moment first, by position among rows of one moment."""
    rows = [("a", 0, 3, 1.0), ("a", 0, 2, 2.0), ("b", 0, 1, 1.0), ("b", 0, 1, 2.0)]

    keys, newest = repeats([batch_of(rows[:3]), batch_of(rows[3:])])

    assert sorted(newest.tolist()) == [0, 3]
    assert (np.diff(keys.astype(object)) > 0).all()
    assert len(repeats([])[0]) == 0
