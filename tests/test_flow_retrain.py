"""The retraining and scoring flows as a whole, against a real Prefect server, MLflow, ledger and lake."""

from datetime import timedelta
from pathlib import Path

import pytest

from perennial.context import Workspace
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


def test_scoring_without_a_champion_is_refused(place: Workspace) -> None:
    """There is nothing to publish before the first promotion, and the message says what to do."""
    from flows.score import score

    with pytest.raises(Refused, match="perennial run shop"):
        score("shop", shop.AS_OF)
    assert place.ledger.publications("shop") == ()


def test_rollback_is_one_flip_to_identical_bytes(place: Workspace) -> None:
    """After a rollback the earlier digest is in force, MLflow follows, and both stand in the history."""
    loop.roll_back(place)
