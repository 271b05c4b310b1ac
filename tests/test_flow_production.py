"""The same flows where production keeps things: PostgreSQL for the record, S3 for data, models and artifacts.

``configs/environments/production.yaml`` is used as it is shipped; MLflow's tables are in the ledger's database.
"""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pandas as pd
import pytest
from typer.testing import CliRunner

from flows.cli import app
from perennial.context import Workspace
from perennial.errors import Busy
from perennial.invariants import check_invariants
from tests import loop, pg, shop
from tests.production import SHIPPED, Production, api, serve, wait_for
from tests.zygote import Zygote

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[Production]:
    """Both servers and a project folder, for the whole file; every test adds a pipeline of its own."""
    with serve(tmp_path_factory.mktemp("production")) as place:
        yield place


@pytest.fixture(scope="module")
def zygotes(production: Production) -> Iterator[tuple[Zygote, Zygote]]:
    """Two processes that run flows in forked children."""
    with Zygote(production.root) as one, Zygote(production.root) as other:
        yield one, other


def test_the_whole_loop(production: Production) -> None:
    """The embedded environment's own test, with nothing of record on this machine."""
    production.put("loop", shop.sales())
    place = production.pipeline("loop")
    loop.whole(place, "loop")
    shell = [perennial("run", "loop", "--as-of", str(shop.AS_OF)), perennial("verify")]

    assert (shell[0]["outcome"], shell[1]) == ("already done", [])
    assert (production.root / "configs/environments/production.yaml").read_bytes() == SHIPPED.read_bytes()
    assert not {"ledger.db", "mlflow.db", "lake", "models", "artifacts"} & {path.name for path in place.home.iterdir()}
    for prefix in ("lake/loop/_delta_log", "lake/loop.predictions/_delta_log", "models", "artifacts/loop"):
        assert production.keys(prefix), prefix
    assert {"alembic_version", "model_versions"} <= production.tables("public")
    assert {"landings", "decisions"} <= production.tables("perennial")


def test_only_new_and_changed_objects_land(production: Production) -> None:
    """A second date reads the new key alone; an object under a new ETag is read again and only its change lands."""
    from flows.retrain import retrain

    name, table, until = "increments", shop.sales(), pd.Timestamp(shop.AS_OF)
    place = production.pipeline(name)
    production.put(name, table[table["day"] <= until], "2024-05-19.parquet")
    retrain(name, shop.AS_OF, "production")
    table.loc[table["day"] == until, "units"] += 1
    added = production.put(name, table[table["day"] > until], "2024-05-26.parquet")
    retrain(name, shop.LATER, "production")
    production.put(name, table[table["day"] <= until], "2024-05-19.parquet")
    last = shop.LATER + timedelta(days=1)
    retrain(name, last, "production")

    first, second, third = place.ledger.landings(name)
    assert [(n.counts.accepted, n.counts.restated) for n in (first, second, third)] == [
        (30 * 140, 0), (30 * 7, 0), (30 + 30, 30)
    ]  # fmt: skip
    assert [source.path.rpartition(" (")[0] for source in second.sources] == [added]
    assert third.sources
    assert check_invariants(place.env) == ()


def test_rollback_is_one_flip_to_identical_bytes(production: Production) -> None:
    """PostgreSQL records it, MLflow's tables beside it follow."""
    production.put("rollback", shop.sales())
    place = production.pipeline("rollback")
    loop.roll_back(place, "rollback")
    assert check_invariants(place.env) == ()


def test_a_killed_run_frees_the_advisory_lock(production: Production, zygotes: tuple[Zygote, Zygote]) -> None:
    """``kill -9`` while a run holds the lock: it is free within a second, and the next run ends the work."""
    production.put("killed", shop.sales())
    place = production.pipeline("killed")
    trace = production.root / "killed.trace"
    faults = {"PERENNIAL_FAULT": "model.stored:sleep", "PERENNIAL_FAULT_TRACE": str(trace)}
    zygotes[0].start("retrain", "killed", shop.AS_OF, faults)
    wait_for(lambda: trace.exists() and "model.stored\n" in trace.read_text())
    os.kill(holder(place, "killed"), signal.SIGKILL)
    assert zygotes[0].wait()["signal"] == signal.SIGKILL
    with place.ledger.hold("killed", locks=place.home / "locks", wait_s=1):
        assert check_invariants(place.env, deep=False) == ()
    again = zygotes[0].run("retrain", "killed", shop.AS_OF)

    assert again["result"]["outcome"] == "promoted"
    assert [(v.version, v.state) for v in place.ledger.versions("killed")] == [(1, "registered")]
    assert check_invariants(place.env) == ()


def test_two_retrains_at_once(production: Production, zygotes: tuple[Zygote, Zygote]) -> None:
    """Started together, one does the work and the other returns the same version."""
    production.put("twice", shop.sales())
    place = production.pipeline("twice")
    for one in zygotes:
        one.start("retrain", "twice", shop.AS_OF)
    results = [one.wait()["result"] for one in zygotes]

    assert sorted(r["outcome"] for r in results) == ["already done", "promoted"]
    assert [r["version"] for r in results] == [1, 1]
    assert check_invariants(place.env) == ()


def test_a_postgresql_table_as_source(production: Production) -> None:
    """One line more in the environment, ``connections``: rows of the second date land when they are there."""
    from flows.retrain import retrain

    text = SHIPPED.read_text().replace("connections: {}", 'connections: {warehouse: "${WAREHOUSE_URL}"}')
    (production.root / "configs" / "environments" / "warehouse.yaml").write_text(text)
    with mock.patch.dict(os.environ, {"WAREHOUSE_URL": production.reader}):
        source = "{type: sql, connection: warehouse, table: public.daily_sales}"
        place = production.pipeline("sold", source, "warehouse")
        table, until = shop.sales(), pd.Timestamp(shop.AS_OF)
        production.insert(table[table["day"] <= until])
        first = retrain("sold", shop.AS_OF, "warehouse")
        production.insert(table[table["day"] > until])
        second = retrain("sold", shop.LATER, "warehouse")

        assert (first.outcome, second.version) == ("promoted", 2)
        assert [n.counts.accepted for n in place.ledger.landings("sold")] == [30 * 140, 30 * 7]
        assert check_invariants(place.env) == ()


def test_mlflow_behind_a_server(production: Production, capfd: pytest.CaptureFixture[str]) -> None:
    """With an MLflow server between, the version and its alias are there, and its files go straight to S3."""
    from flows.retrain import retrain

    production.put("served", shop.sales())
    with production.mlflow() as url:
        place = production.pipeline("served")
        record = retrain("served", shop.AS_OF, "production")

        assert (place.env.tracking, record.outcome) == (url, "promoted")
        assert capfd.readouterr().out == ""  # where a command may have been asked for JSON
        assert place.registry.aliases("served") == {"champion": 1}
        assert any(key.endswith("model.skops") for key in production.keys("artifacts/served"))
        assert check_invariants(place.env) == ()


def test_doctor_names_what_is_missing(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is well with the shipped file; with another bucket, the three places in it are named."""
    production.pipeline("looked_at")
    assert mend() == []
    monkeypatch.setenv("PERENNIAL_BUCKET", "absent")
    assert mend() == ["lake", "models", "artifacts"]


def test_an_outage_of_s3_is_one_paragraph(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the endpoint: an error that names the place and the next step, and no traceback."""
    production.pipeline("outage")
    monkeypatch.setenv("PERENNIAL_S3_ENDPOINT", f"http://127.0.0.1:{pg.free_port()}")
    done = CliRunner().invoke(app, ["run", "outage", "--as-of", str(shop.AS_OF), "--env", "production"])
    assert done.exit_code == 1
    assert re.search(r"LakeError: the lake at perennial/lake failed: .*see `perennial doctor`", done.stderr)
    assert "Traceback" not in done.output


def test_a_worker_runs_what_is_deployed(production: Production) -> None:
    """``deployments/prefect.yaml`` deploys as it is, and a worker that was started in a clone runs it."""
    for folder in ("flows", "tasks", "deployments"):
        (production.root / folder).symlink_to(shop.ROOT / folder)
    production.put("demand", shop.sales())
    place = production.pipeline("demand")
    for file in (shop.ROOT / "configs").glob("*.yaml"):  # the form offers the pipelines there are, and no others
        if not (production.root / "configs" / file.name).exists():
            shutil.copy(file, production.root / "configs")
    production.prefect("work-pool", "create", "perennial", "--type", "process")
    production.prefect("deploy", "--prefect-file", "deployments/prefect.yaml", "--all")
    production.prefect("deployment", "run", "retrain/demand", "--param", f"as_of={shop.AS_OF}")
    log = production.prefect("worker", "start", "--pool", "perennial", "--run-once")

    assert [v.version for v in place.ledger.versions("demand")] == [1], log
    assert check_invariants(place.env) == ()
    for flow in ("day", "retrain", "score", "monitor"):
        deployment = api(f"deployments/name/{flow}/demand")
        assert deployment["description"]
        assert deployment["tags"] == ["demand", flow]
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"
        assert str(production.root) not in json.dumps(deployment)
    (schedule,) = api("deployments/name/day/demand")["schedules"]
    assert schedule["schedule"]["timezone"] == "Europe/London"
    assert int(schedule["schedule"]["cron"].split()[1]) >= 4
    assert api("deployments/name/approve/models")["tags"] == ["decision", "approve"]


def perennial(*words: str) -> Any:
    """Run a command of ours with ``--env production`` and return its JSON."""
    done = CliRunner().invoke(app, [*words, "--env", "production", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def mend() -> list[str]:
    """Return what ``perennial doctor`` wants mended before a run."""
    done = CliRunner().invoke(app, ["doctor", "--env", "production", "--json"])
    return [c["name"] for c in json.loads(done.stdout) if c["severity"] == "critical" and not c["passed"]]


def holder(place: Workspace, pipeline: str) -> int:
    """Return the process that holds a pipeline's lock."""
    with pytest.raises(Busy) as busy, place.ledger.hold(pipeline, locks=place.home / "locks", wait_s=0.05):
        pass
    return int(re.search(r":(\d+) since", str(busy.value))[1])  # type: ignore[index]
