"""From YAML files to validated settings, with every problem at once, its line and what was probably meant.

:mod:`perennial.config.yamlsafe` reads the bytes, :mod:`perennial.config.models` holds the models, and
:mod:`perennial.config.crosschecks` the rules that span several sections.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from perennial.checks import suites
from perennial.config import crosschecks, modelerrors, yamlsafe
from perennial.config.models import Environment, Pipeline
from perennial.config.overrides import Overrides
from perennial.config.remainder import elsewhere, remainder
from perennial.config.section import Section
from perennial.config.yamlsafe import Document, Place, Problem
from perennial.errors import ConfigError
from perennial.evaluation.catalogue import SECTIONS

M = TypeVar("M", bound=Section)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)((?::-[^}]*)?)\}")
OPERATION = {"description", "owner", "monitor", "retrain", "rollout", "delivery"}
"""Sections that no trained model depends on: changing them gives no new run key."""

ENVIRONMENTS = Path("configs/environments")
LOCAL = "environment: local\nhome: .perennial\ndata_roots: [data]\n"
"""What holds where a project says nothing of environments; the file that is shipped says the same."""
SOURCES = ("connections", "s3", "threads", "prefect")
"""What a scratch environment takes over as it stands from the one it is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A valid pipeline and the file it came from.

    Attributes:
        digest: SHA-256 of the settings and of the checks file, both in canonical form: comments, order of
            keys and spelled-out defaults do not change it.
        rules: The same of the guards and the checks alone: what must be true of the data.
        text: The file as written.
    """

    config: Pipeline
    path: Path
    digest: str
    rules: str
    text: str


def load_pipeline(path: Path, overrides: Overrides | None = None) -> Loaded:
    """Read and validate a pipeline and digest it together with its checks.

    With ``overrides`` the result is that of a file which says so: another digest, hence another run key.

    Raises:
        ConfigError: The file or its checks are not valid; the message lists every problem with its line, the
            allowed values and the nearest one.

    Example:
        >>> load_pipeline(Path("configs/demand.yaml")).config.pipeline  # doctest: +SKIP
        'demand'
    """
    document, config, problems = survey_pipeline(path, overrides)
    if problems or config is None:
        raise yamlsafe.combined(document.name, problems)
    known = content(path, config)
    rules = _digest([known["pipeline"]["guards"], known["checks"]])
    return Loaded(config=config, path=path, digest=_digest(known), rules=rules, text=document.text)


def survey_pipeline(path: Path, overrides: Overrides | None = None) -> tuple[Document, Pipeline | None, list[Problem]]:
    """Return a pipeline's file, its settings and everything that is wrong with them.

    With problems the settings are what is left without them, so that other things can be held against them; ``None``
    if nothing is.

    Raises:
        ConfigError: The file cannot be read, or is no YAML with settings.
    """
    document = yamlsafe.read(path)
    if overrides is not None and isinstance(document.value, dict):
        document = replace(document, value=overrides.applied(document.value))
    try:
        config = _model(Pipeline, document)
    except ValidationError as error:
        found = modelerrors.explain(error, Pipeline, document)
        left, out = remainder(Pipeline, document, [one.place for one in found])
        if left is None or any(place[0] in ("data", "known") for place in out):  # columns would be missed falsely
            return document, None, found
        return document, left, found + elsewhere(crosschecks.problems(left, document), out)
    return document, config, crosschecks.problems(config, document)


def content(path: Path, config: Pipeline) -> dict[str, Any]:
    """Return what a run key knows of a pipeline: its settings without those of operation, and its checks.

    Raises:
        ConfigError: The checks file is not valid.
    """
    checks = checks_path(path)
    return {
        "pipeline": config.model_dump(mode="json", exclude=OPERATION | (set(SECTIONS) - {config.kind})),
        "checks": suites.parse(checks)[0].value if checks.exists() else None,
    }


def load_environment(name_or_path: str | None, root: Path) -> Environment:
    """Read an environment; ``None`` means ``$PERENNIAL_ENV``, or ``local`` without it.

    ``${VAR}`` and ``${VAR:-default}`` are taken from the process environment (a value that becomes empty is
    null), ``{home}`` is the home folder, and a relative home lies below ``root``.

    Raises:
        ConfigError: The file is not valid, or names variables that are not set. No message quotes a
            variable's value.
    """
    wanted = name_or_path or os.environ.get("PERENNIAL_ENV") or "local"
    document = _environment(wanted, root)
    template = _validate(Environment, document).model_dump(mode="json")
    unset = [document.problem(place, message) for place, message in _unset(template)]
    if unset:
        raise yamlsafe.combined(document.name, unset)
    home = str(root.resolve() / _filled(template["home"], ""))
    return _validate(Environment, replace(document, value=_filled(template, home) | {"home": home}))


def scratch_environment(name_or_path: str | None, root: Path, home: Path) -> dict[str, Any]:
    """Return the settings of an environment that reads the same sources and keeps everything it makes elsewhere.

    Record, tables, models and MLflow lie below ``home``, nobody is alerted, and variables are left to be filled in
    when it is loaded: those of the stores that it does not use need not be set.

    Raises:
        ConfigError: The file of the environment that it is made from is not valid.
    """
    wanted = name_or_path or os.environ.get("PERENNIAL_ENV") or "local"
    document = _environment(wanted, root)
    given = _validate(Environment, document)
    roots = [one if "$" in one else str((root / one).resolve()) for one in given.data_roots]
    kept = {name: document.value[name] for name in SOURCES if name in document.value}
    return {**kept, "environment": "scratch", "home": str(home), "data_roots": roots}


def _environment(wanted: str, root: Path) -> Document:
    """Read an environment; a project that has none at all keeps everything on this machine."""
    if wanted == "local" and not (root / ENVIRONMENTS).is_dir():
        return yamlsafe.parse(LOCAL, "the environment of a project without environments")
    return yamlsafe.read(_find(wanted, root, ENVIRONMENTS, "environment"))


def find_pipeline(name_or_path: str, root: Path) -> Path:
    """Return the file of a pipeline: ``demand`` is ``configs/demand.yaml`` below ``root``, a path is itself.

    Raises:
        ConfigError: There is no such file (the message lists those there are), or the path holds ``..``.
    """
    return _find(name_or_path, root, Path("configs"), "pipeline")


def checks_path(pipeline_path: Path) -> Path:
    """Return where the expectations of a pipeline are: ``demand.checks.yaml`` beside ``demand.yaml``."""
    return pipeline_path.with_name(f"{pipeline_path.stem}.checks.yaml")


def write_schema(path: Path) -> None:
    """Write the JSON schema of a pipeline, which editors use to complete and check the YAML."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Pipeline.model_json_schema()}
    path.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


def _model(model: type[M], document: Document) -> M:
    if not isinstance(document.value, dict):
        first = next(iter(model.model_fields))
        raise ConfigError(f"{document.name} holds no settings; start with `{first}: ...`")
    return model.model_validate_json(json.dumps(document.value))


def _validate(model: type[M], document: Document) -> M:
    try:
        return _model(model, document)
    except ValidationError as error:
        # no cause: pydantic's own text quotes values at length
        raise yamlsafe.combined(document.name, modelerrors.explain(error, model, document)) from None


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _find(name_or_path: str, root: Path, folder: Path, what: str) -> Path:
    path = Path(name_or_path)
    if ".." in path.parts:
        raise ConfigError(f"{what} {name_or_path!r} has '..' in its path; name it without")
    named = len(path.parts) == 1 and not path.suffix
    found = root / folder / f"{name_or_path}.yaml" if named else root / path
    if found.is_file():
        return found
    files = (root / folder).glob("*.yaml")
    names = [f.stem for f in files if not f.name.endswith(".checks.yaml")]
    raise ConfigError(
        f"there is no {what} {name_or_path!r} ({found}); {yamlsafe.nearest(name_or_path, names)} (in {folder}/)"
    )


def _unset(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Yield the variables that a setting needs and the process environment does not have."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _unset(inner, (*place, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _unset(inner, (*place, i))
    elif isinstance(value, str):
        for name, default in _VARIABLE.findall(value):
            if not default and name not in os.environ:
                yield place, f"the environment variable {name} is not set; export it"


def _filled(value: Any, home: str) -> Any:
    """Put home and variables into every text of nested settings; a text that becomes empty is null."""
    if isinstance(value, dict):
        return {key: _filled(inner, home) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, home) for inner in value]
    if not isinstance(value, str):
        return value
    text = value.replace("{home}", home)
    return _VARIABLE.sub(lambda found: os.environ.get(found[1]) or found[2][2:], text) or None
