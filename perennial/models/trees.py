"""Compiled inference for tree ensembles: several times the estimators' own rate, equal to the last bit.

Rows go through a tree by the block, not one by one. A block is up to 32 neighbouring rows, and a set of its
rows is one machine word: at a node, a single vector comparison splits the set in two, and an empty half is
dropped. Neighbouring rows that share most features, such as the horizons of one entity, stay together almost
to the leaf, so that a node is visited once for all of them. Many blocks wait in one queue, which keeps the
processor busy while it waits for memory, and one tree stays in the fastest cache for all of them.

This is exact, not approximate. Every row adds the leaf values of its trees in the order the estimator does,
in ``float64``; and since features are ``float32``, ``x <= t`` holds exactly when ``x <= t'``, where ``t'`` is
``t`` rounded down to ``float32``.

Imported lazily: it needs numba, and compiles on first use (about 2 s once, then cached beside the module).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

from perennial.errors import TrainingError
from perennial.models.treestages import Stage, read_stage

LANES = 32
"""Most rows in a block: the bits of the word that holds a set of them."""
_BLOCKS = 16
"""Blocks that go through a tree together; their features (16 x 32 x 30 float32 = 60 KiB) stay near the core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """The trees of one or several estimators as flat arrays; what it is fitted from is :func:`compile_forest`.

    Attributes:
        n_features: Columns that :meth:`raw` expects.
        feature: Column that a node compares, -1 in a leaf, shape (n_nodes,).
        threshold: A row goes left when its value is at most this, shape (n_nodes,).
        missing: All bits set where a NaN goes left, else 0, shape (n_nodes,).
        left: Index of the left child, 0 in a leaf, shape (n_nodes,).
        right: Index of the right child, likewise.
        value: What a leaf adds to the score, shape (n_nodes,).
        root: Index of the first node of every tree, shape (n_trees,).
        last: One past the last tree of every stage, shape (n_stages,).
        start: What every stage starts from, shape (n_stages,).
        divisor: What the sum of every stage is divided by, shape (n_stages,).
        bags: What that score is divided by once more: how many stages it is averaged with, shape (n_stages,).
        tree_nodes: Nodes of the largest tree.
    """

    n_features: int
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    missing: npt.NDArray[np.uint32]
    left: npt.NDArray[np.uint32]
    right: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    root: npt.NDArray[np.uint32]
    last: npt.NDArray[np.int64]
    start: npt.NDArray[np.float64]
    divisor: npt.NDArray[np.float64]
    bags: npt.NDArray[np.float64]
    tree_nodes: int

    def raw(self, X: npt.NDArray[np.float32], threads: int = 1, group: int = LANES) -> npt.NDArray[np.float64]:
        """Return the sum of the stages' raw scores: before the inverse link, as ``_raw_predict`` does.

        Args:
            X: Features, shape (n_rows, n_features), in C or Fortran order; NaN is missing.
            threads: Cores to use; the result does not depend on it.
            group: Number of neighbouring rows that belong together, such as the horizons of an entity. A hint
                that makes it faster; the result does not depend on it.

        Returns:
            Raw scores, shape (n_rows,).

        Raises:
            TrainingError: ``X`` is not a ``float32`` matrix of ``n_features`` columns.
        """
        if X.ndim != 2 or X.shape[1] != self.n_features or X.dtype != np.float32:
            raise TrainingError(
                f"the model takes a float32 matrix of {self.n_features} columns, not {X.dtype} of shape {X.shape};"
                " build it with the features the model was trained on"
            )
        out = np.empty(len(X))
        width = _block_width(group)
        tile = width * _BLOCKS
        share = -(-len(X) // (max(threads, 1) * tile)) * tile  # whole tiles for every thread
        spans = [(at, min(at + share, len(X))) for at in range(0, len(X), max(share, 1))]
        if len(spans) <= 1:
            _score(self, X, (0, len(X)), width, out)
            return out
        with ThreadPoolExecutor(len(spans)) as pool:
            list(pool.map(lambda span: _score(self, X, span, width, out), spans))
        return out


def compile_forest(stages: Sequence[Any], divisors: Sequence[int] = ()) -> Forest:
    """Flatten fitted estimators into one :class:`Forest` that adds up their raw scores.

    Args:
        stages: Fitted estimators, or texts of LightGBM models, in the order of addition; see
            :func:`perennial.models.treestages.read_stage` for what is supported.
        divisors: What the score of each is divided by before it is added; left out, 1 for all.

    Raises:
        TrainingError: There is no stage, one is not supported, or they were fitted on different columns.

    Example:
        >>> forest = compile_forest([HistGradientBoostingRegressor(loss="poisson").fit(X, y)])
        >>> np.exp(forest.raw(X, threads=2))
    """
    read = [read_stage(stage) for stage in stages]
    if len({stage.n_features for stage in read}) != 1:
        raise TrainingError(
            f"stages of a forest must share their columns; found {[stage.n_features for stage in read]}"
        )
    return _flatten(read, divisors or [1] * len(read))


def _flatten(stages: Sequence[Stage], bags: Sequence[int]) -> Forest:
    trees = [tree for stage in stages for tree in stage.trees]
    sizes = np.array([len(tree.feature) for tree in trees], np.int64)
    root = np.append(0, sizes.cumsum())[:-1]
    feature = np.concatenate([tree.feature for tree in trees])
    shift = np.repeat(root, sizes)
    left, right = (np.concatenate([getattr(tree, side) for tree in trees]) + shift for side in ("left", "right"))
    return Forest(
        n_features=stages[0].n_features,
        feature=feature.astype(np.int32),
        threshold=_round_down(np.concatenate([tree.threshold for tree in trees])),
        missing=np.concatenate([tree.missing_left for tree in trees]) * np.uint32(0xFFFFFFFF),
        left=np.where(feature < 0, 0, left).astype(np.uint32),
        right=np.where(feature < 0, 0, right).astype(np.uint32),
        value=np.concatenate([tree.value for tree in trees]),
        root=root.astype(np.uint32),
        last=np.cumsum([len(stage.trees) for stage in stages]),
        start=np.array([stage.start for stage in stages]),
        divisor=np.array([stage.divisor for stage in stages]),
        bags=np.array(bags, np.float64),
        tree_nodes=int(sizes.max()),
    )


def _round_down(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the largest ``float32`` that is not above; no ``float32`` lies between the two."""
    with np.errstate(over="ignore"):
        nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > threshold, below, nearest).astype(np.float32)


def _block_width(group: int) -> int:
    """Return how many rows a block takes, so that a block holds whole groups or equal parts of one.

    Example:
        >>> [_block_width(group) for group in (1, 7, 28, 40)]
        [32, 28, 28, 20]
    """
    group = max(group, 1)
    if group <= LANES:
        return LANES // group * group
    return -(-group // -(-group // LANES))


def _score(
    forest: Forest, X: npt.NDArray[np.float32], span: tuple[int, int], width: int, out: npt.NDArray[np.float64]
) -> None:
    nodes = (forest.feature, forest.threshold, forest.missing, forest.left, forest.right, forest.value)
    stages = (forest.root, forest.last, forest.start, forest.divisor, forest.bags)
    _descend(X, span[0], span[1], width, nodes, stages, forest.tree_nodes, out)


# --- machine code ------------------------------------------------------------------------------------------


@njit(nogil=True, cache=True)
def _descend(X, first, end, width, nodes, stages, tree_nodes, out):  # type: ignore[no-untyped-def]
    """Score rows ``first`` to ``end`` into ``out``, tile by tile."""
    root, last, start, divisor, bags = stages
    tile = np.zeros(_BLOCKS * X.shape[1] * LANES, np.float32)
    nan = np.zeros(_BLOCKS * X.shape[1], np.uint32)
    total = np.empty(_BLOCKS * LANES)
    full = np.zeros(_BLOCKS, np.uint32)
    room = _BLOCKS * tree_nodes + 2
    queue = (np.empty(room, np.uint32), np.empty(room, np.uint32), np.empty(room, np.uint32))
    for at in range(first, end, width * _BLOCKS):
        stop = min(end, at + width * _BLOCKS)
        blocks = _load(X, at, stop, width, tile, nan, full)
        out[at:stop] = 0.0
        tree = 0
        for stage in range(len(last)):
            total[:] = start[stage]
            while tree < last[stage]:
                _walk(root[tree], blocks, X.shape[1], tile, nan, full, nodes, queue, total)
                tree += 1
            for row in range(at, stop):
                block, lane = divmod(row - at, width)
                out[row] += total[block * LANES + lane] / divisor[stage] / bags[stage]


@njit(nogil=True, cache=True)
def _load(X, at, stop, width, tile, nan, full):  # type: ignore[no-untyped-def]
    """Copy rows into blocks, column by column; return the number of blocks."""
    blocks = 0
    for row in range(at, stop, width):
        rows = min(width, stop - row)
        for column in range(X.shape[1]):
            cell = blocks * X.shape[1] + column
            for lane in range(rows):
                tile[cell * LANES + lane] = X[row + lane, column]
            nan[cell] = _is_nan(tile, cell * LANES)
        full[blocks] = (1 << rows) - 1
        blocks += 1
    return blocks


@njit(nogil=True, cache=True)
def _walk(root, blocks, columns, tile, nan, full, nodes, queue, total):  # type: ignore[no-untyped-def]
    """Take all blocks through one tree: a first-in, first-out queue of (node, block, set of rows)."""
    feature, threshold, missing, left, right, value = nodes
    at_node, at_block, rows_there = queue
    for block in range(blocks):
        at_node[block], at_block[block], rows_there[block] = root, block, full[block]
    head, tail = 0, blocks
    while head < tail:
        node, block, rows = at_node[head], at_block[head], rows_there[head]
        head += 1
        if feature[node] < 0:
            _add_where(total, np.intp(block) * LANES, rows, value[node])
            continue
        cell = np.intp(block) * columns + feature[node]
        goes_left = _at_most(tile, cell * LANES, threshold[node]) | (nan[cell] & missing[node])
        # both halves are written and the queue grows only by those that are not empty: no branch to mispredict
        at_node[tail], at_block[tail], rows_there[tail] = left[node], block, rows & goes_left
        tail += (rows & goes_left) != 0
        at_node[tail], at_block[tail], rows_there[tail] = right[node], block, rows & ~goes_left
        tail += (rows & ~goes_left) != 0


@intrinsic
def _at_most(typing, array, at, bound):  # type: ignore[no-untyped-def]
    """Return the set of lanes where ``array[at:at + LANES] <= bound``; a NaN is not in it."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        vector = builder.load(_lanes(context, builder, signature, args, ir.FloatType()), align=4)
        found = builder.fcmp_ordered("<=", vector, _splat(builder, args[2]))
        return builder.bitcast(found, ir.IntType(LANES))

    return types.uint32(array, types.intp, types.float32), codegen


@intrinsic
def _is_nan(typing, array, at):  # type: ignore[no-untyped-def]
    """Return the set of lanes where ``array[at:at + LANES]`` is NaN."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        vector = builder.load(_lanes(context, builder, signature, args, ir.FloatType()), align=4)
        return builder.bitcast(builder.fcmp_unordered("uno", vector, vector), ir.IntType(LANES))

    return types.uint32(array, types.intp), codegen


@intrinsic
def _add_where(typing, array, at, rows, value):  # type: ignore[no-untyped-def]
    """Add ``value`` to those lanes of ``array[at:at + LANES]`` that are in the set."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        place = _lanes(context, builder, signature, args, ir.DoubleType())
        before = builder.load(place, align=8)
        after = builder.fadd(before, _splat(builder, args[3]))
        chosen = builder.bitcast(args[2], ir.VectorType(ir.IntType(1), LANES))
        builder.store(builder.select(chosen, after, before), place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.uint32, types.float64), codegen


def _lanes(context: Any, builder: Any, signature: Any, args: Any, element: Any) -> Any:
    """Return the address of ``array[at:at + LANES]`` as a vector."""
    array = context.make_array(signature.args[0])(context, builder, args[0])
    return builder.bitcast(builder.gep(array.data, [args[1]]), ir.VectorType(element, LANES).as_pointer())


def _splat(builder: Any, scalar: Any) -> Any:
    """Return a vector with the scalar in every lane."""
    empty = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))
