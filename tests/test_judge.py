"""What figures mean: findings with hysteresis, in words a person can act on, and one alert for each cause."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial.config.models import Pipeline
from perennial.contracts import Alert, CanaryVerdict, DailyError, Drift, Finding, Measurement
from perennial.ledger import Lease, Ledger
from perennial.monitoring.alerting import alert_of, raise_alerts
from perennial.monitoring.judge import findings
from tests.samples import PIPELINE

AS_OF = date(2011, 11, 11)


def pipeline(**sections: dict[str, object]) -> Pipeline:
    """Return the sample pipeline with other settings."""
    changed = {name: getattr(PIPELINE, name).model_copy(update=dict(settings)) for name, settings in sections.items()}
    return PIPELINE.model_copy(update=changed)


def day(ago: int, value: float, key: str = "", *, bound: float = 0.6, baseline: float = 0.7) -> DailyError:
    """Return the error of one matured day before the as-of date; usual is 0.5."""
    return DailyError(
        day=AS_OF - timedelta(days=ago),
        key=key,
        metric="wape",
        value=value,
        usual=0.5,
        bound=bound,
        baseline=baseline,
        rows=100,
    )


def days(*values: float, key: str = "", **how: float) -> tuple[DailyError, ...]:
    """Return the errors of consecutive days, the last of them the as-of date's."""
    return tuple(day(len(values) - 1 - n, value, key, **how) for n, value in enumerate(values))


def measured(as_of: date = AS_OF, **figures: Any) -> Measurement:
    """Return a measurement on which nothing is wrong but what is given."""
    healthy: dict[str, Any] = {
        "pipeline": "demand",
        "as_of": as_of,
        "champion": 3,
        "canary": None,
        "scores": (),
        "expected": {},
        "daily": days(0.5, 0.5, 0.5),
        "drift": (),
        "skew": 0.0,
        "matured": 5_000,
        "pending": 20_000,
        "model_age_days": 5,
        "data_age_days": 0,
    }
    return Measurement(**{**healthy, **figures})


def judged(
    now: Measurement,
    *history: Measurement,
    cfg: Pipeline = PIPELINE,
    rungs: dict[str, int] | None = None,
    trouble: str = "",
    verdict: CanaryVerdict | None = None,
) -> tuple[Finding, ...]:
    """Judge a measurement; everything was scored by the champion if nothing else is said."""
    return findings(cfg, now, history, rungs=rungs or {"champion": 100}, trouble=trouble, verdict=verdict)


def only(found: Sequence[Finding]) -> Finding:
    """Return the one finding."""
    (one,) = found
    return one


def earlier(n: int, **figures: Any) -> tuple[Measurement, ...]:
    """Return the measurements of the n dates before, oldest first."""
    return tuple(measured(AS_OF - timedelta(days=ago), **figures) for ago in range(n, 0, -1))


# --- accuracy ----------------------------------------------------------------------------------------------


def test_nothing_wrong_is_no_finding() -> None:
    """A healthy day is silent."""
    assert judged(measured(), *earlier(10)) == ()


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ((0.5, 0.5, 0.9), False),  # one bad day is chance
        ((0.5, 0.9, 0.9), True),
        ((0.9, 0.5, 0.9), True),
        ((0.9, 0.9, 0.5), False),  # the latest day is good again
        ((0.9, 0.9), True),
        ((0.9,), False),
        ((0.5, math.nan, 0.9), False),
        ((0.9, 0.9, math.nan), False),
    ],
)
def test_accuracy_needs_two_of_three_days_and_the_latest(values: tuple[float, ...], bad: bool) -> None:
    """The defaults: `bad: 2` of `of: 3`; a value that is not known proves nothing."""
    found = judged(measured(daily=days(*values)))
    assert [one.cause for one in found] == (["accuracy"] if bad else [])


def test_without_a_reference_no_day_is_bad() -> None:
    """A bound that is not known is never exceeded."""
    assert judged(measured(daily=days(9.0, 9.0, 9.0, bound=math.nan))) == ()


def test_the_settings_decide_how_many_days_count() -> None:
    """`bad: 3` of `of: 5` lets two bad days pass."""
    cfg = pipeline(monitor={"bad": 3, "of": 5})
    assert judged(measured(daily=days(0.5, 0.9, 0.5, 0.5, 0.9)), cfg=cfg) == ()
    assert only(judged(measured(daily=days(0.9, 0.9, 0.5, 0.5, 0.9)), cfg=cfg)).cause == "accuracy"


def test_many_bad_parts_are_one_finding_worst_first() -> None:
    """Eight slices are told as one event, without the overall error as a part, at most five by name."""
    parts = [error for n in range(8) for error in days(0.5, 0.9 + n / 10, 0.9 + n / 10, key=f"range={n}")]
    good = days(0.5, 0.5, 0.5, key="range=good")
    found = only(judged(measured(daily=(*parts, *good, *days(0.5, 0.7, 0.8)))))
    assert (found.cause, found.level) == ("accuracy", "critical")
    assert found.parts == tuple(f"range={n}" for n in range(7, -1, -1))
    assert found.summary == (
        "wape of all forecasts was 0.8 on 2011-11-11 (usual 0.5, bad beyond 0.6); 2 of the last 3 matured days were "
        "bad; worst: range=7 1.6 (usual 0.5), range=6 1.5 (usual 0.5), range=5 1.4 (usual 0.5), "
        "range=4 1.3 (usual 0.5), range=3 1.2 (usual 0.5) and 3 more"
    )
    assert found.command == "perennial run demand --as-of 2011-11-11"


def test_a_part_alone_is_a_warning_and_leads_the_summary() -> None:
    """While all forecasts together are fine nobody is woken."""
    daily = (*days(0.5, 0.5, 0.5), *days(0.5, 0.9, 0.9, key="range=22"), *days(0.5, 0.7, 0.7, key="range=23"))
    found = only(judged(measured(daily=daily)))
    assert (found.level, found.parts) == ("warning", ("range=22", "range=23"))
    assert found.summary.startswith("wape of range=22 was 0.9 on 2011-11-11")
    assert found.summary.endswith("also: range=23 0.7 (usual 0.5)")


def test_trouble_began_with_the_first_bad_day_of_its_run() -> None:
    """A good day in between does not end it, two do; what was told before keeps its beginning."""
    values = (0.9, 0.5, 0.5, 0.9, 0.5, 0.9, 0.9)
    now = measured(daily=days(*values))
    assert only(judged(now)).since == AS_OF - timedelta(days=3)
    told = Finding(cause="accuracy", level="critical", since=date(2011, 10, 1), summary="bad")
    assert only(judged(now, *earlier(1, findings=(told,)))).since == date(2011, 10, 1)


def test_a_part_that_no_longer_matures_is_not_bad_for_ever() -> None:
    """Bad days before the last three matured ones are over."""
    daily = (*days(0.5, 0.5, 0.5), day(4, 0.9, "range=22"), day(3, 0.9, "range=22"))
    assert judged(measured(daily=daily)) == ()


BAD = days(0.5, 0.9, 0.9)
MOVED = Drift(name="mean_7", psi=0.6, distance=0.3, bound=0.25)
FELL_BACK = Finding(cause="fallback", level="warning", since=AS_OF, summary="100 of 100 forecasts fell back")


@pytest.mark.parametrize(
    ("figures", "history", "likely"),
    [
        (
            {"drift": (MOVED,), "skew": 1.0},
            earlier(1, findings=(FELL_BACK,)),
            "Forecasts made on 2011-11-10 came from a fallback, not from the champion.",
        ),
        ({"drift": (MOVED,), "skew": 1.0}, (), "Features at scoring were not those that are computed now"),
        (
            {"drift": (MOVED,)},
            (),
            "The model's inputs moved against the same weekday of earlier weeks: mean_7 (PSI 0.60, bound 0.25).",
        ),
        ({"drift": (replace(MOVED, name="target"),)}, (), "Demand itself moved against the same weekday"),
        ({"model_age_days": 92}, (), "The model is old: it stands on 2011-08-11, 92 days ago."),
        (
            {"daily": days(0.5, 0.9, 0.9, baseline=0.55)},
            (),
            "Demand itself seems to have changed: the best naive forecast, which follows the newest days, did better "
            "(0.55)",
        ),
        ({}, (), "Neither drift nor skew nor a fallback was found"),
        ({"drift": (replace(MOVED, key="range=9"),)}, (), "Neither drift nor skew nor a fallback was found"),
    ],
)
def test_the_likely_cause_is_what_the_figures_show(
    figures: dict[str, Any], history: tuple[Measurement, ...], likely: str
) -> None:
    """The strongest evidence is named, and nothing that is not there; another slice's drift is none."""
    found = judged(measured(**{"daily": days(0.5, 0.9, 0.9, baseline=1.0), **figures}), *history)
    assert next(one for one in found if one.cause == "accuracy").likely.startswith(likely)


# --- runs, data, fallback ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trouble", "cause", "command"),
    [
        ("DataCheckFailed: max_age_days: 4 days", "data", "perennial score demand --as-of 2011-11-11"),
        ("SchemaError: no column 'units'", "data", "perennial validate demand"),
        ("SourceUnusable: sales.parquet is not Parquet", "data", "perennial score demand --as-of 2011-11-11"),
        ("SourceError: the bucket did not answer", "data", "perennial score demand --as-of 2011-11-11"),
        ("RegistryError: MLflow did not answer", "run", "perennial score demand --as-of 2011-11-11"),
        ("TimedOut", "run", "perennial score demand --as-of 2011-11-11"),
    ],
)
def test_a_scoring_that_failed_is_critical(trouble: str, cause: str, command: str) -> None:
    """The class of the error says whose trouble it is."""
    found = only(judged(measured(), trouble=trouble))
    assert (found.cause, found.level, found.command) == (cause, "critical", command)
    assert found.summary == f"scoring failed on 2011-11-11: {trouble}"
    assert bool(found.likely) == (cause == "data")


def test_an_error_is_told_without_the_password_it_quotes() -> None:
    """What leaves the house holds no secret."""
    found = only(judged(measured(), trouble="SourceError: postgresql://reader:hunter2@db/shop did not answer"))
    assert "hunter2" not in found.summary
    assert "did not answer" in found.summary


def test_trouble_that_goes_on_keeps_its_beginning() -> None:
    """The third date of a failing source says since when, and a date without it ends the count."""
    first = date(2011, 11, 9)
    before = Finding(cause="data", level="critical", since=first, summary="scoring failed")
    assert only(judged(measured(), *earlier(1, findings=(before,)), trouble="SourceError: no answer")).since == first
    history = (measured(AS_OF - timedelta(days=2), findings=(before,)), measured(AS_OF - timedelta(days=1)))
    assert only(judged(measured(), *history, trouble="SourceError: no answer")).since == AS_OF


@pytest.mark.parametrize(
    ("rungs", "level"),
    [
        ({"champion": 60, "challenger": 40}, None),
        ({"stale_features": 100}, "warning"),
        ({"champion": 60, "last_forecast": 40}, "critical"),
        ({"naive": 100}, "critical"),
    ],
)
def test_a_fallback_is_reported_by_how_low_it_is(rungs: dict[str, int], level: str | None) -> None:
    """A canary's rows are no fallback."""
    assert [one.level for one in judged(measured(), rungs=rungs)] == ([level] if level else [])


def test_a_failed_check_and_its_fallback_are_one_event() -> None:
    """The fallback and the age of the data follow from the trouble and are recorded only."""
    found = judged(measured(data_age_days=30), trouble="DataCheckFailed: too old", rungs={"naive": 40, "champion": 60})
    assert [(one.cause, one.level) for one in found] == [
        ("data", "critical"),
        ("fallback", "info"),
        ("stale_data", "info"),
    ]
    assert found[0].summary == "scoring failed on 2011-11-11; the rung naive served the date: DataCheckFailed: too old"
    assert found[1].summary == "40 of 100 forecasts of 2011-11-11 came from the rung naive"


# --- drift, skew, ages, costs ------------------------------------------------------------------------------


def test_drift_counts_when_it_is_there_twice() -> None:
    """A distribution that moved once is not reported, one within its bound never."""
    now = measured(drift=(MOVED, replace(MOVED, name="price", psi=0.2)), daily=())
    assert judged(now) == ()
    assert judged(now, *earlier(1)) == ()
    assert judged(now, *earlier(1, drift=(replace(MOVED, name="price", psi=9.0),))) == ()
    found = only(judged(now, *earlier(1, drift=(MOVED,))))
    assert (found.cause, found.level, found.since) == ("drift", "warning", AS_OF - timedelta(days=1))
    assert found.summary == "moved against the same weekday of earlier weeks: mean_7 (PSI 0.60, bound 0.25)"


@pytest.mark.parametrize(
    ("daily", "level"),
    [
        (days(0.5, 0.5, 0.5), "info"),  # measured, and the forecasts do not suffer
        (days(0.5, 0.5, 0.9), "warning"),
        ((), "warning"),
        (days(0.5, 0.5, 0.5, bound=math.nan), "warning"),
        (BAD, "info"),  # told as accuracy
    ],
)
def test_drift_is_of_no_concern_while_the_forecasts_do_not_suffer(daily: tuple[DailyError, ...], level: str) -> None:
    """Inputs may move with the season."""
    found = judged(measured(daily=daily, drift=(MOVED,)), *earlier(1, drift=(MOVED,)))
    assert [one.level for one in found if one.cause == "drift"] == [level]


@pytest.mark.parametrize(
    ("skew", "text"),
    [(math.nan, None), (0.01, None), (0.5, "differ by 0.5 standard deviations"), (math.inf, "known only on one side")],
)
def test_skew_beyond_its_bound_is_a_warning(skew: float, text: str | None) -> None:
    """What was not measured is no finding."""
    found = judged(measured(skew=skew))
    assert [one.level for one in found] == (["warning"] if text else [])
    assert not text or text in found[0].summary


def test_an_old_model_is_reported_only_where_the_settings_ask() -> None:
    """`max_model_age_days` is off by default."""
    now = measured(model_age_days=92)
    assert judged(now) == ()
    found = only(judged(now, cfg=pipeline(monitor={"max_model_age_days": 60})))
    assert (found.cause, found.level) == ("stale_model", "warning")
    assert found.summary == "version 3 stands on 2011-08-11, 92 days ago (allowed: 60)"


@pytest.mark.parametrize(("as_of", "age", "stale"), [(date(2011, 11, 13), 2, False), (date(2011, 11, 14), 3, True)])
def test_closed_days_do_not_make_data_old(as_of: date, age: int, stale: bool) -> None:
    """As the guard counts: the shop is closed on Saturday, so Friday's data is one day old on Sunday."""
    found = judged(measured(as_of, data_age_days=age))
    assert [one.cause for one in found] == (["stale_data"] if stale else [])


def test_age_is_not_judged_where_the_guard_is_off_or_nothing_is_known() -> None:
    """No bound, no finding."""
    assert judged(measured(data_age_days=-1)) == ()
    assert judged(measured(data_age_days=400), cfg=pipeline(guards={"max_age_days": None})) == ()


def costs(name: str, *values: float) -> tuple[Measurement, ...]:
    """Return measurements of consecutive dates with these costs, the last of them the as-of date's."""
    last = len(values) - 1
    return tuple(measured(AS_OF - timedelta(days=last - n), cost={name: value}) for n, value in enumerate(values))


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ((19, 20, 21, 22, 18, 70, 71), True),
        ((19, 20, 21, 22, 18, 20, 71), False),  # once
        ((19, 20, 21, 22, 18, 70, 20), False),  # over
        ((20, 21, 22, 18, 70, 71), False),  # too few to know what is usual
        ((19, 20, 21, 22, 18, 50, 51), False),
        ((19, 20, 21, 22, 18, 70, 70, 70), False),  # one slow retrain, and dates without any
        ((1.9, 2.0, 2.1, 2.2, 1.8, 9.0, 9.1), False),  # short times are noise
    ],
)
def test_costs_count_against_their_own_history_twice_in_a_row(values: tuple[float, ...], found: bool) -> None:
    """Three times the median of at least five earlier runs, in the last two."""
    *history, now = costs("score_s", *values)
    assert [one.cause for one in judged(now, *history)] == (["cost"] if found else [])


def test_a_cost_is_told_with_what_is_usual() -> None:
    """Memory has no floor below which it is noise."""
    *history, now = costs("score_mib", 1.9, 2.0, 2.1, 2.2, 1.8, 9.0, 9.1)
    found = only(judged(now, *history))
    assert found.level == "warning"
    assert found.summary == "more than 3 times the usual cost, twice in a row: score_mib 9.1 (usual 2)"


@pytest.mark.parametrize(("outcome", "level"), [("revert", "warning"), ("promote", "info"), ("continue", None)])
def test_the_end_of_a_trial_is_told_with_its_reason(outcome: Any, level: str | None) -> None:
    """A revert is a warning, a promotion is recorded only."""
    verdict = CanaryVerdict(outcome=outcome, reason="its error was 1.21 of the champion's", days=5, ratio=1.21)
    found = judged(measured(), verdict=verdict)
    assert [one.level for one in found] == ([level] if level else [])
    assert all("its error was 1.21 of the champion's" in one.summary for one in found)


# --- alerts ------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger.open(f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def lease(ledger: Ledger, tmp_path: Path) -> Iterator[Lease]:
    """The right to write for ``demand``."""
    with ledger.hold("demand", locks=tmp_path / "locks", wait_s=5) as held:
        yield held


def finding(cause: Any = "accuracy", level: Any = "critical", since: date = AS_OF) -> Finding:
    """Return a finding."""
    return Finding(cause=cause, level=level, since=since, summary=f"{cause} is bad")


def at(ledger: Ledger, lease: Lease, n: int, *found: Finding, cfg: Pipeline = PIPELINE) -> tuple[Alert, ...]:
    """Record what was found n days after the as-of date, as a monitor run does, and raise the alerts."""
    one = measured(AS_OF + timedelta(days=n), findings=found)
    ledger.record_measurement(lease, one)
    return raise_alerts(ledger, lease, cfg, one)


def test_a_cause_is_told_once_until_it_clears(ledger: Ledger, lease: Lease) -> None:
    """Ten bad dates are one alert, which names pipeline, cause and date, and its owner."""
    (one,) = at(ledger, lease, 0, finding("accuracy", "warning"))
    assert (one.key, one.owner) == ("alert/demand/accuracy/2011-11-11", "demand-planning")
    for n in range(1, 10):
        assert at(ledger, lease, n, finding()) == ()
    assert ledger.alerts("demand", open_only=True) == (one,)
    assert [event.key for event in ledger.pending("alert")] == [one.key]


def test_an_alert_closes_after_enough_dates_and_may_open_again(ledger: Ledger, lease: Lease) -> None:
    """Three dates without it by default; a date with it in between starts the count anew."""
    at(ledger, lease, 0, finding())
    at(ledger, lease, 1)
    at(ledger, lease, 2)
    at(ledger, lease, 3, finding())
    at(ledger, lease, 4)
    at(ledger, lease, 5, finding("accuracy", "info"))
    assert [one.closed for one in ledger.alerts("demand")] == [None]
    at(ledger, lease, 6)
    assert [one.closed for one in ledger.alerts("demand")] == [AS_OF + timedelta(days=6)]
    (again,) = at(ledger, lease, 7, finding())
    assert again.key == "alert/demand/accuracy/2011-11-18"
    assert len(ledger.pending("alert")) == 2


def test_info_is_never_told_and_causes_are_told_apart(ledger: Ledger, lease: Lease) -> None:
    """Each cause has an alert of its own."""
    assert at(ledger, lease, 0, finding("drift", "info")) == ()
    opened = at(ledger, lease, 1, finding("accuracy"), finding("skew", "warning"), finding("drift", "info"))
    assert [one.finding.cause for one in opened] == ["accuracy", "skew"]


def test_a_date_that_is_measured_again_changes_nothing(ledger: Ledger, lease: Lease) -> None:
    """Neither does it open an alert twice, nor does it count twice for closing."""
    assert len(at(ledger, lease, 0, finding())) == 1
    assert at(ledger, lease, 0, finding()) == ()
    at(ledger, lease, 1)
    for _ in range(4):
        at(ledger, lease, 2)
    assert len(ledger.alerts("demand", open_only=True)) == 1
    at(ledger, lease, 3)
    assert ledger.alerts("demand", open_only=True) == ()
    assert at(ledger, lease, 3, finding()) != ()  # found after all, on a date that had no alert yet
    assert len(ledger.alerts("demand")) == 2


def test_an_alert_that_closed_on_its_own_date_is_not_opened_twice(ledger: Ledger, lease: Lease) -> None:
    """With `clear_after: 1` a repeated date may clear it; its key is told once all the same."""
    cfg = pipeline(monitor={"clear_after": 1})
    assert len(at(ledger, lease, 0, finding(), cfg=cfg)) == 1
    assert at(ledger, lease, 0, cfg=cfg) == ()
    assert at(ledger, lease, 0, finding(), cfg=cfg) == ()
    assert len(ledger.pending("alert")) == 1


def test_an_earlier_date_that_comes_late_neither_opens_nor_closes(ledger: Ledger, lease: Lease) -> None:
    """Alerts speak of now."""
    at(ledger, lease, 5, finding())
    assert at(ledger, lease, 1, finding("skew", "warning")) == ()
    for n in (2, 3, 4):
        assert at(ledger, lease, n) == ()
    assert [one.finding.cause for one in ledger.alerts("demand", open_only=True)] == ["accuracy"]


def test_the_alert_of_another_process_is_left_alone(ledger: Ledger, lease: Lease) -> None:
    """Whether a publication is late is the watch's business."""
    ledger.open_alert(lease, alert_of("demand", "", AS_OF, finding("late")))
    for n in range(5):
        at(ledger, lease, n)
    assert [(one.finding.cause, one.owner) for one in ledger.alerts("demand", open_only=True)] == [("late", "demand")]


def test_a_fallback_is_not_told_beside_the_trouble_it_follows_from(ledger: Ledger, lease: Lease) -> None:
    """A date that is monitored again by hand no longer knows the trouble, but people do."""
    assert len(at(ledger, lease, 0, finding("data"), finding("fallback", "info"))) == 1
    assert at(ledger, lease, 0, finding("fallback", "critical")) == ()
    assert len(at(ledger, lease, 1, finding("skew", "warning"))) == 1
