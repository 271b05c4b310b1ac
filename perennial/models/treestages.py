"""Reads the trees out of fitted estimators: histogram gradient boosting, random forests, LightGBM's text.

Nothing here computes a prediction; :mod:`perennial.models.trees` does. No estimator package is imported, so that a
LightGBM model is scored without LightGBM.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perennial.errors import TrainingError

_LEAF = -1
_DEFAULT_LEFT = 2
"""LightGBM ``decision_type``: bit 0 categorical, bit 1 missing values go left, bits 2 and 3 what is missing."""
_NAN_IS_ZERO, _ZERO_IS_MISSING, _NAN_IS_MISSING = 0, 1, 2
_ZERO = float(np.float32(1e-35))
"""LightGBM takes a value for zero when it is not further away from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One binary tree with numeric splits, node 0 the root.

    Attributes:
        feature: Column that is compared, -1 in a leaf, shape (n_nodes,).
        threshold: A row goes left when its value is at most this, shape (n_nodes,).
        missing_left: Whether a NaN goes left, shape (n_nodes,).
        left: Index of the left child, shape (n_nodes,); of no meaning in a leaf.
        right: Index of the right child, likewise.
        value: What a leaf adds to the raw score, shape (n_nodes,).
    """

    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    missing_left: npt.NDArray[np.bool_]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One fitted estimator: ``raw = (start + tree 1 + tree 2 + ...) / divisor``, added in this order.

    Attributes:
        n_features: Columns it was fitted on.
        divisor: Number of trees of a forest that averages, 1 for boosting.
    """

    trees: tuple[Tree, ...]
    n_features: int
    start: float = 0.0
    divisor: float = 1.0


def read_stage(model: Any) -> Stage:
    """Return the trees of one fitted estimator.

    Args:
        model: A fitted ``HistGradientBoostingRegressor`` or ``RandomForestRegressor``, a LightGBM regressor or
            booster, or the text of a LightGBM model.

    Raises:
        TrainingError: The estimator is none of these, has several outputs, or has categorical or linear
            parts, which are not compiled.
    """
    if hasattr(model, "_predictors"):
        return _boosting(model)
    if hasattr(model, "estimators_"):
        return _random_forest(model)
    booster = getattr(model, "booster_", model)
    if hasattr(booster, "model_to_string"):
        booster = booster.model_to_string()
    if isinstance(booster, str) and booster.startswith("tree"):
        return _lightgbm(booster)
    raise _refusal(f"{type(model).__name__} has no trees")


def _refusal(why: str) -> TrainingError:
    return TrainingError(
        f"cannot compile the model: {why}; supported are hist_gradient_boosting, random_forest and lightgbm"
        " with one output and numeric features: encode categories as integer codes"
    )


# --- scikit-learn ------------------------------------------------------------------------------------------


def _boosting(model: Any) -> Stage:
    if model.n_trees_per_iteration_ != 1:
        raise _refusal(f"{model.n_trees_per_iteration_} trees an iteration")
    nodes = [predictor.nodes for (predictor,) in model._predictors]
    if any(n["is_categorical"].any() for n in nodes) or model.is_categorical_ is not None:
        raise _refusal("it has categorical features")
    return Stage(
        trees=tuple(_boosted_tree(n) for n in nodes),
        n_features=int(model.n_features_in_),
        start=float(model._baseline_prediction.item()),
    )


def _boosted_tree(nodes: npt.NDArray[Any]) -> Tree:
    return Tree(
        feature=np.where(nodes["is_leaf"] != 0, _LEAF, nodes["feature_idx"]),
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"] != 0,
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        value=nodes["value"],
    )


def _random_forest(model: Any) -> Stage:
    members = [member.tree_ for member in model.estimators_]
    if any(tree.value.shape[1:] != (1, 1) for tree in members):
        raise _refusal("several outputs or classes")
    return Stage(
        trees=tuple(_averaged_tree(tree) for tree in members),
        n_features=int(model.n_features_in_),
        divisor=float(len(members)),
    )


def _averaged_tree(tree: Any) -> Tree:
    return Tree(
        feature=np.where(tree.children_left < 0, _LEAF, tree.feature).astype(np.int64),
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left != 0,
        left=tree.children_left.astype(np.int64),
        right=tree.children_right.astype(np.int64),
        value=tree.value[:, 0, 0],
    )


# --- LightGBM ----------------------------------------------------------------------------------------------


def _lightgbm(text: str) -> Stage:
    sections = list(_sections(text))
    header = sections[0]
    if header["num_tree_per_iteration"] != "1" or "average_output" in header:
        raise _refusal("several trees an iteration, or averaged ones")
    return Stage(
        trees=tuple(_lightgbm_tree(section) for section in sections[1:]),
        n_features=int(header["max_feature_idx"]) + 1,
    )


def _sections(text: str) -> Iterator[dict[str, str]]:
    """Split the text into the header and one block of ``key=value`` lines for every tree."""
    block: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key in ("Tree", "end of trees"):
            yield block
            block = {}
        block[key] = value
        if key == "end of trees":
            return


def _lightgbm_tree(section: dict[str, str]) -> Tree:
    if section.get("num_cat", "0") != "0" or section.get("is_linear", "0") != "0":
        raise _refusal("it has categorical features or linear leaves")
    leaves = _numbers(section, "leaf_value", np.float64)
    splits = int(section["num_leaves"]) - 1  # a tree of one leaf has none, and no lines for them
    decision = _numbers(section, "decision_type", np.int64)
    threshold = _numbers(section, "threshold", np.float64)
    pad = np.zeros(len(leaves), np.int64)
    return Tree(
        feature=np.append(_numbers(section, "split_feature", np.int64), pad + _LEAF),
        threshold=np.append(_around_zero(threshold), pad),
        missing_left=np.append(_missing_left(decision, threshold), pad).astype(np.bool_),
        left=np.append(_child(section, "left_child", splits), pad),
        right=np.append(_child(section, "right_child", splits), pad),
        value=np.append(np.zeros(splits), leaves),
    )


def _numbers(section: dict[str, str], key: str, dtype: type[Any]) -> npt.NDArray[Any]:
    return np.array(section.get(key, "").split(), dtype)


def _child(section: dict[str, str], key: str, splits: int) -> npt.NDArray[np.int64]:
    """Return node numbers: LightGBM writes ``~leaf`` where a child is a leaf."""
    child = _numbers(section, key, np.int64)
    return np.where(child < 0, splits + ~child, child)


def _missing_left(decision: npt.NDArray[np.int64], threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    missing = (decision >> 2) & 3
    if (missing == _ZERO_IS_MISSING).any():
        raise _refusal("it was fitted with zero_as_missing")
    # a feature without missing values in training compares a NaN as zero
    return np.where(missing == _NAN_IS_ZERO, threshold >= 0.0, (decision & _DEFAULT_LEFT) != 0)


def _around_zero(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Move thresholds out of the band in which every value counts as zero, so that it goes one way as a whole."""
    below = np.nextafter(np.float32(-_ZERO), np.float32(-1)).astype(np.float64)
    within = np.abs(threshold) <= _ZERO
    return np.where(within, np.where(threshold >= 0.0, _ZERO, below), threshold)
