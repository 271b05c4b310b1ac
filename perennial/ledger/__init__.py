"""The ledger: what happened and what is in force; the single source of truth.

Prefect states and MLflow aliases are projections of it that a reconciler repairs. Facts go in and come out as
the dataclasses of :mod:`perennial.contracts`; every write takes a lease first, is idempotent, and is covered by the
audit trail in the same transaction.

Example:
    >>> ledger = Ledger.open("sqlite:///.perennial/ledger.db", anchors=Path(".perennial/anchors"))
    >>> with ledger.hold("demand", locks=Path(".perennial/locks")) as lease:
    ...     run_id = ledger.begin_run(lease, "retrain", date(2011, 11, 1))
"""

from perennial.ledger.data import DataFacts
from perennial.ledger.facts import Event, LandingStatus, Run
from perennial.ledger.lock import Lease
from perennial.ledger.operation import OperationFacts
from perennial.ledger.outbox import DeliveryFacts, alias_key
from perennial.ledger.rollouts import RolloutFacts
from perennial.ledger.survey import Judged, Standing, SurveyFacts


class Ledger(DataFacts, RolloutFacts, DeliveryFacts, OperationFacts, SurveyFacts):
    """One ledger, in SQLite or PostgreSQL."""


__all__ = ["Event", "Judged", "LandingStatus", "Lease", "Ledger", "Run", "Standing", "alias_key"]
