"""Errors of ranked lists against the formulas written out, and under weights against lists repeated."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.evaluation.topk import ERRORS, Lists, activity_slice, compare, errors, hits, popularity_rank

SEEDS = st.integers(0, 2**32 - 1)
N_ITEMS, SIZE = 9, 4


def drawn(seed: int, n: int = 6) -> tuple[Lists, list[list[int]], list[set[int]]]:
    """Return random lists beside random choices, and both as plain Python."""
    rng = np.random.default_rng(seed)
    items = np.array([rng.permutation(N_ITEMS)[:SIZE] for _ in range(n)], np.int32)
    for row in items:
        row[SIZE - rng.integers(0, 2) :] = -1
    truth = rng.random((n, N_ITEMS)) < 0.4
    truth[:, 0] |= ~truth.any(axis=1)
    lists = compare(items, sp.csr_array(truth.astype(np.float32)), rng.integers(1, 5, N_ITEMS).astype(np.float64))
    shown = [[i for i in row if i >= 0] for row in items.tolist()]
    return lists, shown, [set(np.flatnonzero(row).tolist()) for row in truth]


def slow_ndcg(shown: list[int], chosen: set[int]) -> float:
    """Return NDCG place by place."""
    gain = sum(1 / math.log2(place + 2) for place, item in enumerate(shown) if item in chosen)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(SIZE, len(chosen))))


def slow_reciprocal(shown: list[int], chosen: set[int]) -> float:
    """Return one over the place of the first hit."""
    return next((1 / (place + 1) for place, item in enumerate(shown) if item in chosen), 0.0)


@settings(deadline=None, max_examples=50)  # the first call imports SciPy
@given(SEEDS)
def test_errors_are_the_written_formulas(seed: int) -> None:
    """Each mean over lists agrees with plain Python."""
    lists, shown, chosen = drawn(seed)
    pairs = list(zip(shown, chosen, strict=True))
    found = errors(lists)
    assert found["ndcg_error"] == pytest.approx(1 - np.mean([slow_ndcg(s, c) for s, c in pairs]))
    assert found["recall_error"] == pytest.approx(1 - np.mean([len(c & set(s)) / len(c) for s, c in pairs]))
    assert found["mrr_error"] == pytest.approx(1 - np.mean([slow_reciprocal(s, c) for s, c in pairs]))
    assert found["hit_error"] == pytest.approx(
        1 - sum(len(c & set(s)) for s, c in pairs) / sum(len(c) for _, c in pairs)
    )
    assert found["coverage_gap"] == pytest.approx(1 - len({i for s in shown for i in s}) / N_ITEMS)
    assert all(0 <= value <= 1 for value in found.values())


@settings(deadline=None, max_examples=50)  # the first call imports SciPy
@given(SEEDS, st.lists(st.integers(0, 3), min_size=6, max_size=6).filter(any))
def test_a_weight_is_a_number_of_copies(seed: int, copies: list[int]) -> None:
    """A list of weight three is as good as three of them; one of weight zero is not there."""
    lists, _, _ = drawn(seed)
    index = np.repeat(np.arange(len(lists)), copies)
    fields = {f: getattr(lists, f)[index] for f in ("hits", "items", "chosen", "listed", "wanted")}
    repeated = Lists(**fields, n_items=lists.n_items)
    for name, error in ERRORS.items():
        weighted = error(lists, np.array([copies, [1] * 6], np.float64))
        assert weighted[0] == pytest.approx(errors(repeated)[name]), name
        assert weighted[1] == pytest.approx(errors(lists)[name]), name


def test_a_perfect_list_has_no_error() -> None:
    """What was chosen, in any order, fills the list."""
    lists = compare(
        np.array([[2, 0, -1]], np.int32), sp.csr_array(np.array([[1.0, 0, 1.0]])), np.array([3.0, 2.0, 1.0])
    )
    assert errors(lists) == pytest.approx(
        {
            "ndcg_error": 0,
            "recall_error": 0,
            "mrr_error": 0,
            "hit_error": 0,
            "coverage_gap": 1 / 3,
            "popularity_bias": 0,
        }
    )


def test_without_lists_nothing_is_defined() -> None:
    """No list, no figure: no gate accepts nan."""
    lists = compare(np.empty((0, 3), np.int32), sp.csr_array((0, 4)), np.ones(4))
    assert all(math.isnan(value) for value in errors(lists).values())


def test_the_best_sellers_alone_are_a_bias() -> None:
    """Lists of the most chosen items for users who choose the least chosen ones."""
    truth = sp.csr_array(np.array([[1.0, 0, 0, 0, 0]]))
    lists = compare(np.array([[4]], np.int32), truth, np.array([1.0, 2, 3, 4, 5]))
    assert errors(lists)["popularity_bias"] == 1.0


def test_empty_places_hit_nothing() -> None:
    """Place -1 is not the last item."""
    assert hits(np.array([[-1, 1]], np.int32), sp.csr_array(np.array([[0.0, 1.0]]))).tolist() == [[False, True]]


def test_equal_popularity_shares_a_rank() -> None:
    """Ranks run from 0 to 1, equals in the middle of theirs."""
    assert popularity_rank(np.array([5.0, 1.0, 5.0, 9.0, 0.0])).tolist() == [0.625, 0.25, 0.625, 1.0, 0.0]


def test_activity_has_four_slices() -> None:
    """The edges belong to the upper slice."""
    found = activity_slice(np.array([0, 1, 19, 20, 99, 100], np.int32)).tolist()
    assert found == ["new", "1-19", "1-19", "20-99", "20-99", "100+"]
