"""All that can be said of a pipeline without reading its data: its file, its checks, its source, its estimator."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from perennial.config.files import Loaded, checks_path, find_pipeline
from perennial.config.yamlsafe import combined, nearest
from perennial.context import Workspace
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME
from perennial.errors import ConfigError
from perennial.kinds import kind
from perennial.sources import permit

T = TypeVar("T")


def validate(workspace: Workspace, name: str) -> Loaded:
    """Load a pipeline as a run would, and everything that a run would only come across on its way.

    Raises:
        ConfigError: The file, its checks file or a parameter is not valid, or the environment does not allow
            the source; the message lists the problems of both files.
    """
    path = find_pipeline(name, workspace.root)
    found: list[str] = []
    loaded = _noted(found, lambda: workspace.pipeline(name))
    if loaded is not None:
        cfg = loaded.config
        for table in (cfg.data, *cfg.known.values()):
            _noted(found, lambda table=table: permit(table, workspace.env, base=workspace.root))  # type: ignore[misc]
        _noted(found, lambda: kind(cfg.kind).check(cfg))
    checks = checks_path(path)
    if checks.exists():
        _noted(found, lambda: _suite(checks, loaded))
    if found or loaded is None:
        raise ConfigError("\n".join(dict.fromkeys(found)))
    return loaded


def _noted(found: list[str], step: Callable[[], T]) -> T | None:
    """Take a step; what it complains of is noted, so that the next one has its say too."""
    try:
        return step()
    except ConfigError as error:
        found.append(str(error))
        return None


def _suite(path: Path, loaded: Loaded | None) -> None:
    """Refuse expectations that are not valid, or about columns that the pipeline does not map."""
    from perennial.checks import suites
    from perennial.checks.expectations import load_suite

    suite = load_suite(path)
    if loaded is None:
        return
    columns = (ENTITY, TIME, TARGET, AVAILABLE_AT, *loaded.config.data.columns.extra)
    document, _ = suites.parse(path)
    problems = [
        document.problem((i,), f"there is no column {name!r}; {nearest(name, columns)}")
        for i, one in enumerate(suite.expectations)
        for name in one.columns
        if name not in columns
    ]
    if problems:
        raise combined(document.name, problems)
