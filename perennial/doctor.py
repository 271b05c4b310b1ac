"""Is this installation fit to run? Versions, stores, ports, secrets and the clock, each as one check.

A diagnosis changes nothing (it neither creates a ledger nor starts a server) and never raises for what it
finds. A failed ``critical`` check means that runs would fail or be unsafe; a ``warning`` is worth knowing.
"""

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from perennial.clock import system_now
from perennial.config.modelerrors import redact
from perennial.config.models import Environment
from perennial.contracts import Check, Severity
from perennial.errors import ConfigError, LakeError, LedgerError

MIN_FREE_GIB = 2.0
"""Disk space below which a run may not finish: landing, model and tracking of the demo take 0.2 GiB."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(\s*;)?", re.MULTILINE)
_SECRET = re.compile(
    r"://[^/\s:@$]+:[^/\s@$]+@"  # an address with a password
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # an AWS key
    r"|(?i:\b[\w-]*(password|passwd|secret|token|api_?key)[\w-]*\s*[:=]\s*['\"]?(?!\$|\*)[^\s'\"{}]{6,})"
)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def diagnose(env: Environment, root: Path) -> tuple[Check, ...]:
    """Examine the installation around a project folder.

    Args:
        env: The environment that runs would use.
        root: The project folder, with ``configs/`` and ``requirements.lock``.

    Returns:
        One check for each thing that was looked at, in the order in which to mend them.
    """
    home = Path(env.home)
    return (
        _python(),
        _lock(root),
        _fastapi(),
        _writable(env),
        _space(home),
        _clock(root),
        _ledger(env.ledger),
        *_buckets(env),
        _tracking(env.tracking),
        _server(env),
        _binding(),
        _secrets(root),
        _pickle(),
        _git(),
    )


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return _check("python", sys.version_info >= (3, 11), found, "3.11 or newer; install one and run `make install`")


def _lock(root: Path) -> Check:
    """Compare what is installed with the lock, whose pins may differ by marker: any of a package's will do."""
    path = root / "requirements.lock"
    text = path.read_text("utf-8") if path.is_file() else ""
    pins: dict[str, set[str]] = {}
    optional = set()
    for name, pinned, marker in _PIN.findall(text):
        pins.setdefault(name, set()).add(pinned)
        optional |= {name} if marker else set()
    differing = [
        f"{name} {found or 'missing'}"
        for name, allowed in pins.items()
        if (found := _installed(name)) not in allowed and (found or name not in optional)
    ]
    observed = f"{len(differing)} of {len(pins)} packages differ" if pins else "no requirements.lock"
    expected = "the locked versions; run `make install`"
    return _check("packages", bool(pins) and not differing, observed, expected, "warning", differing)


def _fastapi() -> Check:
    found = _installed("fastapi") or "missing"
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    expected = ">=0.139,<0.151, or no Prefect server starts; run `make install`"
    return _check("fastapi", (0, 139) <= numbers < (0, 151), found, expected)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _writable(env: Environment) -> Check:
    folder = _existing(Path(env.home))
    passed = folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
    observed = f"{env.home} (environment {env.environment})"
    return _check("home folder", passed, observed, "a folder this user may write to; change `home`")


def _space(home: Path) -> Check:
    free = shutil.disk_usage(_existing(home)).free / 2**30
    return _check("disk space", free >= MIN_FREE_GIB, f"{free:.1f} GiB free", f"at least {MIN_FREE_GIB:g} GiB")


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _clock(root: Path) -> Check:
    """A clock behind the project's own files would make runs stand on a date that is over."""
    newest = max((file.stat().st_mtime for file in root.glob("configs/*.yaml")), default=0.0)
    now = system_now()
    passed = now + timedelta(minutes=5) >= datetime.fromtimestamp(newest, UTC)
    return _check("clock", passed, f"{now:%Y-%m-%d %H:%M} UTC", "not before the newest file in configs; set the clock")


def _ledger(url: str) -> Check:
    expected = "a database that answers; check `ledger` and its variables"
    shown, file = redact(url), url.removeprefix("sqlite:///")
    if file != url and not Path(file).exists():
        return _check("ledger", True, f"{shown}, made by the first run", expected)
    from perennial.ledger import Ledger

    try:
        Ledger.open(url)
    except (LedgerError, ConfigError) as error:
        return _check("ledger", False, redact(str(error)), expected)
    return _check("ledger", True, shown, expected)


def _buckets(env: Environment) -> Iterator[Check]:
    from perennial.lake.tables import Lake

    expected = "a bucket that answers; check its name, s3.endpoint_url and the AWS variables"
    for name in ("lake", "models", "artifacts"):
        root = getattr(env, name)
        if not root.startswith("s3://"):
            continue
        try:
            Lake(root, env.s3).require()
        except (LakeError, ConfigError) as error:
            yield _check(name, False, str(error), expected)
        else:
            yield _check(name, True, root, expected)


def _tracking(uri: str) -> Check:
    """MLflow may be away (the ledger is the truth), but an open one on another machine is for all to change."""
    from perennial.registry.projection import answers

    url = urlsplit(uri)
    user = url.username or os.environ.get("MLFLOW_TRACKING_USERNAME") or os.environ.get("MLFLOW_TRACKING_TOKEN")
    exposed = url.scheme.startswith("http") and url.hostname not in _LOOPBACK and not user
    reached = answers(uri)
    observed = f"{redact(uri)}{'' if reached else ' does not answer'}{', without a user' if exposed else ''}"
    return _check("mlflow", reached and not exposed, observed, "reachable, with authentication", "warning")


def _server(env: Environment) -> Check:
    """A configured server must answer; without one, loopback must have a port to spare."""
    from perennial.registry.projection import answers

    url = os.environ.get("PREFECT_API_URL", "")
    if env.prefect == "configured" or url:
        observed = redact(url) or "PREFECT_API_URL is not set"
        return _check("prefect server", bool(url) and answers(url), observed, "PREFECT_API_URL of one that answers")
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            observed = f"started when needed, port {listener.getsockname()[1]} is free"
    except OSError as error:
        return _check("prefect server", False, str(error), "a free port on 127.0.0.1")
    return _check("prefect server", True, observed, "a free port on 127.0.0.1")


def _binding() -> Check:
    host = os.environ.get("PREFECT_SERVER_API_HOST", "127.0.0.1")
    guarded = bool(os.environ.get("PREFECT_SERVER_API_AUTH_STRING"))
    expected = "127.0.0.1, or PREFECT_SERVER_API_AUTH_STRING set"
    return _check("server binding", host in _LOOPBACK or guarded, host, expected)


def _secrets(root: Path) -> Check:
    found = list(_secret_lines(root))
    observed = f"{len(found)} lines look like secrets" if found else "none found"
    return _check("secrets", not found, observed, "references such as ${VARIABLE} in configs", samples=found)


def _secret_lines(root: Path) -> Iterator[str]:
    """Yield file and line, never the text."""
    for folder in ("configs", "deployments"):
        for path in sorted((root / folder).rglob("*.y*ml")):
            for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1):
                if _SECRET.search(line.partition(" #")[0]):
                    yield f"{path.relative_to(root)}:{number}"


def _pickle() -> Check:
    name = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
    value = os.environ.get(name, "false")
    return _check("pickle", value.lower() in ("false", "0"), f"{name}={value}", "false: no model may run code")


def _git() -> Check:
    found = shutil.which("git")
    return _check("git", found is not None, found or "not found", "git, to name the commit of a run", "warning")


def _check(
    name: str,
    passed: bool,
    observed: str,
    expected: str,
    severity: Severity = "critical",
    samples: list[str] | None = None,
) -> Check:
    return Check(
        name=name,
        table="installation",
        column=None,
        origin="guard",
        severity=severity,
        passed=passed,
        observed=observed,
        expected=expected,
        samples=tuple(sample[:40] for sample in (samples or [])[:5]),
    )
