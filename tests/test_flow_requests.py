"""Runs that somebody or something asked for: late schedules, the monitor's wish, a person's decision."""

import os
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import deployments
from perennial.context import Workspace
from perennial.errors import Refused
from perennial.invariants import check_invariants
from tests import shop
from tests.production import api, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("default"),
]

NAME = "asked"
PIPELINE = shop.PIPELINE.replace("pipeline: shop", f"pipeline: {NAME}\nretrain: {{policy: daily}}")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project whose environment has an automation answer the monitor, and its deployments."""
    shop.write_sales(tmp_path, shop.sales())
    shop.write_project(tmp_path, PIPELINE, shop.LOCAL + "retrain: event\n", NAME)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "prefect.yaml"
    described = deployments.text(deployments.describe(tmp_path, "local", parameter=None))
    path.write_text(described.replace(f"name: {deployments.POOL}", f"name: {NAME}"))  # a pool that no other test works
    prefect(tmp_path, "work-pool", "create", NAME, "--type", "process")
    prefect(tmp_path, "deploy", "--prefect-file", str(path), "--all")
    return Workspace.open(root=tmp_path)


def test_a_late_run_does_its_own_date_and_the_monitors_wish_is_answered(place: Workspace) -> None:
    """A run that was due a day ago stands on that day's date; the next date's monitor has a model trained for it."""
    from flows.monitor import monitor

    now = datetime.combine(shop.AS_OF + timedelta(days=2), time(5, 30), tzinfo=UTC)
    due = datetime.now(UTC) - timedelta(days=1)
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
    api(f"deployments/{deployed()['id']}/create_flow_run", {"state": state, "parameters": {"overrides": {"seed": 5}}})
    log = prefect(place.root, "worker", "start", "--pool", NAME, "--run-once", PERENNIAL_NOW=now.isoformat())
    (late,) = runs()

    assert (late["name"], late["state_name"]) == (f"retrain-{NAME}-{shop.AS_OF}", "Promoted"), log
    assert [v.as_of for v in place.ledger.versions(NAME)] == [shop.AS_OF]

    following = shop.AS_OF + timedelta(days=1)
    assert monitor(NAME, following).retrain
    wait_for(lambda: len(runs()) == 2)
    log = prefect(place.root, "worker", "start", "--pool", NAME, "--run-once")
    answered = next(run for run in runs() if run["id"] != late["id"])
    assert answered["name"] == f"retrain-{NAME}-{following}", log
    assert answered["state_type"] == "COMPLETED", log
    assert (answered["parameters"]["as_of"], answered["parameters"]["pipeline"]) == (str(following), NAME)
    assert answered["created_by"]["type"] == "AUTOMATION"
    assert [v.as_of for v in place.ledger.versions(NAME)] == [shop.AS_OF, following]
    assert check_invariants(place.env) == ()


def test_decisions_of_a_person_are_flows(shop_root: Path) -> None:
    """Approve, roll back and retire work from a run, which the audit trail names; a refusal fails it."""
    from flows import lifecycle
    from flows.retrain import retrain

    text = shop.PIPELINE + "rollout: {approval: required}\n"
    shop.write_project(shop_root, text)
    place = Workspace.open(root=shop_root)
    with pytest.raises(Refused, match="no version of 'shop' waits"):
        lifecycle.approve("shop", "in haste")
    assert retrain("shop", shop.AS_OF, return_state=True).name == "Awaiting approval"
    approved = lifecycle.approve("shop", "figures are plausible", return_state=True)
    assert approved.name == "Approved"
    assert approved.result().actor == f"prefect run {approved.state_details.flow_run_id}"
    retrain("shop", shop.LATER)
    assert lifecycle.reject("shop", "promotion week is missing", return_state=True).name == "Rejected"
    assert place.ledger.waiting("shop") == ()
    assert [c.version for c in place.ledger.role_history("shop")] == [1]
    assert lifecycle.retire("shop", 2, "wrong prices", return_state=True).name == "Retired"
    with pytest.raises(Refused):
        lifecycle.rollback("shop", "nothing before it")
    assert check_invariants(place.env) == ()


def deployed() -> dict[str, Any]:
    """Return the deployment of ``retrain``."""
    return dict(api(f"deployments/name/retrain/{NAME}"))


def runs() -> list[dict[str, Any]]:
    """Return the runs of that deployment."""
    return list(api("flow_runs/filter", {"deployments": {"id": {"any_": [deployed()["id"]]}}}))


def prefect(root: Path, *words: str, **variables: str) -> str:
    """Run a command of Prefect's in a project folder and return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(shop.ROOT)} | variables
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
