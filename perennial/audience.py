"""What a publication of lists showed to whom, and what its users had had by then."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from perennial.contracts import ENTITY, Publication
from perennial.features.choices import Known
from perennial.features.panel import epoch_day
from perennial.kinds import kind
from perennial.kinds.listed import JOINT
from perennial.landing.land import read_pin
from perennial.monitoring.stream import NEWCOMER
from perennial.publishing import predictions

if TYPE_CHECKING:
    from perennial.context import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who was shown what by one publication.

    Attributes:
        lists: Items by user, names as in ``entity``; under :data:`NEWCOMER` for everybody without a list.
        known: What had been chosen on its as-of date; ``None`` if nothing was landed by then.
    """

    publication: Publication
    lists: Mapping[str, AbstractSet[str]]
    known: Known | None

    def shown(self, user: str) -> AbstractSet[str] | None:
        """Return the list of a user with a history; ``None`` for newcomers, who are judged apart."""
        return self.lists.get(user, self.lists.get(NEWCOMER)) if self.had(user) else None

    def had(self, user: str) -> AbstractSet[str]:
        """Return what a user had chosen by the as-of date, and what no list names again."""
        if self.known is None:
            return frozenset()
        choices, taken = self.known.choices, self.known.taken
        at = int(np.searchsorted(choices.users, user))
        if at == len(choices.users) or choices.users[at] != user:
            return frozenset()
        return frozenset(choices.items[taken.indices[taken.indptr[at] : taken.indptr[at + 1]]].tolist())


def audience(workspace: "Workspace", publication: Publication) -> Audience:
    """Read a publication, verified by digest, and what was known when it was made."""
    name = publication.pipeline
    lists: dict[str, set[str]] = {}
    table = predictions(name)
    for batch in workspace.lake.scan(table, publication.table_version, files=publication.files, columns=(ENTITY,)):
        for entity in batch[ENTITY].to_pylist():
            user, _, item = entity.partition(JOINT)
            lists.setdefault(user, set()).add(item)
    return Audience(publication=publication, lists=lists, known=_known(workspace, publication))


def _known(workspace: "Workspace", publication: Publication) -> Known | None:
    name, ledger = publication.pipeline, workspace.ledger
    snapshots = [one for one in ledger.snapshots(name) if one.as_of <= publication.as_of]
    if not snapshots:
        return None
    snapshot = max(reversed(snapshots), key=lambda one: one.as_of)  # of several of a date, the last one pinned
    landings = ledger.landings(name)
    world = kind("recommend").load(
        workspace.pipeline(name).config,
        snapshot,
        lambda pin: read_pin(workspace.lake, pin, landings, snapshot.cutoff, main=True),
    )
    known: Known = world.choices.known(epoch_day(publication.as_of))
    return known
