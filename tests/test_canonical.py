"""Canonical model bytes: the same model has the same digest, and nothing that runs code is loaded."""

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from perennial.config.models import S3Settings
from perennial.contracts import ModelBlob
from perennial.errors import ConfigError, IntegrityError, RegistryError
from perennial.models.forecaster import DirectForecaster
from perennial.registry.canonical import dumps, loads
from perennial.registry.modelstore import ModelStore
from tests import fitted
from tests.s3 import s3_server

ESTIMATORS = ("hist_gradient_boosting", "lightgbm", "random_forest", "linear")
ROOT = Path(__file__).parent.parent
CALLS: list[str] = []


def holding(value: Any) -> DirectForecaster:
    """Return a forecaster that is empty but for ``value``."""
    made = DirectForecaster(settings="{}", features=(), categories={}, stages=(), link="log", intervals={}, levels=())
    made.stages = [value]
    return made


def forged(schema: Callable[[Any], Any]) -> ModelBlob:
    """Return a model's bytes with its schema rewritten, under the digest of the new bytes."""
    blob = dumps(holding(1))
    old = zipfile.ZipFile(io.BytesIO(blob.data))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema(json.loads(old.read("schema.json")))))
    return ModelBlob(data=buffer.getvalue(), digest=hashlib.sha256(buffer.getvalue()).hexdigest())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_model_survives_and_keeps_its_digest(estimator: str) -> None:
    """Loaded and stored again, a model has the same bytes and predicts the same."""
    model = fitted.forecaster(estimator)
    blob = dumps(model)
    loaded = loads(blob.data, blob.digest)
    assert isinstance(loaded, DirectForecaster)
    assert dumps(loaded) == blob
    X = fitted.inputs()
    np.testing.assert_array_equal(loaded.mean(X, 1), model.mean(X, 1))


@pytest.mark.slow
def test_every_process_gives_the_same_digests() -> None:
    """Neither addresses, nor the hash seed, nor what was in memory before, nor threads show in the bytes."""
    code = "import sys; from tests import fitted; from perennial.registry.canonical import dumps\n"
    code += "for name in sys.argv[1:]: print(dumps(fitted.forecaster(name)).digest)"
    digests = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_another_seed_gives_other_bytes() -> None:
    """A digest tells models apart."""
    assert dumps(fitted.forecaster("random_forest")).digest != dumps(fitted.forecaster("random_forest", seed=1)).digest


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(
        arrays(st.sampled_from([np.float32, np.float64, np.int16, np.bool_]), array_shapes(max_dims=3)),
        st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.none(), max_size=5),
        st.sets(st.text(max_size=5), max_size=8),
        st.lists(st.floats() | st.text(max_size=5) | st.binary(max_size=9), max_size=6),
    )
)
def test_any_plain_value_is_stored_canonically(value: Any) -> None:
    """Storing, loading and storing again changes no byte."""
    blob = dumps(holding(value))
    assert dumps(loads(blob.data, blob.digest)) == blob


def test_the_gaps_between_the_fields_of_records_do_not_show() -> None:
    """Padding holds whatever was in memory before; equal records have equal bytes."""
    dtype = np.dtype([("n", "<i8"), ("flag", "u1")], align=True)
    clean, dirty = np.zeros(4, dtype), np.frombuffer(b"\xff" * 64, dtype).copy()
    for name in ("n", "flag"):
        dirty[name] = clean[name]
    assert dumps(holding(dirty)) == dumps(holding(clean))


def test_altered_bytes_are_refused_before_they_are_read() -> None:
    """One flipped bit anywhere is an IntegrityError."""
    blob = dumps(holding(1))
    for at in range(0, len(blob.data), 97):
        data = bytearray(blob.data)
        data[at] ^= 1
        with pytest.raises(IntegrityError, match="is recorded; do not use them"):
            loads(bytes(data), blob.digest)


@pytest.mark.parametrize(
    "value", [os.system, functools.partial(os.system, "true"), np.random.RandomState, fitted.forecaster, CALLS.append]
)
def test_what_could_run_code_is_not_stored(value: Any) -> None:
    """Functions and classes that are not on the list are refused when a model is stored ..."""
    with pytest.raises(RegistryError, match="a model may not hold"):
        dumps(holding(value))


@pytest.mark.parametrize(
    ("module", "name", "loader"),
    [
        ("posix", "system", "FunctionNode"),
        ("builtins", "eval", "TypeNode"),
        ("sklearn.pipeline", "FeatureUnion", "ObjectNode"),
        ("perennial.models.forecaster", "DirectForecaster.mean", "MethodNode"),
    ],
)
def test_what_could_run_code_is_not_loaded(module: str, name: str, loader: str) -> None:
    """... and when one that was forged, digest and all, is loaded: also what skops itself would trust."""
    node = {"__class__": name, "__module__": module, "__loader__": loader, "content": {}}
    blob = forged(lambda schema: {**schema, "content": {**schema["content"], "evil": node}})
    with pytest.raises(IntegrityError, match=f"a model may not hold '{f'{module}.{name}'[:36]}"):
        loads(blob.data, blob.digest)


def test_the_store_returns_what_was_put(tmp_path: Path) -> None:
    """Bytes are found by digest, and putting them twice is putting them once."""
    store, blob = ModelStore(str(tmp_path)), dumps(holding(1))
    first = Path(store.put(blob))
    before = first.stat().st_mtime_ns
    assert store.put(blob) == str(first)
    assert first.stat().st_mtime_ns == before
    assert store.get(blob.digest) == blob.data
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [first]


def test_the_store_does_not_return_other_bytes(tmp_path: Path) -> None:
    """Missing and altered models are told apart; putting the right bytes again mends the store."""
    store, blob = ModelStore(str(tmp_path)), dumps(holding(1))
    with pytest.raises(IntegrityError, match="is not in the store"):
        store.get(blob.digest)
    path = Path(store.put(blob))
    path.write_bytes(blob.data[:-1])
    with pytest.raises(IntegrityError, match="was altered in the store"):
        store.get(blob.digest)
    store.put(blob)
    assert store.get(blob.digest) == blob.data


def test_a_bucket_must_be_allowed() -> None:
    """Models go nowhere that the environment does not name."""
    with pytest.raises(ConfigError, match="bucket 'elsewhere' is not one of"):
        ModelStore("s3://elsewhere/models", S3Settings(buckets=("here",)))


@pytest.mark.slow
def test_the_store_works_on_s3() -> None:
    """The same promises hold for objects in a bucket."""
    with s3_server("models") as endpoint:
        store = ModelStore("s3://models/by-digest", S3Settings(buckets=("models",), endpoint_url=endpoint))
        blob = dumps(holding(1))
        for _ in range(2):
            assert store.put(blob) == f"s3://models/by-digest/{blob.digest[:2]}/{blob.digest}.skops"
        assert store.get(blob.digest) == blob.data
        with pytest.raises(IntegrityError, match="is not in the store"):
            store.get("0" * 64)
