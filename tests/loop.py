"""What retraining and scoring must do wherever the record, the tables and the models are kept."""

from perennial.context import Workspace
from perennial.invariants import check_invariants
from tests import shop


def whole(place: Workspace, pipeline: str = "shop") -> None:
    """Retrain, retrain again, score twice: one version, one champion, one partition, clean invariants."""
    from flows.retrain import retrain
    from flows.score import score

    environment = place.env.environment
    first = retrain(pipeline, shop.AS_OF, environment)
    again = retrain(pipeline, shop.AS_OF, environment)
    done = score(pipeline, shop.AS_OF, environment)
    repeated = score(pipeline, shop.AS_OF, environment)

    assert (first.outcome, again.outcome) == ("promoted", "already done")
    assert first.version == again.version == 1
    assert (done.rows, done.entities, done.fresh, repeated.fresh) == (210, 30, True, False)
    assert repeated.digest == done.digest
    assert [v.version for v in place.ledger.versions(pipeline)] == [1]
    assert place.registry.aliases(pipeline) == {"champion": 1}
    assert check_invariants(place.env) == ()


def challenge(place: Workspace, pipeline: str = "shop") -> None:
    """A week later a second version is trained on the new days and every gate has a verdict with figures."""
    from flows.retrain import retrain

    retrain(pipeline, shop.AS_OF, place.env.environment)
    record = retrain(pipeline, shop.LATER, place.env.environment)

    assert record.version == 2
    assert {s.contender for s in record.scores} >= {"candidate", "champion", "last_value", "seasonal_naive"}
    assert len(record.verdicts) == 2
    assert "champion" in record.verdicts[1].reason
    assert (place.home / str(record.report)).read_text().startswith("<!doctype html>")


def roll_back(place: Workspace, pipeline: str = "shop") -> None:
    """After a rollback the earlier digest is in force, MLflow follows, and both stand in the history."""
    from flows.retrain import retrain
    from perennial import lifecycle
    from perennial.registry.tracking import reconcile

    retrain(pipeline, shop.AS_OF, place.env.environment)
    record = retrain(pipeline, shop.LATER, place.env.environment)
    assert record.outcome != "kept champion", record.summary
    before = place.ledger.version(pipeline, 1)
    change = lifecycle.roll_back(place, pipeline, actor="test", reason="trial")
    reconcile(place.ledger, place.registry)

    assert (change.version, change.previous) == (1, 2)
    assert place.ledger.in_force(pipeline) == before
    assert place.registry.aliases(pipeline) == {"champion": 1}
    assert [c.version for c in place.ledger.role_history(pipeline)] == [1, 2, 1]
