"""The ready workflows of CI services: YAML whose commands exist."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from flows.cli import app

FILES = sorted((Path(__file__).parent.parent / "deployments" / "ci").glob("*.yml"))


def commands(value: object) -> list[str]:
    """Return every shell command below `run` and `script`, however deep."""
    if isinstance(value, dict):
        own = [value[key] for key in ("run", "script") if key in value]
        texts = [line for one in own for line in ([one] if isinstance(one, str) else one)]
        return texts + [c for inner in value.values() for c in commands(inner)]
    return [c for inner in value for c in commands(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_commands_exist(path: Path) -> None:
    """Each file checks a change and deploys, with options that the program has."""
    found = commands(yaml.safe_load(path.read_text()))
    (check,) = (shlex.split(c) for c in found if c.startswith("perennial "))
    known = typer.main.get_command(app).commands[check[1]]  # type: ignore[attr-defined]
    options = {name for one in known.params for name in one.opts}
    assert {word for word in check if word.startswith("--")} <= options
    assert check[1:3] == ["ci", "--base"]
    deploy = "prefect --no-prompt deploy --prefect-file deployments/prefect.yaml --all"
    assert [c for c in found if c.startswith("prefect ")] == [deploy]


def test_both_services_have_a_file() -> None:
    """And each says that it was not run there."""
    assert [p.name for p in FILES] == ["github-models.yml", "gitlab-models.yml"]
    assert all(re.search("Untested on the service", p.read_text()) for p in FILES)
