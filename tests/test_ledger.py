"""The ledger: what is written once, comes back as it was, and cannot contradict itself."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts import Verdict
from perennial.errors import ConfigError, LedgerError, Refused
from perennial.ledger import Lease, Ledger
from perennial.ledger.codec import canonical, decode, encode
from tests import ledgers, pg
from tests.ledgers import DAY, REPORT


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL server for the whole file."""
    with pg.postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    with pg.database(request.getfixturevalue("server")) as database:
        yield database


@pytest.fixture
def ledger(url: str, tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger.open(url, anchors=tmp_path / "anchors")


@pytest.fixture
def lease(ledger: Ledger, tmp_path: Path) -> Iterator[Lease]:
    """The right to write for ``demand``."""
    with ledger.hold("demand", locks=tmp_path / "locks", wait_s=5) as held:
        yield held


@contextmanager
def clock_at(ledger: Ledger, moment: datetime) -> Iterator[None]:
    """Let a ledger believe that it is another time."""
    before, ledger._now = ledger._now, lambda: moment
    yield
    ledger._now = before


def test_a_run_is_recorded_from_beginning_to_end(ledger: Ledger, lease: Lease) -> None:
    """A run is running, then what it was told to be, with its record."""
    run_id = ledger.begin_run(lease, "retrain", DAY)
    assert [run.status for run in ledger.runs("demand")] == ["running"]

    ledger.end_run(lease, run_id, "succeeded", {"version": 1, "at": DAY})

    (run,) = ledger.runs("demand")
    assert (run.status, run.as_of, run.record) == ("succeeded", DAY, {"version": 1, "at": "2011-11-01"})
    assert run.ended_at is not None
    assert run.ended_at.utcoffset() == timedelta(0)


def test_beginning_a_run_twice_is_one_run_and_its_first_end_stands(ledger: Ledger, lease: Lease) -> None:
    """Both calls can be repeated after a crash."""
    run_id = ledger.begin_run(lease, "retrain", DAY)
    assert ledger.begin_run(lease, "retrain", DAY) == run_id
    ledger.end_run(lease, run_id, "succeeded", {})
    ledger.end_run(lease, run_id, "failed", {})
    assert [run.status for run in ledger.runs("demand")] == ["succeeded"]


def test_a_run_that_died_is_found_lost_by_the_next(ledger: Ledger, tmp_path: Path) -> None:
    """A run that never ended does not stay RUNNING for ever."""
    for _ in range(2):
        with ledger.hold("demand", locks=tmp_path / "locks") as lease:
            ledger.begin_run(lease, "retrain", DAY)
    assert [run.status for run in ledger.runs("demand")] == ["lost", "running"]


def test_ending_an_unknown_run_is_an_error(ledger: Ledger, lease: Lease) -> None:
    """Nothing ends that has not begun."""
    with pytest.raises(LedgerError, match="'nobody' was never begun"):
        ledger.end_run(lease, "nobody", "done", {})


def test_a_landing_comes_back_as_it_was(ledger: Ledger, lease: Lease) -> None:
    """Files, counts and dates survive the way through the database."""
    ledger.record_landing(lease, ledgers.landing())
    assert ledger.landings("demand") == (ledgers.landing(),)
    assert ledger.table_version("demand") == 0
    assert ledger.files("demand") == ledgers.landing().files
    assert ledger.table_version("demand.prices") is None


def test_accepting_a_landing_keeps_what_the_checks_said(ledger: Ledger, lease: Lease) -> None:
    """A landing has no report until it is judged, and then can be asked for by status."""
    one = ledgers.landing()
    ledger.record_landing(lease, one)
    assert ledger.check_report(one.landing_id) is None
    ledger.accept_landing(lease, one.landing_id, REPORT)
    ledger.accept_landing(lease, one.landing_id, REPORT)
    assert ledger.check_report(one.landing_id) == REPORT
    assert ledger.landings("demand", "accepted") == (one,)
    assert ledger.landings("demand", "landed") == ()


def test_a_rejected_landing_no_longer_stands_and_may_land_again(ledger: Ledger, lease: Lease) -> None:
    """Rejection takes it out of the table's version; the same rows may come back at another version."""
    ledger.record_landing(lease, ledgers.landing(1))
    ledger.record_landing(lease, ledgers.landing(2))
    ledger.reject_landing(lease, ledgers.landing(2).landing_id, REPORT)
    assert ledger.table_version("demand") == 0
    again = ledgers.landing(4, landing_id=ledgers.landing(2).landing_id)
    ledger.record_landing(lease, again)
    assert ledger.landings("demand") == (ledgers.landing(1), again)
    assert ledger.check_report(again.landing_id) is None


def test_a_landing_with_other_contents_under_a_known_id_is_an_error(ledger: Ledger, lease: Lease) -> None:
    """Ids are digests: one that names two contents is corruption."""
    ledger.record_landing(lease, ledgers.landing(1))
    with pytest.raises(LedgerError, match="recorded with other contents"):
        ledger.record_landing(lease, ledgers.landing(2, landing_id=ledgers.landing(1).landing_id))


@pytest.mark.parametrize(("first", "then"), [("accept", "reject"), ("reject", "accept")])
def test_a_judgement_is_not_turned_around(ledger: Ledger, lease: Lease, first: str, then: str) -> None:
    """What was accepted is not rejected, and the other way round."""
    ledger.record_landing(lease, ledgers.landing())
    judge = {"accept": ledger.accept_landing, "reject": ledger.reject_landing}
    judge[first](lease, ledgers.landing().landing_id, REPORT)
    with pytest.raises(LedgerError, match="cannot become"):
        judge[then](lease, ledgers.landing().landing_id, REPORT)


def test_the_snapshot_pinned_last_is_the_one_of_its_date(ledger: Ledger, lease: Lease) -> None:
    """A date may be pinned again after a late landing; both snapshots stay."""
    ledger.pin_snapshot(lease, ledgers.snapshot("s1"))
    ledger.pin_snapshot(lease, ledgers.snapshot("s2", landings=("a", "b")))
    ledger.pin_snapshot(lease, ledgers.snapshot("s1"))
    assert ledger.snapshot("demand", DAY) == ledgers.snapshot("s2", landings=("a", "b"))
    assert ledger.snapshot_by_id("demand", "s1") == ledgers.snapshot("s1")
    assert ledger.snapshot("demand", date(2011, 11, 2)) is None


def test_one_run_key_is_one_version(ledger: Ledger, lease: Lease) -> None:
    """The number is allocated once; other keys get the next."""
    first = ledgers.trained(ledger, lease, "k1", "d1")
    assert ledgers.trained(ledger, lease, "k1", "d1") == first
    assert ledgers.trained(ledger, lease, "k2", "d2").version == 2
    assert ledger.version_by_key("k1") == first == ledger.version("demand", 1)
    assert ledger.versions("demand") == (first, ledger.version("demand", 2))
    assert ledger.models() == ("demand",)


def test_other_bytes_under_a_known_run_key_are_an_error(ledger: Ledger, lease: Lease) -> None:
    """Same key, same result: a fit that is not deterministic is found out."""
    ledgers.trained(ledger, lease, "k1", "d1")
    with pytest.raises(LedgerError, match="not deterministic"):
        ledgers.trained(ledger, lease, "k1", "d2")


def test_registration_tells_where_mlflow_keeps_a_version(ledger: Ledger, lease: Lease) -> None:
    """State, run and version are filled in; a repetition changes nothing."""
    ledgers.trained(ledger, lease)
    for _ in range(2):
        found = ledger.record_registration(lease, "demand", 1, "run", 7)
    assert (found.state, found.mlflow_run, found.mlflow_version) == ("registered", "run", 7)
    with pytest.raises(LedgerError, match="demand 9 does not exist; versions: 1 to 1"):
        ledger.record_registration(lease, "demand", 9, "run", 7)


def test_a_promotion_is_one_commit_of_decision_role_and_event(ledger: Ledger, lease: Lease) -> None:
    """What follows from a passing decision is there with it."""
    version = ledgers.promoted(ledger, lease)
    assert ledger.in_force("demand") == version
    assert ledger.decision("k1") == ledgers.decision()
    (change,) = ledger.role_history("demand")
    assert (change.version, change.previous, change.reason) == (1, None, "all 1 gates passed")
    (event,) = ledger.pending("alias")
    assert event.payload == {"model": "demand", "role": "champion", "version": 1}


def test_a_refusal_is_recorded_and_changes_no_role(ledger: Ledger, lease: Lease) -> None:
    """Kept champion: the verdicts are there, the roles are not touched."""
    version = ledgers.trained(ledger, lease)
    assert ledger.commit_decision(lease, version, ledgers.decision(promote=False), as_of=DAY, actor="t") is None
    assert ledger.decision("k1") == ledgers.decision(promote=False)
    assert ledger.in_force("demand") is None
    assert ledger.pending() == ()


def test_who_stands_on_an_earlier_date_meets_the_champion_of_then(ledger: Ledger, lease: Lease) -> None:
    """A version that knows the asker's future is passed over, also after a rollback to it and a vacated role."""
    made = []
    for n, key in enumerate(("k1", "k2"), 1):
        facts = {"run_key": key, "digest": key, "snapshot_id": "s1", "as_of": DAY + timedelta(days=7 * n)}
        made.append(ledger.record_training(lease, model="demand", **facts))  # type: ignore[arg-type]
        ledger.commit_decision(lease, made[-1], ledgers.decision(), as_of=made[-1].as_of, actor="t")
    first, second = made
    for to in (1, 2):
        ledger.change_role(lease, "demand", "champion", to, as_of=second.as_of, actor="t", reason="trial")
    asked = (DAY, first.as_of, second.as_of - timedelta(days=1), second.as_of)
    assert [ledger.in_force("demand", on=day) for day in asked] == [None, first, first, second]
    ledger.change_role(lease, "demand", "champion", None, as_of=second.as_of, actor="t", reason="none is good")
    assert ledger.in_force("demand", on=first.as_of) is None


def test_the_first_decision_on_a_run_key_stands(ledger: Ledger, lease: Lease) -> None:
    """A repeated run returns what the first decision led to, also after a rollback, and decides nothing anew."""
    first, second = ledgers.promoted(ledger, lease, "k1"), ledgers.promoted(ledger, lease, "k2", "d2")
    ledger.change_role(lease, "demand", "champion", 1, as_of=DAY, actor="t", reason="worse in shops")
    again = ledger.commit_decision(lease, second, ledgers.decision(), as_of=DAY, actor="t")
    assert again is not None
    assert (again.version, again.previous) == (2, 1)
    assert ledger.in_force("demand") == first
    refused = ledger.commit_decision(lease, second, ledgers.decision(promote=False), as_of=DAY, actor="t")
    assert refused == again


def test_a_nan_in_a_verdict_survives(ledger: Ledger, lease: Lease) -> None:
    """The record keeps what was seen, also what no gate accepts."""
    version = ledgers.trained(ledger, lease)
    ledger.commit_decision(lease, version, ledgers.decision(promote=False, value=float("nan")), as_of=DAY, actor="t")
    found = ledger.decision("k1")
    assert found is not None
    assert found.verdicts[0].value != found.verdicts[0].value


def test_rollback_returns_to_the_champion_before(ledger: Ledger, lease: Lease) -> None:
    """Each rollback goes one champion further back; the first has none before it."""
    for n in range(1, 4):
        ledgers.promoted(ledger, lease, f"k{n}", f"d{n}")
    for expected in (2, 1):
        target = ledger.rollback_target("demand")
        assert target.version == expected
        ledger.change_role(lease, "demand", "champion", expected, as_of=DAY, actor="t", reason="rollback")
    with pytest.raises(Refused, match="demand 1 is the first champion"):
        ledger.rollback_target("demand")
    with pytest.raises(Refused, match="no champion; models: 'demand'"):
        ledger.rollback_target("demnad")


def test_only_a_version_that_passed_may_take_a_role(ledger: Ledger, lease: Lease) -> None:
    """No back door: by hand, too, a version without a passing decision is refused."""
    ledgers.promoted(ledger, lease, "k1")
    ledgers.trained(ledger, lease, "k2", "d2")
    with pytest.raises(Refused, match="demand 2 never passed its gates"):
        ledger.change_role(lease, "demand", "champion", 2, as_of=DAY, actor="t", reason="I like it")


def test_a_retired_version_stays_out_of_force(ledger: Ledger, lease: Lease) -> None:
    """Retired is for good; what is in force cannot be retired."""
    ledgers.promoted(ledger, lease, "k1")
    ledgers.promoted(ledger, lease, "k2", "d2")
    with pytest.raises(Refused, match="demand 2 is the champion"):
        ledger.retire(lease, "demand", 2, actor="t", reason="old")
    assert ledger.retire(lease, "demand", 1, actor="t", reason="old").state == "retired"
    with pytest.raises(Refused, match="demand 1 was retired"):
        ledger.change_role(lease, "demand", "champion", 1, as_of=DAY, actor="t", reason="back")
    with pytest.raises(Refused, match="first champion"):
        ledger.rollback_target("demand")


def test_a_role_can_be_vacated_and_asking_twice_changes_nothing(ledger: Ledger, lease: Lease) -> None:
    """A vacant role has nothing in force; history tells since when."""
    ledgers.promoted(ledger, lease)
    for _ in range(2):
        ledger.change_role(lease, "demand", "champion", None, as_of=date(2011, 11, 5), actor="t", reason="recall")
    assert ledger.in_force("demand") is None
    assert [change.version for change in ledger.role_history("demand")] == [1, None]
    assert [change.version for change in ledger.role_history("demand", on=date(2011, 11, 4))] == [1]


def test_a_lease_is_for_one_model(ledger: Ledger, lease: Lease, tmp_path: Path) -> None:
    """The lock of one pipeline does not let anybody write facts of another."""
    version = ledgers.promoted(ledger, lease)
    with ledger.hold("prices", locks=tmp_path / "locks") as other, pytest.raises(LedgerError, match="for 'prices'"):
        ledger.commit_decision(other, version, ledgers.decision(), as_of=DAY, actor="t")


def test_a_date_is_published_once(ledger: Ledger, lease: Lease) -> None:
    """The first publication stands; another version for the same date is an error."""
    ledgers.promoted(ledger, lease)
    ledgers.promoted(ledger, lease, "k2", "d2")
    for _ in range(2):
        ledger.record_publication(lease, ledgers.publication())
    assert ledger.publication("demand", DAY) == ledgers.publication()
    assert ledger.publications("demand") == (ledgers.publication(),)
    assert ledger.published_version("demand") == 4
    assert ledger.published_files("demand") == ledgers.publication().files
    with pytest.raises(LedgerError, match="published by version 1 and is not replaced by 2"):
        ledger.record_publication(lease, ledgers.publication(version=2))


def test_an_event_backs_off_until_it_is_sent(ledger: Ledger, lease: Lease) -> None:
    """A vain attempt delays the next one; a sent event is pending no more."""
    ledgers.promoted(ledger, lease)
    (event,) = ledger.pending("alias", due=True)
    ledger.mark_failed(event.id, "connection refused")
    assert ledger.pending("alias", due=True) == ()
    (event,) = ledger.pending("alias")
    assert (event.attempts, event.error) == (1, "connection refused")
    with clock_at(ledger, datetime.now(UTC) + timedelta(hours=1)):
        assert len(ledger.pending(due=True)) == 1
    ledger.mark_sent(event.id)
    assert ledger.pending() == ()


def test_opening_a_ledger_again_shows_the_same_facts(ledger: Ledger, lease: Lease, url: str) -> None:
    """What was committed is in the database, not in the object."""
    version = ledgers.promoted(ledger, lease)
    assert Ledger.open(url).in_force("demand") == version


@pytest.mark.parametrize("url_text", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "no url", ""])
def test_only_durable_supported_databases_are_accepted(url_text: str) -> None:
    """A ledger that would vanish with the process, or of another kind, is refused."""
    with pytest.raises(ConfigError, match="ledger"):
        Ledger.open(url_text)


def test_a_newer_ledger_is_refused(url: str) -> None:
    """An old program does not write into tables that it does not know."""
    from sqlalchemy import update

    from perennial.ledger.engine import transaction
    from perennial.ledger.schema import meta

    ledger = Ledger.open(url)
    with transaction(ledger._engine, write=True) as tx:
        tx.execute(update(meta).values(schema_version=99))
    with pytest.raises(LedgerError, match="version 99, this program knows version 2"):
        Ledger.open(url)


def test_a_database_that_does_not_answer_is_a_ledger_error_without_its_password() -> None:
    """Operators see where the ledger should be, not how to get in."""
    address = f"postgresql://perennial:hunter2@127.0.0.1:{pg.free_port()}/ledger"
    with pytest.raises(LedgerError, match=r"perennial:\*\*\*@127.0.0.1") as caught:
        Ledger.open(address)
    assert "hunter2" not in str(caught.value)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["train", "promote", "give", "retire"]), st.integers(1, 4)), max_size=12))
def test_roles_follow_any_sequence_of_wishes(wishes: list[tuple[str, int]]) -> None:
    """Whatever is asked for in whatever order, a three-line model of the rules ends at the same champion."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", anchors=Path(folder) / "anchors")
        passed: set[int] = set()
        retired: set[int] = set()
        champion = None
        with ledger.hold("demand", locks=Path(folder)) as lease:
            for wish, n in wishes:
                if wish in ("train", "promote"):
                    version = ledgers.trained(ledger, lease, f"k{n}", f"d{n}")
                    known = ledger.decision(version.run_key) is not None
                    promote = wish == "promote"
                    ledger.commit_decision(lease, version, ledgers.decision(promote=promote), as_of=DAY, actor="t")
                    if promote and not known:
                        passed, champion = passed | {version.version}, version.version
                    continue
                with suppress(Refused, LedgerError):
                    if wish == "give":
                        ledger.change_role(lease, "demand", "champion", n, as_of=DAY, actor="t", reason="r")
                    else:
                        ledger.retire(lease, "demand", n, actor="t", reason="r")
                if wish == "give" and n in passed - retired:
                    champion = n
                if wish == "retire" and n != champion and n <= len(ledger.versions("demand")):
                    retired.add(n)
        found = ledger.in_force("demand")
        assert (found.version if found else None) == champion
        assert {v.version for v in ledger.versions("demand") if v.state == "retired"} == retired
        assert ledger.verify_audit() == ()


@given(
    value=st.floats(allow_nan=False),
    bound=st.floats(allow_nan=False),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    passed=st.booleans(),
)
def test_a_contract_survives_canonical_json(value: float, bound: float, text: str, passed: bool) -> None:
    """Decoding inverts encoding, infinities and any text included."""
    one = Verdict(
        gate=text, metric="wape", against="bound", key="", value=value, bound=bound, passed=passed, reason=text
    )
    assert decode(Verdict, encode(one)) == one


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    """Equal facts have equal text."""
    assert canonical({"b": 1, "a": {"d": 2, "c": (3,)}}) == canonical({"a": {"c": [3], "d": 2}, "b": 1})
