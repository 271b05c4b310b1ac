"""The door to MLflow: one run per training, one version per run key, aliases that follow the ledger.

MLflow is a projection: what counts is in the ledger, and models are loaded by digest from the store, never from
here. Importing mlflow takes a second, so that only what needs it does.
"""

import json
import math
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from perennial.config.models import Environment
from perennial.errors import PerennialError, RegistryError
from perennial.faults import PlantedFault, fault_point
from perennial.ledger.lock import file_lock
from perennial.registry.canonical import dumps, loads
from perennial.registry.entries import KEY, TEXT, Registration, example, flat_metrics, mlflow_name, tags
from perennial.registry.modelstore import ModelStore, incumbent, loaded
from perennial.registry.projection import answers, flip, reconcile

__all__ = [
    "ModelStore", "Registration", "Registry", "dumps", "flat_metrics", "flip", "incumbent", "loaded", "loads",
    "reconcile",
]  # fmt: skip

REQUIREMENTS = ("numpy", "pandas", "scikit-learn", "skops", "numba", "pyarrow", "pydantic")
_PARAMS_AT_ONCE = 100


class Registry:
    """MLflow's tracking server and model registry of one environment; opened on first use."""

    def __init__(self, env: Environment) -> None:
        self._env = env

    def register(self, entry: Registration) -> tuple[str, int]:
        """Record a training and make its model a version, or find what an earlier call has made.

        Returns:
            MLflow's run id and version number.

        Raises:
            RegistryError: MLflow did not answer.
        """
        with self._answering():
            found = self._version(entry)
            if found is not None:
                self._end(found.run_id)
                return str(found.run_id), int(found.version)
            experiment = self._experiment(entry.model)
            run_id = self._run(experiment, entry)
            fault_point("mlflow.run")
            self._describe(run_id, entry)
            model = self._log_model(experiment, run_id, entry)
            fault_point("mlflow.model")
            made = self._client.create_model_version(
                entry.model,
                source=f"models:/{model.model_id}" if self._remote else model.artifact_location,
                run_id=run_id,
                model_id=model.model_id,
                tags=tags(entry),
                description=entry.description[:TEXT] or None,  # as much as MLflow's column holds
                await_creation_for=0,
            )
            fault_point("mlflow.version")
            self._end(run_id)
            return run_id, int(made.version)

    def point(self, model: str, alias: str, version: int | None) -> None:
        """Make an alias name a version of MLflow's, or nothing; repeating it changes nothing.

        Raises:
            RegistryError: MLflow did not answer, or has no such version.
        """
        with self._answering():
            if version is not None:
                self._client.set_registered_model_alias(model, alias, str(version))
            elif alias in self.aliases(model):
                self._client.delete_registered_model_alias(model, alias)

    def aliases(self, model: str) -> Mapping[str, int]:
        """Return the versions that a model's aliases name; empty for a model that MLflow does not know.

        Raises:
            RegistryError: MLflow did not answer.
        """
        with self._answering():
            found = self._client.search_registered_models(f"name = '{model}'")
            return {alias: int(v) for one in found for alias, v in one.aliases.items()}

    def reachable(self) -> bool:
        """Return within two seconds whether MLflow seems to be there."""
        return answers(self._env.tracking)

    # --- MLflow --------------------------------------------------------------------------------------------

    @property
    def _remote(self) -> bool:
        return self._env.tracking.startswith("http")

    @cached_property
    def _client(self) -> Any:
        if not self.reachable():
            raise RegistryError(
                f"MLflow at {_public(self._env.tracking)} does not answer; start it, or try again later"
            )
        for name, value in _settings(self._env).items():
            os.environ.setdefault(name, value)
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"  # whatever anybody prefers
        from mlflow import MlflowClient

        # Two processes that create the tables at once would fail, and leave half of them.
        with file_lock(Path(self._env.home) / "locks" / "mlflow.lock", wait_s=120):
            return MlflowClient(tracking_uri=self._env.tracking, registry_uri=self._env.tracking)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn whatever MLflow and the SDKs below it raise (there is no common root) into our error, quietly."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations among MLflow and its own dependencies
                yield
        except (PerennialError, PlantedFault):
            raise
        except Exception as error:
            text = _public(str(error).strip().partition("\n")[0])[:300]  # SQLAlchemy adds statement and links
            raise RegistryError(
                f"MLflow at {_public(self._env.tracking)} failed: {text}; mend it and run again, nothing is lost"
            ) from error

    def _experiment(self, model: str) -> str:
        found = self._client.get_experiment_by_name(model)
        if found is not None:
            return str(found.experiment_id)
        root = self._env.artifacts
        location = f"{root.rstrip('/')}/{model}" if "://" in root else str(Path(root).resolve() / model)
        return str(self._client.create_experiment(model, artifact_location=location))

    def _run(self, experiment: str, entry: Registration) -> str:
        found = self._client.search_runs([experiment], f"tags.`{KEY}` = '{entry.run_key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        name = f"{entry.model} {entry.version} as of {entry.as_of}"
        return str(self._client.create_run(experiment, tags=tags(entry), run_name=name).info.run_id)

    def _describe(self, run_id: str, entry: Registration) -> None:
        from mlflow.entities import Dataset, DatasetInput, Metric, Param

        at = self._client.get_run(run_id).info.start_time  # a repetition adds no second point
        metrics = [Metric(mlflow_name(k), v, at, 0) for k, v in entry.metrics.items() if math.isfinite(v)]
        self._client.log_batch(run_id, metrics=metrics)
        params = [Param(mlflow_name(k), str(v)[:TEXT]) for k, v in entry.params.items()]
        for start in range(0, len(params), _PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=params[start : start + _PARAMS_AT_ONCE])
        profile = json.dumps({"num_rows": entry.rows})
        data = Dataset(entry.dataset, entry.snapshot_id[:36], "perennial", entry.source, profile=profile)
        self._client.log_inputs(run_id, [DatasetInput(data)])
        for path, file in entry.artifacts.items():
            self._client.log_artifact(run_id, str(file), str(Path(path).parent).removeprefix("."))

    def _log_model(self, experiment: str, run_id: str, entry: Registration) -> Any:
        from mlflow.entities import LoggedModelOutput

        found = self._client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
        if not found:
            found = [self._client.create_logged_model(experiment, entry.model, run_id, tags(entry))]
        with tempfile.TemporaryDirectory() as folder:
            _write_model(Path(folder), run_id, found[0].model_id, entry)
            self._client.log_model_artifacts(found[0].model_id, folder)
        if not self._client.get_run(run_id).outputs.model_outputs:
            self._client.log_outputs(run_id, [LoggedModelOutput(found[0].model_id, step=0)])
        return self._client.finalize_logged_model(found[0].model_id, "READY")

    def _end(self, run_id: str) -> None:
        if self._client.get_run(run_id).info.status == "RUNNING":
            self._client.set_terminated(run_id)

    def _version(self, entry: Registration) -> Any:
        if not self._client.search_registered_models(f"name = '{entry.model}'"):
            self._client.create_registered_model(entry.model)
            return None
        found = self._client.search_model_versions(f"name = '{entry.model}' and tags.`{KEY}` = '{entry.run_key}'")
        return found[0] if found else None


def _write_model(folder: Path, run_id: str, model_id: str, entry: Registration) -> None:
    """Lay out a model as MLflow expects it: canonical bytes, signature, example, requirements."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec("float", name, required=False) for name in entry.features])
    model = Model(
        run_id=run_id,
        model_id=model_id,
        signature=ModelSignature(inputs=inputs, outputs=Schema([ColSpec("float", "y_hat")])),
        metadata={"digest": entry.blob.digest, **tags(entry)},
    )
    (folder / "model.skops").write_bytes(entry.blob.data)
    pinned = "".join(f"{name}=={installed(name)}\n" for name in REQUIREMENTS)
    (folder / "requirements.txt").write_text(pinned, encoding="utf-8")
    mlflow.pyfunc.add_to_model(model, loader_module="perennial.registry.servable", data="model.skops")
    if (rows := example(entry)) is not None:
        model.saved_input_example_info = {
            "artifact_path": "input_example.json",
            "type": "dataframe",
            "pandas_orient": "split",
        }
        (folder / "input_example.json").write_text(rows, encoding="utf-8")
    model.save(str(folder / "MLmodel"))


def _settings(env: Environment) -> Mapping[str, str]:
    """Return what MLflow reads from the process environment: quiet, and quick to give up."""
    settings = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "1",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output may be one JSON document
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    if env.s3.endpoint_url:
        settings |= {"MLFLOW_S3_ENDPOINT_URL": env.s3.endpoint_url, "AWS_DEFAULT_REGION": env.s3.region}
    return settings


def _public(uri: str) -> str:
    return re.sub(r"//[^@/]*@", "//***@", uri)
