"""Without a Prefect server and without MLflow, a person can still roll back and ask what was in force."""

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial.context import Workspace
from perennial.registry.projection import answers
from tests import shop
from tests.ledgers import DAY, promoted

pytestmark = pytest.mark.filterwarnings("default")

NOWHERE = "http://127.0.0.1:9"
"""Discard: nothing listens there."""


def perennial(root: Path, *words: str) -> Any:
    """Run one command as a shell would and return the JSON it answers."""
    environment = os.environ | {"PYTHONPATH": str(shop.ROOT), "PREFECT_API_URL": f"{NOWHERE}/api"}
    command = [sys.executable, "-m", "flows.cli", *words, "--json"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A ledger with two champions, in an environment whose MLflow is down."""
    root = shop.write_project(tmp_path, environment=f"{shop.LOCAL}tracking: {NOWHERE}\n")
    place = Workspace.open(root=root)
    assert not answers(NOWHERE)
    with place.ledger.hold("shop", locks=place.home / "locks") as lease:
        promoted(place.ledger, lease, "k1", "d1")
        promoted(place.ledger, lease, "k2", "d2")
    return place


def test_a_rollback_needs_neither_prefect_nor_mlflow(place: Workspace) -> None:
    """The earlier version is in force at once; MLflow's alias stays owed, and the attempt is on record."""
    changed = perennial(place.root, "rollback", "shop", "--reason", "the shelf was empty")
    assert (changed["version"], changed["previous"], changed["reason"]) == (1, 2, "the shelf was empty")
    champion = place.ledger.in_force("shop")
    assert champion is not None
    assert champion.digest == "d1"
    deadline = time.monotonic() + 60
    while not all(event.attempts for event in place.ledger.pending("alias")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [(e.payload["version"], e.attempts) for e in place.ledger.pending("alias")] == [(1, 1), (2, 1), (1, 1)]
    assert "does not answer" in place.ledger.pending("alias")[-1].error


def test_what_was_in_force_is_answered_offline(place: Workspace) -> None:
    """`history --on` tells of a business date from the ledger alone, as `models` does of today."""
    assert [one["version"] for one in perennial(place.root, "history", "shop", "--on", str(DAY))] == [1, 2]
    assert perennial(place.root, "history", "shop", "--on", str(DAY - timedelta(days=1))) == []
    assert [(one["model"], one["champion"]) for one in perennial(place.root, "models")] == [("shop", 2)]
