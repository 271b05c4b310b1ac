"""The simulated world of choices: its seed decides it, its truth holds, its tastes can turn."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from perennial.features.choices import Choices
from perennial.models.ranked import BASELINES, same_for_all
from perennial.models.recommending import Fit, train
from perennial.simulate.recommend import World, write

SMALL = World(users=120, items=80, days=60)


def choices_of(folder: Path) -> Choices:
    """Read what a simulator wrote."""
    table = pq.read_table(folder / "choices" / "choices.parquet")
    day = table["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    return Choices.of(*(table[name].to_numpy(zero_copy_only=False).astype(np.str_) for name in ("user", "item")), day)


def test_equal_seeds_write_equal_bytes(tmp_path: Path) -> None:
    """And another seed writes others."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made = write(tmp_path / name, seed, SMALL)
    a, b, c = ((tmp_path / name / "choices" / "choices.parquet").read_bytes() for name in "abc")
    assert a == b != c
    assert made.rows == pq.read_metadata(made.files[0]).num_rows
    assert made.truth["users"] == 120


def test_nothing_is_chosen_twice_or_before_it_is_there(tmp_path: Path) -> None:
    """Each pair of user and item stands once, and items arrive through the whole time."""
    made = write(tmp_path, 3, SMALL)
    choices = choices_of(tmp_path)
    assert len(choices) == made.rows
    first = choices.known(10**6).first
    assert (first > first.min() + 20).sum() > 10


def test_users_choose_what_fits_their_taste(tmp_path: Path) -> None:
    """The utility of what was chosen lies above the mean, and a recommender finds some of it."""
    write(tmp_path, 4, SMALL)
    choices = choices_of(tmp_path)
    truth = pq.read_table(tmp_path / "truth" / "utility.parquet").to_pandas().set_index(["user", "item"])["utility"]
    pairs = list(zip(choices.users[choices.user], choices.items[choices.item], strict=True))
    assert truth.loc[pairs].mean() > truth.mean() + 0.5 * truth.std()
    day = int(choices.day[-1])
    known = choices.known(day)
    users = np.flatnonzero(known.activity >= 10).astype(np.int32)
    model = train(choices, day, Fit(factors=8, neighbours=30)).model
    mine = model.lists(known, users, 5)[0]
    alike = same_for_all(BASELINES["recent_popularity"](known, 14), known, users, 5)[0]

    def fit(lists: np.ndarray) -> float:
        return float(
            truth.loc[
                [(choices.users[u], choices.items[i]) for u, r in zip(users, lists, strict=True) for i in r]
            ].mean()
        )

    assert fit(mine) > fit(alike) + 0.2


def test_tastes_turn_when_told(tmp_path: Path) -> None:
    """Up to the turn the choices are those of the world without one."""
    write(tmp_path / "a", 5, SMALL)
    made = write(tmp_path / "b", 5, World(users=120, items=80, days=60, turn=40))
    a, b = (pq.read_table(tmp_path / n / "choices" / "choices.parquet").to_pandas() for n in "ab")
    cut = a["date"].min() + np.timedelta64(40, "D").astype("timedelta64[D]").item()
    assert a[a["date"] < cut].equals(b[b["date"] < cut])
    assert not a.equals(b)
    assert made.truth["turn"] == 40
