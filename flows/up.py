"""Everything on one machine: Prefect, a worker, MLflow's pages, the dead man's switch; on loopback, ended together."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from flows import deployments, server
from flows.present import short
from flows.server import HOST, Server, ServerError
from flows.services import Services, Stopped
from perennial.errors import Busy, Refused
from perennial.registry.projection import answers

if TYPE_CHECKING:
    from pathlib import Path

    from perennial.context import Workspace

MLFLOW_PORT = 5000
LOOK_S = 0.5
Show = Callable[[Any, Callable[[], Iterable[str]]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a person looks.

    Attributes:
        deployments: How many deployments Prefect has been given.
        server_left: Whether the Prefect server ran before and goes on running afterwards.
    """

    prefect: str
    mlflow: str
    fleet: str
    logs: str
    deployments: int
    server_left: bool


def up(workspace: "Workspace", env: str | None, show: Show, say: Callable[[str], None]) -> None:
    """Start everything and stay until somebody stops it or a part of it ends.

    A Prefect server that ``perennial run`` has left in the background, or that ``PREFECT_API_URL`` names, is used and
    left running; everything else is started here and ended here.

    Args:
        workspace: Where everything is kept.
        env: The environment as it was asked for; the worker and the switch are given the same.
        show: Shows the addresses once everything answers.
        say: Shows one line of progress.

    Raises:
        Refused: It runs already in this home folder.
        ServerError: A part of it did not come up.
        ServiceEnded: A part of it ended by itself; the others were ended too.
    """
    if env:
        os.environ["PERENNIAL_ENV"] = env
    try:
        with _alone(workspace.home), Services() as services:
            addresses, pid = _start(workspace, services, say)
            show(asdict(addresses), lambda: _lines(addresses))
            while True:
                services.check()
                if pid and not server.alive(pid):
                    raise ServerError("the Prefect server that ran before has ended; run `perennial up` again")
                time.sleep(LOOK_S)
    except Stopped:
        say("Stopped.")


def _start(workspace: "Workspace", services: Services, say: Callable[[str], None]) -> tuple[Addresses, int]:
    """Start what is not there yet; return the addresses, and the process of a server that was there before."""
    logs = workspace.home / "logs"
    found = _server(workspace, services, say)
    os.environ["PREFECT_API_URL"] = found.url
    mlflow = _mlflow(workspace, services, logs)
    me = [sys.executable, "-m", "flows.cli"]
    services.start("the dead man's switch", [*me, "watch"], logs / "watch.log", env=os.environ, cwd=workspace.root)
    say("Deploying the flows of every pipeline ...")
    count = _deploy(workspace, logs / "deploy.log")
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", deployments.POOL, "--type", "process"]
    loud = os.environ | {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO"}  # its console is a file
    services.start("the worker", worker, logs / "worker.log", env=loud, cwd=workspace.root)
    _wait(services, mlflow)
    from perennial.reports.fleet import write_fleet

    return Addresses(
        prefect=found.ui,
        mlflow=mlflow,
        fleet=str(write_fleet(workspace)),
        logs=str(logs),
        deployments=count,
        server_left=not found.started,
    ), 0 if found.started else found.pid


def _server(workspace: "Workspace", services: Services, say: Callable[[str], None]) -> Server:
    """Return the server that is there, or start one that ends with us."""
    home = workspace.home
    found = server.find(home, configured=workspace.env.prefect == "configured")
    if found is not None:
        return found
    with server.one_at_a_time(home):
        found = server.running(home)
        if found is not None:
            return found
        say("Starting a Prefect server (the first time takes up to a minute) ...")
        with services.starting():
            process, launched = server.launch(home, server.PORT)
            services.add("the Prefect server", process, home / "prefect" / "server.log")
        return server.settle(home, process, launched)


def _mlflow(workspace: "Workspace", services: Services, logs: "Path") -> str:
    """Start MLflow's pages and return their address, unless the environment names a server of its own."""
    env = workspace.env
    if env.tracking.startswith(("http://", "https://")):
        return env.tracking
    port = server.free_port(MLFLOW_PORT)
    settings = {
        "MLFLOW_BACKEND_STORE_URI": env.tracking,  # not an argument: it may hold a password, and everybody sees those
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": env.artifacts,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    if env.s3.endpoint_url:
        settings["MLFLOW_S3_ENDPOINT_URL"] = env.s3.endpoint_url
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--no-serve-artifacts"]
    services.start("MLflow", command, logs / "mlflow.log", env=os.environ | settings, cwd=workspace.root)
    return f"http://{HOST}:{port}"


def _deploy(workspace: "Workspace", log: "Path") -> int:
    """Give Prefect the deployments of this project; return how many there are."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    description = deployments.describe(workspace.root, workspace.env.environment, parameter=None)
    path = workspace.home / "prefect" / "prefect.yaml"
    path.write_text(deployments.text(description), encoding="utf-8")
    pool = WorkPoolCreate(
        name=deployments.POOL, type="process", base_job_template=ProcessWorker.get_default_base_job_template()
    )
    with get_client(sync_client=True) as client, suppress(ObjectAlreadyExists):
        client.create_work_pool(pool)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(path), "--all"]
    with log.open("wb") as out:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=workspace.root)
    if done.returncode != 0:
        raise ServerError(f"the flows could not be deployed (exit code {done.returncode}); see {log}")
    return len(description["deployments"])


def _wait(services: Services, mlflow: str) -> None:
    deadline = time.monotonic() + server.START_SECONDS
    while not answers(mlflow):
        services.check()
        if time.monotonic() > deadline:
            raise ServerError(f"MLflow does not answer at {mlflow} after {server.START_SECONDS:.0f} s")
        time.sleep(0.1)


@contextmanager
def _alone(home: "Path") -> Iterator[None]:
    from perennial.ledger.lock import file_lock

    try:
        with file_lock(home / "locks" / "up.lock", 0):
            yield
    except Busy as error:
        raise Refused(f"`perennial up` runs already in {short(home)}; stop that one first ({error})") from error


def _lines(found: Addresses) -> Iterable[str]:
    """Say where everything is."""
    left = " (it ran before, and goes on running)" if found.server_left else ""
    yield f"Prefect      {found.prefect}  {found.deployments} deployments{left}"
    yield f"MLflow       {found.mlflow}"
    yield f"Fleet page   {short(found.fleet)}"
    yield f"Logs         {short(found.logs)}"
    yield "Ctrl-C stops everything."
