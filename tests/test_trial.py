"""A version on trial: served to its cohort or to nobody, judged on what came true, promoted or reverted."""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial import observing, publishing
from perennial.context import Workspace, open_run
from perennial.contracts import CanaryVerdict
from perennial.invariants import check_invariants
from perennial.registry.tracking import reconcile
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.filterwarnings("default")]

CRIPPLED = "loss: squared_error, max_iter: 1, learning_rate: 0.01"  # the mean of everything


def on_trial(root: Path, strategy: str, *, crippled: bool = False) -> Workspace:
    """Train a champion, then a week later a version that is to be tried out first."""
    from flows.retrain import retrain

    assert retrain("shop", shop.AS_OF).outcome == "promoted"
    path = root / "configs" / "shop.yaml"
    text = path.read_text().replace("ratio: 1.2", "ratio: 9").replace("last_value, ratio: 1.0", "last_value, ratio: 9")
    text = text.replace("max_iter: 15", CRIPPLED) if crippled else text
    path.write_text(text + f"rollout: {{strategy: {strategy}, share: 0.2, days: 3, min_days: 2, tolerance: 1.1}}\n")
    record = retrain("shop", shop.LATER)
    assert (record.outcome, record.version, record.champion) == (strategy, 2, 1)
    return Workspace.open(root=root)


def days(place: Workspace, first: date, count: int) -> list[CanaryVerdict | None]:
    """Score and judge so many dates in a row."""
    from flows.score import score

    verdicts = []
    for n in range(count):
        day = first + timedelta(days=n)
        score("shop", day)
        with open_run("monitor", "shop", day, workspace=place) as run:
            verdicts.append(observing.roll_out(run))
    return verdicts


def rows(place: Workspace, day: date) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what readers saw of a date, and what was kept beside."""
    with open_run("look", "shop", day, workspace=place) as run:
        return publishing.published_rows(run, day).to_pylist(), publishing.rows_beside(run, day).to_pylist()


def test_a_canary_serves_its_cohort_alone(shop_root: Path) -> None:
    """One in five products gets the new version's forecast; the champion's for the same rows is kept beside."""
    place = on_trial(shop_root, "canary")
    days(place, shop.LATER + timedelta(days=1), 1)
    published, beside = rows(place, shop.LATER + timedelta(days=1))

    assert Counter((r["version"], r["rung"]) for r in published) == {(1, "champion"): 168, (2, "challenger"): 42}
    cohort = {r["entity"] for r in published if r["version"] == 2}
    assert len(cohort) == 6
    assert {(r["entity"], r["version"]) for r in beside} == {(entity, 1) for entity in cohort}
    assert len({(r["entity"], r["ds"]) for r in published}) == 210
    assert check_invariants(place.env) == ()


def test_a_canary_that_holds_is_promoted(shop_root: Path) -> None:
    """After its days the version becomes champion, with the figures as the reason, and MLflow follows."""
    place = on_trial(shop_root, "canary")
    verdicts = days(place, shop.LATER + timedelta(days=1), 4)
    outcomes = [v.outcome for v in verdicts if v]

    assert outcomes[-1] == "promote"
    assert set(outcomes[:-1]) <= {"continue"}
    champion = place.ledger.in_force("shop")
    assert champion is not None
    assert champion.version == 2
    assert "matured forecasts" in place.ledger.role_history("shop")[-1].reason
    assert place.ledger.in_force("shop", "canary") is None
    reconcile(place.ledger, place.registry)
    assert place.registry.aliases("shop") == {"champion": 2}


@pytest.mark.parametrize("strategy", ["canary", "shadow"])
def test_a_worse_version_is_reverted(shop_root: Path, strategy: str) -> None:
    """A version that passed lenient gates and forecasts badly loses its role; the champion never changed."""
    place = on_trial(shop_root, strategy, crippled=True)
    verdicts = days(place, shop.LATER + timedelta(days=1), 4)

    assert "revert" in [v.outcome for v in verdicts if v]
    champion = place.ledger.in_force("shop")
    assert champion is not None
    assert champion.version == 1
    assert place.ledger.in_force("shop", strategy) is None
    assert [c.version for c in place.ledger.role_history("shop")] == [1, 2, None]
    assert check_invariants(place.env) == ()


def test_a_shadow_is_published_to_nobody(shop_root: Path) -> None:
    """Readers see the champion's rows alone; the shadow's for all products stand beside them."""
    place = on_trial(shop_root, "shadow")
    days(place, shop.LATER + timedelta(days=1), 1)
    published, beside = rows(place, shop.LATER + timedelta(days=1))

    assert Counter(r["version"] for r in published) == {1: 210}
    assert Counter(r["version"] for r in beside) == {2: 210}


def test_a_verdict_is_told_again_after_an_interruption(shop_root: Path) -> None:
    """A monitor run that is repeated on the date of the conclusion reports the same outcome and changes nothing."""
    place = on_trial(shop_root, "canary", crippled=True)
    days(place, shop.LATER + timedelta(days=1), 4)
    history = place.ledger.role_history("shop")
    day = history[-1].as_of
    with open_run("monitor", "shop", day, workspace=place) as run:
        again = observing.roll_out(run)

    assert again is not None
    assert (again.outcome, f"canary 2: {again.reason}") == ("revert", history[-1].reason)
    assert place.ledger.role_history("shop") == history


def test_an_earlier_date_that_is_monitored_again_leaves_later_trials_alone(shop_root: Path) -> None:
    """The first canary was reverted; looking at its dates again neither fails nor ends the trial of the next one."""
    place = on_trial(shop_root, "canary", crippled=True)
    days(place, shop.LATER + timedelta(days=1), 4)
    first = place.ledger.role_history("shop")[-1].as_of
    assert place.ledger.in_force("shop", "canary") is None
    with open_run("retrain", "shop", first + timedelta(days=1), workspace=place) as run:
        place.ledger.change_role(run.lease, "shop", "canary", 2, as_of=run.as_of, actor="a person", reason="once more")
    history = place.ledger.role_history("shop")
    for day in (first, first - timedelta(days=1)):
        with open_run("monitor", "shop", day, workspace=place) as run:
            observing.roll_out(run)
    assert place.ledger.role_history("shop") == history
