"""How ``mlflow.pyfunc.load_model`` loads a model of ours: through the same list of types as everybody else."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from perennial.registry.canonical import loads


class Servable:
    """A forecaster as MLflow calls it: a frame of input columns in, expected values out."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Predict the expected value of every row of ``model_input``, shape (n_rows,)."""
        X = np.asfortranarray(model_input[self._model.features].to_numpy(dtype="float32"))
        return self._model.mean(X, threads=1)


def _load_pyfunc(path: str) -> Servable:
    """Load a model's bytes; called by MLflow, which knows this name.

    The ledger's digest is not at hand here, so this proves nothing about where the bytes come from, only that
    they cannot run code. Perennial itself loads by digest.
    """
    data = Path(path).read_bytes()
    return Servable(loads(data, hashlib.sha256(data).hexdigest()))
