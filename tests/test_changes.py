"""What differs between two revisions of a project, and the page that says how a change came through."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perennial.changes import Change, Outcome, Status, Trial, compare, describe
from perennial.contracts import Score, Verdict
from perennial.reports.pullrequest import render_change
from tests import shop

LIBRARY = "perennial/gates.py"
LOCK = "pandas==3.1.0 \\\n    --hash=sha256:00\nnumpy==2.3.0\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write a project with a library and a lock file of its own."""
    shop.write_project(tmp_path)
    (tmp_path / "perennial").mkdir()
    (tmp_path / LIBRARY).write_text("LIMIT = 1\n")
    (tmp_path / "requirements.lock").write_text(LOCK)
    return tmp_path


def edit(file: str, old: str, new: str) -> Callable[[Path], object]:
    """Return what replaces words of a file."""

    def edited(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return edited


def changed(root: Path, change: Callable[[Path], object]) -> Change:
    """Return what a change to the files does to the shop."""
    before = describe(root)
    change(root)
    (found,) = compare(before, describe(root))
    return found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit("configs/shop.yaml", "max_iter: 15", "max_iter: 25"), "model.params.max_iter: 15 -> 25"),
        (edit("configs/shop.yaml", "seed: 3", "seed: 4"), "model.seed: 3 -> 4"),
        (edit("configs/shop.yaml", "windows: [7, 28]", "windows: [7]"), "forecast.features.windows[2]: 28 -> nothing"),
        (edit("configs/shop.yaml", "ratio: 1.2", "ratio: 1.1"), "gates[2].ratio: 1.2 -> 1.1"),
        (edit("configs/shop.checks.yaml", "1000", "900"), "checks[2].max_value: 1000 -> 900"),
        (edit(LIBRARY, "1", "2"), f"code: {LIBRARY}"),
        (edit("requirements.lock", "3.1.0", "3.1.1"), "requirements.lock: pandas 3.1.0 -> 3.1.1"),
        (edit("requirements.lock", "sha256:00", "sha256:11"), "requirements.lock: no version, but its text"),
    ],
)
def test_what_a_run_key_holds_is_a_change(root: Path, change: Callable[[Path], object], reason: str) -> None:
    """Settings, checks, code and lock file, each with what differs."""
    found = changed(root, change)
    assert (found.kind, found.reasons) == ("changed", (reason,))


@pytest.mark.parametrize(
    "change",
    [
        edit("configs/shop.yaml", "gates:", "# what a good model is\ngates:"),
        edit("configs/shop.yaml", "gates:", "retrain: {policy: every, days: 3}\ngates:"),
        lambda root: (root / "README.md").write_text("A shop.\n"),
    ],
)
def test_what_no_model_depends_on_is_none(root: Path, change: Callable[[Path], object]) -> None:
    """Comments, settings of operation and pages."""
    assert changed(root, change).kind == "unchanged"


def test_a_pipeline_comes_and_goes(root: Path) -> None:
    """A new file, one that is not valid, one that is valid again, and none."""
    path = root / "configs" / "shop.yaml"
    text = path.read_text()
    empty = compare(describe(root / "perennial"), describe(root))
    assert [(c.kind, c.reasons[0]) for c in empty] == [("new", "configs/shop.yaml is new")]
    broken = changed(root, edit("configs/shop.yaml", "horizon: 7", "horizon: seven"))
    assert broken.kind == "invalid"
    assert "configs/shop.yaml:9: forecast.horizon" in broken.trouble
    mended = changed(root, lambda _: path.write_text(text))
    assert (mended.kind, mended.reasons) == ("new", ("configs/shop.yaml is valid now",))
    assert changed(root, lambda _: path.unlink()).kind == "removed"


def trial(name: str, status: Status, **more: object) -> Trial:
    """Make a trial of a pipeline whose number of trees was changed."""
    change = Change(pipeline=name, kind="changed", reasons=("model.params.max_iter: 15 -> 25",))
    return Trial(change=change, status=status, **more)  # type: ignore[arg-type]


def page(*trials: Trial) -> str:
    """Return the Markdown for trials."""
    passed = not any(one.fails for one in trials)
    return render_change(Outcome(base="main", commit="0123456789abcdef", passed=passed, pipelines=trials))


def test_what_is_refused_comes_first() -> None:
    """In the table and below it, whatever the pipelines are called; what passed unseen comes last."""
    text = page(trial("a", "unchanged"), trial("b", "passed"), trial("c", "not trained", note="DiskFull: no room"))
    assert text.startswith("## Models: refused because of c\n")
    assert [line[2] for line in text.splitlines() if line[:2] == "| " and "→" in line] == ["c", "b", "a"]
    assert [line for line in text.splitlines() if line[:3] == "###"] == ["### c: **NOT TRAINED**", "### b: passed"]
    assert "> DiskFull: no room" in text


def test_the_problems_of_a_file_are_a_list() -> None:
    """Markdown would run the lines of a paragraph together."""
    note = "2 problems in configs/a.yaml\n  configs/a.yaml:4: <b>\n  configs/a.yaml:5: |"
    text = page(trial("a", "invalid", note=note))
    assert "> 2 problems in configs/a.yaml\n> - configs/a.yaml:4: &lt;b&gt;\n> - configs/a.yaml:5: \\|\n" in text
    assert "No model was judged" in text


def test_errors_stand_beside_those_of_the_base() -> None:
    """Relative, but in points where a figure is near zero; evaluation sets apart; no row without a figure."""

    def score(contender: str, metric: str, value: float, key: str = "") -> Score:
        return Score(
            contender=contender, metric=metric, part="set" if key else "overall", key=key, value=value, rows=1200
        )

    scores = (
        *(
            score("candidate", metric, value)
            for metric, value in (("rmse", 9.0), ("bias", 0.02), ("mase", float("nan")))
        ),
        *(score("champion", metric, value) for metric, value in (("rmse", 10.0), ("bias", 0.01))),
        score("candidate", "rmse", 8.0, "set=recent"),
    )
    verdict = Verdict(
        gate="rmse", metric="rmse", against="champion", key="", value=9, bound=10, passed=True, reason="9 <= 10"
    )
    text = page(trial("a", "passed", scores=scores, verdicts=(verdict,))).replace("\N{NO-BREAK SPACE}", " ")
    assert "| | base | this change | change from base |" in text
    assert "| Root mean squared miss (RMSE) | 10.0 | 9.00 | −10.0 % |" in text
    assert "| Bias of the total (bias) | 1.0 % | 2.0 % | +1.0 pt |" in text
    assert "MASE" not in text
    assert "Errors on the evaluation set recent (1,200); lower is better:" in text
    assert "| rmse | pass | 9 ≤ 10 |" in text
