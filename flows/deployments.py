"""What Prefect is to know of a project: one deployment per flow and pipeline, in the form of a ``prefect.yaml``.

The pipelines are files, so their deployments follow from them: ``perennial deployments`` writes the file that
``prefect deploy`` reads, and ``perennial up`` deploys the same description.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from perennial.config.choices import names
from perennial.config.files import find_pipeline, load_pipeline
from perennial.config.models import Pipeline

POOL = "perennial"
FILE = Path("deployments/prefect.yaml")
WANTED = "perennial.retrain.wanted"
"""The event by which a monitor run asks for a new model, see :mod:`tasks.alert`."""
FLOWS = {
    "day": "One business date, and those missed before it: score, monitor, retrain if it is wanted.",
    "retrain": "Train a new model; it comes into force only if every gate passes.",
    "score": "Publish the champion's forecast, once per date.",
    "monitor": "Compare what was published with what came true; alert, and conclude a canary.",
}
DECISIONS = {
    "approve": "Let a version that passed its gates come into force, where `rollout.approval` asks for a person.",
    "reject": "Refuse a version that waits for approval; the champion stays.",
    "rollback": "Put an earlier champion back in force.",
    "retire": "Rule a version out for good; its bytes and its history stay.",
}
HEADER = """\
# When the flows run, and where. Written by `perennial deployments` from configs/; write it again when a pipeline is
# added, or its time zone or `delivery.start` has changed. From the clone, with PREFECT_API_URL set:
#
#   prefect work-pool create perennial --type process
#   prefect --no-prompt deploy --prefect-file deployments/prefect.yaml --all
#   prefect worker start --pool perennial      # in the clone, on each machine that works
#
# No path of a machine stands here: `.` is the folder that a worker was started in. Hours between 00 and 04 are left
# free: on two days of the year one of them is missing, or comes twice. Of each flow of a pipeline one run works at a
# time and the next ones wait; runs of different flows wait for each other at the ledger's lock.
"""


def describe(root: Path, environment: str, *, parameter: str | None) -> dict[str, Any]:
    """Return the content of a ``prefect.yaml`` for the pipelines below ``root``.

    Args:
        root: A project folder.
        environment: Name that the environment's file gives itself: requests for a retrain are answered if they come
            from there.
        parameter: What the runs are given as environment; ``None`` leaves it to the worker's ``PERENNIAL_ENV``.

    Raises:
        ConfigError: A pipeline's file is not valid.
    """
    pipelines = [load_pipeline(find_pipeline(name, root)).config for name in names(root)]
    where: dict[str, Any] = {"environment": parameter} if parameter else {}
    return {
        "name": POOL,
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "."}}],
        "deployments": [
            *(one for cfg in pipelines for one in _of_pipeline(cfg, environment, where)),
            *(_decision(flow, about, where) for flow, about in DECISIONS.items()),
        ],
    }


def text(description: dict[str, Any]) -> str:
    """Return a description as YAML."""
    return HEADER + yaml.dump(description, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


def _of_pipeline(cfg: Pipeline, environment: str, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for flow, about in FLOWS.items():
        one: dict[str, Any] = {
            "name": cfg.pipeline,
            "entrypoint": f"flows.{flow}.{flow}",
            "description": f"{about}\n\n{cfg.description}".strip(),
            "tags": [cfg.pipeline, flow],
            "parameters": {"pipeline": cfg.pipeline, **where},
            "concurrency_limit": {"limit": 1, "collision_strategy": "ENQUEUE"},
            "work_pool": _work_pool(),
        }
        if flow == "day" and cfg.delivery.start:
            hour, minute = map(int, cfg.delivery.start.split(":"))
            one["schedules"] = [{"cron": f"{minute} {hour} * * *", "timezone": cfg.timezone, "slug": "daily"}]
        if flow == "retrain":
            one["triggers"] = [_answer(cfg.pipeline, environment)]
        yield one


def _answer(pipeline: str, environment: str) -> dict[str, Any]:
    """Return the automation that answers a monitor run's wish."""
    return {
        "name": f"retrain {pipeline} when the monitor asks for it ({environment})",
        "type": "event",
        "posture": "Reactive",
        "enabled": True,
        "match": {"prefect.resource.id": f"perennial.pipeline.{pipeline}", "perennial.environment": environment},
        "expect": [WANTED],
        "threshold": 1,
        "within": 0,
        "parameters": {"as_of": {"__prefect_kind": "jinja", "template": "{{ event.payload.as_of }}"}},
    }


def _decision(flow: str, about: str, where: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "models",
        "entrypoint": f"flows.lifecycle.{flow}",
        "description": about,
        "tags": ["decision", flow],
        "parameters": dict(where),
        "work_pool": _work_pool(),
    }


def _work_pool() -> dict[str, Any]:
    """Return where runs work; what stages say is kept with the run in a project without a pyproject.toml too."""
    said = {"PREFECT_LOGGING_ROOT_LEVEL": "INFO", "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,perennial"}
    return {"name": POOL, "job_variables": {"working_dir": ".", "env": said}}


class _Plain(yaml.SafeDumper):
    """Writes what is repeated again, instead of a reference to it."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never make a reference."""
        return True
