"""`perennial ci` as a whole: a git repository, a change to its files, a verdict and an exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server"), pytest.mark.timeout(600)]

PIPELINES = ("steady", "better", "worse")
FEWER = {"max_iter: 15": "max_iter: 1"}
MORE = {"max_iter: 15": "max_iter: 40"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How `perennial ci` ended: its exit code, what it said, and its verdict in both forms."""

    code: int
    said: str
    answer: Any
    markdown: str

    @property
    def verdicts(self) -> Mapping[str, str]:
        """Return the status of every pipeline by name."""
        return {one["change"]["pipeline"]: one["status"] for one in self.answer["pipelines"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project of three equal pipelines in a git repository of its own."""

    root: Path
    aside: Path

    def git(self, *words: str) -> str:
        """Run git in the project and return what it prints."""
        who = ("-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", self.root, *who, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def change(self, file: str, words: Mapping[str, str]) -> None:
        """Replace words of a file in `configs/`, each of which must be there."""
        path = self.root / "configs" / file
        text = path.read_text()
        for old, new in words.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)

    def check(self, *words: str, base: str = "HEAD") -> Checked:
        """Run `perennial ci` as a CI service does, with a folder of its own for what is temporary."""
        verdict = self.aside / "verdict.md"
        temporary = self.aside / "tmp"
        temporary.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "ci", "--base", base, "--out", verdict, "--json", *words],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(shop.ROOT), "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert list(temporary.glob("perennial-ci-*")) == []
        assert not (self.root / ".perennial").exists()
        return Checked(
            code=done.returncode,
            said=done.stderr,
            answer=json.loads(done.stdout) if done.stdout else None,
            markdown=verdict.read_text() if verdict.exists() else "",
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Commit a project whose pipelines differ in nothing but their names."""
    root, aside = tmp_path / "project", tmp_path / "aside"
    aside.mkdir()
    shop.write_sales(root, shop.sales())
    for name in PIPELINES:
        own = shop.PIPELINE.replace("pipeline: shop", f"pipeline: {name}\nas_of: {shop.AS_OF}")
        shop.write_project(root, own.replace("ratio: 1.2", "ratio: 1.02"), name=name)
        if name != "steady":  # Great Expectations takes seconds to import, in every run
            (root / "configs" / f"{name}.checks.yaml").unlink()
    made = Project(root=root, aside=aside)
    made.git("init", "--quiet")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message", "Three pipelines")
    return made


def scores(checked: Checked, pipeline: str) -> dict[str, float]:
    """Return the RMSE of every contender for a pipeline."""
    (one,) = (p for p in checked.answer["pipelines"] if p["change"]["pipeline"] == pipeline)
    return {s["contender"]: s["value"] for s in one["scores"] if s["metric"] == "rmse" and s["part"] == "overall"}


def test_a_change_is_judged_against_the_base(project: Project) -> None:
    """The unchanged is not trained, the better passes and the worse is refused: exit 1, and nothing is left behind."""
    project.change("better.yaml", MORE)
    project.change("worse.yaml", FEWER)
    project.git("commit", "--quiet", "--all", "--message", "More trees here, fewer there")
    checked = project.check("--reports", str(project.aside / "reports"), base="HEAD~1")

    assert checked.verdicts == {"better": "passed", "steady": "unchanged", "worse": "gate failed"}, checked.said
    assert checked.code == 1
    assert "Refused because of worse" in checked.said
    better, worse = scores(checked, "better"), scores(checked, "worse")
    assert better["champion"] == worse["champion"]  # of the base, where both were equal
    assert better["candidate"] < 1.02 * better["champion"] < worse["candidate"]
    assert {page.parts[-3] for page in (project.aside / "reports").rglob("index.html")} == {"better", "worse"}
    assert project.git("status", "--porcelain") == ""

    assert checked.markdown.startswith("## Models: refused because of worse\n")
    assert "| worse | **GATE FAILED** | 1 of 2 | model.params.max_iter: 15 → 1 |" in checked.markdown
    assert "| better | passed | 2 of 2 | model.params.max_iter: 15 → 40 |" in checked.markdown
    assert "| rmse vs champion | **FAIL** | rmse" in checked.markdown
    assert checked.markdown.index("### worse") < checked.markdown.index("### better")


def test_a_new_pipeline_passes_by_its_other_gates(project: Project) -> None:
    """It has no base: the change passes with exit code 0, from files that nobody has committed yet."""
    text = (project.root / "configs" / "better.yaml").read_text()
    (project.root / "configs" / "young.yaml").write_text(text.replace("pipeline: better", "pipeline: young"))
    checked = project.check()

    assert checked.verdicts == {"better": "unchanged", "steady": "unchanged", "worse": "unchanged", "young": "passed"}
    assert checked.code == 0
    assert "candidate" in scores(checked, "young")
    assert "champion" not in scores(checked, "young")
    assert "No base to compare with." in checked.markdown


def test_what_no_model_depends_on_trains_nothing(project: Project) -> None:
    """A page and a setting of operation change no run key: exit 0."""
    (project.root / "README.md").write_text("A shop.\n")
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", "Say what this is")
    with (project.root / "configs" / "steady.yaml").open("a") as file:
        file.write("retrain: {policy: every, days: 3}\n")
    checked = project.check(base="HEAD~1")

    assert set(checked.verdicts.values()) == {"unchanged"}
    assert checked.code == 0
    assert checked.markdown.startswith("## Models: passed, nothing to retrain\n")


def test_files_that_are_not_valid_are_refused_with_their_lines(project: Project) -> None:
    """Settings and checks alike, before anything is trained."""
    project.change("better.yaml", {"horizon: 7": "horizon: seven"})
    project.change("steady.checks.yaml", {"max_value": "max_valu"})
    checked = project.check()

    assert checked.verdicts == {"better": "invalid", "steady": "invalid", "worse": "unchanged"}
    assert checked.code == 1
    assert "training" not in checked.said
    assert "configs/better.yaml:10: forecast.horizon: 'seven' should be a valid integer" in checked.markdown
    assert "configs/steady.checks.yaml:3: 1.max_valu: unknown argument; did you mean" in checked.markdown


def test_data_that_is_missing_is_a_reason_to_refuse_until_excused(project: Project) -> None:
    """Nothing is known of a pipeline whose source is empty; to let it pass somebody has to say so."""
    for name in ("better", "worse"):
        project.change(f"{name}.yaml", MORE)
    (project.root / "data" / "sales" / "sales.parquet").unlink()
    checked = project.check("--excuse", "worse")

    assert checked.verdicts == {"better": "data missing", "steady": "unchanged", "worse": "data missing"}
    assert checked.code == 1
    assert checked.markdown.startswith("## Models: refused because of better\n")
    assert "| better | **DATA MISSING** |" in checked.markdown
    assert "| worse | data missing (excused) |" in checked.markdown
    assert "> SourceUnusable: no parquet file at 'data/sales'" in checked.markdown


def test_what_a_pipeline_reads_of_others_is_published_first(project: Project) -> None:
    """Orders by a forecast: both sides forecast and order; without a forecast nothing is known of the orders."""
    orders = shop.ORDERS.replace("pipeline: shop}", "pipeline: steady}")
    shop.write_project(project.root, f"as_of: {shop.AS_OF}\n{orders}", name="orders")
    (project.root / "configs" / "orders.checks.yaml").unlink()
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", "Order")
    project.change("orders.yaml", {"order_cost: 0.2": "order_cost: 0.3"})
    checked = project.check()

    assert checked.verdicts["orders"] == "passed", checked.said
    assert checked.code == 0
    (one,) = (p for p in checked.answer["pipelines"] if p["change"]["pipeline"] == "orders")
    assert {"candidate", "champion"} <= {s["contender"] for s in one["scores"]}

    project.change("steady.yaml", {"path: data/sales": "path: data/nowhere"})
    project.git("commit", "--quiet", "--all", "--message", "Forecast what nobody has")
    project.change("orders.yaml", {"order_cost: 0.3": "order_cost: 0.4"})
    checked = project.check()
    assert (checked.verdicts["orders"], checked.code) == ("data missing", 1)
    assert "> NothingPublished: steady, whose forecasts it reads, published none: SourceUnusable" in checked.markdown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--base", "nosuch"], "git knows no revision 'nosuch' here"),
        (["--pipeline", "stedy"], "did you mean `steady`?"),
        (["--env", "nope"], "there is no environment 'nope'"),
    ],
)
def test_what_cannot_be_checked_is_said(project: Project, words: list[str], says: str) -> None:
    """One paragraph and exit code 1; there is no verdict."""
    checked = project.check(*words)
    assert (checked.code, checked.answer, checked.markdown) == (1, None, "")
    assert says in checked.said
    assert "Traceback" not in checked.said
