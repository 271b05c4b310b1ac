"""The delivery ladder: whatever fails, the date has one whole publication that says how it came about."""

import shutil
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from perennial import delivery, publishing
from perennial.context import Workspace, open_run
from perennial.contracts import Publication
from perennial.errors import Refused
from perennial.invariants import check_invariants
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.filterwarnings("default")]

NEXT = shop.AS_OF + timedelta(days=1)
TROUBLE = "DataCheckFailed: the file is broken"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """A shop with one champion, whose forecast of one date is published."""
    from flows.retrain import retrain
    from flows.score import score

    root = shop.project(tmp_path_factory.mktemp("trained"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert retrain("shop", shop.AS_OF).outcome == "promoted"
        score("shop", shop.AS_OF)
    return root


@pytest.fixture
def place(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Open a copy of the trained shop."""
    root = tmp_path / "shop"
    shutil.copytree(trained, root)
    monkeypatch.chdir(root)
    return Workspace.open(root=root)


def deliver(place: Workspace, day: date = NEXT, trouble: str = TROUBLE) -> tuple[Publication, pa.Table]:
    """Deliver a date whose scoring failed, and read back what was published."""
    with open_run("deliver", "shop", day, workspace=place) as run:
        done = delivery.deliver(run, trouble)
        return done, publishing.whole(run, done)


def lose_the_model(place: Workspace) -> None:
    """Damage the bytes of every model."""
    for path in Path(place.env.models).rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"no model")


def assert_whole(rows: pa.Table, day: date, rung: str) -> None:
    """Every product has one finite forecast for each of the next seven days, stamped with the rung."""
    days = Counter(rows["ds"].to_pylist())
    assert days == {day + timedelta(days=n): 30 for n in range(1, 8)}
    assert rows["horizon"].to_pylist() == [(ds - day).days for ds in rows["ds"].to_pylist()]
    assert set(rows["rung"].to_pylist()) == {rung}
    assert set(rows["as_of"].to_pylist()) == {day}
    assert pc.all(pc.is_finite(rows["y_hat"])).as_py()


def test_what_was_scored_stands(place: Workspace) -> None:
    """A date that has its publication is left alone, whatever trouble is told."""
    before = place.ledger.publication("shop", shop.AS_OF)
    done, _ = deliver(place, shop.AS_OF)
    assert not done.fresh
    assert before is not None
    assert done.digest == before.digest


def test_the_champion_forecasts_from_older_features(place: Workspace) -> None:
    """First rung: the newest snapshot before the date, forecast for the days after the date."""
    done, rows = deliver(place)
    assert_whole(rows, NEXT, "stale_features")
    assert (done.rungs, done.versions) == ({"stale_features": 210}, {"1": 210})
    assert check_invariants(place.env) == ()


def test_the_last_forecast_is_moved_on(place: Workspace) -> None:
    """Second rung: the same values for the same days; the day beyond its end repeats the weekday before."""
    lose_the_model(place)
    with open_run("deliver", "shop", NEXT, workspace=place) as run:
        earlier = publishing.whole(run, run.ledger.publications("shop")[-1])
    _, rows = deliver(place)
    assert_whole(rows, NEXT, "last_forecast")
    had, has = (
        {(r["entity"], r["ds"]): r["y_hat"] for r in table.select(["entity", "ds", "y_hat"]).to_pylist()}
        for table in (earlier, rows)
    )
    assert all(has[key] == had[key] for key in has.keys() & had.keys())
    last = NEXT + timedelta(days=7)
    assert all(has[name, last] == had[name, last - timedelta(days=7)] for name, day in has if day == last)


def test_a_naive_forecast_is_the_last_rung(place: Workspace) -> None:
    """Third rung: with neither a model nor a forecast that reaches so far, the weekday mean of no version."""
    lose_the_model(place)
    for path in (Path(place.env.lake) / "shop.predictions").glob("*.parquet"):
        path.chmod(0o644)
        path.unlink()
    done, rows = deliver(place)
    assert_whole(rows, NEXT, "naive")
    assert (done.version, done.versions) == (1, {"0": 210})


def test_every_reason_is_told_when_nothing_holds(place: Workspace) -> None:
    """With the lake gone too, the refusal names what failed on each rung."""
    lose_the_model(place)
    shutil.rmtree(place.env.lake)
    with pytest.raises(Refused, match=r"scoring: DataCheckFailed.*stale_features: .*last_forecast: .*naive: "):
        deliver(place)


def test_without_the_ladder_nothing_is_made_up(place: Workspace) -> None:
    """`delivery.ladder: false` leaves the date without a publication and says so."""
    path = place.root / "configs" / "shop.yaml"
    path.write_text(path.read_text() + "delivery: {ladder: false}\n")
    with pytest.raises(Refused, match=r"delivery\.ladder is off; DataCheckFailed"):
        deliver(place)
    assert place.ledger.publication("shop", NEXT) is None


def test_before_the_first_champion_nothing_is_promised(place: Workspace) -> None:
    """As of a date before any version, there is nobody to answer for a forecast."""
    with pytest.raises(Refused, match="had no champion yet on"):
        deliver(place, shop.AS_OF - timedelta(days=30))
