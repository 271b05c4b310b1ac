"""The simulated hospitals in their epidemic: seen once labels arrive, told once, retrained through, nobody named."""

import logging
import shutil
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from perennial.context import Workspace
from perennial.invariants import check_invariants
from perennial.simulate.health import World, write
from tests import shop
from tests.test_privacy import CANARY, named_nowhere

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("prefect_server"),
    pytest.mark.filterwarnings("default"),
]

PIPELINE = "disease_risk"
WORLD = World(patients=36_000, days=420, change=200)
"""As many discharges a day as the world that is shipped, and an epidemic that comes sooner."""
BEFORE, BEGUN, SEEN, EARLY, LATE = (WORLD.first + timedelta(days=day) for day in (199, 215, 246, 330, 362))
"""First model; ill patients are scored; their labels arrive; six and eleven weeks of the epidemic to train on."""
WEEKLY = {"score_days: 1": "score_days: 7", "model: {": "delivery: {catch_up_days: 0}\nmodel: {"}
"""Fewer dates, each with the discharges of a week."""


def hospital(root: Path) -> Path:
    """Write the pipeline as it is shipped, and a world whose patients and encounters have recognisable names."""
    world = root / "world"
    write(world, 1, WORLD)
    table = pq.read_table(world / "encounters")
    for name in ("encounter", "patient"):
        named = pc.binary_join_element_wise(pa.scalar(CANARY), table[name], "-")
        table = table.set_column(table.column_names.index(name), name, named)
    shutil.rmtree(world)
    place = root / "data" / "simulated" / "health" / "encounters"
    place.mkdir(parents=True)
    pq.write_table(table, place / "all.parquet")
    text = (shop.ROOT / "configs" / f"{PIPELINE}.yaml").read_text()
    for old, new in WEEKLY.items():
        assert old in text
        text = text.replace(old, new, 1)
    shop.write_project(root, text, shop.LOCAL + "pseudonym_key: ${HOSPITAL_KEY}\n", name=PIPELINE)
    shutil.copy(shop.ROOT / "configs" / f"{PIPELINE}.checks.yaml", root / "configs")
    return root


def test_an_epidemic_is_seen_told_once_and_retrained_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The old model is found out when labels arrive; no model that knows as little replaces it; a later one does."""
    from flows.day import day

    monkeypatch.chdir(hospital(tmp_path))
    monkeypatch.setenv("HOSPITAL_KEY", "decides who is judged")
    caplog.set_level(logging.INFO)
    done = {as_of: day(PIPELINE, as_of)[0] for as_of in (BEFORE, BEGUN, SEEN, EARLY, LATE)}
    place = Workspace.open(root=tmp_path)
    health = {as_of: one.health for as_of, one in done.items()}
    retrained = {as_of: one.retrain for as_of, one in done.items()}

    assert retrained[BEFORE] == "promoted"
    assert retrained[BEGUN] == ""
    assert health[SEEN] == "degraded"
    assert retrained[SEEN] == "kept champion"  # no label of the epidemic may be trained on yet
    assert "promoted" in (retrained[EARLY], retrained[LATE])
    told = [one for one in place.ledger.alerts(PIPELINE) if one.finding.cause == "accuracy"]
    assert [one.opened for one in told] == [SEEN]
    assert better(place, EARLY if retrained[EARLY] == "promoted" else LATE)
    assert check_invariants(place.env) == ()

    out = capfd.readouterr()
    named_nowhere(tmp_path / ".perennial", caplog.text + out.out + out.err)


def better(place: Workspace, as_of: date) -> bool:
    """Return whether the version of a date is in force, and by a tenth better than the one before on the same rows."""
    champion = place.ledger.in_force(PIPELINE)
    assert champion is not None
    decision = place.ledger.decision(champion.run_key)
    assert decision is not None
    (loss,) = (one for one in decision.verdicts if one.gate == "log_loss vs champion")
    return champion.as_of >= as_of and loss.value < 0.9 * loss.bound / 1.03
