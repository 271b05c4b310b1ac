"""The report: what it says, that it stands alone, and that its figures are those it was given."""

import base64
import hashlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from perennial.contracts import CheckReport, Score
from perennial.reports import (
    ReportInput,
    facts,
    render_card,
    render_run,
    render_summary,
    text,
)
from perennial.reports.scoreboard import Scores, difference, part_tables
from tests import samples
from tests.htmlpage import Page


def _bare(report: ReportInput) -> ReportInput:
    """Leave out whatever may be missing: no landing, check, picture, champion, quantile, slice or defined score."""
    found = report.evaluation
    test = replace(found.rows, levels=(), quantiles={}, y=np.zeros_like(found.rows.y))
    scores = tuple(replace(s, value=math.nan) for s in found.scores if s.part == "overall")
    return replace(
        report,
        landings=(),
        checks=CheckReport(checks=()),
        quarantine=(),
        split=replace(report.split, windows=(), new_entities=()),
        training=replace(report.training, importance={}),
        evaluation=replace(found, scores=scores, charts=(), rows=test),
        decision=samples.undecided(),
        lineage={},
        seconds={},
    )


# --- the page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "title", "badge"),
    [
        (samples.report, "Version 7 takes over from version 6", "Promoted"),
        (samples.refused, "Version 6 stays in use", "Kept champion"),
        (lambda: samples.report(champion=False), "Version 1 is the first model in use", "First model"),
        (lambda: _bare(samples.report(champion=False)), "Version 1 is not good enough to use", "Not promoted"),
    ],
)
def test_every_form_opens_with_the_decision(report, title: str, badge: str) -> None:
    """The page, the card and the summary say first what was decided."""
    given_report = report()

    assert Page(render_run(given_report)).text.split("as of")[1].split("\n")[1].strip() == title
    assert render_summary(given_report).startswith(f"## {badge}: {title}")
    assert f"**{badge}**. {title}" in render_card(given_report)


def test_page_stands_alone() -> None:
    """The page asks for nothing from anywhere: no address, no linked file, no import."""
    html = render_run(samples.report())
    page = Page(html)

    assert not {k for k, _ in page.attributes} & {"src", "action", "srcset", "poster"}
    assert all(v.startswith("#") for k, v in page.attributes if k == "href")
    assert not re.search(r"https?://|@import|url\(|//cdn", html)
    assert page.tags["link"] == 0


def test_policy_allows_the_one_script_only() -> None:
    """The content security policy names the digest of the page's own script."""
    html = render_run(samples.report())
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()

    assert len(script) == 1
    assert "default-src 'none'" in html
    assert f"script-src 'sha256-{digest}'" in html.replace("&#43;", "+")


def test_sections_come_in_the_order_of_reading() -> None:
    """Decision first, then comparison, forecasts, errors, data, lineage and cost."""
    order = ["decision", "gates", "comparison", "forecasts", "errors", "data", "aside", "lineage", "cost"]

    assert [i for i in Page(render_run(samples.report())).ids if i in order] == order


def test_page_shows_the_scores_it_was_given() -> None:
    """Every overall score of the candidate stands in the page in its own unit."""
    report = samples.report()
    shown = Page(render_run(report)).text

    for s in report.evaluation.scores:
        if s.contender == "candidate" and s.part == "overall":
            assert text.figure(s.value, s.metric) in shown


def test_same_report_gives_the_same_bytes() -> None:
    """Rendering reads no clock and no random number."""
    assert render_run(samples.report()) == render_run(samples.report())


def test_refusal_is_explained_before_the_figures() -> None:
    """A refused candidate's first failed gate is named in words on the first screen."""
    shown = Page(render_run(samples.refused())).text

    assert (
        shown.index("Why not") < shown.index("Absolute error against moving average:") < shown.index("Total forecast")
    )


def test_missing_parts_leave_no_hole() -> None:
    """Without champion, scores, pictures, landings and checks the page still closes and shows dashes."""
    report = _bare(samples.report(champion=False))
    page = Page(render_run(report))

    assert "without a verdict nothing is promoted" in page.text
    assert "could not be scored" in page.text
    assert not re.search(r"\b(nan|inf)\b", render_card(report) + render_summary(report))


# --- figures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "other", "metric", "shown", "tone"),
    [
        (0.50, 0.52, "wape", "−3.8\xa0%", "good"),
        (0.52, 0.50, "wape", "+4.0\xa0%", "bad"),
        (0.5001, 0.50, "wape", "0.0\xa0%", "even"),
        (0.5020, 0.50, "wape", "+0.4\xa0%", "even"),
        (0.03, 0.01, "bias", "+2.0\xa0pt", "bad"),
        (0.50, 0.0, "wape", "–", "even"),
        (math.nan, 0.5, "wape", "–", "even"),
        (0.5, math.inf, "rmsse", "–", "even"),
    ],
)
def test_difference_says_which_way_is_better(value: float, other: float, metric: str, shown: str, tone: str) -> None:
    """Lower is better, small changes are neither, and what is undefined is a dash."""
    found = difference(value, other, metric)

    assert (found.text, found.tone) == (shown, tone)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.1234, "0.123"), (9.876, "9.88"), (54.32, "54.3"), (1234.5, "1,234"), (-3.0, "−3.00")],
)
def test_amounts_have_three_digits(value: float, shown: str) -> None:
    """Quantities are short enough to compare at a glance."""
    assert text.amount(value) == shown


def test_facts_agree_with_a_slow_oracle() -> None:
    """Bias, coverage and the most missed series are what a loop over the rows finds."""
    rows = samples.rows()
    y, y_hat, bounds = rows.y.tolist(), rows.forecasts["candidate"].tolist(), rows.quantiles["candidate"].tolist()
    missed: dict[str, float] = {}
    for i in np.flatnonzero(rows.window == 0):
        name = str(rows.entities[rows.entity[i]])
        missed[name] = missed.get(name, 0.0) + abs(y_hat[i] - y[i])
    inside = sum(q[0] <= v <= q[-1] for v, q in zip(y, bounds, strict=True)) / len(y)
    held = facts.coverage(rows)

    assert facts.total_bias(rows, "candidate") == pytest.approx(sum(y_hat) / sum(y) - 1, rel=1e-6)
    assert held is not None
    assert held.inside == pytest.approx(inside)
    assert [m.entity for m in facts.most_missed(rows)] == sorted(missed, key=lambda k: -missed[k])[:10]


def test_many_slices_are_cut_to_the_largest() -> None:
    """Of twenty slice values the twelve with the most rows are shown, and the page says that eight are not."""
    report = samples.report()
    extra = tuple(
        Score(contender="candidate", metric="wape", part="slice", key=f"range={i:02}", value=0.5, rows=1000 + i)
        for i in range(20)
    )
    found = replace(report, evaluation=replace(report.evaluation, scores=extra))
    table = part_tables(Scores(found))[0]

    assert [row.name for row in table.rows] == [f"{i:02}" for i in range(8, 20)]
    assert table.left_out == 8
