"""Facts that only the ledger speaks of; all others are contracts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

LandingStatus = Literal["landed", "accepted", "rejected"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one flow, as the ledger knows it.

    Attributes:
        status: ``running``, ``lost`` (its process died; a later one found out), or what ``end_run`` was told.
        record: What ``end_run`` was told, as plain JSON; empty until then.
    """

    run_id: str
    pipeline: str
    flow: str
    as_of: date
    token: int
    status: str
    started_at: datetime
    ended_at: datetime | None
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An effect outside the ledger that is still to happen, written in the commit of the fact it follows from.

    Attributes:
        key: Sent along, so that a receiver can tell a repetition.
        attempts: Times it was tried in vain; ``error`` is what the last one said.
    """

    id: int
    topic: str
    key: str
    payload: Mapping[str, Any]
    created_at: datetime
    due_at: datetime
    attempts: int
    error: str
