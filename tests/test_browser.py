"""What a person sees: `perennial up`, a form in a real browser, a run, its report, the fleet page, Ctrl-C."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from perennial.context import Workspace
from perennial.reports.fleet import write_fleet
from tests import shop
from tests.production import api

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = shop.ROOT / "test-output" / "browser"
START_S = 480
RUN_S = 180
"""A run by the worker: its poll every 15 s, a cold start, a fit of a second."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Up:
    """A running ``perennial up``, its project folder and what it says of itself."""

    process: "subprocess.Popen[bytes]"
    root: Path
    prefect: str
    mlflow: str
    fleet: str

    def api(self, path: str, body: Any = None) -> Any:
        """Ask the Prefect server."""
        return api(path, body, f"{self.prefect}/api")

    def processes(self) -> list[psutil.Process]:
        """Return the process and all below it."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """``perennial up`` in a shop of its own, with a server of its own."""
    root = shop.project(tmp_path_factory.mktemp("up"))
    local = shop.LOCAL.replace("prefect: configured\n", "")
    (root / "configs" / "environments" / "local.yaml").write_text(local)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PERENNIAL_"))}
    environment["PYTHONPATH"] = str(shop.ROOT)
    command = [sys.executable, "-m", "flows.cli", "up", "--json"]
    answer, log = root / "up.json", root / "up.log"
    with answer.open("wb") as out, log.open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdout=out, stderr=errors, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_S
        while not answer.read_text().endswith("}\n"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        said = json.loads(answer.read_text())
        yield Up(process=process, root=root, prefect=said["prefect"], mlflow=said["mlflow"], fleet=said["fleet"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture
def page(running: Up) -> "Iterator[Page]":
    """A page of a real browser, whose pictures are kept."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; on Debian: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # CI runs as root
        one = browser.new_page(viewport={"width": 1280, "height": 1000})
        one.set_default_timeout(60_000)
        yield one
        browser.close()


def test_everything_answers_on_loopback_alone(running: Up) -> None:
    """Prefect and MLflow answer, the fleet page is there, and nothing listens to other machines."""
    assert running.api("health") is True
    with urllib.request.urlopen(running.mlflow, timeout=60) as answer:
        assert answer.status == 200
    assert Path(running.fleet).is_file()
    listening = {c.laddr.ip for p in running.processes() for c in p.net_connections() if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_a_second_one_in_the_same_home_is_refused(running: Up) -> None:
    """Two workers and two switches would do everything twice."""
    environment = os.environ | {"PYTHONPATH": str(shop.ROOT)}
    command = [sys.executable, "-m", "flows.cli", "up"]
    done = subprocess.run(command, cwd=running.root, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Refused: `perennial up` runs already" in done.stderr


@pytest.mark.parametrize(
    "wrong", [{"pipeline": "shoe"}, {"as_of": "2024-13-01"}, {"overrides": {"rows": 5}}, {"overrides": {"sed": 1}}]
)
def test_what_does_not_fit_never_becomes_a_run(running: Up, wrong: dict[str, Any]) -> None:
    """The server refuses it."""
    deployment = running.api("deployments/name/retrain/shop")
    with pytest.raises(urllib.error.HTTPError) as refused:
        running.api(f"deployments/{deployment['id']}/create_flow_run", {"parameters": {"pipeline": "shop"} | wrong})
    assert refused.value.code in (409, 422)
    assert next(iter(wrong)) in refused.value.read().decode()


def test_a_person_retrains_from_the_form(running: Up, page: "Page") -> None:
    """Pipeline and date are filled in, the run is promoted, its artifact and the fleet page tell of it."""
    deployment = running.api("deployments/name/retrain/shop")["id"]
    page.goto(f"{running.prefect}/deployments/deployment/{deployment}/run")
    page.get_by_text("Business date the run stands on").wait_for()
    fill_in(page, shop.AS_OF)
    page.screenshot(path=PICTURES / "1-form.png", full_page=True)
    page.get_by_role("button", name="Submit").click()

    run = finished(running, deployment)
    assert (run["name"], run["state_name"]) == (f"retrain-shop-{shop.AS_OF}", "Promoted")
    assert run["parameters"]["pipeline"] == "shop"
    page.goto(f"{running.prefect}/runs/flow-run/{run['id']}")
    page.get_by_text("Promoted").first.wait_for()
    page.get_by_text(re.compile("training to 2024-05-05")).first.wait_for()  # what the stages say is there
    page.screenshot(path=PICTURES / "2-run.png")
    (artifact,) = [one for one in running.api("artifacts/filter", {}) if one["key"] == "shop-retrain"]
    page.goto(f"{running.prefect}/artifacts/artifact/{artifact['id']}")
    page.get_by_text("Version 1 is the first model in use").first.wait_for()
    page.screenshot(path=PICTURES / "3-artifact.png", full_page=True)
    place = Workspace.open("local", root=running.root)
    assert [version.as_of for version in place.ledger.versions("shop")] == [shop.AS_OF]
    page.goto(write_fleet(place).as_uri())
    page.get_by_text("shop").first.wait_for()
    page.screenshot(path=PICTURES / "4-fleet.png", full_page=True)


def test_ctrl_c_ends_everything(running: Up) -> None:
    """No process is left, no port answers, and it was no failure."""
    processes = running.processes()
    assert len(processes) >= 5
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == 0
    _, left = psutil.wait_procs(processes, timeout=2)
    assert [p for p in left if p.status() != psutil.STATUS_ZOMBIE] == []
    assert "Stopped." in (running.root / "up.log").read_text()
    for address in (running.prefect, running.mlflow):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=5)


def fill_in(page: "Page", day: date) -> None:
    """Choose the business date in the form; the pipeline is chosen already."""
    assert page.locator(".p-select-button__control").first.inner_text() == "shop"
    page.get_by_role("button", name="date", exact=True).or_(page.get_by_text("date", exact=True)).first.click()
    page.locator(".p-date-button__control").first.click()
    calendar = page.locator(".p-date-picker")
    calendar.locator(".p-date-picker__title-year").click()
    calendar.get_by_role("button", name=f"{day:%Y}", exact=True).click()
    calendar.locator(".p-date-picker__title-month").click()
    calendar.locator(".p-calendar-month-picker__month-button").get_by_text(f"{day:%B}", exact=True).click()
    calendar.locator(".p-calendar-date-picker__date--in-month").get_by_text(str(day.day), exact=True).click()
    calendar.get_by_role("button", name="Apply").click()
    page.get_by_text(f"{day:%b} {day.day}").first.wait_for()


def finished(running: Up, deployment: str) -> dict[str, Any]:
    """Wait for the deployment's only run."""
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline:
        runs = running.api("flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
        if runs and runs[0]["state_type"] in ("COMPLETED", "FAILED", "CRASHED"):
            return dict(runs[0])
        time.sleep(1)
    raise AssertionError((running.root / ".perennial" / "logs" / "worker.log").read_text()[-3000:])
