"""Lists of several contenders beside what was chosen afterwards, as test rows: one row for each place."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from perennial.config.models import Pipeline
from perennial.contracts import Chart, TestRows
from perennial.evaluation.metrics import MAIN
from perennial.evaluation.topk import Lists, activity_slice, compare
from perennial.features.choices import Choices, Ints, Known
from perennial.models.ranked import BASELINES, same_for_all

Lister = Callable[[Known, Ints], Ints]
"""From what is known and users to their lists, shape (n_users, size)."""
NEWCOMERS = "newcomers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What was listed at one origin, for the users who chose something in the days after it.

    Attributes:
        users: Index into the choices' users, shape (n_lists,).
        activity: Their choices known at the origin, shape (n_lists,).
        lists: By contender.
    """

    day: int
    users: Ints
    activity: Ints
    lists: Mapping[str, Lists]


def judge(choices: Choices, day: int, cfg: Pipeline, listers: Mapping[str, Lister]) -> Origin:
    """List with every contender and every baseline at an origin, and look at the days after it."""
    settings = cfg.recommend
    known, chosen = choices.known(day), choices.chosen(day, day + settings.window_days)
    users = np.flatnonzero(np.diff(chosen.indptr) > 0).astype(np.int32)
    truth = sp.csr_array(chosen[users])
    naive = {
        name: same_for_all(score(known, settings.recent_days), known, users, settings.size)[0]
        for name, score in BASELINES.items()
    }
    made = {name: lister(known, users) for name, lister in listers.items()} | naive
    return Origin(
        day=day,
        users=users,
        activity=known.activity[users],
        lists={name: compare(items, truth, known.popularity) for name, items in made.items()},
    )


def rows_of(choices: Choices, cfg: Pipeline, origins: Sequence[Origin], contenders: Sequence[str]) -> TestRows:
    """Lay lists out as rows; an entity is a user at one level of activity, users are what varies together.

    Args:
        choices: Names of the users.
        cfg: Size of a list.
        origins: In order of day.
        contenders: Names, those of the baselines too.
    """
    size, codes = cfg.recommend.size, np.unique([label for one in origins for label in activity_slice(one.activity)])
    user = _joined([one.users for one in origins], np.int32)
    label = np.searchsorted(codes, _joined([activity_slice(one.activity) for one in origins], codes.dtype))
    pairs, entity = np.unique(user.astype(np.int64) * max(1, len(codes)) + label, return_inverse=True)
    whose, level = pairs // max(1, len(codes)), pairs % max(1, len(codes))
    counts = [len(one.users) for one in origins]
    names = [f"{choices.users[u]}/{codes[n]}" for u, n in zip(whose, level, strict=True)]
    n_rows = len(user) * size
    place = np.tile(np.arange(1, size + 1, dtype=np.int16), len(user))
    extra, hits = _columns(origins, contenders, size)
    known = np.repeat(_joined([one.activity for one in origins], np.int32) > 0, size)
    none = np.full(len(pairs), np.nan)
    return TestRows(
        entities=np.array(names, dtype=np.str_),
        entity=np.repeat(entity.astype(np.int32), size),
        window=np.repeat(np.repeat(np.arange(len(origins), dtype=np.int16), counts), size),
        horizon=place,
        day=np.repeat(np.repeat(np.array([one.day + 1 for one in origins], np.int32), counts), size),
        y=(place <= extra["chosen"]).astype(np.float32) if n_rows else np.empty(0, np.float32),
        forecasts=hits,
        levels=(),
        quantiles={},
        scale_abs=none,
        scale_sq=none,
        weight=np.full(len(pairs), 1.0 / max(1, len(pairs))),
        slices={"activity": codes[level] if len(pairs) else np.empty(0, np.str_)},
        groups={},
        group_scale_sq={},
        kind="recommend",
        cluster=whose.astype(np.int32),
        extra=extra,
        sets={MAIN: known, NEWCOMERS: ~known},
    )


def place_chart(rows: TestRows) -> tuple[Chart, ...]:
    """Return how often each place of the lists of users with a history is hit, by contender."""
    size, known = int(rows.horizon.max(initial=0)), rows.sets[MAIN]
    count = np.bincount(rows.horizon[known], minlength=size + 1)[1:]
    if not count.all() or not size:
        return ()

    def share(name: str) -> tuple[float, ...]:
        found = np.bincount(rows.horizon[known], rows.forecasts[name][known], minlength=size + 1)[1:] / count
        return tuple(found.tolist())

    chart = Chart(
        title="Hits by place",
        note="How often what stands at a place of the list was chosen in the days after: higher and steeper is better.",
        dates=tuple(str(n) for n in range(1, size + 1)),
        lines={name: share(name) for name in rows.forecasts},
        axis="Place on the list",
        unit="Share of lists",
    )
    return (chart,)


def _columns(
    origins: Sequence[Origin], contenders: Sequence[str], size: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[np.float32]]]:
    """Return the further columns and the hits by contender."""
    extra: dict[str, npt.NDArray[Any]] = {}
    hits: dict[str, npt.NDArray[np.float32]] = {}
    for name in contenders:
        lists = [one.lists[name] for one in origins]
        extra["chosen"] = np.repeat(_joined([one.chosen for one in lists], np.int32), size)
        extra["wanted"] = np.repeat(_joined([one.wanted for one in lists], np.float64), size)
        catalogue = [np.full(len(one), one.n_items, np.int32) for one in lists]
        extra["catalogue"] = np.repeat(_joined(catalogue, np.int32), size)
        extra[f"item/{name}"] = _joined([one.items.ravel() for one in lists], np.int32)
        extra[f"listed/{name}"] = np.repeat(_joined([one.listed for one in lists], np.float64), size)
        hits[name] = _joined([one.hits.ravel() for one in lists], np.float32)
    return extra, hits


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)
