"""``kill -9`` of daily operation at its fault points: what was begun is finished, once, by whoever comes next."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from difflib import unified_diff
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest

from perennial.context import Workspace
from perennial.contracts import to_json
from perennial.invariants import check_invariants
from tests import shop
from tests.webhook import Taken, taking
from tests.zygote import Zygote

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

TRIAL, JUDGED = (shop.LATER + timedelta(days=n) for n in (1, 2))
"""The first date that a version on trial serves, and the one on which it has shown enough."""
LENIENT = shop.PIPELINE.replace("ratio: 1.2", "ratio: 9").replace("last_value, ratio: 1.0", "last_value, ratio: 9")
CRIPPLED = LENIENT.replace("max_iter: 15", "loss: squared_error, max_iter: 1, learning_rate: 0.01")
CANARY = "rollout: {strategy: canary, share: 0.2, days: 1, min_days: 1, tolerance: 1.2}\nretrain: {policy: daily}\n"
WAITING = "rollout: {strategy: canary, approval: required}\nretrain: {policy: never}\n"
LANDING = ("landing.", "ledger.landing", "ledger.snapshot", "mlflow.")
"""Points of what a date shares with a retrain by hand, and of which ``test_kill.py`` kills that one."""


@dataclass(frozen=True, kw_only=True)
class World:
    """A shop in several states, a process that runs flows in it, and the people who are told."""

    zygote: Zygote
    root: Path
    told: Taken

    def keep(self, state: str) -> None:
        """Keep the shop as it is now."""
        for name in (".perennial", "configs"):
            shutil.copytree(self.root / name, self.root / state / name)

    def back_to(self, state: str) -> None:
        """Put the shop back to a state that was kept; at the same path, for MLflow knows it."""
        for name in (".perennial", "configs"):
            shutil.rmtree(self.root / name)
            shutil.copytree(self.root / state / name, self.root / name)
        self.told.clear()

    def run(self, flow: str, as_of: date = JUDGED, **env: str) -> dict[str, Any]:
        """Run one flow, and after it the process that makes the aliases follow, if the flow has started one."""
        return self.zygote.run(flow, "shop", as_of, env)

    def do(self, flow: str, as_of: date = JUDGED, **env: str) -> Any:
        """Run one flow that must end well; return its result."""
        ended = self.run(flow, as_of, **env)
        assert ended["code"] == 0, (flow, ended)
        return ended["result"]

    def points(self, flow: str) -> list[str]:
        """Run a flow undisturbed; return the fault points that it, or what it starts, passes."""
        trace = self.root / "trace"
        trace.unlink(missing_ok=True)
        self.do(flow, PERENNIAL_FAULT_TRACE=str(trace))
        return list(dict.fromkeys(trace.read_text().split()))

    def kill(self, flow: str, point: str) -> None:
        """Kill a flow at a point; the alias may be flipped by a process of its own, which then dies instead."""
        killed = self.run(flow, PERENNIAL_FAULT=f"{point}:kill")
        assert killed["signal"] == 9 or point == "alias.flipped", (point, killed)
        assert check_invariants(Workspace.open(root=self.root).env, deep=False) == (), point

    def facts(self) -> dict[str, Any]:
        """Return everything that must come out the same, however often a run was killed."""
        ledger = Workspace.open(root=self.root).ledger
        return {
            "versions": [(v.version, v.digest, v.state) for v in ledger.versions("shop")],
            "decisions": [ledger.decision(v.run_key) for v in ledger.versions("shop")],
            "roles": [(c.role, c.version, c.previous, c.as_of, c.reason) for c in ledger.role_history("shop")],
            "published": [(p.as_of, p.version, p.digest, p.versions, p.rungs) for p in ledger.publications("shop")],
            "measured": [pformat(to_json(replace(m, cost={}))) for m in ledger.measurements("shop")],
            "alerts": ledger.alerts("shop"),
            "done": Counter(r.as_of for r in ledger.runs("shop") if r.flow == "day" and r.status == "succeeded"),
            "unsent": ledger.pending(),
            "aliases": shop.aliases(self.root),
        }


def unlike(found: dict[str, Any], wanted: dict[str, Any], point: str) -> str:
    """Return the lines in which two accounts of the facts differ; pytest shows the accounts cut off."""
    both = [[line for fact in one.values() for line in pformat(fact, width=60).splitlines()] for one in (wanted, found)]
    return "\n".join([f"killed at {point}", *unified_diff(*both, "wanted", "found", lineterm="", n=0)])


def configure(root: Path, text: str) -> None:
    """Change the pipeline."""
    (root / "configs" / "shop.yaml").write_text(text)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[World]:
    """A shop on the eve of each of the things that may be interrupted."""
    with taking() as told:
        environment = f"{shop.LOCAL}channels: {{people: {{url: '{told.url}'}}}}\n"
        root = shop.project(tmp_path_factory.mktemp("operation")).resolve()
        shop.write_project(root, environment=environment)
        with Zygote(root) as zygote:
            world = World(zygote=zygote, root=root, told=told)
            assert world.do("retrain", shop.AS_OF)["outcome"] == "promoted"
            world.keep("begun")
            for state, text in {"promote": LENIENT, "revert": CRIPPLED}.items():
                world.back_to("begun")
                configure(root, text + CANARY)
                assert world.do("retrain", shop.LATER)["outcome"] == "canary"
                world.do("day", TRIAL)
                world.keep(state)
            world.back_to("begun")
            configure(root, LENIENT + WAITING)
            assert world.do("retrain", shop.LATER)["outcome"] == "awaiting approval"
            world.do("day", TRIAL)
            world.keep("approve")
            yield world


def test_a_date_killed_anywhere_is_done_once(world: World) -> None:
    """A date on which a canary is reverted, people are told and a new model is trained: again, and all is as it was."""
    world.back_to("revert")
    names = world.points("day")
    wanted, told = world.facts(), list(world.told)
    assert {"canary.concluded", "alert.sent", "publication.appended", "registration.committed"} <= set(names), names
    assert [role[:3] for role in wanted["roles"]] == [
        ("champion", 1, None), ("canary", 2, None), ("canary", None, 2), ("canary", 3, None)
    ]  # fmt: skip
    assert (wanted["unsent"], len(told)) == ((), 1)
    for name in names:
        if name.startswith(LANDING):
            continue
        world.back_to("revert")
        world.kill("day", name)
        world.do("day")
        assert world.facts() == wanted, unlike(world.facts(), wanted, name)
        assert world.told == told * (2 if name == "alert.sent" else 1), name
        assert check_invariants(Workspace.open(root=world.root).env, deep=False) == (), name


def test_a_promotion_killed_between_verdict_and_flip_is_finished(world: World) -> None:
    """From the verdict on a canary to the end of its date: the run after the kill promotes it once, and says so."""
    world.back_to("promote")
    names = world.points("day")
    wanted = world.facts()
    assert ("champion", 2, 1) in [role[:3] for role in wanted["roles"]]
    assert wanted["aliases"]["champion"] == 2
    for name in names[names.index("ledger.concluded") :][:5]:
        world.back_to("promote")
        world.kill("day", name)
        world.do("day")
        assert world.facts() == wanted, unlike(world.facts(), wanted, name)


def test_an_approval_or_rollback_that_was_killed_is_finished(world: World) -> None:
    """What was committed takes effect with the next monitor run; what was not can be asked for again."""
    world.back_to("promote")
    world.do("day")
    world.keep("rollback")
    for flow, point in {"approve": "approval.committed", "rollback": "rollback.committed"}.items():
        world.back_to(flow)
        names = world.points(flow)
        world.do("monitor")
        wanted = world.facts()
        assert point in names
        assert (
            wanted["aliases"]
            == {"approve": {"champion": 1, "canary": 2}, "rollback": {"champion": 1, "canary": 3}}[flow]
        )
        for name in names:
            world.back_to(flow)
            world.kill(flow, name)
            if world.facts()["roles"] != wanted["roles"]:
                world.do(flow)
            world.do("monitor")
            assert world.facts() == wanted, unlike(world.facts(), wanted, name)
