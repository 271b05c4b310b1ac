"""One side of a check: a revision of a pipeline with a home of its own, and runs of the `perennial` command there."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from perennial.changes import LIBRARY
from perennial.config.files import find_pipeline, load_pipeline
from perennial.context import Workspace
from perennial.errors import ConfigError, PerennialError

INSTALLED = Path(__file__).resolve().parent.parent
"""Where the code lies that runs now; used for projects that hold none of their own."""
MISSING = "NothingPublished"
_UNREADABLE = ("SourceError", "SourceUnusable", MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One revision of one pipeline, with a home of its own."""

    root: Path
    home: Path
    environment: Path

    def workspace(self) -> Workspace:
        """Open its home; the ledger is made if need be."""
        return Workspace.open(str(self.environment), self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a run ended: its record and the files of models that it added, or what was raised."""

    record: Mapping[str, Any] | None = None
    models: frozenset[Path] = frozenset()
    error: str = ""

    @property
    def unreadable(self) -> bool:
        """Whether it ended for want of data."""
        return self.error.startswith(_UNREADABLE)


def train(side: Side, pipeline: str, day: date, above: tuple[str, ...] = ()) -> Ran:
    """Retrain with the code and settings of one side, after whatever the pipeline reads of others was published.

    Args:
        side: Where.
        pipeline: What is retrained.
        day: The as-of date of every run.
        above: Pipelines that wait for this one, so that a circle ends.
    """
    for name in _upstream(side.root, pipeline):
        if name in (pipeline, *above):
            continue  # its own earlier publications, which a scratch workspace does not have
        ran = train(side, name, day, (pipeline, *above))
        published = ran if ran.record is None else _run("score", side, name, day)
        if published.record is None:
            return Ran(error=f"{MISSING}: {name}, whose forecasts it reads, published none: {published.error}")
    return _run("run", side, pipeline, day)


def _upstream(root: Path, pipeline: str) -> list[str]:
    """Return the pipelines whose publications a pipeline reads; none if its file is not valid, as its run will say."""
    try:
        config = load_pipeline(find_pipeline(pipeline, root)).config
    except ConfigError:
        return []
    sources = [table.source for table in (config.data, *config.known.values())]
    return sorted({source.pipeline for source in sources if source.type == "predictions"})


def _run(command: str, side: Side, pipeline: str, day: date) -> Ran:
    """Retrain or score with the code and settings of one side; never raises for what goes wrong in there."""
    code = side.root if (side.root / LIBRARY / "identity.py").exists() else INSTALLED
    more = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": f"{code}{os.pathsep}{more}" if more else str(code)}
    stored = set((side.home / "models").rglob("*.skops"))
    words = [command, pipeline, "--as-of", day.isoformat(), "--env", str(side.environment), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *words],
        cwd=side.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        error = _complaint(done.stderr.replace(f"{side.root}/", ""))
        return Ran(error=error or f"the run ended with exit code {done.returncode}")
    added = set((side.home / "models").rglob("*.skops")) - stored
    return Ran(record=json.loads(done.stdout), models=frozenset(added))


def _complaint(text: str) -> str:
    """Return the paragraph that a run ended with, or the last line of what nobody expected."""
    names = "|".join([*sorted(_names(PerennialError)), "OSError", "PermissionError", "FileNotFoundError"])
    found = list(re.finditer(rf"^(?:{names}): ", text, re.MULTILINE))
    lines = text.strip().splitlines()
    return text[found[-1].start() :].strip()[:2000] if found else lines[-1][:500] if lines else ""


def _names(error: type[Exception]) -> set[str]:
    below = error.__subclasses__()
    return {one.__name__ for one in below}.union(*(_names(one) for one in below))
