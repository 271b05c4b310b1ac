"""What MLflow is told about one training, as plain data; :mod:`perennial.registry.tracking` does the telling."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from perennial.contracts import ModelBlob, Score

KEY = "perennial.run_key"
"""Tag that runs and versions are looked up by before one is created."""
TEXT = 5_000
"""Longest text that every column of MLflow's takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What MLflow is told about one training.

    Attributes:
        version: The ledger's version number.
        params: Settings of the fit and of the pipeline, flat.
        metrics: Finite figures by name, see :func:`flat_metrics`; others are left out.
        tags: Lineage: snapshot, code, lock, config, digest, ...
        dataset: Name of the data set, for example that of the pipeline.
        snapshot_id: Its digest.
        source: Where it came from, as short text.
        rows: Its number of rows.
        features: The model's input columns, in order.
        example: A few rows of input, shape (n, n_features); nan where unknown.
        artifacts: Local files by their path in the run, for example ``report/index.html``.
        description: The model card, Markdown.
    """

    model: str
    version: int
    run_key: str
    as_of: date
    blob: ModelBlob
    params: Mapping[str, str | int | float | bool]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    dataset: str
    snapshot_id: str
    source: str
    rows: int
    features: Sequence[str]
    example: npt.NDArray[np.float32] | None = None
    artifacts: Mapping[str, Path] = field(default_factory=dict)
    description: str = ""


def flat_metrics(scores: Iterable[Score]) -> Mapping[str, float]:
    """Name the overall and the horizon figures for MLflow: ``wape``, ``wape/h=1-7``, ``champion/wape``."""
    return {
        "/".join(word for word in (s.contender if s.contender != "candidate" else "", s.metric, s.key) if word): s.value
        for s in scores
        if s.part != "slice"
    }


def example(entry: Registration) -> str | None:
    """Return the example as MLflow's JSON of a frame; ``None`` if there is none."""
    if entry.example is None:
        return None
    data = [[None if math.isnan(x) else x for x in row] for row in entry.example.tolist()]
    return json.dumps({"columns": list(entry.features), "data": data})


def tags(entry: Registration) -> dict[str, str]:
    """Return the tags that runs, models and versions carry: the key, the digest, the lineage."""
    own = {KEY: entry.run_key, "perennial.digest": entry.blob.digest, "perennial.as_of": str(entry.as_of)}
    own |= {"perennial.version": str(entry.version), "perennial.snapshot": entry.snapshot_id}
    return own | {f"perennial.{name}": value[:TEXT] for name, value in entry.tags.items()}


def mlflow_name(text: str) -> str:
    """Return a name of a metric or parameter with only the characters that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", text)[:250]
