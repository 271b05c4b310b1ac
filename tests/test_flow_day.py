"""The daily flow as a whole: each date once, oldest first, nothing known later, and people told once."""

import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from perennial.context import Workspace, open_run
from perennial.contracts import to_json
from perennial.delivery import deliver
from perennial.errors import Fenced
from perennial.invariants import check_invariants
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.filterwarnings("default")]

NEXT = shop.AS_OF + timedelta(days=1)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """A shop whose first business date is done: trained, published, measured."""
    from flows.day import day

    root = shop.project(tmp_path_factory.mktemp("begun"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (record,) = day("shop", shop.AS_OF)
    assert (record.retrain, record.rung, record.rows) == ("promoted", "champion", 210)
    return root


@pytest.fixture
def place(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Open a copy of the shop that has begun."""
    root = tmp_path / "shop"
    shutil.copytree(begun, root)
    monkeypatch.chdir(root)
    return Workspace.open(root=root)


def test_a_date_that_is_done_is_left_alone(place: Workspace) -> None:
    """The same date again is `Already done`: no run of any stage, no row, no measurement."""
    from flows.day import day

    runs = len(place.ledger.runs("shop"))
    state = day("shop", shop.AS_OF, return_state=True)
    assert (state.name, state.result()) == ("Already done", [])
    assert len(place.ledger.runs("shop")) == runs


def test_missing_dates_are_made_up_for_oldest_first(place: Workspace) -> None:
    """After three days of standstill one run does three dates, and each publication knows its own past alone."""
    from flows.day import day

    records = day("shop", shop.AS_OF + timedelta(days=3))
    assert [r.as_of for r in records] == [shop.AS_OF + timedelta(days=n) for n in (1, 2, 3)]
    assert [p.as_of for p in place.ledger.publications("shop")] == [
        shop.AS_OF + timedelta(days=n) for n in (0, 1, 2, 3)
    ]
    measured = place.ledger.measurements("shop")
    assert [m.matured for m in measured] == [0, 30, 90, 180]
    assert [m.pending for m in measured] == [210, 390, 540, 660]
    assert check_invariants(place.env) == ()


def test_a_late_run_knows_no_more_than_one_in_time(
    place: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forecast made when later sales were there already has the bytes of the one made before they were."""
    from flows.day import day

    late = Workspace.open(root=Path(shutil.copytree(place.root, tmp_path / "late")))
    table = shop.sales()
    shop.write_sales(place.root, table[table["day"] <= str(NEXT)])
    day("shop", NEXT)
    monkeypatch.chdir(late.root)
    day("shop", NEXT)

    digests = {one.digest for w in (place, late) if (one := w.ledger.publication("shop", NEXT))}
    assert len(digests) == 1
    measured = [to_json(w.ledger.measurement("shop", NEXT)) for w in (place, late)]
    assert str(measured[0]["scores"]) == str(measured[1]["scores"])


def test_a_broken_file_is_served_by_the_ladder_and_told_once(place: Workspace) -> None:
    """Scoring fails on a bad file: the date is published from older features, with one critical alert."""
    from flows.day import day

    table = shop.sales()
    later = table[table["day"] == str(NEXT)].assign(units=5000)
    shop.write_sales(place.root, table[table["day"] <= str(shop.AS_OF)])
    shop.write_sales(place.root, later, "later.parquet")
    (record,) = day("shop", NEXT)

    assert (record.rung, record.rows) == ("stale features", 210)
    (alert,) = place.ledger.alerts("shop")
    assert (alert.finding.cause, alert.finding.level) == ("data", "critical")
    assert "y" in alert.finding.summary
    assert "perennial" in alert.finding.command
    assert check_invariants(place.env) == ()


def test_a_crash_in_scoring_does_not_keep_the_date_from_its_forecast(place: Workspace) -> None:
    """Whatever scoring dies of, the ladder takes over and says so: here the source folder is gone."""
    from flows.day import day

    shutil.rmtree(place.root / "data")
    (record,) = day("shop", NEXT)
    assert record.rung == "stale features"
    assert [a.finding.cause for a in place.ledger.alerts("shop")] == ["data"]


def test_a_measurement_of_a_date_alone(place: Workspace) -> None:
    """`monitor` by itself measures again and changes no publication; nothing has matured on the first date."""
    from flows.monitor import monitor

    state = monitor("shop", shop.AS_OF, return_state=True)
    assert state.name == "Unknown"
    assert state.result().pending == 210
    assert (place.home / "fleet" / "index.html").exists()


def test_a_retrain_that_fails_is_told_and_the_dates_go_on(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wanted retrain dies on two dates: both are delivered and done, people are told once; the next one succeeds."""
    from flows.day import day

    path = place.root / "configs" / "shop.yaml"
    path.write_text(path.read_text() + "retrain: {policy: daily}\n")
    monkeypatch.setenv("PERENNIAL_FAULT", "model.stored:raise:1")
    monkeypatch.setattr("perennial.faults._passed", Counter())
    dates = [NEXT, NEXT + timedelta(days=1)]
    for date_ in dates:
        (record,) = day("shop", date_)
        assert (record.as_of, record.rung, record.retrain) == (date_, "champion", "failed")
        monkeypatch.setattr("perennial.faults._passed", Counter())
    (alert,) = place.ledger.alerts("shop")
    assert (alert.finding.cause, alert.finding.level, alert.opened) == ("retrain", "warning", NEXT)
    assert "PlantedFault: model.stored" in alert.finding.summary
    assert alert.finding.command == f"perennial run shop --as-of {NEXT}"

    monkeypatch.delenv("PERENNIAL_FAULT")
    (record,) = day("shop", NEXT + timedelta(days=2))
    assert record.retrain in ("promoted", "kept champion")
    assert check_invariants(place.env) == ()


def test_a_lost_model_neither_stops_the_dates_nor_goes_untold(place: Workspace) -> None:
    """With the champion's bytes damaged, scoring and monitoring fail: each date is delivered and told of once."""
    from flows.day import day

    for stored in Path(place.env.models).rglob("*"):
        if stored.is_file():
            stored.chmod(0o644)
            stored.write_bytes(b"no model")
    records = day("shop", NEXT + timedelta(days=1))
    assert [(r.as_of, r.rung) for r in records] == [
        (NEXT, "last forecast"),
        (NEXT + timedelta(days=1), "last forecast"),
    ]
    alerts = {one.finding.cause: one for one in place.ledger.alerts("shop")}
    assert set(alerts) == {"run", "monitor"}
    assert all(one.finding.level == "critical" and "IntegrityError" in one.finding.summary for one in alerts.values())
    assert place.ledger.measurement("shop", NEXT) is not None


@pytest.mark.timeout(300, method="thread")  # with the alarm taken, Prefect has none to interrupt the main thread with
def test_a_source_that_hangs_gives_way_at_the_timeout(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Landing never ends: after `delivery.timeout_s` the ladder takes over, and the lock is free."""
    from flows.day import day

    path = place.root / "configs" / "shop.yaml"
    path.write_text(path.read_text() + "delivery: {timeout_s: 10}\n")
    monkeypatch.setenv("PERENNIAL_FAULT", "landing.appended:sleep")
    monkeypatch.setattr("perennial.faults._passed", Counter())
    (record,) = day("shop", NEXT)
    assert (record.rung, record.rows) == ("stale features", 210)
    (alert,) = place.ledger.alerts("shop")
    assert (alert.finding.cause, alert.finding.level) == ("run", "critical")
    assert "timed out" in alert.finding.summary
    assert check_invariants(place.env) == ()


def test_why_scoring_failed_outlives_an_interruption(place: Workspace) -> None:
    """A monitor run that is not told why a lower rung served the date takes it from the record."""
    from flows.day import day
    from flows.monitor import monitor

    shutil.rmtree(place.root / "data")
    day("shop", NEXT)
    before = place.ledger.measurement("shop", NEXT)
    monitor("shop", NEXT)
    after = place.ledger.measurement("shop", NEXT)
    assert before is not None
    assert after is not None
    assert after.findings == before.findings
    assert len(place.ledger.alerts("shop")) == 1


def test_trouble_of_a_date_that_was_scored_is_none(place: Workspace) -> None:
    """Another run that waited in vain does not make a date that the champion published a failed one."""
    from flows.monitor import monitor

    measured = monitor("shop", shop.AS_OF, trouble="Busy: shop is held by another run")
    assert measured.findings == ()
    assert place.ledger.alerts("shop") == ()


def test_what_is_owed_does_not_wait_for_a_run_that_holds_the_pipeline(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another run trains for hours, the ladder delivers; that run can record nothing any more."""
    monkeypatch.setattr("perennial.context._PATIENCE_S", 0.1)
    with place.ledger.hold("shop", locks=place.home / "locks") as other:
        with open_run("deliver", "shop", NEXT, overtake=True) as run:
            published = deliver(run, "Busy: shop is held by another run")
        with pytest.raises(Fenced):
            place.ledger.begin_run(other, "retrain", NEXT)
    assert published.rungs == {"stale_features": 210}
    with open_run("deliver", "shop", NEXT, overtake=True) as run:  # the lock is as free as before
        assert run.lease.token == other.token + 2
