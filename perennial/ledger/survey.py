"""Where every pipeline stands, in a few queries: what the overview and the fleet page are made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, exists, func, select

from perennial.contracts import DailyError, Decision, Measurement, ModelVersion, Publication, RoleChange
from perennial.ledger.codec import decode
from perennial.ledger.facts import Run
from perennial.ledger.schema import (
    decisions,
    measurements,
    publications,
    reviews,
    role_changes,
    rollouts,
    runs,
    versions,
)
from perennial.ledger.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A version, the decision on it, and what a person said of it.

    Attributes:
        as_of: Business date of the decision.
        entered: Whether it was ever champion.
        review: ``approved``, ``rejected``, or "" while nobody has answered.
        reviewer: Who answered.
        why: What that person gave as the reason.
    """

    version: ModelVersion
    as_of: date
    decision: Decision
    entered: bool
    review: str = ""
    reviewer: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The newest facts of one pipeline; ``None`` and empty where there are none.

    Attributes:
        measurement: Of the newest as-of date.
        publication: Of the newest as-of date.
        roles: Last change of each role, by role; its version is ``None`` while the role is vacant.
        champion: The version in force.
        versions: How many were ever trained.
        judged: The newest version that was judged.
        waiting: Versions that wait for a person's approval.
        run: The newest run of any flow, without its record but for an ``error``.
    """

    pipeline: str
    measurement: Measurement | None = None
    publication: Publication | None = None
    roles: Mapping[str, RoleChange]
    champion: ModelVersion | None = None
    versions: int = 0
    judged: Judged | None = None
    waiting: tuple[int, ...] = ()
    run: Run | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Daily:
    """The part of a measurement that the errors by day are in; the scores, most of it, are skipped."""

    daily: tuple[DailyError, ...]


class SurveyFacts(Store):
    """The part of the ledger that answers for all pipelines at once."""

    def survey(self) -> tuple[Standing, ...]:
        """Return where every pipeline with a version, a publication or a run stands, by name: one state of all."""
        with self._read() as tx:
            measured = {m.pipeline: m for m in _newest(tx, measurements, Measurement)}
            published = {p.pipeline: p for p in _newest(tx, publications, Publication)}
            roles = _roles(tx)
            champions = _holders(tx, roles)
            counts = dict(_pairs(tx, select(versions.c.model, func.count()).group_by(versions.c.model)))
            judged = {one.version.model: one for one in _judged(tx, _newest_judged())}
            waiting = _waiting(tx)
            last = {run.pipeline: run for run in _last_runs(tx)}
        return tuple(
            Standing(
                pipeline=name,
                measurement=measured.get(name),
                publication=published.get(name),
                roles=roles.get(name, {}),
                champion=champions.get(name),
                versions=counts.get(name, 0),
                judged=judged.get(name),
                waiting=waiting.get(name, ()),
                run=last.get(name),
            )
            for name in sorted({*counts, *published, *last, *measured})
        )

    def judgements(self, model: str, last: int | None = None) -> tuple[Judged, ...]:
        """Return the decisions on a model's versions, newest first; with ``last`` only so many."""
        mine = decisions.c.model == model
        with self._read() as tx:
            return _judged(tx, _with_version().where(mine).order_by(decisions.c.version.desc()).limit(last))

    def recent_runs(self, pipeline: str, flows: tuple[str, ...], last: int) -> tuple[Run, ...]:
        """Return the last runs of some flows of a pipeline, newest first."""
        found = select(runs).where(runs.c.pipeline == pipeline, runs.c.flow.in_(flows))
        rows = self._rows(found.order_by(runs.c.token.desc(), runs.c.started_at.desc()).limit(last))
        return tuple(Run(**{**row, "record": json.loads(row["record"])}) for row in rows)

    def recent_publications(self, pipeline: str, last: int) -> tuple[Publication, ...]:
        """Return the publications of the last dates, newest first."""
        found = select(publications.c.fact).where(publications.c.pipeline == pipeline)
        rows = self._rows(found.order_by(publications.c.as_of.desc()).limit(last))
        return tuple(decode(Publication, row["fact"]) for row in rows)

    def measured_errors(self, pipeline: str, days: int) -> tuple[DailyError, ...]:
        """Return the error of each matured day and part, oldest first, as far back as ``days`` before the newest.

        A measurement tells of several days, so only every so manyth is read: the newest, then the newest that
        is older than all days known so far. A day is told as the latest measurement that was read saw it.
        """
        found: dict[tuple[date, str], DailyError] = {}
        with self._read() as tx:
            of_pipeline = select(measurements.c.as_of).where(measurements.c.pipeline == pipeline)
            dates = list(tx.scalars(of_pipeline.order_by(measurements.c.as_of.desc())))
            oldest = None
            for day in dates:
                if oldest is not None and (day >= oldest or (dates[0] - day).days > days):
                    continue
                mine = (measurements.c.pipeline == pipeline, measurements.c.as_of == day)
                read = decode(_Daily, tx.scalar(select(measurements.c.fact).where(*mine)) or "")
                for one in read.daily:
                    found.setdefault((one.day, one.key), one)
                oldest = min((one.day for one in read.daily), default=oldest)
        return tuple(one for _, one in sorted(found.items()))


def _pairs(tx: Connection, statement: Select[Any]) -> list[tuple[Any, Any]]:
    return [(row[0], row[1]) for row in tx.execute(statement)]


def _newest(tx: Connection, table: Any, kind: type[Any]) -> list[Any]:
    """Return the fact of the newest as-of date of each pipeline."""
    last = select(table.c.pipeline, func.max(table.c.as_of).label("as_of")).group_by(table.c.pipeline).subquery()
    same = and_(last.c.pipeline == table.c.pipeline, last.c.as_of == table.c.as_of)
    return [decode(kind, text) for text in tx.scalars(select(table.c.fact).join(last, same))]


def _roles(tx: Connection) -> dict[str, dict[str, RoleChange]]:
    by_role = (role_changes.c.model, role_changes.c.role)
    last = select(*by_role, func.max(role_changes.c.position).label("position")).group_by(*by_role).subquery()
    same = and_(last.c.model == role_changes.c.model, last.c.position == role_changes.c.position)
    found: dict[str, dict[str, RoleChange]] = {}
    for row in tx.execute(select(role_changes).join(last, same)).mappings():
        change = RoleChange(**{name: row[name] for name in RoleChange.__dataclass_fields__})
        found.setdefault(change.model, {})[change.role] = change
    return found


def _holders(tx: Connection, roles: Mapping[str, Mapping[str, RoleChange]]) -> dict[str, ModelVersion]:
    """Return the champions, by model."""
    found = {}
    for model, mine in roles.items():
        change = mine.get("champion")
        if change and change.version is not None:
            wanted = select(versions).where(versions.c.model == model, versions.c.version == change.version)
            found[model] = ModelVersion(**tx.execute(wanted).mappings().one())
    return found


def _with_version() -> Select[Any]:
    """Select decisions with their versions and reviews."""
    entered = exists().where(
        role_changes.c.model == decisions.c.model,
        role_changes.c.version == decisions.c.version,
        role_changes.c.role == "champion",
    )
    more = (decisions.c.fact, decisions.c.as_of.label("decided"), entered.label("entered"))
    said = (reviews.c.verdict.label("review"), reviews.c.actor.label("reviewer"), reviews.c.reason.label("why"))
    answered = and_(reviews.c.model == decisions.c.model, reviews.c.version == decisions.c.version)
    return (
        select(versions, *more, *said)
        .select_from(decisions)
        .join(versions, versions.c.run_key == decisions.c.run_key)
        .outerjoin(reviews, answered)
    )


def _newest_judged() -> Select[Any]:
    last = select(decisions.c.model, func.max(decisions.c.version).label("version")).group_by(decisions.c.model)
    newest = last.subquery()
    same = and_(newest.c.model == decisions.c.model, newest.c.version == decisions.c.version)
    return _with_version().join(newest, same)


def _judged(tx: Connection, statement: Select[Any]) -> tuple[Judged, ...]:
    return tuple(
        Judged(
            version=ModelVersion(**{name: row[name] for name in ModelVersion.__dataclass_fields__}),
            as_of=row["decided"],
            decision=decode(Decision, row["fact"]),
            entered=bool(row["entered"]),
            review=row["review"] or "",
            reviewer=row["reviewer"] or "",
            why=row["why"] or "",
        )
        for row in tx.execute(statement).mappings()
    )


def _waiting(tx: Connection) -> dict[str, tuple[int, ...]]:
    """Return the versions that wait for approval, by model."""
    answered = and_(reviews.c.model == rollouts.c.model, reviews.c.version == rollouts.c.version)
    known = and_(versions.c.model == rollouts.c.model, versions.c.version == rollouts.c.version)
    open_ = (rollouts.c.approval, reviews.c.verdict.is_(None), versions.c.state != "retired")
    asked = select(rollouts.c.model, rollouts.c.version).outerjoin(reviews, answered).join(versions, known)
    found: dict[str, tuple[int, ...]] = {}
    for model, version in _pairs(tx, asked.where(*open_).order_by(rollouts.c.version)):
        found[model] = (*found.get(model, ()), version)
    return found


def _last_runs(tx: Connection) -> list[Run]:
    """Return the newest run of each pipeline."""
    last = select(runs.c.pipeline, func.max(runs.c.token).label("token")).group_by(runs.c.pipeline).subquery()
    same = and_(last.c.pipeline == runs.c.pipeline, last.c.token == runs.c.token)
    return [_run(row) for row in tx.execute(select(runs).join(last, same).order_by(runs.c.started_at))]


def _run(row: Row[Any]) -> Run:
    record = json.loads(row.record)
    return Run(**{**row._mapping, "record": {"error": record["error"]} if "error" in record else {}})
