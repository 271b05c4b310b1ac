"""Our own checks: of single rows as they land, and of the table they land in. They fail closed.

Expectations (:mod:`perennial.checks.expectations`) come second: on an empty or all-null table most of them pass.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.config.models import Guards
from perennial.config.types import WEEKDAYS
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME, Check, Landing
from perennial.sources import BAD

REASON = "reason"
FIRST_DAY = date(1900, 1, 1)
LAST_DAY = date(2200, 12, 31)


# --- rows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A batch in two parts; ``rejected`` has one more column, ``reason``. Neither has ``_bad``."""

    accepted: pa.RecordBatch
    rejected: pa.RecordBatch


def screen(batch: pa.RecordBatch, guards: Guards, *, main: bool) -> Screened:
    """Set aside the rows that cannot be used, each with the first reason that applies.

    Reasons: those of ``_bad``, ``missing_date``, ``date_out_of_range``, ``missing_available_at``,
    ``missing_entity`` and, for observations, ``non_finite``, ``below_min_value``, ``above_max_value``. A null
    target is not a reason: it says that the value is unknown, and :func:`judge` counts it.

    Args:
        batch: Canonical columns, with or without ``_bad`` and ``available_at``.
        guards: Bounds of the target.
        main: Whether these are observations, which have a target.
    """
    reasons = pa.nulls(len(batch), pa.string())
    if BAD in batch.schema.names:
        reasons = batch[BAD]
        batch = batch.drop_columns([BAD])
    for reason, broken in _broken(batch, guards, main=main):
        if pc.any(broken).as_py():
            reasons = pc.if_else(pc.and_(broken, pc.is_null(reasons)), reason, reasons)
    if reasons.null_count == len(batch):
        return Screened(accepted=batch, rejected=batch.slice(0, 0).append_column(REASON, reasons.slice(0, 0)))
    good = pc.is_null(reasons)
    rejected = batch.append_column(REASON, reasons).filter(pc.invert(good))
    return Screened(accepted=batch.filter(good), rejected=rejected)


def _broken(batch: pa.RecordBatch, guards: Guards, *, main: bool) -> Iterable[tuple[str, pa.Array]]:
    """Yield each reason with a mask of the rows it applies to; masks hold no null."""
    day = batch[TIME]
    yield "missing_date", pc.is_null(day)
    yield "date_out_of_range", _true(pc.or_(pc.less(day, FIRST_DAY), pc.greater(day, LAST_DAY)))
    if AVAILABLE_AT in batch.schema.names:
        yield "missing_available_at", pc.is_null(batch[AVAILABLE_AT])
    if ENTITY in batch.schema.names:
        yield "missing_entity", _blank(batch[ENTITY])
    if main:
        y = batch[TARGET]
        yield "non_finite", _true(pc.invert(pc.is_finite(y)))
        if guards.min_value is not None:
            yield "below_min_value", _true(pc.less(y, guards.min_value))
        if guards.max_value is not None:
            yield "above_max_value", _true(pc.greater(y, guards.max_value))


def _blank(keys: pa.Array) -> pa.Array:
    return pc.or_(pc.is_null(keys), _true(pc.or_(pc.equal(pc.binary_length(keys), 0), pc.utf8_is_space(keys))))


def _true(mask: pa.Array) -> pa.Array:
    return pc.fill_null(mask, False)


# --- tables ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Aggregates of all rows that a run may see.

    Attributes:
        table: Logical name, for messages.
        known: Rows whose target is not null; all of them where the kind needs no target.
        rows_by_day: Rows with a target by day; days without any are absent.
        closed_weekdays: Weekdays on which no rows are expected, 0 for Monday.
    """

    table: str
    as_of: date
    rows: int
    known: int
    entities: int
    rows_by_day: dict[date, int]
    closed_weekdays: frozenset[int]

    @property
    def newest(self) -> date | None:
        """The newest day with a target; ``None`` if there is none."""
        return max(self.rows_by_day, default=None)

    def open_days(self, after: date, until: date) -> tuple[date, ...]:
        """Return the days after ``after``, up to and with ``until``, on which rows are expected."""
        days = (after + timedelta(days=n) for n in range(1, (until - after).days + 1))
        return tuple(day for day in days if day.weekday() not in self.closed_weekdays)


def gather(
    batches: Iterable[pa.RecordBatch],
    *,
    as_of: date,
    closed_weekdays: Collection[str] = (),
    table: str = "observations",
    labelled: bool = True,
) -> Facts:
    """Aggregate the visible rows in one pass; memory is bounded by the batch and the number of entities.

    Args:
        batches: Rows with ``ds``, ``y`` and, where there is one, ``entity``.
        as_of: Date the run stands on.
        closed_weekdays: Of ``mon`` ... ``sun``, as in ``forecast.closed_weekdays``.
        table: Logical name, for the messages of the checks.
        labelled: Whether a row without a target says nothing; otherwise it counts like any other.
    """
    rows = known = 0
    entities: set[str] = set()
    by_day: Counter[int] = Counter()
    for batch in batches:
        rows += len(batch)
        days = batch[TIME].cast(pa.int32())
        if labelled and batch[TARGET].null_count:
            days = days.filter(pc.is_valid(batch[TARGET]))
        known += len(days)
        by_day.update(_counts(days.to_numpy()))
        if ENTITY in batch.schema.names:
            entities.update(pc.unique(batch[ENTITY]).to_pylist())
    epoch = date(1970, 1, 1)
    return Facts(
        table=table,
        as_of=as_of,
        rows=rows,
        known=known,
        entities=len(entities),
        rows_by_day={epoch + timedelta(days=day): n for day, n in sorted(by_day.items())},
        closed_weekdays=frozenset(WEEKDAYS.index(day) for day in closed_weekdays),
    )


def _counts(days: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> dict[int, int]:
    if not len(days):
        return {}
    first = int(days.min())
    counts = np.bincount(days - first)
    return {first + int(at): int(counts[at]) for at in np.flatnonzero(counts)}


def judge(landing: Landing | None, facts: Facts, guards: Guards) -> tuple[Check, ...]:
    """Judge the observations after a landing.

    Args:
        landing: What landed, or ``None`` if nothing did: the table must be fit all the same.
        facts: Of all visible rows, those of the landing among them.
        guards: Bounds; one that is ``null`` is reported as switched off.

    Returns:
        Every check, passed or not, all of severity ``critical``.
    """
    return (
        *(judge_landing(landing, guards) if landing else ()),
        _at_least("min_rows", facts.table, facts.known, guards.min_rows),
        _at_least("min_entities", facts.table, facts.entities, guards.min_entities),
        _age(facts, guards.max_age_days),
        _missing(facts, guards),
        _coverage(facts, guards),
    )


def judge_landing(landing: Landing, guards: Guards) -> tuple[Check, ...]:
    """Judge what landed by itself: all there is to judge of covariates known in advance."""
    counts = landing.counts
    conserved = _check(
        "rows_conserved", landing.table, counts.conserved, f"{counts.rows_in:,} rows in", "all accounted for"
    )
    landed = counts.accepted + counts.quarantined
    reasons = tuple(f"{reason}: {n:,}" for reason, n in Counter(counts.reasons).most_common(5))
    return (
        conserved,
        _at_most("max_quarantine_rate", landing.table, counts.quarantined, landed, guards.max_quarantine_rate, reasons),
        _at_most("max_null_rate", landing.table, counts.nulls, counts.accepted, guards.max_null_rate),
    )


def _check(name: str, table: str, passed: bool, observed: str, expected: str, samples: tuple[str, ...] = ()) -> Check:
    return Check(
        name=name,
        table=table,
        column=None,
        origin="guard",
        severity="critical",
        passed=passed,
        observed=observed,
        expected=expected,
        samples=samples,
    )


def _off(name: str, facts: Facts) -> Check:
    return _check(name, facts.table, passed=True, observed="not judged", expected="switched off")


def _at_least(name: str, table: str, value: int, bound: int) -> Check:
    return _check(name, table, value >= bound, f"{value:,}", f">= {bound:,}")


def _at_most(name: str, table: str, part: int, whole: int, bound: float, samples: tuple[str, ...] = ()) -> Check:
    """Judge a share; of nothing it is zero."""
    share = part / whole if whole else 0.0
    passed = math.isfinite(share) and share <= bound
    return _check(name, table, passed, f"{share:.2%} ({part:,} of {whole:,} rows)", f"<= {bound:.2%}", samples)


def _age(facts: Facts, limit: int | None) -> Check:
    """Judge how old the newest observation is, in days on which there should have been one."""
    if limit is None:
        return _off("max_age_days", facts)
    if facts.newest is None:
        return _check("max_age_days", facts.table, False, "no observation", f"<= {limit} days")
    age = len(facts.open_days(facts.newest, facts.as_of))
    return _check("max_age_days", facts.table, age <= limit, f"{age} days (newest: {facts.newest})", f"<= {limit} days")


def _missing(facts: Facts, guards: Guards) -> Check:
    """Judge the holes before the newest day; what is missing after it is its age."""
    limit = guards.max_missing_days
    if limit is None:
        return _off("max_missing_days", facts)
    if facts.newest is None:
        return _check("max_missing_days", facts.table, False, "no observation", f"<= {limit}")
    start = max(min(facts.rows_by_day), facts.as_of - timedelta(days=guards.gap_days))
    holes = [day for day in facts.open_days(start, facts.newest) if day not in facts.rows_by_day]
    observed = f"{len(holes)} in {guards.gap_days} days"
    samples = tuple(day.isoformat() for day in holes[:5])
    return _check("max_missing_days", facts.table, len(holes) <= limit, observed, f"<= {limit}", samples)


def _coverage(facts: Facts, guards: Guards) -> Check:
    """Judge the newest day against the same weekdays before it, back to ``gap_days`` or one week at least."""
    if guards.min_coverage is None:
        return _off("min_coverage", facts)
    expected = f">= {guards.min_coverage:.0%} of the same weekdays before"
    if facts.newest is None:
        return _check("min_coverage", facts.table, False, "no observation", expected)
    weeks = range(1, max(guards.gap_days // 7, 1) + 1)
    earlier = [facts.rows_by_day.get(facts.newest - timedelta(days=7 * week), 0) for week in weeks]
    usual = median([rows for rows in earlier if rows] or [0])
    if not usual:
        return _check("min_coverage", facts.table, True, "no earlier day to compare with", expected)
    share = facts.rows_by_day[facts.newest] / usual
    observed = f"{share:.0%} ({facts.rows_by_day[facts.newest]:,} rows on {facts.newest})"
    return _check("min_coverage", facts.table, share >= guards.min_coverage, observed, expected)
