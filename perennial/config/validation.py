"""All that can be said of a pipeline without a run: its file, its checks, its source, its estimator."""

from collections.abc import Callable
from typing import TypeVar

from perennial.checks import suites
from perennial.checks.expectations import load_suite
from perennial.config.files import Loaded, checks_path, find_pipeline, survey_pipeline
from perennial.config.models import FileSource, Pipeline
from perennial.config.yamlsafe import combined
from perennial.context import Workspace
from perennial.errors import ConfigError, PerennialError
from perennial.kinds import kind
from perennial.sources import inventory, permit, read
from perennial.sources.local import stage_file

T = TypeVar("T")


def validate(workspace: Workspace, name: str) -> Loaded:
    """Load a pipeline as a run would, and everything that a run would only come across on its way.

    Raises:
        ConfigError: The file, its checks file or a parameter is not valid, or the environment does not allow
            the source; the message lists the problems of both files.
    """
    path = find_pipeline(name, workspace.root)
    found: list[str] = []
    document, config, problems = survey_pipeline(path)
    if problems:
        found.append(str(combined(document.name, problems)))
    if config is not None:
        for table in (config.data, *config.known.values()):
            _noted(found, lambda table=table: permit(table, workspace.env, base=workspace.root))  # type: ignore[misc]
        if not problems:
            _noted(found, lambda: kind(config.kind).check(config))
    checks = checks_path(path)
    if checks.exists():
        _noted(found, lambda: load_suite(checks, suites.columns(config) if config else None))
    if found:
        raise ConfigError("\n".join(dict.fromkeys(found)))
    return workspace.pipeline(name)


def unreadable(workspace: Workspace, config: Pipeline) -> tuple[str, ...]:
    """Say which files of a pipeline are not there, or have other columns than it maps.

    No mistake of the pipeline's file: the data may be elsewhere, or come later. Databases and buckets are not asked,
    and tables about people are not opened.
    """
    found: list[str] = []
    if config.privacy.hidden:
        return ()
    for table in (config.data, *config.known.values()):
        if isinstance(table.source, FileSource):
            try:
                newest = inventory(table, workspace.env, base=workspace.root)[-1]
                file = stage_file(newest, workspace.env, workspace.root)
                next(read(file, table.model_copy(update={"batch_rows": 1_000})))
            except PerennialError as error:
                found.append(str(error))
    return tuple(dict.fromkeys(found))


def _noted(found: list[str], step: Callable[[], T]) -> T | None:
    """Take a step; what it complains of is noted, so that the next one has its say too."""
    try:
        return step()
    except ConfigError as error:
        found.append(str(error))
        return None
