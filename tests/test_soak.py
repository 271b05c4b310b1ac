"""A month and a half of daily operation, as ``make soak`` runs it; what it must show, not how long it takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.filterwarnings("default")]


def test_a_month_and_a_half(tmp_path: Path, prefect_server: str) -> None:
    """Every date in time, one alert for the break, none for nothing, none lost; the worse challenger is reverted."""
    environment = {k: v for k, v in os.environ.items() if k != "PERENNIAL_NOW"} | {"PREFECT_API_URL": prefect_server}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.soak", "--keep", str(tmp_path / "soak")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.splitlines()[-1])

    wanted = {"dates": 45, "dates_delivered": 45, "break_alerts": 1, "false_alerts": 0, "alerts_lost": 0}
    wanted |= {"alerts_twice": 0, "canary_reverted": True, "violations": 0}
    assert {name: figures[name] for name in wanted} == wanted, done.stdout
    assert 1 <= figures["days_to_alert"] <= 3
    assert figures["recovered"] >= 0.5
    assert figures["promotions"] >= 2
