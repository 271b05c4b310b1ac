"""All that can be said of a pipeline without reading its data: its file, its checks, its source, its estimator."""

from perennial.config.files import Loaded, checks_path
from perennial.config.yamlsafe import nearest
from perennial.context import Workspace
from perennial.contracts import AVAILABLE_AT, ENTITY, TARGET, TIME
from perennial.errors import ConfigError
from perennial.kinds import kind
from perennial.sources import permit


def validate(workspace: Workspace, name: str) -> Loaded:
    """Load a pipeline as a run would, and everything that a run would only come across on its way.

    Raises:
        ConfigError: The file, its checks file or a parameter is not valid, or the environment does not allow
            the source.
    """
    from perennial.checks.expectations import load_suite

    loaded = workspace.pipeline(name)
    cfg = loaded.config
    for table in (cfg.data, *cfg.known.values()):
        permit(table, workspace.env, base=workspace.root)
    kind(cfg.kind).check(cfg)
    checks = checks_path(loaded.path)
    if checks.exists():
        columns = (ENTITY, TIME, TARGET, AVAILABLE_AT, *cfg.data.columns.extra)
        unknown = [name for name in load_suite(checks).columns if name not in columns]
        if unknown:
            raise ConfigError(f"{checks}: there is no column {unknown[0]!r}; {nearest(unknown[0], columns)}")
    return loaded
