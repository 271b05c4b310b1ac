"""The doctor finds what would make runs fail or unsafe, changes nothing and shows no secret."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perennial import doctor
from perennial.config.models import Environment
from perennial.contracts import Check

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests or this machine have set."""
    for name in list(os.environ):
        if name.startswith(("PREFECT_", "MLFLOW_")):
            monkeypatch.delenv(name)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project folder with an empty pipeline file and a lock of one package."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/demand.yaml").write_text("pipeline: demand\n")
    (tmp_path / "requirements.lock").write_text(f"pyarrow=={doctor._installed('pyarrow')} \\\n    --hash=x\n")
    return tmp_path


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port on which nothing listens, kept by a socket that only has it bound."""
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def local(root: Path, **changes: object) -> Environment:
    """Return the embedded environment below a folder."""
    home = f"{root}/.perennial"
    settings = {"ledger": f"sqlite:///{home}/ledger.db", "tracking": f"sqlite:///{home}/mlflow.db", **changes}
    return Environment.model_validate({"environment": "local", "home": home, **settings})


def found(root: Path, name: str, **changes: object) -> Check:
    """Return one check of the diagnosis."""
    (check,) = [c for c in doctor.diagnose(local(root, **changes), root) if c.name == name]
    return check


def test_a_sound_installation_passes_and_stays_untouched(project: Path) -> None:
    """Everything passes on a fresh project, and no file appears."""
    before = sorted(project.rglob("*"))
    checks = doctor.diagnose(local(project), project)
    assert [c for c in checks if not c.passed and c.name != "git"] == []
    assert sorted(project.rglob("*")) == before


def test_this_repository_holds_no_secrets() -> None:
    """The shipped configs and deployments pass the scan."""
    assert list(doctor._secret_lines(ROOT)) == []


@pytest.mark.parametrize(
    "line",
    [
        "ledger: postgresql://ann:hunter2@db/x",
        "key: AKIAABCDEFGHIJKLMNOP",
        "password: hunter22",
        "db_password: 'hunter22'",
        "API_KEY=abcdef123456",
    ],
)
def test_secrets_are_found_and_not_shown(project: Path, line: str) -> None:
    """A secret is named by file and line alone."""
    (project / "configs/demand.yaml").write_text(f"pipeline: demand\n{line}\n")
    check = found(project, "secrets")
    assert (check.passed, check.samples) == (False, ("configs/demand.yaml:2",))
    assert "hunter2" not in str(check)


@pytest.mark.parametrize(
    "line",
    [
        "ledger: ${PERENNIAL_LEDGER_URL} # postgresql://user:password@host/x",
        "ledger: postgresql://ann:${PASSWORD}@db/x",
        "password: ${PASSWORD}",
        "url: http://localhost:4200/api",
    ],
)
def test_references_are_no_secrets(project: Path, line: str) -> None:
    """Variables, comments and addresses with a port are left alone."""
    (project / "configs/demand.yaml").write_text(line)
    assert found(project, "secrets").passed


@pytest.mark.parametrize(
    ("lock", "observed", "samples"),
    [
        ("pyarrow==0.0.1 \\\n", "1 of 1 packages differ", "pyarrow "),
        ("none-such==1.0\n", "1 of 1 packages differ", "none-such missing"),
        ("none-such==1.0 ; sys_platform == 'win32'\n", "0 of 1 packages differ", ""),
        ("", "no requirements.lock", ""),
    ],
)
def test_the_lock_is_compared(project: Path, lock: str, observed: str, samples: str) -> None:
    """A package that differs from the lock is named; one for another platform may be absent."""
    (project / "requirements.lock").write_text(lock)
    check = found(project, "packages")
    assert check.observed == observed
    assert "".join(check.samples).startswith(samples)
    assert check.severity == "warning"


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"PREFECT_SERVER_API_HOST": "0.0.0.0"}, "server binding"),
        ({"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}, "pickle"),
        ({"PREFECT_API_URL": "http://127.0.0.1:1/api"}, "prefect server"),
    ],
)
def test_unsafe_variables_are_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    """A server for all to reach, models that run code, and a server that is not there are critical."""
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    check = found(project, name)
    assert (check.passed, check.severity) == (False, "critical")


def test_a_guarded_server_may_listen_elsewhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Binding to all addresses is fine with authentication, whose string is not shown."""
    monkeypatch.setenv("PREFECT_SERVER_API_HOST", "0.0.0.0")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "admin:hunter2")
    check = found(project, "server binding")
    assert check.passed
    assert "hunter2" not in str(check)


def test_a_configured_server_needs_an_address(project: Path) -> None:
    """`prefect: configured` without PREFECT_API_URL is refused."""
    assert found(project, "prefect server", prefect="configured").observed == "PREFECT_API_URL is not set"


def test_an_unreachable_ledger_is_critical(project: Path, closed_port: int) -> None:
    """A database that does not answer is reported without its password."""
    check = found(project, "ledger", ledger=f"postgresql://ann:hunter2@127.0.0.1:{closed_port}/x")
    assert (check.passed, check.severity) == (False, "critical")
    assert "hunter2" not in str(check)


def test_a_file_that_is_no_ledger_is_critical(project: Path) -> None:
    """A SQLite address that leads to something else is reported, not overwritten."""
    path = project / "ledger.db"
    path.write_bytes(b"not a database" * 100)
    assert not found(project, "ledger", ledger=f"sqlite:///{path}").passed
    assert path.read_bytes() == b"not a database" * 100


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_mlflow_may_be_away(project: Path, closed_port: int, host: str) -> None:
    """A tracking server that does not answer, or has no user, is a warning: the ledger is the truth."""
    check = found(project, "mlflow", tracking=f"http://{host}:{closed_port}")
    assert (check.passed, check.severity) == (False, "warning")
    assert ("without a user" in check.observed) is (host != "127.0.0.1")


def test_a_home_that_is_a_file_is_critical(project: Path) -> None:
    """A home that cannot be a folder is reported with its path."""
    (project / "file").write_text("")
    assert not found(project, "home folder", home=f"{project}/file").passed


def test_a_clock_behind_its_files_is_critical(project: Path) -> None:
    """A clock that is older than the project's files is wrong."""
    os.utime(project / "configs/demand.yaml", (4e9, 4e9))
    assert not found(project, "clock").passed
