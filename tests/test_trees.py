"""Compiled trees against the estimators they were read from: equal to the last bit, or refused."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from perennial.errors import TrainingError
from perennial.models.trees import _block_width, _round_down, compile_forest
from perennial.models.treestages import read_stage


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny fits on several spinning threads are many times slower when the cores are busy."""
    with threadpool_limits(1):
        yield


def counts(seed, rows=600, columns=4, missing=0.1):
    """Counts that depend on a few columns with ties and gaps."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, columns)).astype(np.float32)
    X[:, 0] = np.round(X[:, 0])
    y = rng.poisson(np.exp(0.5 * X[:, 0] + np.abs(X[:, 1]) - 0.5)).astype(np.float64)
    X[rng.random(X.shape) < missing] = np.nan
    return X, y


def boosting(X, y, **params):
    """A small Poisson boosting model."""
    defaults = {"loss": "poisson", "max_iter": 12, "max_leaf_nodes": 15, "min_samples_leaf": 5}
    return HistGradientBoostingRegressor(**(defaults | params), early_stopping=False).fit(X, y)


def own_raw(model, X):
    """The estimator's own raw scores."""
    return model._raw_predict(X.astype(np.float64)).ravel()


def nasty(X, thresholds, seed):
    """Rows on, just above and just below thresholds, with NaN, infinities and both zeros among them."""
    rng = np.random.default_rng(seed)
    near = thresholds.astype(np.float32)
    above, below = (np.nextafter(near, np.float32(side)) for side in (np.inf, -np.inf))
    odd = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 1e-35, -1e-35, 3e38])
    pool = np.concatenate([near, above, below, odd])
    return rng.choice(pool, size=(500, X.shape[1])).astype(np.float32)


@cache
def sample():
    """One fitted model and its rows, for the tests that any model would do for."""
    X, y = counts(3)
    return boosting(X, y), X


def splits(model):
    """Every threshold a model compares with."""
    return np.concatenate([tree.threshold[tree.feature >= 0] for tree in read_stage(model).trees])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), leaves=st.sampled_from([2, 7, 31]), missing=st.sampled_from([0.0, 0.3]))
def test_boosting_is_equal_to_the_last_bit(seed, leaves, missing):
    """Raw scores equal scikit-learn's, also on ties at thresholds, NaN and infinities."""
    X, y = counts(seed, missing=missing)
    model = boosting(X, y, max_leaf_nodes=leaves)
    forest = compile_forest([model])
    for rows in (X, nasty(X, splits(model), seed)):
        np.testing.assert_array_equal(forest.raw(rows), own_raw(model, rows))


@settings(max_examples=10, deadline=None)
@given(rows=st.integers(0, 2_000), threads=st.integers(1, 3), group=st.integers(0, 70), layout=st.sampled_from("CFA"))
def test_result_depends_on_the_rows_alone(rows, threads, group, layout):
    """Number of rows, threads, grouping and memory layout change nothing."""
    model, seen = sample()
    X = np.resize(seen, (rows, seen.shape[1]))
    given_x = np.repeat(X, 2, axis=0)[::2] if layout == "A" else np.array(X, order=layout)
    expected = own_raw(model, X) if rows else np.empty(0)
    np.testing.assert_array_equal(compile_forest([model]).raw(given_x, threads, group), expected)


def test_stages_add_up():
    """An updated forecaster's score is the sum of its stages' scores, each complete with its start."""
    X, y = counts(1)
    stages = [boosting(X, y), boosting(X, y * 2, max_iter=3, learning_rate=0.5)]
    expected = own_raw(stages[0], X) + own_raw(stages[1], X)
    np.testing.assert_array_equal(compile_forest(stages).raw(X), expected)


def test_random_forest_is_equal_to_the_last_bit():
    """A forest that averages is divided once, after its trees were added in order."""
    X, y = counts(2)
    model = RandomForestRegressor(n_estimators=7, min_samples_leaf=3, random_state=0).fit(X, y)
    rows = np.concatenate([X, np.nan_to_num(nasty(X, splits(model), 2), posinf=9e9, neginf=-9e9)])
    np.testing.assert_array_equal(compile_forest([model]).raw(rows), model.predict(rows))


@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["nan-compares-as-zero", "nan-has-a-side"])
@pytest.mark.parametrize("objective", ["tweedie", "regression"])
def test_lightgbm_text_is_equal_to_the_last_bit(objective, missing):
    """LightGBM's own raw scores come out of the text of its model."""
    lightgbm = pytest.importorskip("lightgbm")
    X, y = counts(5, missing=missing)
    model = lightgbm.LGBMRegressor(objective=objective, n_estimators=9, num_leaves=9, verbosity=-1).fit(X, y)
    rows = nasty(X, splits(model), 5)
    expected = model.booster_.predict(rows, raw_score=True)
    for form in (model, model.booster_, model.booster_.model_to_string()):
        np.testing.assert_array_equal(compile_forest([form]).raw(rows), expected)


def test_lightgbm_trees_of_one_leaf():
    """A constant target leaves trees without a split, and the score is their sum."""
    lightgbm = pytest.importorskip("lightgbm")
    X, _ = counts(6, missing=0)
    model = lightgbm.LGBMRegressor(n_estimators=3, verbosity=-1).fit(X, np.full(len(X), 4.0))
    np.testing.assert_array_equal(compile_forest([model]).raw(X[:5]), model.booster_.predict(X[:5], raw_score=True))


def test_constant_target_is_one_leaf():
    """A boosting model of a constant predicts it for any row."""
    X, _ = counts(7)
    model = boosting(X, np.full(len(X), 3.0))
    np.testing.assert_allclose(np.exp(compile_forest([model]).raw(X)), 3.0)


@given(t=st.floats(allow_nan=False), x=st.floats(width=32, allow_nan=False))
def test_rounded_threshold_decides_the_same(t, x):
    """For a float32 value, comparing with the threshold rounded down is comparing with the threshold."""
    rounded = _round_down(np.array([t]))[0]
    assert (np.float32(x) <= rounded) == (x <= t)


@given(group=st.integers(0, 500))
def test_blocks_fit_a_word_and_keep_groups_together(group):
    """A block has 1 to 32 rows; small groups are never torn, large ones into equal parts."""
    width = _block_width(group)
    assert 1 <= width <= 32
    assert group == 0 or width % group == 0 or width * -(-group // width) < group + -(-group // 32)


def classifier():
    """Three classes: three trees an iteration."""
    X, y = counts(8)
    return HistGradientBoostingClassifier(max_iter=2).fit(X, np.minimum(y, 2))


def categorical():
    """A model with a categorical column."""
    X, y = counts(9, missing=0)
    X[:, 0] = np.abs(X[:, 0])
    return boosting(X, y, categorical_features=[0])


def zero_as_missing():
    """A LightGBM model that takes zero for missing."""
    lightgbm = pytest.importorskip("lightgbm")
    X, y = counts(10)
    model = lightgbm.LGBMRegressor(n_estimators=2, zero_as_missing=True, verbosity=-1)
    return model.fit(np.round(X), y)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (LinearRegression, "LinearRegression has no trees"),
        (classifier, "3 trees an iteration"),
        (categorical, "categorical features"),
        (zero_as_missing, "zero_as_missing"),
        (lambda: "not a model", "str has no trees"),
    ],
    ids=["linear", "classes", "categorical", "zero-as-missing", "text"],
)
def test_what_cannot_be_equal_is_refused(make, why):
    """Unsupported models are errors that say why and what to do."""
    with pytest.raises(TrainingError, match=f"{why}.*integer codes"):
        compile_forest([make()])


def test_stages_must_share_columns():
    """Stages that were fitted on different columns cannot be added; nor can none."""
    narrow, y = counts(11, columns=3)
    with pytest.raises(TrainingError, match=r"share their columns; found \[4, 3\]"):
        compile_forest([sample()[0], boosting(narrow, y)])
    with pytest.raises(TrainingError, match="share their columns"):
        compile_forest([])


@pytest.mark.parametrize(
    "X",
    [np.zeros((3, 4)), np.zeros((3, 5), np.float32), np.zeros(4, np.float32)],
    ids=["float64", "5-columns", "vector"],
)
def test_wrong_matrix_is_refused(X):
    """A matrix the model was not trained for is an error, not a wrong number."""
    with pytest.raises(TrainingError, match="float32 matrix of 4 columns"):
        compile_forest([sample()[0]]).raw(X)
