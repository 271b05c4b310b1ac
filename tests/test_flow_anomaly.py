"""Transaction anomalies through the real flows: trained, judged, published with reasons, measured once decided."""

import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from perennial.context import Workspace
from perennial.errors import Refused
from perennial.invariants import check_invariants
from perennial.simulate.anomalies import write
from tests import shop

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("default"),
]

NAME = "transaction_anomalies"
AS_OF = date(2024, 5, 15)
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
DATA = Path("data") / "simulated" / "anomalies"


def project(root: Path) -> Path:
    """Write the pipeline as it is shipped, with a smaller forest, and the simulated shop."""
    text = (
        (CONFIGS / f"{NAME}.yaml")
        .read_text()
        .replace("  budget: 3\n", "  budget: 3\n  trees: 10\n  may_be_idle: true\n")
    )
    shop.write_project(root, text, name=NAME)
    shutil.copy(CONFIGS / f"{NAME}.checks.yaml", root / "configs")
    write(root / DATA, 0)
    return root


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """Return a project whose first business date is done."""
    from flows.day import day

    root = project(tmp_path_factory.mktemp("anomaly"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (record,) = day(NAME, AS_OF)
    assert (record.retrain, record.rung) == ("promoted", "champion")
    return root


@pytest.fixture
def place(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Open a copy of the project that has begun."""
    root = tmp_path / "project"
    shutil.copytree(begun, root)
    monkeypatch.chdir(root)
    return Workspace.open(root=root)


def published(place: Workspace) -> pa.Table:
    """Return every column of the newest published partition."""
    table = f"{NAME}.predictions"
    newest = place.ledger.publications(NAME)[-1]
    return pa.Table.from_batches(list(place.lake.scan(table, newest.table_version, files=newest.files)))


def test_alerts_are_published_with_reasons(place: Workspace) -> None:
    """Every line of the date has a score; alerts keep to their most and say why."""
    rows = published(place)
    assert pc.unique(rows["ds"]).to_pylist() == [AS_OF]
    alerts = rows.filter(rows["alert"])
    assert 0 <= alerts.num_rows <= 9
    assert all(reason for reason in alerts["reason"].to_pylist())
    assert check_invariants(place.env) == ()


def test_a_week_is_measured_once_verdicts_are_due(place: Workspace) -> None:
    """Eight days later the first date has matured, with its verdicts; nothing before was counted."""
    from flows.day import day

    records = day(NAME, AS_OF + timedelta(days=8))
    assert [r.as_of for r in records] == [AS_OF + timedelta(days=n) for n in range(1, 9)]
    measured = {one.as_of: one for one in place.ledger.measurements(NAME)}
    assert measured[AS_OF + timedelta(days=6)].matured == 0
    assert measured[AS_OF + timedelta(days=8)].matured > 0


def test_a_day_without_transactions_is_published_as_such(place: Workspace) -> None:
    """Nobody bought anything: no row, no fallback, no alarm, and the day after is as any other."""
    from flows.day import day

    path, quiet = place.root / DATA / "transactions.parquet", AS_OF + timedelta(days=1)
    rows = pq.read_table(path)
    pq.write_table(rows.filter(pc.not_equal(rows["date"], pa.scalar(quiet, pa.date32()))), path)
    idle, busy = day(NAME, quiet + timedelta(days=1))
    assert (idle.as_of, idle.rung, idle.findings) == (quiet, "nothing to score", 0)
    assert (busy.as_of, busy.rung) == (quiet + timedelta(days=1), "champion")
    done = place.ledger.publications(NAME)
    assert (done[-2].rows, done[-2].first, done[-2].last) == (0, quiet, quiet)
    assert done[-1].rows > 0
    assert check_invariants(place.env) == ()


def test_a_date_that_could_not_be_scored_stays_open(place: Workspace) -> None:
    """Prices beyond all sense: no partition, no version, nothing called idle; mended, the date is done as any other."""
    from flows.day import day

    path, asked = place.root / DATA / "transactions.parquet", AS_OF + timedelta(days=1)
    good = path.read_bytes()
    rows = pq.read_table(path)
    price = pc.if_else(pc.greater(rows["date"], pa.scalar(AS_OF, pa.date32())), -1.0, rows["price"])
    pq.write_table(rows.set_column(rows.schema.get_field_index("price"), "price", price), path)
    with pytest.raises(Refused, match="price"):
        day(NAME, asked)
    assert [v.version for v in place.ledger.versions(NAME)] == [1]
    assert [one.as_of for one in place.ledger.publications(NAME)] == [AS_OF]
    path.write_bytes(good)
    (done,) = day(NAME, asked)
    assert (done.as_of, done.rung) == (asked, "champion")
    assert check_invariants(place.env) == ()
