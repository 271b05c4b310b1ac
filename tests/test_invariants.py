"""Invariants: a sound project has no violation, and each way of breaking one is named."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import delete, update
from sqlalchemy.sql import Executable

from perennial.clock import cutoff
from perennial.config.models import Environment
from perennial.contracts import Landing, Publication, RowCounts, Snapshot, TablePin
from perennial.invariants import Violation, check_invariants
from perennial.lake.tables import Lake
from perennial.ledger import Ledger
from perennial.ledger.engine import transaction
from perennial.ledger.schema import audit, decisions, outbox, role_changes, snapshots, versions
from perennial.registry.modelstore import ModelStore
from tests import fitted, ledgers
from tests.ledgers import DAY, REPORT

SCHEMA = pa.schema([("entity", pa.string()), ("ds", pa.date32()), ("landing", pa.string())])
STAMPED = pa.schema([("entity", pa.string()), ("ds", pa.date32()), ("version", pa.int32()), ("as_of", pa.date32())])


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    """A project in which one landing was trained on twice, and each model published once."""
    home = str(tmp_path)
    made = Environment(
        environment="test",
        home=home,
        ledger=f"sqlite:///{home}/ledger.db",
        lake=f"{home}/lake",
        models=f"{home}/models",
    )
    ledger, lake, store = opened(made)
    with ledger.hold("demand", locks=tmp_path) as lease:
        one = landed(lake)
        ledger.record_landing(lease, one)
        ledger.accept_landing(lease, one.landing_id, REPORT)
        for n, day in enumerate((DAY, DAY + timedelta(days=1)), 1):
            ledger.pin_snapshot(lease, pinned(one, day))
            blob = fitted.blob(("linear", "lightgbm")[n - 1])
            store.put(blob)
            version = ledger.record_training(
                lease, model="demand", run_key=f"k{n}", digest=blob.digest, snapshot_id=f"s{day}", as_of=day
            )
            ledger.commit_decision(lease, version, ledgers.decision(), as_of=day, actor="t")
            ledger.record_publication(lease, published(lake, n, day))
    return made


def opened(env: Environment) -> tuple[Ledger, Lake, ModelStore]:
    """Open what an environment names."""
    ledger = Ledger.open(env.ledger, anchors=Path(env.home) / "anchors")
    return ledger, Lake(env.lake), ModelStore(env.models)


def landed(lake: Lake) -> Landing:
    """Append two rows to the observations."""
    rows = pa.RecordBatch.from_pydict({"entity": ["a", "b"], "ds": [DAY, DAY], "landing": ["l1", "l1"]}, SCHEMA)
    done = lake.append("demand", [rows], SCHEMA)
    return Landing(
        landing_id="l1",
        pipeline="demand",
        table="demand",
        as_of=DAY,
        version_before=-1,
        version_after=done.version,
        files=done.files,
        sources=(),
        counts=RowCounts(rows_in=2, accepted=2),
        first_visible=DAY,
    )


def pinned(one: Landing, day: date) -> Snapshot:
    """Pin one landing as of a day."""
    main = TablePin(table="demand", version=one.version_after, landings=(one.landing_id,))
    return Snapshot(snapshot_id=f"s{day}", pipeline="demand", as_of=day, cutoff=cutoff(day), main=main, known={})


def published(
    lake: Lake, version: int, day: date, *, stamps: tuple[int, int] | None = None, rows: int = 2
) -> Publication:
    """Append a partition of two rows and describe it."""
    ahead = [day + timedelta(days=1)] * 2
    stamp = list(stamps or (version, version))
    data = {"entity": ["a", "b"], "ds": ahead, "version": stamp, "as_of": [day, day]}
    done = lake.append("demand.predictions", [pa.RecordBatch.from_pydict(data, STAMPED)], STAMPED)
    return Publication(
        pipeline="demand",
        as_of=day,
        version=version,
        digest="",
        table_version=done.version,
        rows=rows,
        entities=2,
        first=ahead[0],
        last=ahead[0],
        rungs={"champion": 2},
        files=done.files,
        published_at=cutoff(day),
    )


def execute(env: Environment, statement: Executable) -> None:
    """Change the database behind the ledger's back."""
    with transaction(opened(env)[0]._engine, write=True) as tx:
        tx.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        tx.execute(statement)


def broken(env: Environment, *, deep: bool = True) -> set[str]:
    """Return which invariants are violated; a change behind the ledger's back always breaks I8, which is left out."""
    return {one.invariant for one in check_invariants(env, deep=deep)} - {"I8"}


@pytest.mark.parametrize("deep", [True, False])
def test_a_sound_project_has_no_violation(env: Environment, deep: bool) -> None:
    """Nothing is cried out without cause."""
    assert check_invariants(env, deep=deep) == ()


def test_an_empty_project_has_no_violation(tmp_path: Path) -> None:
    """Before the first run everything holds."""
    home = str(tmp_path)
    empty = Environment(
        environment="t", home=home, ledger=f"sqlite:///{home}/l.db", lake=f"{home}/a", models=f"{home}/b"
    )
    assert check_invariants(empty) == ()


@pytest.mark.parametrize(
    ("statement", "invariant"),
    [
        (update(decisions).where(decisions.c.version == 2).values(fact='{"verdicts":[]}'), "I1"),
        (update(versions).where(versions.c.version == 2).values(state="retired"), "I1"),
        (update(versions).where(versions.c.version == 2).values(digest="0" * 64), "I1"),
        (update(versions).where(versions.c.version == 1).values(digest="0" * 64), "I9"),
        (delete(role_changes).where(role_changes.c.version == 2), "I3"),
        (update(versions).values(mlflow_version=4), "I3"),
        (update(versions).where(versions.c.version == 2).values(as_of=date(2030, 1, 1)), "I5"),
        (delete(snapshots), "I5"),
        (delete(outbox).where(outbox.c.id == 1), "I7"),
    ],
)
def test_a_contradiction_in_the_ledger_is_found(env: Environment, statement: Executable, invariant: str) -> None:
    """Facts that cannot be true together are named by the invariant they break."""
    execute(env, statement)
    assert invariant in broken(env)


def test_a_cut_off_audit_trail_is_found(env: Environment) -> None:
    """The anchors that promotions left in the home folder are used."""
    execute(env, delete(audit).where(audit.c.seq > 5))
    assert any("cut off" in one.detail for one in check_invariants(env, deep=False) if one.invariant == "I8")


@pytest.mark.parametrize(
    ("files", "invariant"),
    [("lake/demand/*.parquet", "I4"), ("lake/demand.predictions/*.parquet", "I2"), ("models/*/*.skops", "I1")],
)
@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: flip_bit(path)], ids=["missing", "flipped"]
)
def test_damaged_bytes_are_found(
    env: Environment, files: str, invariant: str, damage: Callable[[Path], object]
) -> None:
    """A data file or a model that is missing or has one bit flipped is named."""
    for path in Path(env.home).glob(files):
        damage(path)
    found = check_invariants(env)
    assert invariant in {one.invariant for one in found}
    assert "I8" not in {one.invariant for one in found}


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(("stamps", "rows", "text"), [((2, 1), 2, "is mixed"), ((2, 2), 9, "9 were recorded")])
def test_a_partial_or_mixed_partition_is_found(
    env: Environment, tmp_path: Path, stamps: tuple[int, int], rows: int, text: str
) -> None:
    """Every row of a partition is of one version, and all that were recorded are there."""
    ledger, lake, _ = opened(env)
    day = DAY + timedelta(days=9)
    with ledger.hold("demand", locks=tmp_path) as lease:
        ledger.record_publication(lease, published(lake, 2, day, stamps=stamps, rows=rows))
    (violation,) = check_invariants(env)
    assert violation.invariant == "I2"
    assert text in violation.detail


def test_rows_that_are_not_accounted_for_are_found(env: Environment, tmp_path: Path) -> None:
    """A landing must say what became of every row, and its table must hold what it accepted."""
    ledger = opened(env)[0]
    with ledger.hold("demand", locks=tmp_path) as lease:
        ledger.record_landing(lease, ledgers.landing(2))
        ledger.reject_landing(lease, ledgers.landing(2).landing_id, REPORT)
        lost = Landing(
            landing_id="l2",
            pipeline="demand",
            table="demand",
            as_of=DAY,
            version_before=0,
            version_after=0,
            files=(),
            sources=(),
            counts=RowCounts(rows_in=5, accepted=3),
            first_visible=DAY,
        )
        ledger.record_landing(lease, lost)
    details = [one.detail for one in check_invariants(env)]
    assert [detail.split(":")[0] for detail in details] == [
        "landing l2 of demand does not account for all of its rows",
        "landing l2 accepted 3 rows, but demand holds 0 of them",
    ]


def test_unrecorded_rows_of_a_killed_run_are_no_violation(env: Environment) -> None:
    """What was appended and never recorded is invisible to every reader, and taken back by the next run."""
    lake = opened(env)[1]
    landed(lake)
    published(lake, 2, DAY + timedelta(days=5))
    assert check_invariants(env) == ()


def test_a_violation_names_what_is_wrong(env: Environment) -> None:
    """A person can act on the sentence."""
    execute(env, update(versions).where(versions.c.version == 2).values(state="retired"))
    assert Violation(invariant="I1", detail="demand 2 is the champion although it was retired") in check_invariants(
        env, deep=False
    )
