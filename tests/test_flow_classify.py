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
    early, late = measured[0].late_estimates, measured[-1].late_estimates
    assert {one.metric for one in late} == {"average_precision_error", "brier"}
    assert [(one.day, one.checked) for one in early] == [(cards.AS_OF, None)] * 2
    assert all(one.muted == "no day has matured yet that the estimate could be held against" for one in early)
    brier = next(one for one in late if one.metric == "brier")
    assert (brier.day, brier.checked) == (cards.AS_OF + timedelta(days=5), cards.AS_OF)
    assert brier.expected == pytest.approx(brier.realised, abs=0.02)
    assert not brier.muted
    page = (root / ".perennial" / "fleet" / "cards.html").read_text(encoding="utf-8")
    assert f"brier about {brier.estimate:.3f} up to {brier.day}, estimated from the scores" in page
    assert check_invariants(place.env) == ()
