"""The retraining and scoring flows as a whole, against a real Prefect server, MLflow, ledger and lake."""

from datetime import timedelta
from pathlib import Path

import pytest

from perennial.context import Workspace
from perennial.errors import DataCheckFailed, Refused
from perennial.invariants import check_invariants
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.filterwarnings("default")]


@pytest.fixture
def place(shop_root: Path) -> Workspace:
    """Open the shop's workspace."""
    return Workspace.open(root=shop_root)


def test_the_whole_loop(place: Workspace) -> None:
    """Retrain, retrain again, score twice: one version, one champion, one partition, clean invariants."""
    from flows.retrain import retrain
    from flows.score import score

    first = retrain("shop", shop.AS_OF)
    again = retrain("shop", shop.AS_OF)
    done = score("shop", shop.AS_OF)
    repeated = score("shop", shop.AS_OF)

    assert (first.outcome, again.outcome) == ("promoted", "already done")
    assert first.version == again.version == 1
    assert (done.rows, done.entities, done.fresh, repeated.fresh) == (210, 30, True, False)
    assert repeated.digest == done.digest
    assert [v.version for v in place.ledger.versions("shop")] == [1]
    assert place.registry.aliases("shop") == {"champion": 1}
    assert check_invariants(place.env) == ()


def test_a_challenger_is_judged_against_the_champion(place: Workspace) -> None:
    """A week later a second version is trained on the new days and every gate has a verdict with figures."""
    from flows.retrain import retrain

    retrain("shop", shop.AS_OF)
    record = retrain("shop", shop.LATER)

    assert record.version == 2
    assert {s.contender for s in record.scores} >= {"candidate", "champion", "last_value", "seasonal_naive"}
    assert len(record.verdicts) == 2
    assert "champion" in record.verdicts[1].reason
    assert (place.home / str(record.report)).read_text().startswith("<!doctype html>")


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
    from flows.retrain import retrain
    from perennial.lifecycle import roll_back
    from perennial.registry import reconcile

    retrain("shop", shop.AS_OF)
    record = retrain("shop", shop.LATER)
    if record.outcome != "promoted":
        pytest.fail(f"the second version was not promoted: {record.summary}")
    before = place.ledger.version("shop", 1)
    change = roll_back(place, "shop", actor="test", reason="trial")
    reconcile(place.ledger, place.registry)

    assert (change.version, change.previous) == (1, 2)
    assert place.ledger.in_force("shop") == before
    assert place.registry.aliases("shop") == {"champion": 1}
    assert [c.version for c in place.ledger.role_history("shop")] == [1, 2, 1]
