"""Pseudonyms instead of the names of people, and nothing about a single one of them outside the lake.

Identifiers are replaced where foreign columns become ours (:mod:`perennial.sources.columns`), so that everything
behind that border (tables, quarantine, checks, reports, models, predictions, errors, logs) is without them by
construction. A pseudonym is HMAC-SHA256 under a key that only this installation has: without the key nobody can
tell whose it is, not even by trying all names; with it, ``perennial pseudonym`` finds a person's predictions.

Pseudonyms alone do not make a row harmless. So pipelines with identifiers also keep rows out of what people read:
no samples in checks, no input example, no metrics or charts of single entities.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from perennial.config.models import Environment, Pipeline
from perennial.contracts import Evaluation, Landing, Split, Training
from perennial.errors import ConfigError, Refused
from perennial.sources.pseudonyms import Pseudonyms

if TYPE_CHECKING:
    from perennial.context import Run, Workspace

KEY_FILE = "pseudonym.key"
SHORTEST_KEY = 16
WITHHELD = "withheld"


def pseudonyms(cfg: Pipeline, env: Environment, home: Path, *, landed: bool) -> Pseudonyms | None:
    """Return the pseudonyms of a pipeline, ``None`` if it names no identifiers.

    The key is the environment's ``pseudonym_key``, else that of the home folder, made when first needed.

    Args:
        cfg: The pipeline.
        env: Where it runs.
        home: Its home folder.
        landed: Whether rows were landed before: then a new key would give everybody a second name.

    Raises:
        ConfigError: The key is too short, or gone.
    """
    if not cfg.privacy.hidden:
        return None
    columns = frozenset(cfg.privacy.identifiers)
    if env.pseudonym_key is not None:
        if len(env.pseudonym_key) < SHORTEST_KEY:
            raise ConfigError(
                f"pseudonym_key has {len(env.pseudonym_key)} characters, at least {SHORTEST_KEY} are needed; "
                "make one with `openssl rand -hex 32` and keep it secret"
            )
        return Pseudonyms(columns=columns, key=env.pseudonym_key.encode())
    path = home / KEY_FILE
    if not path.exists():
        if landed:
            raise ConfigError(
                f"the pseudonyms of {cfg.pipeline} were made with a key that is gone; restore {path}, or set "
                "pseudonym_key in the environment to it, or start anew in an empty home folder"
            )
        _make(path)
    return Pseudonyms(columns=columns, key=path.read_bytes().strip())


def _make(path: Path) -> None:
    """Write a new key that only the owner can read; of two processes that do so at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secrets.token_hex(32).encode())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def of_run(run: "Run") -> Pseudonyms | None:
    """Return the pseudonyms that a run reads its sources with."""
    earlier = run.ledger.landings(run.name)
    found = pseudonyms(run.cfg, run.workspace.env, run.workspace.home, landed=any(one.files for one in earlier))
    if found:
        _require_same_key(run.name, found, earlier)
    return found


def _require_same_key(pipeline: str, found: Pseudonyms, earlier: Sequence[Landing]) -> None:
    marks = {one.settings.rpartition("@")[2] for one in earlier if one.files and "@" in one.settings}
    if marks - {found.mark}:
        raise ConfigError(
            f"the rows of {pipeline} carry pseudonyms of another key ({', '.join(sorted(marks))}, not {found.mark}); "
            "set pseudonym_key to the one they were made with: a new key would give everybody a second name"
        )


def of_names(workspace: "Workspace", pipeline: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the pseudonyms of identifiers, in their order: how a predicted risk is found again.

    Raises:
        Refused: The pipeline replaces no identifiers.
        ConfigError: There is no such pipeline, or its key is gone.
    """
    cfg = workspace.pipeline(pipeline).config
    found = pseudonyms(cfg, workspace.env, workspace.home, landed=True)
    if found is None:
        raise Refused(f"{pipeline} replaces no identifiers: `privacy.identifiers` in its file is empty")
    return tuple(map(found.of, names))


# --- what people read --------------------------------------------------------------------------------------


def shown_training(training: Training, cfg: Pipeline) -> Training:
    """Return what may be told of a training: the example of its input is rows of people."""
    return replace(training, example=None) if cfg.privacy.hidden else training


def shown_split(split: Split, cfg: Pipeline) -> Split:
    """Return a split that tells how many entities are new, and not which."""
    return replace(split, new_entities=(WITHHELD,) * len(split.new_entities)) if cfg.privacy.hidden else split


def shown_evaluation(evaluation: Evaluation, cfg: Pipeline) -> Evaluation:
    """Return an evaluation in which no entity has a name or a picture; every figure is as it was."""
    if not cfg.privacy.hidden:
        return evaluation
    names = set(evaluation.rows.entities.tolist())
    nameless = replace(evaluation.rows, entities=np.full(evaluation.rows.entities.size, WITHHELD))
    charts = tuple(chart for chart in evaluation.charts if chart.title not in names)
    return replace(evaluation, rows=nameless, charts=charts, per_entity=evaluation.per_entity.slice(0, 0))
