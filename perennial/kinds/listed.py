"""Lists as the rows that are published, and back."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from perennial.arrow import unescape
from perennial.contracts import ENTITY, TIME
from perennial.features.choices import Choices, Floats, Ints, Known
from perennial.kinds.listrows import Lister
from perennial.models.ranked import NOTHING

JOINT = "/"
"""Between user and item in the name of an entity; no user's name holds it."""


def batch(users: npt.NDArray[np.str_], choices: Choices, items: Ints, best: Floats, as_of: int) -> pa.RecordBatch:
    """Return lists as rows, one for each place that holds something; ``as_of`` in days since 1970-01-01."""
    row, place = np.nonzero(items != NOTHING)
    user, item = users[row].astype(np.str_), choices.items[items[row, place]]
    return pa.RecordBatch.from_pydict(
        {
            ENTITY: pa.array(np.strings.add(np.strings.add(user, JOINT), item).tolist(), pa.string()),
            TIME: pa.array(np.full(len(row), as_of + 1, np.int32)).cast(pa.date32()),
            "horizon": pa.array((place + 1).astype(np.int16)),
            "y_hat": pa.array(best[row, place]),
            "user": unescape(pa.array(user.tolist(), pa.string())),
            "item": unescape(pa.array(item.tolist(), pa.string())),
        }
    )


def shown_lists(choices: Choices, size: int, published: pa.Table) -> dict[str, Ints]:
    """Return the list that each user was shown, under the user's name; items that are gone are no longer on it."""
    shown: dict[str, Ints] = {}
    code = {name: n for n, name in enumerate(choices.items.tolist())}
    for entity, place in zip(published[ENTITY].to_pylist(), published["horizon"].to_pylist(), strict=True):
        user, _, item = entity.partition(JOINT)
        if place <= size:
            one = shown.setdefault(user, np.full(size, NOTHING, np.int32))
            one[place - 1] = code.get(item, NOTHING)
    return shown


def as_shown(shown: Mapping[str, Ints]) -> Lister:
    """Return what lists again what was shown; strangers the newcomers' list."""

    def lister(known: Known, users: Ints) -> Ints:
        size = len(next(iter(shown.values())))
        cold, out = shown.get("", np.full(size, NOTHING, np.int32)), np.empty((len(users), size), np.int32)
        for n, user in enumerate(known.choices.users[users].tolist()):
            out[n] = shown.get(user, cold)
        return out

    return lister
