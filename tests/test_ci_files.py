"""The ready workflows of CI services: YAML whose commands exist."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml

from flows.cli import app
from perennial.config.choices import names
from perennial.config.files import find_pipeline, load_pipeline
from perennial.config.models import Source

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "deployments" / "ci").glob("*.yml"))


def commands(value: object) -> list[str]:
    """Return every shell command below `run` and `script`, however deep."""
    if isinstance(value, dict):
        own = [value[key] for key in ("run", "script") if key in value]
        texts = [line for one in own for line in ([one] if isinstance(one, str) else one)]
        return texts + [c for inner in value.values() for c in commands(inner)]
    return [c for inner in value for c in commands(inner)] if isinstance(value, list) else []


def ours(path: Path) -> list[list[str]]:
    """Return the words of every `perennial` command of a file."""
    return [shlex.split(c) for c in commands(yaml.safe_load(path.read_text())) if c.startswith("perennial ")]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_the_commands_exist(path: Path) -> None:
    """Each file checks a change and deploys, with options that the program has."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for words in ours(path):
        options = {name for one in known[words[1]].params for name in one.opts}
        assert {word for word in words if word.startswith("--")} <= options
    assert ours(path)[-1][1:3] == ["ci", "--base"]
    deploy = "prefect --no-prompt deploy --prefect-file deployments/prefect.yaml --all"
    assert [c for c in commands(yaml.safe_load(path.read_text())) if c.startswith("prefect ")] == [deploy]


def sources(name: str) -> list[Source]:
    """Return every source of a shipped pipeline."""
    config = load_pipeline(find_pipeline(name, ROOT)).config
    return [table.source for table in (config.data, *config.known.values())]


def has_data(source: Source, folders: set[str]) -> bool:
    """Return whether a source lies in one of the folders; what another pipeline publishes has the data of that one."""
    if source.type == "predictions":
        return all(has_data(one, folders) for one in sources(source.pipeline))
    return source.type == "files" and any(Path(source.path).is_relative_to(one) for one in folders)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_shipped_pipeline_has_its_data_or_is_excused(path: Path) -> None:
    """Or a change of the library would be refused for want of data alone."""
    *simulations, check = ours(path)
    assert all(words[1] == "simulate" for words in simulations)
    at_hand = {f"data/simulated/{words[2]}" for words in simulations} | {"data/online_retail_ii"}
    excused = {word for flag, word in pairwise(check) if flag == "--excuse"}
    assert {name for name in names(ROOT) if not all(has_data(source, at_hand) for source in sources(name))} == excused


def test_both_services_have_a_file() -> None:
    """And each says that it was not run there."""
    assert [p.name for p in FILES] == ["github-models.yml", "gitlab-models.yml"]
    assert all(re.search("Untested on the service", p.read_text()) for p in FILES)
