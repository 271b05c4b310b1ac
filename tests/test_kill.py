"""``kill -9`` at every fault point of retrain and score: the next run converges, and nothing half done shows."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perennial.context import Workspace
from perennial.invariants import check_invariants
from tests import shop
from tests.zygote import Zygote

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[tuple[Zygote, Path]]:
    """A shop with one champion that has been scored, and a process that runs flows in it."""
    root = shop.project(tmp_path_factory.mktemp("kill"))
    with Zygote(root) as zygote:
        assert zygote.run("retrain", "shop", shop.AS_OF)["code"] == 0
        assert zygote.run("score", "shop", shop.AS_OF)["code"] == 0
        shutil.copytree(root / ".perennial", root / "before")
        yield zygote, root


def start_over(root: Path) -> None:
    """Go back to the shop as it was before the flow under test; at the same path, for MLflow knows it."""
    shutil.rmtree(root / ".perennial")
    shutil.copytree(root / "before", root / ".perennial")


def digests(root: Path) -> dict[str, Any]:
    """Return everything that must come out the same however often a run was killed."""
    ledger = Workspace.open(root=root).ledger
    return {
        "versions": [(v.version, v.digest, v.state) for v in ledger.versions("shop")],
        "decisions": [ledger.decision(v.run_key) for v in ledger.versions("shop")],
        "champion": ledger.in_force("shop"),
        "history": [(c.version, c.previous) for c in ledger.role_history("shop")],
        "published": [(p.as_of, p.version, p.digest, p.rows) for p in ledger.publications("shop")],
        "aliases": shop.aliases(root),
    }


def points(zygote: Zygote, root: Path, flow: str) -> list[str]:
    """Run a flow undisturbed and return the fault points it passes, in order."""
    trace = root / f"{flow}.trace"
    assert zygote.run(flow, "shop", shop.LATER, {"PERENNIAL_FAULT_TRACE": str(trace)})["code"] == 0
    return list(dict.fromkeys(trace.read_text().split()))


@pytest.mark.parametrize("flow", ["retrain", "score"])
def test_killed_anywhere_and_run_again(world: tuple[Zygote, Path], flow: str) -> None:
    """Same digest, one version, one decision, one partition, clean invariants: after the kill and after recovery."""
    zygote, root = world
    start_over(root)
    names = points(zygote, root, flow)
    wanted = digests(root)
    assert len(names) >= {"retrain": 12, "score": 3}[flow], names
    for name in names:
        start_over(root)
        killed = zygote.run(flow, "shop", shop.LATER, {"PERENNIAL_FAULT": f"{name}:kill"})
        assert killed["signal"] == 9, (name, killed)
        assert check_invariants(Workspace.open(root=root).env, deep=False) == (), name
        again = zygote.run(flow, "shop", shop.LATER)
        assert again["code"] == 0, (name, again)
        assert {k: v for k, v in digests(root).items() if k != "champion"} == {
            k: v for k, v in wanted.items() if k != "champion"
        }, name
        assert check_invariants(Workspace.open(root=root).env) == (), name


def test_two_retrains_at_once(world: tuple[Zygote, Path]) -> None:
    """Started together, one does the work and the other returns the same version."""
    zygote, root = world
    start_over(root)
    day = shop.LATER + timedelta(days=7)
    with Zygote(root) as other:
        for one in (zygote, other):
            one.start("retrain", "shop", day)
        results = [one.wait()["result"] for one in (zygote, other)]
    assert results[0]["version"] == results[1]["version"] == 2
    assert sorted(r["outcome"] == "already done" for r in results) == [False, True]
    assert check_invariants(Workspace.open(root=root).env) == ()
