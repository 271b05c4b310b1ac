"""Reports: nothing in the data can break out of its place, neither in HTML nor in Markdown nor in a spreadsheet."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.contracts import CheckReport, Score, Verdict
from perennial.reports import (
    Quarantined,
    ReportInput,
    render_card,
    render_run,
    render_summary,
    text,
)
from tests import samples
from tests.htmlpage import Page

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>\n|*[x](http://evil)`\u202e=1+1'


def hostile(report: ReportInput) -> ReportInput:
    """Put markup, formulas and control characters wherever text can come from data or configuration."""
    found, test = report.evaluation, report.evaluation.rows
    names = np.array([f"{EVIL} {i}" for i in range(len(test.entities))])
    scores = tuple(replace(s, key=f"volume={EVIL}") if s.key == "volume=A" else s for s in found.scores)
    scores += (Score(contender=EVIL, metric="wape", part="overall", key="", value=0.99, rows=1),)
    chart = replace(
        found.charts[0], title=EVIL, note=EVIL, lines={**found.charts[0].lines, EVIL: found.charts[0].lines["actual"]}
    )
    verdict = Verdict(
        gate=EVIL, metric=EVIL, against=EVIL, key=f"{EVIL}={EVIL}", value=1, bound=2, passed=False, reason=EVIL
    )
    return replace(
        report,
        pipeline=report.pipeline.model_copy(update={"description": EVIL, "owner": EVIL}),
        evaluation=replace(found, scores=scores, charts=(chart,), rows=replace(test, entities=names)),
        decision=replace(report.decision, verdicts=(*report.decision.verdicts, verdict)),
        checks=CheckReport(
            checks=(
                replace(
                    report.checks.checks[-2], name=EVIL, column=EVIL, observed=EVIL, expected=EVIL, samples=(EVIL,)
                ),
            ),
            docs=EVIL,
        ),
        quarantine=(Quarantined(table=EVIL, reason=EVIL, rows=3, samples=(EVIL,)),),
        split=replace(report.split, new_entities=(EVIL,)),
        training=replace(report.training, importance={EVIL: 1.0}, params={EVIL: EVIL}),
        lineage={EVIL: EVIL},
        seconds={EVIL: 1.0},
    )


def test_markup_in_data_stays_text() -> None:
    """Hostile names add no element, no attribute and no second script to the page."""
    page = Page(render_run(hostile(samples.report())))

    assert page.tags["script"] == 1
    assert page.tags["img"] == 0
    assert not [k for k, _ in page.attributes if k.startswith("on") or k == "src"]
    assert "\u202e" not in page.text
    assert all("\u202e" not in v for _, v in page.attributes)


@pytest.mark.parametrize("render", [render_card, render_summary])
def test_markup_in_data_stays_text_in_markdown(render) -> None:
    """Hostile names make no tag, no link, no line and no table cell."""
    out = render(hostile(samples.report()))
    rows = [line for line in out.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]

    assert "<" not in out
    assert not re.search(r"(?<!\\)\]\(|://", out)
    assert "\u202e" not in out
    starts = [i for i, row in enumerate(rows) if set(row) <= set("|-: ")]
    for start, end in zip(starts, [*(i - 1 for i in starts[1:]), len(rows)], strict=True):
        assert len(set(cells[start - 1 : end])) == 1


@given(st.text(max_size=60))
@settings(max_examples=200)
def test_plain_text_is_harmless(value: str) -> None:
    """No control character, no line break and nothing a spreadsheet runs survives."""
    shown = text.plain(value)

    assert len(shown) <= 80
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert not re.match(r"[=+\-@].*[!|(=]", shown)


@given(st.text(alphabet="a_ |*<>[]`\\\n:/", max_size=30))
@settings(max_examples=200)
def test_markdown_escape_leaves_no_markup(value: str) -> None:
    """Every character that Markdown could act on is escaped or encoded."""
    shown = text.markdown(value)

    assert not re.search(r"[<>\n]|://", shown)
    assert not re.search(r"[|*\[\]`]", re.sub(r"\\.", "", shown))


@pytest.mark.parametrize("link", ["https://host/a b)", "x](javascript:alert(1))", "a\n<b>"])
def test_summary_link_cannot_close_itself(link: str) -> None:
    """Brackets, spaces and line breaks in the address are percent-encoded."""
    last = render_summary(samples.report(), link).strip().splitlines()[-1]

    assert re.fullmatch(r"\[Open the report\]\([^\s()\[\]<>]+\)", last)
