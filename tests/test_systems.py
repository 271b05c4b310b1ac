"""Every system through the same flows: killed at its commits and run again; given bad data and left unharmed."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from perennial.context import Workspace
from perennial.invariants import check_invariants
from perennial.simulate import anomalies, recommend
from tests import cards, shop
from tests.zygote import Zygote

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]


@dataclass(frozen=True, kw_only=True)
class System:
    """One kind of problem in a small world.

    Attributes:
        data: The file that a source hands over, below the project.
        broken: Column of it without which nothing can be done.
        first: Pipelines whose predictions this one reads.
    """

    name: str
    as_of: date
    write: Callable[[Path], object]
    data: str
    broken: str
    first: tuple[str, ...] = ()


def _shipped(root: Path, name: str, *changes: tuple[str, str]) -> None:
    """Write a pipeline as it is shipped, with a smaller model."""
    text = (shop.ROOT / "configs" / f"{name}.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    shop.write_project(root, text, name=name)
    shutil.copy(shop.ROOT / "configs" / f"{name}.checks.yaml", root / "configs")


def _anomalies(root: Path) -> None:
    _shipped(root, "transaction_anomalies", ("  budget: 3\n", "  budget: 3\n  trees: 10\n"))
    anomalies.write(root / "data" / "simulated" / "anomalies", 0)


def _lists(root: Path) -> None:
    _shipped(root, "recommendations", ("confidence: 0.95} # surely 1 %", "confidence: 0.5} # 1 %"))
    recommend.write(root / "data" / "simulated" / "recommend", 3, recommend.World(users=500, items=200))


def _orders(root: Path) -> None:
    shop.project(root)
    shop.write_project(root, shop.ORDERS, name="orders")


SYSTEMS = (
    System(
        name="cards", as_of=cards.AS_OF, write=cards.project, data="data/sales/transactions.parquet", broken="amount"
    ),
    System(
        name="transaction_anomalies",
        as_of=date(2024, 5, 15),
        write=_anomalies,
        data="data/simulated/anomalies/transactions.parquet",
        broken="price",
    ),
    System(
        name="recommendations",
        as_of=date(2024, 4, 29),
        write=_lists,
        data="data/simulated/recommend/choices/choices.parquet",
        broken="chosen",
    ),
    System(
        name="orders",
        as_of=shop.AS_OF,
        write=_orders,
        data="data/sales/sales.parquet",
        broken="units",
        first=("shop",),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A system whose first model is in force and has published, in a project that can be put back to that."""

    system: System
    root: Path
    zygote: Zygote

    def back(self, state: str) -> None:
        """Put everything back to what it was ``before`` the first run of the system, or when it had ``begun``."""
        shutil.rmtree(self.root / ".perennial")
        shutil.copytree(self.root / state, self.root / ".perennial")

    def run(self, flow: str, days: int = 0, **env: str) -> dict[str, Any]:
        """Run one flow of the system."""
        return self.zygote.run(flow, self.system.name, self.system.as_of + timedelta(days=days), env)

    def facts(self) -> dict[str, Any]:
        """Return what must come out the same however often a run was killed or refused."""
        ledger, name = Workspace.open(root=self.root).ledger, self.system.name
        return {
            "versions": [(v.version, v.digest, v.state) for v in ledger.versions(name)],
            "decisions": [ledger.decision(v.run_key) for v in ledger.versions(name)],
            "roles": [(c.role, c.version, c.previous) for c in ledger.role_history(name)],
            "published": [(p.as_of, p.version, p.digest, p.rows) for p in ledger.publications(name)],
        }


@pytest.fixture(scope="module", params=SYSTEMS, ids=lambda one: one.name)
def begun(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, prefect_server: str
) -> Iterator[Begun]:
    """Every system in turn: what it reads from other pipelines is published, its first model in force and scored."""
    system: System = request.param
    root = tmp_path_factory.mktemp(system.name).resolve()
    system.write(root)
    with Zygote(root) as zygote:
        for name in system.first:
            for flow in ("retrain", "score"):
                assert zygote.run(flow, name, system.as_of)["code"] == 0
        (root / ".perennial").mkdir(exist_ok=True)
        shutil.copytree(root / ".perennial", root / "before")
        found = Begun(system=system, root=root, zygote=zygote)
        assert found.run("retrain")["result"]["outcome"] == "promoted"
        assert found.run("score")["code"] == 0
        shutil.copytree(root / ".perennial", root / "begun")
        yield found


def test_killed_at_its_commits_and_run_again(begun: Begun) -> None:
    """Same bytes, one version, one decision, one partition, whichever commit of retrain or score the kill precedes."""
    begun.back("begun")
    wanted = begun.facts()
    begun.back("before")
    for flow, point in {"retrain": "registration.committed", "score": "publication.appended"}.items():
        assert begun.run(flow, PERENNIAL_FAULT=f"{point}:kill")["signal"] == 9, point
        assert check_invariants(Workspace.open(root=begun.root).env, deep=False) == (), point
        assert begun.run(flow)["code"] == 0
    assert begun.facts() == wanted
    assert check_invariants(Workspace.open(root=begun.root).env) == ()


def test_bad_data_is_refused_by_name_and_nothing_is_lost(begun: Begun) -> None:
    """A file that is gone, cut off, without a column or with text for numbers: an error each, the champion stays."""
    path = begun.root / begun.system.data
    good, table = path.read_bytes(), pq.read_table(path)
    begun.back("begun")
    wanted = begun.facts()
    assert len(wanted["versions"]) == len(wanted["published"]) == 1
    place = table.schema.get_field_index(begun.system.broken)
    wrong = table.set_column(place, begun.system.broken, [["?" for _ in range(len(table))]])

    def without() -> None:
        pq.write_table(table.drop_columns([begun.system.broken]), path)

    damages: dict[str, tuple[Callable[[], Any], str]] = {
        "gone": (path.unlink, "no parquet file"),
        "cut off": (lambda: path.write_bytes(good[: len(good) // 2]), path.name),
        "no column": (without, begun.system.broken),
        "text": (lambda: pq.write_table(wrong, path), ""),
    }
    for name, (damage, said) in damages.items():
        damage()
        ended = begun.run("retrain", days=1)
        assert ended["code"] == 1, name
        assert said in ended["result"]["message"], (name, ended)
        assert ended["result"]["error"] not in ("KeyError", "TypeError", "ValueError", "AttributeError"), (name, ended)
        assert begun.facts() == wanted, name
        path.write_bytes(good)
    assert begun.run("retrain", days=1)["code"] == 0
    assert check_invariants(Workspace.open(root=begun.root).env) == ()
