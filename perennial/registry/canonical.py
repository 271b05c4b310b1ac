"""Models as bytes: skops in a canonical form, so that equal models have equal digests; never pickle.

What skops writes differs from call to call: object ids, random member names, times. Here every ``__id__`` is
dropped (an object that is referred to twice is stored twice), members are named by the digest of their content,
the unused bytes between the fields of records are zeroed, sets are sorted, and the archive has fixed times and no
compression (its result depends on the zlib at hand).

Loading verifies the digest first, then holds every type that the file names against *our* list, and only then lets
skops construct anything. No other module imports skops.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from perennial.contracts import ModelBlob
from perennial.errors import IntegrityError, RegistryError, sample

_EPOCH = (1980, 1, 1, 0, 0, 0)
_SCHEMA = "schema.json"

_HGB = "sklearn.ensemble._hist_gradient_boosting"
TRUSTED = (
    "perennial.models.anomalies.EventScorer",
    "perennial.models.eventclassifier.EventClassifier",
    "perennial.models.forecaster.DirectForecaster",
    "perennial.models.tabular.TabularClassifier",
    "perennial.models.recommender.Recommender",
    "functools.partial",
    "numpy.dtype",
    "numpy.random._generator.Generator",
    f"{_HGB}.binning._BinMapper",
    f"{_HGB}.gradient_boosting.HistGradientBoostingClassifier",
    f"{_HGB}.gradient_boosting.HistGradientBoostingRegressor",
    f"{_HGB}.predictor.TreePredictor",
    "sklearn.ensemble._forest.RandomForestRegressor",
    "sklearn.ensemble._iforest.IsolationForest",
    "sklearn.impute._base.SimpleImputer",
    "sklearn.linear_model._logistic.LogisticRegression",
    "sklearn.linear_model._ridge.Ridge",
    "sklearn.pipeline.Pipeline",
    "sklearn.preprocessing._data.StandardScaler",
    "sklearn.preprocessing._label.LabelEncoder",
    "sklearn.tree._classes.DecisionTreeRegressor",
    "sklearn.tree._classes.ExtraTreeRegressor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)
"""Our classes and scikit-learn's that a model may consist of; each was read, none runs code from its state."""

_PLAIN = frozenset(
    f"builtins.{name}" for name in ("bool", "bytes", "dict", "float", "int", "list", "set", "slice", "str", "tuple")
) | {"builtins.NoneType"}
_LOSSES = ("sklearn._loss.link.", "sklearn._loss.loss.", "sklearn._loss._loss.Cy")
_SCALARS = (
    "bool",
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
)
_ARRAY_TYPES = frozenset(f"numpy.{name}" for name in ("ndarray", "str_", *_SCALARS))


def dumps(model: object) -> ModelBlob:
    """Write a model as canonical bytes.

    Raises:
        RegistryError: It holds something that cannot be stored without pickle, or that we would not load.
    """
    import skops.io

    raw = zipfile.ZipFile(io.BytesIO(skops.io.dumps(model)))
    members: dict[str, bytes] = {}

    def keep(name: str) -> str:
        data = _without_padding(raw.read(name)) if name.endswith(".npy") else raw.read(name)
        kept = hashlib.sha256(data).hexdigest() + name[name.rindex(".") :]
        members[kept] = data
        return kept

    schema = _canonical_node(json.loads(raw.read(_SCHEMA)), keep)
    _refuse_untrusted(schema, RegistryError)
    members[_SCHEMA] = json.dumps(schema, separators=(",", ":")).encode()
    data = _archive(members)
    return ModelBlob(data=data, digest=hashlib.sha256(data).hexdigest())


def loads(data: bytes, digest: str) -> object:
    """Read a model back from the bytes that ``digest`` was recorded for.

    Raises:
        IntegrityError: The bytes are others, or name a type that no model of ours consists of.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise IntegrityError(f"the model's bytes hash to {found[:12]}, but {digest[:12]} is recorded; do not use them")
    import skops.io

    _refuse_untrusted(json.loads(zipfile.ZipFile(io.BytesIO(data)).read(_SCHEMA)), IntegrityError)
    model: object = skops.io.loads(data, trusted=list(TRUSTED))
    return model


def _canonical_node(node: Any, keep: Callable[[str], str]) -> Any:
    """Rewrite one node of skops' tree; ``keep`` takes over a member of the archive and returns its new name."""
    if isinstance(node, list):
        return [_canonical_node(item, keep) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: _canonical_node(value, keep) for key, value in node.items() if key != "__id__"}
    if "__loader__" in out and isinstance(out.get("file"), str):
        out["file"] = keep(out["file"])
    if out.get("__loader__") == "SetNode":
        out["content"] = sorted(out["content"], key=json.dumps)
    return out


def _without_padding(npy: bytes) -> bytes:
    """Zero the bytes between a record array's fields: they are whatever was in memory before."""
    array = np.load(io.BytesIO(npy), allow_pickle=False)
    if array.dtype.names is None:
        return npy
    clean = np.zeros(array.shape, array.dtype)  # zeros_like fills by field
    for name in array.dtype.names:
        clean[name] = array[name]
    header = npy[: len(npy) - array.nbytes]
    return header + clean.ravel(order="K").view(np.uint8).tobytes()  # np.save would copy the records by field


def _archive(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3
            archive.writestr(info, members[name])
    return buffer.getvalue()


def _refuse_untrusted(schema: Any, error: type[Exception]) -> None:
    unknown = sorted({name for name in _types(schema) if not _trusted(name)})
    if unknown:
        raise error(f"a model may not hold {sample(unknown)}; allowed: plain values, arrays and {', '.join(TRUSTED)}")


def _trusted(name: str) -> bool:
    return name in TRUSTED or name in _PLAIN or name in _ARRAY_TYPES or name.startswith(_LOSSES)


def _types(node: Any) -> Iterator[str]:
    """Yield every type that a tree names, as ``module.class``."""
    if isinstance(node, dict):
        if "__loader__" in node:
            yield f"{node.get('__module__')}.{node.get('__class__')}"
        for value in node.values():
            yield from _types(value)
    elif isinstance(node, list):
        for item in node:
            yield from _types(item)
