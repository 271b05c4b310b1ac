"""Choices, clues, models and lists: each against a slow and obvious computation, and blind to the future."""

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.features.choices import NEVER, Choices
from perennial.models.ranked import BASELINES, NOTHING, largest, same_for_all, top
from perennial.models.recommender import CLUES, GAPS, Clues
from perennial.models.recommending import Fit, item_side, similarities, train

FIT = Fit(factors=4, windows=3, negatives=20, neighbours=5)


def drawn(seed: int, rows: int = 900, users: int = 40, items: int = 30, days: int = 60) -> Choices:
    """Return choices in which every user prefers half of the items."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, rows)
    item = np.where(rng.random(rows) < 0.8, 2 * rng.integers(0, items // 2, rows) + user % 2, rng.integers(0, items))
    return Choices.of(
        np.char.add("u", user.astype(np.str_)), np.char.add("i", item.astype(np.str_)), rng.integers(0, days, rows)
    )


rows_of_choices = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 5)), min_size=1)


@settings(deadline=None, max_examples=40)
@given(rows_of_choices)
def test_only_the_first_choice_of_an_item_counts(rows: list[tuple[str, str, int]]) -> None:
    """A pair of user and item stands once, on its earliest day, in order of day."""
    user, item, day = (np.array(column) for column in zip(*rows, strict=True))
    found = Choices.of(user, item, day)
    pairs = zip(found.users[found.user], found.items[found.item], found.day, strict=True)
    first: dict[tuple[str, str], int] = {}
    for u, i, d in rows:
        first[u, i] = min(d, first.get((u, i), d))
    assert {(u, i): d for u, i, d in pairs} == first
    assert (np.diff(found.day) >= 0).all()


@settings(deadline=None, max_examples=40)
@given(rows_of_choices, st.integers(-1, 6))
def test_what_is_known_is_counted_from_the_rows_up_to_the_day(rows: list[tuple[str, str, int]], day: int) -> None:
    """Popularity, activity and last visit agree with counting by hand."""
    choices = Choices.of(*(np.array(column) for column in zip(*rows, strict=True)))
    known = choices.known(day)
    past = [(u, i, d) for u, i, d in zip(choices.user, choices.item, choices.day, strict=True) if d <= day]
    assert known.popularity.tolist() == [sum(i == n for _, i, _ in past) for n in range(len(choices.items))]
    assert known.activity.tolist() == [sum(u == n for u, _, _ in past) for n in range(len(choices.users))]
    assert known.last.tolist() == [
        max((d for u, _, d in past if u == n), default=NEVER) for n in range(len(choices.users))
    ]
    assert known.recent(2).tolist() == [
        sum(i == n and d > day - 2 for _, i, d in past) for n in range(len(choices.items))
    ]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 15))
def test_lists_are_those_of_a_full_sort(seed: int, n_items: int, size: int) -> None:
    """The best items, ties by place, without what was taken; the rest of a list is empty."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (5, n_items)).astype(np.float64)
    taken = rng.random((5, n_items)) < 0.3
    items, best = top(scores.copy(), sp.csr_array(taken.astype(np.float32)), size)
    for n in range(5):
        order = sorted((-scores[n, i], i) for i in range(n_items) if not taken[n, i])[:size]
        assert items[n].tolist() == [i for _, i in order] + [NOTHING] * (size - len(order))
        assert best[n, : len(order)].tolist() == [-s for s, _ in order]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_largest_are_as_many_as_asked_for(seed: int, k: int) -> None:
    """Equals are taken from the left, so that exactly k are."""
    values = np.random.default_rng(seed).integers(0, 3, (4, 6)).astype(np.float64)
    expected = np.argsort(-values, axis=1, kind="stable")[:, :k]
    for row, places in zip(largest(values, k), expected, strict=True):
        assert set(np.flatnonzero(row)) == set(places)


def slow_similarity(taken: npt.NDArray[np.bool_], shrinkage: float) -> npt.NDArray[np.float64]:
    """Return the shrunk cosine of every pair of columns, one by one."""
    n = taken.shape[1]
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            both, one, other = (taken[:, i] & taken[:, j]).sum(), taken[:, i].sum(), taken[:, j].sum()
            if i != j and both:
                out[i, j] = both / np.sqrt(one * other) * both / (both + shrinkage)
    return out


def test_similarities_are_shrunk_cosines() -> None:
    """Each pair against the formula; with fewer neighbours the largest of each column stay."""
    taken = np.random.default_rng(3).random((30, 9)) < 0.4
    matrix = sp.csr_array(taken.astype(np.float32))
    full, cut = (similarities(matrix, k, 5.0).toarray() for k in (9, 2))
    expected = slow_similarity(taken, 5.0)
    np.testing.assert_allclose(full, expected, rtol=1e-6)
    for j in range(9):
        assert set(np.flatnonzero(cut[:, j])) <= set(np.argsort(-expected[:, j])[:2])
        assert cut[:, j].max() == full[:, j].max()


def test_the_score_is_the_weighted_sum_of_the_clues() -> None:
    """What scoring adds up by matrix agrees with the table that training sees."""
    choices = drawn(1)
    known = choices.known(50)
    clues, users = Clues(known, item_side(known, FIT)), np.arange(10, dtype=np.int32)
    weight = np.random.default_rng(0).normal(size=len(CLUES))
    rows, items = (a.ravel().astype(np.int32) for a in np.indices((10, len(choices.items))))
    table = clues.table(users, rows, items)
    np.testing.assert_allclose(clues.score(users, weight).ravel(), table @ weight, rtol=1e-9)


def test_the_clue_of_the_last_visit_counts_what_others_chose_since() -> None:
    """`since` is the logarithm of the choices after the user's last day, gaps rounded down."""
    choices = drawn(2)
    known = choices.known(50)
    table = Clues(known, item_side(known, FIT)).table(
        np.arange(len(choices.users), dtype=np.int32), np.array([3], np.int32), np.array([4], np.int32)
    )
    gap = max(g for g in GAPS if g <= 50 - known.last[3])
    count = ((choices.item == 4) & (choices.day <= 50) & (choices.day > 50 - gap)).sum()
    assert table[0, CLUES.index("since")] == pytest.approx(np.log(count + 0.1))


@pytest.mark.parametrize("estimator", ["blend", "neighbours", "factors"])
def test_nothing_later_is_used(estimator: str) -> None:
    """Models and lists of a day are the same when all later rows are deleted."""
    fit = Fit(**{**{f: getattr(FIT, f) for f in FIT.__dataclass_fields__}, "estimator": estimator})
    choices, day = drawn(4), 40
    past = choices.day <= day
    cut = Choices.of(choices.users[choices.user[past]], choices.items[choices.item[past]], choices.day[past])
    lists = []
    for one in (choices, cut):
        model, known = train(one, day, fit).model, one.known(day)
        users = np.searchsorted(one.users, cut.users).astype(np.int32)
        lists.append(np.append(one.items, "")[model.lists(known, users, 5)[0]])
    assert (lists[0] == lists[1]).all()


def test_lists_follow_taste() -> None:
    """Who chose even items is listed even items, however popular the odd ones are."""
    choices = drawn(5, rows=500)
    known = choices.known(60)
    users = np.flatnonzero(known.activity > 5).astype(np.int32)
    items, _ = train(choices, 60, FIT).model.lists(known, users, 3)
    same = [
        int(choices.items[i][1:]) % 2 == int(choices.users[u][1:]) % 2
        for u, row in zip(users, items, strict=True)
        for i in row
        if i != NOTHING
    ]
    assert np.mean(same) > 0.7


def test_newcomers_are_listed_what_is_popular_lately() -> None:
    """Without a history the list is that of the baseline."""
    choices = drawn(6)
    model = train(choices, 30, FIT).model
    known = choices.known(-1)
    assert not known.activity.any()
    known = choices.known(30)
    cold = np.flatnonzero(known.activity == 0).astype(np.int32)
    extra = Choices.of(
        np.append(choices.users[choices.user], "zz"),
        np.append(choices.items[choices.item], "i0"),
        np.append(choices.day, 99),
    )
    known, cold = extra.known(30), np.array([len(extra.users) - 1], np.int32)
    expected, _ = same_for_all(BASELINES["recent_popularity"](known, FIT.recent_days), known, cold, 5)
    assert (model.lists(known, cold, 5)[0] == expected).all()


def test_items_that_came_after_training_are_listed() -> None:
    """A model of an earlier day can list an item it never saw, scored by its popularity alone."""
    base = drawn(7, days=40)
    crowd = base.users[:25]
    later = Choices.of(
        np.concatenate([base.users[base.user], crowd]),
        np.concatenate([base.items[base.item], np.full(25, "new")]),
        np.concatenate([base.day, np.full(25, 45)]),
    )
    model, known = train(base, 39, FIT).model, later.known(46)
    others = np.flatnonzero(~np.isin(later.users, crowd) & (known.activity > 0)).astype(np.int32)
    items, score = model.lists(known, others, len(later.items))
    at = (items != NOTHING) & (later.items[items] == "new")
    assert at.any(axis=1).all()
    assert np.isfinite(score[at]).all()


def test_training_is_deterministic() -> None:
    """The same rows and seed give the same bytes."""
    from perennial.registry.canonical import dumps, loads

    blobs = [dumps(train(drawn(8), 50, FIT).model) for _ in range(2)]
    assert blobs[0].digest == blobs[1].digest
    choices = drawn(8)
    known, users = choices.known(50), np.arange(5, dtype=np.int32)
    back = loads(blobs[0].data, blobs[0].digest)
    assert (back.lists(known, users, 5)[0] == train(choices, 50, FIT).model.lists(known, users, 5)[0]).all()  # type: ignore[attr-defined]


def test_too_little_history_is_refused() -> None:
    """Nothing to learn from is said, with what would help."""
    choices = drawn(9)
    with pytest.raises(TrainingError, match="nothing was chosen"):
        train(choices, -5, FIT)
    with pytest.raises(TrainingError, match="estimator: neighbours"):
        train(choices, 0, FIT)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_baselines_list_by_count(seed: int) -> None:
    """Recent popularity orders by recent choices first, then by choices ever."""
    known = drawn(seed, rows=80, days=30).known(25)
    score = BASELINES["recent_popularity"](known, 7)
    order = sorted(range(len(score)), key=lambda i: (-known.recent(7)[i], -known.popularity[i], i))
    listed = [i for i in order if known.popularity[i] > 0][:4]
    found, _ = same_for_all(score, known, np.array([0], np.int32), len(score))
    taken = set(known.taken[[0]].indices)
    assert [i for i in found[0] if i in listed] == [i for i in listed if i not in taken]
