"""MLflow as a projection: one run and version per run key, and aliases that follow the ledger in the end."""

import json
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perennial.config.models import Environment
from perennial.contracts import ModelVersion, Score
from perennial.errors import IntegrityError, RegistryError
from perennial.ledger import Ledger
from perennial.registry.canonical import dumps
from perennial.registry.tracking import ModelStore, Registration, Registry, flat_metrics, flip, incumbent, reconcile
from tests import fitted, ledgers, pg
from tests.ledgers import DAY

pytestmark = pytest.mark.slow


def environment(home: Path, **other: str) -> Environment:
    """Return an embedded environment below ``home``."""
    places = {"ledger": f"sqlite:///{home}/ledger.db", "lake": f"{home}/lake", "models": f"{home}/models"}
    places |= {"tracking": f"sqlite:///{home}/mlflow.db", "artifacts": f"{home}/artifacts"}
    return Environment(environment="test", home=str(home), **{**places, **other})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder whose MLflow database is made once, for all tests of this file."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "index.html").write_text("<p>report</p>", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def registry(home: Path) -> Registry:
    """MLflow on SQLite."""
    return Registry(environment(home))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger.open(f"sqlite:///{tmp_path}/ledger.db")


def entry(home: Path, model: str, key: str = "k1", version: int = 1) -> Registration:
    """Return what a small training tells MLflow."""
    return Registration(
        model=model,
        version=version,
        run_key=key,
        as_of=DAY,
        blob=fitted.blob("linear"),
        params={"model.seed": 1, **{f"setting.{n}": "x" * n * 100 for n in range(150)}},
        metrics={"wape": 0.3, "wape/h=1-7": 0.2, "mase": float("nan"), "rmse": float("inf")},
        tags={"code": "c0de"},
        dataset=model,
        snapshot_id="5" * 64,
        source="data/sales.parquet",
        rows=1000,
        features=fitted.FEATURES,
        example=fitted.inputs(3),
        artifacts={"report/index.html": home / "index.html"},
        description="# Card\n" * 2000,
    )


def registered(ledger: Ledger, registry: Registry, home: Path, model: str, keys: tuple[str, ...]) -> list[ModelVersion]:
    """Train, register and promote one version per key."""
    made = []
    with ledger.hold(model, locks=home / "locks") as lease:
        for n, key in enumerate(keys, 1):
            version = ledgers.trained(ledger, lease, key, f"d{n}")
            run, number = registry.register(entry(home, model, key, n))
            version = ledger.record_registration(lease, model, version.version, run, number)
            ledger.commit_decision(lease, version, ledgers.decision(), as_of=DAY, actor="t")
            made.append(version)
    return made


def test_a_run_key_is_registered_once(registry: Registry, home: Path) -> None:
    """Registering again finds the run and the version of the first call."""
    first = registry.register(entry(home, "once"))
    assert registry.register(entry(home, "once")) == first
    run, number = registry.register(entry(home, "once", "k2", 2))
    assert run != first[0]
    assert (first[1], number) == (1, 2)


def test_a_run_holds_parameters_metrics_data_set_and_report(registry: Registry, home: Path) -> None:
    """Figures that are not finite are left out, and every setting is there."""
    run_id, _ = registry.register(entry(home, "run"))
    run = registry._client.get_run(run_id)
    assert run.data.metrics == {"wape": 0.3, "wape/h_1-7": 0.2}
    assert len(run.data.params) == 151
    assert run.data.tags["perennial.code"] == "c0de"
    (data,) = run.inputs.dataset_inputs
    assert json.loads(data.dataset.profile) == {"num_rows": 1000}
    assert [one.path for one in registry._client.list_artifacts(run_id, "report")] == ["report/index.html"]
    assert run.info.status == "FINISHED"
    assert len(run.outputs.model_outputs) == 1


def test_a_registered_model_can_be_served_by_mlflow(registry: Registry, home: Path) -> None:
    """MLflow's own loader loads it, through our list of types, and it predicts what the model predicts."""
    registry.register(entry(home, "served"))
    registry.point("served", "champion", 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import pandas as pd

        mlflow.set_tracking_uri(environment(home).tracking)
        model = mlflow.pyfunc.load_model("models:/served@champion")
        X = fitted.inputs(9)
        found = model.predict(pd.DataFrame(X, columns=list(fitted.FEATURES)))
    # not to the last bit: BLAS adds single precision up in an order that depends on where the array lies in memory
    np.testing.assert_allclose(found, fitted.forecaster("linear").mean(X, 1), rtol=1e-5, atol=1e-6)
    assert [c.name for c in model.metadata.get_input_schema().inputs] == list(fitted.FEATURES)
    assert model.metadata.metadata["digest"] == entry(home, "served").blob.digest


@pytest.mark.parametrize("point", ["mlflow.run", "mlflow.model", "mlflow.version"])
def test_a_registration_that_died_is_finished_by_the_next(
    registry: Registry, home: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Wherever it stopped, there is one run, one logged model and one version in the end."""
    model = "died-" + point.replace(".", "-")
    monkeypatch.setenv("PERENNIAL_FAULT", f"{point}:raise:1")
    monkeypatch.setattr("perennial.faults._passed", Counter())
    with pytest.raises(RuntimeError, match=point):
        registry.register(entry(home, model))
    monkeypatch.delenv("PERENNIAL_FAULT")
    registry.register(entry(home, model))
    client = registry._client
    experiment = client.get_experiment_by_name(model).experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["FINISHED"]
    assert len(client.search_logged_models([experiment])) == 1
    assert len(client.search_model_versions(f"name = '{model}'")) == 1


def test_an_alias_is_set_moved_and_removed(registry: Registry, home: Path) -> None:
    """Each step can be repeated."""
    for n in (1, 2):
        registry.register(entry(home, "alias", f"k{n}", n))
    for version, expected in ((1, {"champion": 1}), (2, {"champion": 2}), (None, {})):
        for _ in range(2):
            registry.point("alias", "champion", version)
        assert registry.aliases("alias") == expected
    with pytest.raises(RegistryError, match="failed"):
        registry.point("alias", "champion", 99)
    assert registry.aliases("nobody") == {}


def test_reconciling_makes_the_alias_follow_the_ledger(ledger: Ledger, registry: Registry, home: Path) -> None:
    """Promotion, rollback, and an alias that somebody moved by hand all end at what is in force."""
    registered(ledger, registry, home, "follow", ("k1", "k2"))
    assert reconcile(ledger, registry) == 1
    assert registry.aliases("follow") == {"champion": 2}
    assert ledger.pending() == ()
    with ledger.hold("follow", locks=home / "locks") as lease:
        ledger.change_role(lease, "follow", "champion", 1, as_of=DAY, actor="t", reason="rollback")
    registry.point("follow", "canary", 2)
    assert reconcile(ledger, registry) == 2
    assert registry.aliases("follow") == {"champion": 1}
    assert reconcile(ledger, registry) == 0


def test_while_mlflow_is_down_the_flip_stays_pending(ledger: Ledger, registry: Registry, home: Path) -> None:
    """The ledger's commit stands; the alias follows when MLflow answers again."""
    registered(ledger, registry, home, "down", ("k1",))
    gone = Registry(environment(home, tracking=f"http://user:secret@127.0.0.1:{pg.free_port()}"))
    assert not gone.reachable()
    assert reconcile(ledger, gone) == 0
    (event,) = ledger.pending("alias")
    assert event.attempts == 1
    assert "secret" not in event.error
    assert reconcile(ledger, registry) == 1
    assert ledger.pending("alias") == ()


def test_a_flip_runs_in_a_process_of_its_own(registry: Registry, tmp_path: Path, home: Path) -> None:
    """It returns at once; when the process has ended, the alias has followed."""
    env = environment(home, ledger=f"sqlite:///{tmp_path}/ledger.db")
    ledger = Ledger.open(env.ledger)
    registered(ledger, registry, home, "detached", ("k1",))
    workspace: Any = SimpleNamespace(env=env, home=tmp_path, root=tmp_path)
    assert flip(workspace).wait(60) == 0
    assert registry.aliases("detached") == {"champion": 1}
    assert "1 aliases changed" in (tmp_path / "logs" / "reconcile.log").read_text(encoding="utf-8")


def test_the_incumbent_is_loaded_by_the_ledgers_digest(ledger: Ledger, tmp_path: Path) -> None:
    """Nobody before the first promotion; then the bytes that were judged, or none."""
    store, blob = ModelStore(f"{tmp_path}/models"), dumps(fitted.forecaster("linear"))
    assert incumbent(ledger, store, "demand") is None
    path = Path(store.put(blob))
    with ledger.hold("demand", locks=tmp_path) as lease:
        ledgers.promoted(ledger, lease, "k1", blob.digest)
    found = incumbent(ledger, store, "demand")
    assert found is not None
    assert found.version.version == 1
    assert dumps(found.model) == blob
    path.write_bytes(dumps(fitted.forecaster("linear", seed=1)).data + b"x")
    with pytest.raises(IntegrityError, match="altered"):
        incumbent(ledger, store, "demand")


def test_figures_are_named_for_mlflow() -> None:
    """The candidate's figures have plain names, those of others their contender's; slices are left to the report."""
    parts = [("candidate", "overall", ""), ("candidate", "horizon", "h=1-7"), ("champion", "overall", "")]
    parts += [("candidate", "slice", "category=FOODS")]
    scores = [Score(contender=c, metric="wape", part=p, key=k, value=1.0, rows=9) for c, p, k in parts]  # type: ignore[arg-type]
    assert list(flat_metrics(scores)) == ["wape", "wape/h=1-7", "champion/wape"]
