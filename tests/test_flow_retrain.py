"""The retraining and scoring flows as a whole, against a real Prefect server, MLflow, ledger and lake."""

from datetime import timedelta
from pathlib import Path

import pytest

from perennial import intake
from perennial.context import Workspace, open_run
from perennial.errors import DataCheckFailed, Refused
from perennial.invariants import check_invariants
from tests import loop, shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.filterwarnings("default")]


@pytest.fixture
def place(shop_root: Path) -> Workspace:
    """Open the shop's workspace."""
    return Workspace.open(root=shop_root)


def test_the_whole_loop(place: Workspace) -> None:
    """Retrain, retrain again, score twice: one version, one champion, one partition, clean invariants."""
    loop.whole(place)


def test_a_challenger_is_judged_against_the_champion(place: Workspace) -> None:
    """A week later a second version is trained on the new days and every gate has a verdict with figures."""
    loop.challenge(place)


def test_bad_data_trains_nothing_and_is_taken_back(place: Workspace) -> None:
    """A critical failure raises one error with every reason, and the rows are out of the table again."""
    from flows.retrain import retrain

    table = shop.sales()
    table.loc[table["day"] == table["day"].max(), "units"] = 5000
    shop.write_sales(place.root, table[table["day"] <= "2024-05-27"])
    retrain("shop", shop.AS_OF)
    shop.write_sales(place.root, table[table["day"] > "2024-05-27"], "later.parquet")
    with pytest.raises(DataCheckFailed, match="y"):
        retrain("shop", shop.FIRST_DAY + timedelta(days=shop.DAYS - 1))

    assert len(place.ledger.versions("shop")) == 1
    assert check_invariants(place.env) == ()


def test_what_a_killed_run_landed_is_judged_with_the_rest(place: Workspace) -> None:
    """Good rows that nobody judged do not let later bad ones pass unseen: all land again, as one, and are refused."""
    from flows.retrain import retrain

    table = shop.sales()
    shop.write_sales(place.root, table[table["day"] <= "2024-05-19"])
    retrain("shop", shop.AS_OF)
    shop.write_sales(place.root, table[table["day"].between("2024-05-20", "2024-05-22")], "good.parquet")
    with open_run("retrain", "shop", shop.AS_OF + timedelta(days=3), workspace=place) as killed:
        intake.take_in(killed)
    bad = table[table["day"].between("2024-05-23", "2024-05-26")].assign(units=5000)
    shop.write_sales(place.root, bad, "bad.parquet")
    with pytest.raises(DataCheckFailed, match=r"shop\.y"):
        retrain("shop", shop.LATER)

    assert len(place.ledger.landings("shop")) == 1
    assert check_invariants(place.env) == ()


def test_a_run_for_the_past_changes_nothing_in_force(place: Workspace) -> None:
    """It meets no champion of its future, is judged and recorded, and neither takes over nor lets one score."""
    from flows.retrain import retrain
    from flows.score import score

    assert retrain("shop", shop.LATER).outcome == "promoted"
    record = retrain("shop", shop.AS_OF)
    assert (record.version, record.outcome, record.champion) == (2, "kept champion", 1)
    assert record.summary.endswith(f"version 1 in force on {shop.LATER}; the champion stays version 1")
    assert {s.contender for s in record.scores}.isdisjoint({"champion"})
    with pytest.raises(Refused, match=f"score {shop.LATER} or a later date"):
        score("shop", shop.AS_OF)
    assert check_invariants(place.env) == ()


def test_an_update_continues_the_champion_of_the_day_before(place: Workspace) -> None:
    """Run again it is the same version; after a rollback another one, instead of other bytes under the same key."""
    from flows.retrain import retrain
    from perennial import lifecycle

    shop.write_project(place.root, shop.PIPELINE.replace("seed: 3", "seed: 3, mode: update, update_trees: 3"))
    third = shop.LATER + timedelta(days=3)
    outcomes = [retrain("shop", day).outcome for day in (shop.AS_OF, shop.LATER, shop.LATER)]
    assert outcomes == ["promoted", "promoted", "already done"]
    with open_run("retrain", "shop", third, workspace=place) as before:
        assert before.base == place.ledger.version("shop", 2)
    lifecycle.roll_back(place, "shop", actor="test", reason="trial")
    with open_run("retrain", "shop", third, workspace=place) as after:
        assert after.base == place.ledger.version("shop", 1)
    assert retrain("shop", shop.LATER).outcome == "already done"


def test_scoring_without_a_champion_is_refused(place: Workspace) -> None:
    """There is nothing to publish before the first promotion, and the message says what to do."""
    from flows.score import score

    with pytest.raises(Refused, match="perennial run shop"):
        score("shop", shop.AS_OF)
    assert place.ledger.publications("shop") == ()


def test_rollback_is_one_flip_to_identical_bytes(place: Workspace) -> None:
    """After a rollback the earlier digest is in force, MLflow follows, and both stand in the history."""
    loop.roll_back(place)
