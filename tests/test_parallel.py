"""Fifty runs at once from the shell, on the embedded defaults: SQLite, one background server, one folder."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from flows import server
from perennial.context import Workspace
from perennial.invariants import check_invariants
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

RUNS, DATES = 50, 5
COMMAND = [sys.executable, "-W", "ignore", "-m", "flows.cli"]


def start(root: Path, *words: str) -> "subprocess.Popen[str]":
    """Start one command as a shell would, in the project's folder."""
    left_out = ("PREFECT_", "PYTHONDONTWRITEBYTECODE")  # an installation is compiled
    environment = {k: v for k, v in os.environ.items() if not k.startswith(left_out)}
    environment |= {"PYTHONPATH": str(shop.ROOT), "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, *words, "--json"], cwd=root, env=environment, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def test_fifty_runs_at_once(tmp_path: Path) -> None:
    """None fails, none meets a locked database; each date has one publication, whoever made it."""
    root = shop.project(tmp_path)
    local = root / "configs" / "environments" / "local.yaml"
    local.write_text(local.read_text().replace("prefect: configured", "prefect: background"))
    try:
        first = start(root, "run", "shop", "--as-of", str(shop.AS_OF))
        out, said = first.communicate(timeout=300)
        assert first.returncode == 0, said[-2000:]
        assert json.loads(out)["outcome"] == "promoted"
        days = [str(shop.AS_OF + timedelta(days=n % DATES)) for n in range(RUNS)]
        running = [start(root, "score", "shop", "--as-of", day) for day in days]
        ended = [(one.communicate(timeout=800), one.returncode) for one in running]
    finally:
        server.stop(root / ".perennial")

    assert [said[-2000:] for (_, said), code in ended if code] == []
    assert not [said for (_, said), _ in ended if "locked" in said]
    assert "database is locked" not in (root / ".perennial" / "prefect" / "server.log").read_text()
    fresh = Counter(json.loads(out)["fresh"] for (out, _), _ in ended)
    assert fresh == {True: DATES, False: RUNS - DATES}
    place = Workspace.open(root=root)
    assert len(place.ledger.publications("shop")) == DATES
    assert check_invariants(place.env) == ()
