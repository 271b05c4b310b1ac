"""Making MLflow's aliases agree with the ledger, now or when MLflow answers again."""

import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from perennial.config.models import Environment
from perennial.contracts import ROLES
from perennial.errors import PerennialError, RegistryError
from perennial.faults import fault_point

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perennial.context import Workspace
    from perennial.contracts import Role
    from perennial.ledger import Ledger

log = logging.getLogger(__name__)
_PATIENCE_S = 2.0
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "postgresql+psycopg": 5432}


class Aliases(Protocol):
    """What reconciling needs of :class:`perennial.registry.tracking.Registry`."""

    def aliases(self, model: str) -> "Mapping[str, int]":
        """Return the versions that a model's aliases name."""
        ...

    def point(self, model: str, alias: str, version: int | None) -> None:
        """Make an alias name a version, or nothing."""
        ...


def reconcile(ledger: "Ledger", registry: Aliases) -> int:
    """Make every alias agree with the ledger, and mark the events that asked for it as sent.

    While MLflow is down the events stay pending, and the next call tries again.

    Returns:
        How many aliases were changed.
    """
    events = ledger.pending("alias")
    try:
        changed = sum(_follow(ledger, registry, model, role) for model in ledger.models() for role in ROLES)
    except RegistryError as error:
        log.warning("MLflow's aliases do not follow yet: %s", error)
        for event in events:
            ledger.mark_failed(event.id, str(error))
        return 0
    for event in events:
        ledger.mark_sent(event.id)
    return changed


def _follow(ledger: "Ledger", registry: Aliases, model: str, role: "Role") -> int:
    """Point one alias at what is in force, until that has not changed meanwhile."""
    changes = 0
    while True:
        wanted = ledger.in_force(model, role)
        number = wanted.mlflow_version or None if wanted else None
        if registry.aliases(model).get(role) == number:
            return changes
        registry.point(model, role, number)
        fault_point("alias.flipped")
        changes += 1


def flip(workspace: "Workspace") -> "subprocess.Popen[bytes]":
    """Reconcile in a process of its own, so that a rollback need not wait for MLflow (nor for its import).

    Returns:
        The process, which nobody needs to wait for; its messages go to ``<home>/logs/reconcile.log``.
    """
    folder = workspace.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    library = str(Path(__file__).resolve().parent.parent)
    paths = os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH"))))
    with (folder / "reconcile.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", "from perennial.registry.projection import main; main()"],
            stdin=subprocess.PIPE,  # the environment may hold a password, which no argument list may show
            stdout=out,
            stderr=out,
            env={**os.environ, "PYTHONPATH": paths},
            cwd=workspace.root,
            start_new_session=True,
        )
    if process.stdin is not None:
        with process.stdin as pipe:
            pipe.write(workspace.env.model_dump_json().encode())
    threading.Thread(target=process.wait, daemon=True).start()  # or it would stay a zombie
    return process


def main() -> None:
    """Reconcile the environment whose JSON is on standard input."""
    from perennial.ledger import Ledger
    from perennial.registry.tracking import Registry

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    env = Environment.model_validate_json(sys.stdin.read())
    try:
        changed = reconcile(Ledger.open(env.ledger), Registry(env))
    except PerennialError as error:
        log.warning("MLflow's aliases do not follow yet: %s", error)
        raise SystemExit(1) from None
    log.info("%d aliases changed", changed)


def answers(tracking: str) -> bool:
    """Return within two seconds whether something listens where MLflow should be; a file needs no listener."""
    url = urlsplit(tracking)
    if url.hostname is None:
        return True
    try:
        with socket.create_connection((url.hostname, url.port or _PORTS.get(url.scheme, 443)), timeout=_PATIENCE_S):
            return True
    except OSError:
        return False
