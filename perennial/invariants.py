"""What must always hold, checked on data at rest: by tests, by ``perennial verify`` and by the kill sweep.

===  =====================================================================================================
I1   A version in force has a passing decision that is recorded, is not retired, and its bytes match.
I2   A publication is whole: its files, rows, stamps and digests are those recorded, each version of it passed.
I3   One run key has one version, one decision, one partition.
I4   Rows are conserved: every landing accounts for each row, and the tables hold what was accepted.
I5   A snapshot shows only landings that stand and were known at its cut-off.
I6   Model bytes name no type that could run code.
I7   Every change of a role, and every alert, has its event in the outbox.
I8   The audit trail verifies and covers every fact.
I9   Every version that was in force, and so may be again, keeps its bytes.
===  =====================================================================================================
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from perennial.clock import cutoff
from perennial.config.models import Environment
from perennial.contracts import NOBODY, ROLES, Landing, ModelVersion, Publication, Snapshot, StoredFile, TablePin
from perennial.errors import IntegrityError, PerennialError, sample
from perennial.lake.tables import LANDING, Lake
from perennial.ledger import Ledger, alias_key
from perennial.registry.canonical import loads
from perennial.registry.modelstore import ModelStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that should never be.

    Attributes:
        invariant: ``I1`` to ``I9``.
        detail: One sentence that names the fact.
    """

    invariant: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stores:
    ledger: Ledger
    lake: Lake
    models: ModelStore
    deep: bool


def check_invariants(env: Environment, *, deep: bool = True) -> tuple[Violation, ...]:
    """Check everything that data at rest can show; empty when all of it holds.

    Safe while runs are going on: what a run has not recorded yet is not looked at.

    Args:
        env: Where the ledger, the lake and the models are.
        deep: Also read every data file and model; without it only the ledger, and the bytes in force.

    Raises:
        LedgerError: The ledger cannot be reached.
    """
    ledger = Ledger.open(env.ledger, anchors=Path(env.home) / "anchors")
    stores = _Stores(ledger=ledger, lake=Lake(env.lake, env.s3), models=ModelStore(env.models, env.s3), deep=deep)
    checks: tuple[tuple[str, Callable[[_Stores], Iterator[str]]], ...] = (
        ("I1", _in_force),
        ("I2", _publications),
        ("I3", _run_keys),
        ("I4", _rows),
        ("I5", _snapshots),
        ("I6", _types),
        ("I7", _events),
        ("I8", lambda s: iter(s.ledger.verify_audit())),
        ("I9", _kept),
    )
    return tuple(Violation(invariant=name, detail=text) for name, check in checks for text in check(stores))


def _in_force(s: _Stores) -> Iterator[str]:
    for model in s.ledger.models():
        for role in ROLES:
            version = s.ledger.in_force(model, role)
            if version is None:
                continue
            decision = s.ledger.decision(version.run_key)
            if decision is None or not decision.promote:
                yield f"{_name(version)} is the {role} without a passing decision"
            if version.state == "retired":
                yield f"{_name(version)} is the {role} although it was retired"
            yield from _bytes(s, version)


def _bytes(s: _Stores, version: ModelVersion) -> Iterator[str]:
    try:
        s.models.get(version.digest)
    except PerennialError as error:
        yield f"{_name(version)}: {error}"


def _publications(s: _Stores) -> Iterator[str]:
    for pipeline in s.ledger.pipelines():
        table, published = f"{pipeline}.predictions", s.ledger.publications(pipeline)
        for one in published:
            for number in {one.version, *map(int, one.versions)} - {NOBODY}:
                version = s.ledger.version(pipeline, number)
                decision = s.ledger.decision(version.run_key) if version else None
                if decision is None or not decision.promote:
                    yield f"{table} {one.as_of} is by version {number}, which never passed its gates"
            if one.versions.get(str(NOBODY), 0) != one.rungs.get("naive", 0):
                yield f"{table} {one.as_of} has rows of no version that are not naive ones"
        if s.deep and published:
            newest = max(one.table_version for one in published)
            damaged = tuple(_damaged(s, table, newest, s.ledger.published_files(pipeline)))
            yield from damaged or (text for one in published for text in _partition(s, table, one))


def _partition(s: _Stores, table: str, one: Publication) -> Iterator[str]:
    columns = ["entity", "ds", "version", "as_of"]
    batches = list(s.lake.scan(table, one.table_version, files=one.files, columns=columns))
    found = sum(batch.num_rows for batch in batches)
    if found != one.rows:
        yield f"{table} {one.as_of} has {found} rows, {one.rows} were recorded"
    if found != one.rows or not found:
        return
    rows = pa.Table.from_batches(batches)
    counted = rows.group_by(["version", "as_of"]).aggregate([([], "count_all")]).to_pylist()
    stamps = {(part["version"], part["as_of"]): part["count_all"] for part in counted}
    recorded = one.versions or {str(one.version): one.rows}
    if stamps != {(int(number), one.as_of): n for number, n in recorded.items()}:
        yield f"{table} {one.as_of} is mixed: {sample(counted)}"
    if rows.group_by(["entity", "ds"]).aggregate([]).num_rows != rows.num_rows:
        yield f"{table} {one.as_of} has several forecasts for one entity and day"


def _run_keys(s: _Stores) -> Iterator[str]:
    for model in s.ledger.models():
        versions = s.ledger.versions(model)
        if [v.version for v in versions] != list(range(1, len(versions) + 1)):
            yield f"the versions of {model} are not 1 to {len(versions)}"
        promoted = {change.version for change in s.ledger.role_history(model)}
        held = {one.version for one in s.ledger.waiting(model)} | s.ledger.rejected(model)
        for version in versions:
            decision = s.ledger.decision(version.run_key)
            if decision and decision.promote and version.version not in promoted | held:
                yield f"{_name(version)} was promoted, but never came into force, nor waits for approval"
        numbers = Counter(v.mlflow_version for v in versions if v.mlflow_version)
        yield from (f"{model}: MLflow's version {n} stands for {k} versions" for n, k in numbers.items() if k > 1)


def _rows(s: _Stores) -> Iterator[str]:
    for pipeline in s.ledger.pipelines():
        for table in s.ledger.tables(pipeline):
            landings = s.ledger.landings(table)
            for one in landings:
                if not one.counts.conserved:
                    yield f"landing {one.landing_id[:12]} of {table} does not account for all of its rows: {one.counts}"
            if s.deep and landings:
                yield from _landed(s, table, landings)


def _landed(s: _Stores, table: str, landings: Sequence[Landing]) -> Iterator[str]:
    """Compare what a table and its quarantine hold with what the landings say they put there."""
    version, files = max(one.version_after for one in landings), s.ledger.files(table)
    if damaged := tuple(_damaged(s, table, version, files)):
        yield from damaged
        return
    held: Counter[str] = Counter()
    for batch in s.lake.scan(table, version, files=files, columns=[LANDING]):
        held.update({item["values"]: item["counts"] for item in batch[LANDING].value_counts().to_pylist()})
    for one in landings:
        if held[one.landing_id] != one.counts.accepted:
            yield (
                f"landing {one.landing_id[:12]} accepted {one.counts.accepted} rows, "
                f"but {table} holds {held[one.landing_id]} of them"
            )


def _damaged(s: _Stores, table: str, version: int, files: Sequence[StoredFile]) -> Iterator[str]:
    try:
        lost = s.lake.verify(table, version, files)
    except IntegrityError as error:
        yield str(error)
    else:
        yield from (f"{path} is missing or was altered" for path in lost)


def _snapshots(s: _Stores) -> Iterator[str]:
    for pipeline in s.ledger.pipelines():
        snapshots = s.ledger.snapshots(pipeline)
        for one in snapshots:
            if one.cutoff != cutoff(one.as_of):
                yield f"snapshot {one.snapshot_id[:12]} of {one.as_of} is cut off at {one.cutoff}"
            for pin in (one.main, *one.known.values()):
                yield from _pin(s, one, pin)
        known = {one.snapshot_id: one.as_of for one in snapshots}
        for version in s.ledger.versions(pipeline):
            if known.get(version.snapshot_id) != version.as_of:
                yield f"{_name(version)} stands on a snapshot that is not recorded for {version.as_of}"


def _pin(s: _Stores, snapshot: Snapshot, pin: TablePin) -> Iterator[str]:
    landings = {one.landing_id: one for one in s.ledger.landings(pin.table, "accepted")}
    name = f"snapshot {snapshot.snapshot_id[:12]} of {snapshot.as_of}"
    for landing_id in pin.landings:
        landing = landings.get(landing_id)
        if landing is None:
            yield f"{name} shows landing {landing_id[:12]}, which was not accepted"
        elif landing.first_visible is None or landing.first_visible > snapshot.as_of:
            yield f"{name} shows rows first known {landing.first_visible}"


def _types(s: _Stores) -> Iterator[str]:
    if not s.deep:
        return
    for model in s.ledger.models():
        version = s.ledger.in_force(model)
        if version is None:
            continue
        try:
            loads(s.models.get(version.digest), version.digest)
        except PerennialError as error:
            yield f"{_name(version)}: {error}"


def _events(s: _Stores) -> Iterator[str]:
    queued = s.ledger.event_keys("alias")
    for model in s.ledger.models():
        for n, change in enumerate(s.ledger.role_history(model), 1):
            if alias_key(model, n) not in queued:
                yield f"the change of {model}'s {change.role} to {change.version} has no event"
    told = s.ledger.event_keys("alert")
    yield from (f"{one.key} was opened, but nobody will be told" for one in s.ledger.alerts() if one.key not in told)


def _kept(s: _Stores) -> Iterator[str]:
    if not s.deep:
        return
    for model in s.ledger.models():
        was = {change.version for change in s.ledger.role_history(model)}
        now = {version.version for role in ROLES if (version := s.ledger.in_force(model, role))}
        for version in s.ledger.versions(model):
            if version.version in was - now:
                yield from _bytes(s, version)


def _name(version: ModelVersion) -> str:
    return f"{version.model} {version.version}"
