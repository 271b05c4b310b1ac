"""The fleet: what the overview says of pipelines in every state, and that its pages stand alone and are safe."""

import doctest
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.context import Workspace
from perennial.overview import PipelineOverview, overview, spark, spark_points
from perennial.overview import spark as sparks
from perennial.reports.fleet import write_fleet, write_fleet_and_tell
from perennial.reports.fleetviews import page_name
from tests import fleets, ledgers, shop
from tests.fleets import DAY, EVIL
from tests.htmlpage import Page


def page_of(place: Workspace, name: str = "index") -> Page:
    """Write the pages and read one."""
    index = write_fleet(place)
    return Page((index if name == "index" else index.parent / page_name(name)).read_text(encoding="utf-8"))


def named(place: Workspace) -> dict[str, PipelineOverview]:
    """Return the overview by name."""
    return {one.model: one for one in overview(place)}


# --- the overview ------------------------------------------------------------------------------------------


def test_a_live_pipeline_in_figures(tmp_path: Path) -> None:
    """Champion, age, error against the best baseline, days, publication and cost come from the newest facts."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease, days=3)
    (one,) = overview(place)

    assert (one.model, one.owner, one.champion, one.age_days, one.health) == ("shop", "planning", 1, 0, "healthy")
    assert (one.error, one.baseline, one.baseline_name) == (0.2, 0.25, "seasonal_naive")
    assert [day.value for day in one.daily] == pytest.approx([0.3, 0.35, 0.4, 0.45, 0.5])
    assert (one.published, one.rows, dict(one.rungs), one.behind_days) == (DAY, 6, {"champion": 6}, 0)
    assert (one.retrain_s, one.s_per_1000, one.data_age_days) == (12.5, 0.4, 1)
    assert (one.decision, one.decided_version, one.unused, one.stale, one.needs) == ("promoted", 1, "", "", False)


def test_a_pipeline_that_never_ran_and_one_that_is_broken(tmp_path: Path) -> None:
    """Both are listed: the one as never published, the other with what is wrong, and nothing fails."""
    place = fleets.workspace(tmp_path, "shop", "fresh")
    (tmp_path / "configs" / "shop.yaml").write_text("pipeline: shop\nkind: forecast\nration: 3\n")
    found = named(place)

    assert "ration" in found["shop"].broken
    assert (found["fresh"].champion, found["fresh"].health, found["fresh"].unused) == (
        None,
        "unknown",
        "never published",
    )
    assert "Bad settings" in page_of(place).text
    assert "ration" in page_of(place, "shop").text


def test_a_broken_file_keeps_the_facts_of_its_ledger(tmp_path: Path) -> None:
    """A typo does not hide what is in force and what was measured."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
    (tmp_path / "configs" / "shop.yaml").write_text(": nonsense: [")
    (one,) = overview(place)

    assert one.broken
    assert (one.champion, one.error, one.health, one.needs) == (1, 0.2, "healthy", True)


@pytest.mark.parametrize(
    ("last", "configured", "unused"),
    [
        (DAY, True, ""),
        (DAY - timedelta(days=14), True, ""),
        (DAY - timedelta(days=15), True, "not published since 2011-10-17, 15 days ago"),
        (DAY, False, "no configuration file any more"),
    ],
)
def test_unused_models(tmp_path: Path, last, configured: bool, unused: str) -> None:
    """A model is unused when its dates are not even made up for any more, or when its file is gone."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease, last=last)
    if not configured:
        (tmp_path / "configs" / "shop.yaml").unlink()
    assert overview(place)[0].unused == unused


@pytest.mark.parametrize(
    ("policy", "age", "stale"),
    [
        ("retrain: {policy: every, days: 7}", 7, False),
        ("retrain: {policy: every, days: 7}", 8, True),
        ("retrain: {policy: never, days: 7}", 8, False),
        ("retrain: {policy: never}\nmonitor: {max_model_age_days: 3}", 4, True),
    ],
)
def test_stale_models(tmp_path: Path, policy: str, age: int, stale: bool) -> None:
    """A model is stale beyond the age that is watched, or else beyond the age at which the policy trains anew."""
    place = fleets.workspace(tmp_path, "shop")
    shop.write_project(tmp_path, fleets.pipeline("shop", more=policy))
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease, last=DAY + timedelta(days=age))
    (one,) = overview(place)

    assert one.age_days == age
    assert bool(one.stale) is stale
    assert ("days old (policy:" in page_of(place).text) is stale


def test_open_alerts_come_worst_first_and_closed_ones_are_history(tmp_path: Path) -> None:
    """The open ones stand on the overview with their next step; one that is over stands in the history alone."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
        fleets.alerted(place, lease, fleets.finding("cost", "warning", "it takes long"))
        fleets.alerted(place, lease, fleets.finding())
        over = fleets.alerted(place, lease, fleets.finding("data", "critical", "a file was torn"))
        place.ledger.close_alert(lease, over, DAY)
    (one,) = overview(place)
    page = page_of(place)

    assert [alert.finding.cause for alert in one.alerts] == ["accuracy", "cost"]
    before, after = page.text.split("The last 3 alerts of all pipelines")
    assert "Next: perennial run shop" in before
    assert "a file was torn" not in before
    assert "a file was torn" in after
    assert "3 messages not taken by any channel yet" in page.text


@pytest.mark.parametrize(
    ("answer", "outcome"), [("", "awaiting approval"), ("approved", "on trial"), ("rejected",) * 2]
)
def test_versions_that_need_a_person(tmp_path: Path, answer, outcome: str) -> None:
    """A version waits for approval, and is on trial or rejected after the answer."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
        two = ledgers.trained(place.ledger, lease, "k2".ljust(64, "0"), "d2")
        asked = {"as_of": DAY, "actor": "test"}
        place.ledger.commit_decision(lease, two, ledgers.decision(), strategy="canary", approval=True, **asked)
        if answer:
            place.ledger.review(lease, "shop", 2, answer, reason="looked at it", **asked)
    (one,) = overview(place)

    assert (one.decision, one.waiting) == (outcome, (2,) if not answer else ())
    assert one.canary == (2 if answer == "approved" else None)
    assert ("perennial approve shop 2" in page_of(place).text) is (not answer)
    assert ("rejected by test: looked at it" in page_of(place, "shop").text) is (answer == "rejected")


def test_a_candidate_that_failed_its_gates(tmp_path: Path) -> None:
    """The champion is kept, and the page of the pipeline says which gate spoke against the candidate."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
        two = ledgers.trained(place.ledger, lease, "k2".ljust(64, "0"), "d2")
        place.ledger.commit_decision(lease, two, ledgers.decision(promote=False), as_of=DAY, actor="test")
    (one,) = overview(place)

    assert (one.champion, one.decision, one.decided_version, one.versions) == (1, "kept champion", 2, 2)
    assert "1 of 1 gates failed" in page_of(place, "shop").text


def test_who_reads_whose_predictions(tmp_path: Path) -> None:
    """A source below another pipeline's table is told as its consumer, also through a pattern; a namesake is not."""
    place = fleets.workspace(tmp_path, "shop", "truck", "other")
    for name, path in (
        ("truck", ".perennial/lake/shop.predictions/*.parquet"),
        ("other", ".perennial/lake/shop.predictions2"),
    ):
        text = fleets.pipeline(name).replace("path: data/sales", f"path: {path}")
        shop.write_project(tmp_path, text, name=name)
    found = named(place)

    assert found["shop"].readers == ("truck",)
    assert [source.producer for source in found["truck"].reads] == ["shop"]
    assert [source.producer for source in found["other"].reads] == [""]


def test_a_run_that_failed_is_told(tmp_path: Path) -> None:
    """The newest run's error stands on the page of its pipeline; one that succeeded says nothing."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
        place.ledger.end_run(
            lease, place.ledger.begin_run(lease, "score", DAY), "failed", {"error": "SourceError: gone"}
        )
    assert overview(place)[0].trouble == "score of 2011-11-01 failed: SourceError: gone"
    assert "SourceError: gone" in page_of(place, "shop").text


# --- the pages ---------------------------------------------------------------------------------------------


def test_an_empty_project_has_a_page(tmp_path: Path) -> None:
    """Nothing configured and nothing recorded reads as a beginning, not as an error."""
    page = page_of(fleets.workspace(tmp_path))
    assert "There is no pipeline yet" in page.text
    assert page.tags["table"] == 0


@pytest.mark.parametrize("name", ["index", "fresh"])
def test_nothing_measured_reads_well(tmp_path: Path, name: str) -> None:
    """A pipeline that never ran shows sentences where there are no figures."""
    page = page_of(fleets.workspace(tmp_path, "fresh"), name)
    said = ("No alert is open", "never published") if name == "index" else ("Nothing was published yet", "No version")
    assert all(text.lower() in page.text.lower() for text in said)
    assert "nan" not in re.sub(r"\w+nan\w*|\w*nan\w+", "", page.text.lower()).split()


@pytest.mark.parametrize("name", ["index", "shop"])
def test_pages_stand_alone(tmp_path: Path, name: str) -> None:
    """No address outside the folder, one script whose digest the policy names, unique ids, every part closed."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease, days=40)
    page = page_of(place, name)

    links = [value for key, value in page.attributes if key in ("href", "src")]
    assert not [value for value in links if ":" in value or value.startswith("/")]
    assert page.tags["script"] == 1
    assert len(page.ids) == len(set(page.ids))
    assert {value[1:] for value in links if value.startswith("#")} <= set(page.ids)


def test_links_between_pages_and_reports_lead_somewhere(tmp_path: Path) -> None:
    """The overview leads to each pipeline, and a decision to the report of its run if that is there."""
    place = fleets.workspace(tmp_path, "shop", "index")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
    report = place.home / "reports" / "shop" / f"{DAY}-{'shop-k1'.ljust(64, '0')[:12]}" / "index.html"
    report.parent.mkdir(parents=True)
    report.write_text("<!doctype html>")
    folder = write_fleet(place).parent

    for name in ("index.html", "shop.html", "index-pipeline.html"):
        hrefs = [v for k, v in Page((folder / name).read_text()).attributes if k == "href" and not v.startswith("#")]
        assert hrefs
        assert all((folder / href).exists() for href in hrefs)
    assert any("reports" in v for _, v in Page((folder / "shop.html").read_text()).attributes)


@pytest.mark.parametrize("name", ["index", "shop"])
def test_markup_in_names_and_reasons_stays_text(tmp_path: Path, name: str) -> None:
    """Owners, descriptions, sources, findings, slices and reasons add no element and no attribute."""
    place = fleets.workspace(tmp_path, "shop")
    quoted = json.dumps(EVIL)
    text = fleets.pipeline("shop", owner=quoted, more=f"description: {quoted}\n").replace(
        "data/sales", EVIL.replace('"', "")
    )
    shop.write_project(tmp_path, text.replace("path: ", "path: '").replace("+1}", "+1'}"))
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
        wrong = replace(fleets.finding(), summary=EVIL, parts=(EVIL,), likely=EVIL, command=EVIL)
        fleets.alerted(place, lease, wrong)
        measured = fleets.measurement()
        daily = tuple(replace(one, key=f"category={EVIL}" if one.key else "") for one in measured.daily)
        drift = (replace(measured.drift[0], name=EVIL, key=EVIL),)
        place.ledger.record_measurement(lease, replace(measured, daily=daily, drift=drift, findings=(wrong,)))
        place.ledger.change_role(lease, "shop", "canary", 1, as_of=DAY, actor=EVIL, reason=EVIL)
    assert not overview(place)[0].broken
    page = page_of(place, name)

    assert (page.tags["script"], page.tags["img"]) == (1, 0)
    assert not [key for key, _ in page.attributes if key.startswith("on") or key == "src"]
    assert "<script>alert(1)" in page.text
    assert "\u202e" not in page.text


def test_only_the_asked_page_is_written_anew(tmp_path: Path) -> None:
    """A monitor run writes the overview and its own page; another one is left alone unless it is missing."""
    place = fleets.workspace(tmp_path, "shop", "other", "third")
    folder = write_fleet(place).parent
    for name in ("shop", "other"):
        (folder / f"{name}.html").write_text("old")
    (folder / "third.html").unlink()
    write_fleet(place, "shop")

    assert (folder / "shop.html").read_text() != "old"
    assert (folder / "other.html").read_text() == "old"
    assert (folder / "third.html").exists()
    assert not [path for path in folder.iterdir() if path.suffix != ".html"]


def test_errors_reach_back_over_several_measurements(tmp_path: Path) -> None:
    """Of 40 measurements of five days each every eighth or so is read, and no matured day between them is lost."""
    place = fleets.workspace(tmp_path, "shop")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease, days=40)
    found = place.ledger.measured_errors("shop", 30)

    overall = [one.day for one in found if one.key == ""]
    assert overall == [DAY - timedelta(days=n) for n in reversed(range(len(overall)))]
    assert 30 <= len(overall) <= 36


def test_the_table_for_the_prefect_ui(tmp_path: Path) -> None:
    """The Markdown table has one row for each pipeline, as many cells as its head, and escapes what it shows."""
    place = fleets.workspace(tmp_path, "shop", "fresh")
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
        fleets.alerted(place, lease, replace(fleets.finding(), summary=f"{EVIL} | [x](http://evil)"))
    _, summary = write_fleet_and_tell(place)
    rows = [line for line in summary.splitlines() if line.startswith("|")]

    assert len(rows) == 4
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "<" not in summary
    assert "**1 open alerts**" in summary
    assert "](" not in summary.replace("\\](", "")


# --- sparklines --------------------------------------------------------------------------------------------

ERRORS = st.just(0.0) | st.floats(1e-9, 1e6)


@given(st.lists(ERRORS | st.just(math.nan), max_size=30))
@settings(max_examples=200, deadline=None)
def test_a_bar_is_as_high_as_its_value(values: list[float]) -> None:
    """The nth of eight bars stands for values above (n-1)/8 and up to n/8 of the largest one."""
    bars, top = spark(values), max((v for v in values if v == v), default=0.0)

    assert len(bars) == len(values)
    for bar, value in zip(bars, values, strict=True):
        if math.isnan(value):
            assert bar == "·"
        elif top > 0:
            level = next((n for n in range(1, 9) if value <= top * n / 8 * (1 + 1e-9)), 8)
            assert abs("▁▂▃▄▅▆▇█".index(bar) + 1 - level) <= (1 if math.isclose(value * 8 / top, level) else 0)


@given(st.lists(ERRORS, min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_points_keep_proportion_and_order(values: list[float]) -> None:
    """Heights over the floor are to the box what values are to the largest, and days run from left to right."""
    points = [at for at in spark_points(values, 100, 20) if at]
    top = max(values)

    assert [x for x, _ in points] == sorted(x for x, _ in points)
    for (x, y), value in zip(points, values, strict=True):
        assert 0 <= x <= 100
        assert 20 - y == pytest.approx(20 * value / top if top else 0, abs=0.02)


def test_examples_in_docstrings_hold() -> None:
    """Examples in the documentation are executed."""
    assert doctest.testmod(sys.modules[sparks.__module__]).failed == 0


# --- the command -------------------------------------------------------------------------------------------


def test_models_on_the_shell(tmp_path: Path) -> None:
    """The table fits 110 columns, JSON holds the same facts and no NaN, and neither Prefect nor MLflow is loaded."""
    long = "a" * 63
    place = fleets.workspace(tmp_path, "shop", long)
    with fleets.hold(place, "shop") as lease:
        fleets.live(place, lease)
    code = (
        "import sys\nfrom flows.cli import app\ntry:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "sys.exit(' '.join(m for m in ('prefect', 'mlflow', 'sklearn', 'deltalake') if m in sys.modules) or 0)\n"
    )

    def run(*words: str) -> str:
        command = [sys.executable, "-c", code, "models", *words]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(shop.ROOT), "PERENNIAL_NOW": "2011-11-02T08:00+00:00"}
    env |= {"PYTHONIOENCODING": "utf-8", "HOME": str(tmp_path)}
    table = run().splitlines()
    (unused, one) = json.loads(run("--json"))

    assert all(len(line) <= 110 for line in table if not line.startswith("  "))
    assert [
        word
        for word in ("v1", "healthy", "promoted", "20.0 %", "25.0 %", "▅▆▇██", "12.5 s")
        if word not in " ".join(table)
    ] == []
    assert (one["model"], one["champion"], one["error"], one["published"]) == ("shop", 1, 0.2, "2011-11-01")
    assert (unused["model"], unused["unused"], unused["error"]) == (long, "never published", None)
