"""Kind classify through the flows that every kind runs through: train, score, wait for the labels, measure."""

from datetime import timedelta
from pathlib import Path

import pytest

from perennial.context import Workspace
from perennial.invariants import check_invariants
from tests import cards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("default"),
]


def test_scores_are_published_and_measured_when_their_labels_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first model is promoted and scores its date; nothing matures while labels are late, then all of it does."""
    from flows.day import day

    root = cards.project(tmp_path)
    monkeypatch.chdir(root)
    (first,) = day("cards", cards.AS_OF)
    place = Workspace.open(root=root)
    assert (first.retrain, first.rung) == ("promoted", "champion")
    for days in (1, 5):
        day("cards", cards.AS_OF + timedelta(days=days))

    measured = place.ledger.measurements("cards")
    published = {one.as_of: one.rows for one in place.ledger.publications("cards")}
    assert [one.matured for one in measured] == [0, 0, published[cards.AS_OF]]
    assert measured[-1].pending == sum(published.values()) - published[cards.AS_OF]
    assert any(score.metric == "average_precision_error" for score in measured[-1].scores)
    assert all(one.drift for one in measured)
    assert max(one.skew for one in measured[1:]) == 0.0
    assert check_invariants(place.env) == ()
