"""The guards fail closed: on rows one by one, and on the table as a whole."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from perennial.checks.guards import Facts, gather, judge, judge_landing, screen
from perennial.config.models import Guards
from perennial.contracts import Check, Landing, RowCounts

DAY = date(2024, 3, 1)  # a Friday
MOMENT = datetime(2024, 3, 2, tzinfo=UTC)
TYPES = {
    "entity": pa.string(),
    "ds": pa.date32(),
    "y": pa.float64(),
    "_bad": pa.string(),
    "available_at": pa.timestamp("us", "UTC"),
}


def batch_of(**changes: object) -> pa.RecordBatch:
    """Make one good row, but for the changes."""
    row = {"entity": "a", "ds": DAY, "y": 1.0, "_bad": None, "available_at": MOMENT} | changes
    return pa.RecordBatch.from_pydict({name: pa.array([row[name]], type_) for name, type_ in TYPES.items()})


def facts_of(rows_by_day: dict[date, int], as_of: date = DAY, closed: tuple[int, ...] = ()) -> Facts:
    """Make the facts of a table with so many rows a day."""
    known = sum(rows_by_day.values())
    return Facts(
        table="demand",
        as_of=as_of,
        rows=known,
        known=known,
        entities=min(known, 1),
        rows_by_day=rows_by_day,
        closed_weekdays=frozenset(closed),
    )


def landing_of(counts: RowCounts) -> Landing:
    """Make a landing with these counts."""
    return Landing(
        landing_id="1",
        pipeline="demand",
        table="demand",
        as_of=DAY,
        version_before=-1,
        version_after=0,
        files=(),
        sources=(),
        counts=counts,
        first_visible=DAY,
    )


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    """Index checks."""
    return {check.name: check for check in checks}


def days_until(last: date, count: int, rows: int = 10) -> dict[date, int]:
    """Make complete days."""
    return {last - timedelta(days=n): rows for n in range(count)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_bad": "bad_number"}, "bad_number"),
        ({"ds": None}, "missing_date"),
        ({"ds": date(1899, 12, 31)}, "date_out_of_range"),
        ({"ds": date(2201, 1, 1)}, "date_out_of_range"),
        ({"available_at": None}, "missing_available_at"),
        ({"entity": None}, "missing_entity"),
        ({"entity": ""}, "missing_entity"),
        ({"entity": " \t"}, "missing_entity"),
        ({"y": float("inf")}, "non_finite"),
        ({"y": float("-inf")}, "non_finite"),
        ({"y": float("nan")}, "non_finite"),
        ({"y": -0.5}, "below_min_value"),
        ({"y": 100.5}, "above_max_value"),
        ({"y": -1.0, "entity": None}, "missing_entity"),
    ],
)
def test_a_bad_row_is_set_aside_with_its_first_reason(changes: dict[str, object], reason: str) -> None:
    """Every reason that the guards know, and the order in which they apply."""
    screened = screen(batch_of(**changes), Guards(max_value=100.0), main=True)

    assert screened.rejected["reason"].to_pylist() == [reason]
    assert len(screened.accepted) == 0
    assert "_bad" not in screened.rejected.schema.names


@pytest.mark.parametrize("changes", [{}, {"y": None}, {"y": 0.0}, {"y": -0.0}, {"y": 100.0}, {"y": 5e-324}])
def test_a_good_row_passes(changes: dict[str, object]) -> None:
    """A null target is an unknown value, and the bounds themselves are allowed."""
    screened = screen(batch_of(**changes), Guards(max_value=100.0), main=True)

    assert len(screened.accepted) == 1
    assert screened.accepted.schema.names == ["entity", "ds", "y", "available_at"]


def test_covariates_need_neither_entity_nor_target() -> None:
    """A promotion that holds for all entities has no entity column."""
    batch = batch_of().select(["ds", "_bad", "available_at"])

    assert len(screen(batch, Guards(), main=False).accepted) == 1


def test_switched_off_bounds_let_returns_pass() -> None:
    """``min_value: null`` accepts negative units."""
    assert len(screen(batch_of(y=-3.0), Guards(min_value=None), main=True).accepted) == 1


def test_gather_counts_what_is_known() -> None:
    """Rows without a target do not make a day complete."""
    batches = [batch_of(), batch_of(entity="b"), batch_of(ds=DAY - timedelta(days=1), y=None)]

    facts = gather(batches, as_of=DAY, closed_weekdays=("sun",))

    assert (facts.rows, facts.known, facts.entities) == (3, 2, 2)
    assert facts.rows_by_day == {DAY: 2}
    assert facts.closed_weekdays == {6}


def test_nothing_at_all_fails_every_guard() -> None:
    """An empty table passes no guard; most expectations would let it pass."""
    checks = by_name(judge(None, gather([], as_of=DAY, table="demand"), Guards()))

    assert not any(check.passed for check in checks.values())
    assert {check.table for check in checks.values()} == {"demand"}


def test_a_full_table_passes_every_guard() -> None:
    """Eight complete weeks up to the as-of date."""
    assert all(check.passed for check in judge(None, facts_of(days_until(DAY, 56)), Guards()))


def test_a_switched_off_guard_says_so() -> None:
    """What is not judged is visible in the report."""
    guards = Guards(max_age_days=None, max_missing_days=None, min_coverage=None, min_rows=0, min_entities=0)

    checks = judge(None, facts_of({}), guards)

    assert all(check.passed for check in checks)
    assert sum(check.expected == "switched off" for check in checks) == 3


@pytest.mark.parametrize(("age", "passed"), [(0, True), (1, True), (2, False)])
def test_stale_data_is_refused(age: int, passed: bool) -> None:
    """One day late is allowed by default, two are not."""
    facts = facts_of(days_until(DAY - timedelta(days=age), 56))

    assert by_name(judge(None, facts, Guards()))["max_age_days"].passed is passed


def test_closed_days_do_not_age() -> None:
    """On Sunday, Friday's data is fresh if the shop is closed on Saturdays and Sundays."""
    friday = facts_of(days_until(DAY, 56), as_of=DAY + timedelta(days=2), closed=(5, 6))

    assert by_name(judge(None, friday, Guards(max_age_days=0)))["max_age_days"].passed


@pytest.mark.parametrize(("gap", "passed"), [(0, True), (1, False), (27, False), (28, True)])
def test_a_missing_day_within_the_window_is_refused(gap: int, passed: bool) -> None:
    """A hole inside the last 28 days is named; older ones, and the newest day itself, are not holes."""
    rows = days_until(DAY, 56)
    rows[DAY + timedelta(days=1)] = 10
    del rows[DAY - timedelta(days=gap)]
    if gap == 0:  # nothing after the hole: it is age
        del rows[DAY + timedelta(days=1)]

    check = by_name(judge(None, facts_of(rows), Guards()))["max_missing_days"]

    assert check.passed is passed
    assert check.samples == (() if passed else ((DAY - timedelta(days=gap)).isoformat(),))


@pytest.mark.parametrize(("rows", "passed"), [(5, True), (4, False)])
def test_a_half_empty_newest_day_is_refused(rows: int, passed: bool) -> None:
    """The newest day is held against the median of the same weekdays before."""
    check = by_name(judge(None, facts_of(days_until(DAY, 56) | {DAY: rows}), Guards()))["min_coverage"]

    assert check.passed is passed


def test_a_first_week_has_nothing_to_be_compared_with() -> None:
    """Three days of history are judged by the other guards."""
    assert by_name(judge(None, facts_of(days_until(DAY, 3)), Guards()))["min_coverage"].passed


@pytest.mark.parametrize(
    ("counts", "failed"),
    [
        (RowCounts(rows_in=100, accepted=99, quarantined=1, reasons={"non_finite": 1}), set()),
        (RowCounts(rows_in=99, accepted=97, quarantined=2, reasons={"x": 2}), {"max_quarantine_rate"}),
        (RowCounts(rows_in=1, quarantined=1, reasons={"x": 1}), {"max_quarantine_rate"}),
        (RowCounts(rows_in=10, accepted=10, nulls=1), {"max_null_rate"}),
        (RowCounts(rows_in=2, accepted=1), {"rows_conserved"}),
        (RowCounts(rows_in=5, duplicates=5), set()),
        (RowCounts(), set()),
    ],
)
def test_what_landed_is_judged_by_itself(counts: RowCounts, failed: set[str]) -> None:
    """Quarantine and null rates are shares of what landed; repetitions do not dilute them."""
    checks = judge_landing(landing_of(counts), Guards())

    assert {check.name for check in checks if not check.passed} == failed


def test_a_failed_guard_quotes_reasons() -> None:
    """The owner of the data reads which reasons were frequent."""
    counts = RowCounts(rows_in=10, accepted=7, quarantined=3, reasons={"bad_date": 1, "non_finite": 2})

    check = by_name(judge_landing(landing_of(counts), Guards()))["max_quarantine_rate"]

    assert check.observed == "30.00% (3 of 10 rows)"
    assert check.samples == ("non_finite: 2", "bad_date: 1")
