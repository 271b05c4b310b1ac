"""MovieLens 100k replayed in time order: lists of each week against what users then rated for the first time.

Usage: ``python -m benchmarks.recommend --data ../shared/data/recsys`` (or ``make bench-recommend``). A rating is a
choice, whatever its value. At each origin, a week apart, every contender sees the ratings up to the end of that
day, lists ten films for each user, and is judged by the films that the user rates in the seven days after it (only
films that were rated before can be listed; all count as chosen). The champion is the contender with the best NDCG
on the first 13 origins, on which its settings were chosen too; every figure is from the later ones. Users whose
first rating lies after the origin get the recent popularity from every model and are counted apart (``newcomers``):
the headline is of users with a history. Intervals are 95 % paired bootstraps of users. The last line is JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import scipy.sparse as sp

from perennial.evaluation.topk import Lists, activity_slice, compare, errors, ndcg
from perennial.features.choices import Choices, Ints, Known
from perennial.models.ranked import BASELINES, same_for_all
from perennial.models.recommending import Fit, Pairs, train

SIZE, WEEK, WARM_UP = 10, 7, 42
"""Places in a list; days of a window; days of ratings before the first origin."""
RECENT = 14
"""Days of recent popularity; 14 was the best of 3, 7, 14, 30 and 60 on the first 13 origins."""
DRAWS = 2_000
FITS: Mapping[str, Fit] = {
    "neighbours": Fit(estimator="neighbours"),
    "factors": Fit(estimator="factors"),
    "blend": Fit(estimator="blend"),
}
MEMORY: dict[str, dict[int, Pairs | None]] = {name: {} for name in FITS}
"""What each window taught: origins share their earlier windows."""
CHOOSING = 13
"""Origins that the settings and the champion were chosen on; the later ones were looked at once, for the figures."""
Lister = Callable[[Known, Ints], Ints]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What one contender listed at one origin, for users who chose something after it."""

    users: Ints
    activity: Ints
    lists: Lists


def read(data: Path) -> Choices:
    """Read the ratings as choices in order of day."""
    table = pq.read_table(data / "ml100k_ratings.parquet")
    day = table["timestamp"].to_numpy().astype("datetime64[D]").astype(np.int64)
    user, item = (table[name].to_numpy().astype(np.str_) for name in ("user_id", "item_id"))
    return Choices.of(user, item, day)


def contenders(choices: Choices, origin: int) -> dict[str, Lister]:
    """Return what makes each contender's lists at an origin; models are trained on what was known at it."""
    alike = {name: _alike(score) for name, score in BASELINES.items()}
    return alike | {name: _model(choices, origin, name) for name, fit in FITS.items()}


def judge(choices: Choices, origin: int) -> dict[str, Judged]:
    """Return what every contender listed at an origin, beside what was chosen in the week after it."""
    known, chosen = choices.known(origin), choices.chosen(origin, origin + WEEK)
    users = np.flatnonzero(np.diff(chosen.indptr) > 0).astype(np.int32)
    out = {}
    for name, lister in contenders(choices, origin).items():
        lists = compare(lister(known, users), sp.csr_array(chosen[users]), known.popularity)
        out[name] = Judged(users=users, activity=known.activity[users], lists=lists)
    return out


def pooled(parts: list[Judged], keep: Callable[[Ints], npt.NDArray[np.bool_]]) -> Judged:
    """Return the lists of several origins together, of users whose activity is to be kept."""
    kept = [keep(part.activity) for part in parts]
    fields = ("hits", "items", "chosen", "listed", "wanted")
    joined: dict[str, Any] = {
        f: np.concatenate([getattr(p.lists, f)[k] for p, k in zip(parts, kept, strict=True)]) for f in fields
    }
    return Judged(
        users=np.concatenate([p.users[k] for p, k in zip(parts, kept, strict=True)]),
        activity=np.concatenate([p.activity[k] for p, k in zip(parts, kept, strict=True)]),
        lists=replace(parts[-1].lists, **joined),
    )


def figures(judged: Judged) -> dict[str, float]:
    """Return the figures as they are usually read: higher is better but for the last."""
    found = errors(judged.lists)
    names = {"ndcg_10": "ndcg_error", "recall_10": "recall_error", "mrr": "mrr_error", "coverage": "coverage_gap"}
    return {k: round(1.0 - found[v], 4) for k, v in names.items()} | {
        "popularity_bias": round(found["popularity_bias"], 4)
    }


def interval(better: Judged, other: Judged) -> list[float]:
    """Return the 95 % interval of the difference in NDCG@10, whole users drawn with replacement."""
    difference = ndcg(better.lists) - ndcg(other.lists)
    users, index = np.unique(better.users, return_inverse=True)
    total, count = np.bincount(index, difference), np.bincount(index)
    weight = np.random.default_rng(7).multinomial(len(users), np.full(len(users), 1 / len(users)), DRAWS)
    drawn = (weight @ total) / (weight @ count)
    return [round(float(q), 4) for q in np.quantile(drawn, (0.025, 0.975))]


def _alike(score: Callable[[Known, int], npt.NDArray[np.float64]]) -> Lister:
    return lambda known, users: same_for_all(score(known, RECENT), known, users, SIZE)[0]


def _model(choices: Choices, origin: int, name: str) -> Lister:
    def lister(known: Known, users: Ints) -> Ints:
        return train(choices, origin, FITS[name], memory=MEMORY[name]).model.lists(known, users, SIZE)[0]

    return lister


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the MovieLens files")
    choices, began = read(parser.parse_args().data), time.perf_counter()
    first, last = int(choices.day[0]), int(choices.day[-1])
    origins = list(range(first + WARM_UP, last - WEEK + 1, WEEK))
    found: list[dict[str, Judged]] = []
    for n, origin in enumerate(origins):
        found.append(judge(choices, origin))
        sys.stderr.write(f"origin {n + 1} of {len(origins)}: {time.perf_counter() - began:.0f} s\n")
    known = {
        part: {name: pooled([one[name] for one in side], lambda a: a > 0) for name in found[0]}
        for part, side in (("choosing", found[:CHOOSING]), ("judging", found[CHOOSING:]))
    }
    champion = max(FITS, key=lambda name: ndcg(known["choosing"][name].lists).mean())
    judging = known["judging"]
    label = activity_slice(judging[champion].activity)
    newcomers = pooled([one[champion] for one in found[CHOOSING:]], lambda a: a == 0)
    answer = {
        "baseline": {name: figures(judging[name]) for name in BASELINES},
        "champion": {"model": champion, **figures(judging[champion])},
        "others": {name: figures(judging[name]) for name in FITS if name != champion},
        "choosing_ndcg_10": {n: round(float(ndcg(j.lists).mean()), 4) for n, j in known["choosing"].items()},
        "gain_ndcg_10": {n: interval(judging[champion], judging[n]) for n in judging if n != champion},
        "ndcg_10_by_activity": {
            str(name): {c: round(float(ndcg(judging[c].lists)[label == name].mean()), 4) for c in judging}
            for name in np.unique(label)
        },
        "newcomers": {"lists": len(newcomers.lists), "ndcg_10": figures(newcomers)["ndcg_10"]},
        "origins": {"choosing": CHOOSING, "judging": len(origins) - CHOOSING},
        "lists": len(judging[champion].lists),
        "users": len(np.unique(judging[champion].users)),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
