"""The verdict on a change, in the Markdown of a pull request: what changed, what was retrained, how it did."""

from collections.abc import Iterator, Sequence

from perennial.changes import Outcome, Status, Trial
from perennial.contracts import Score, Verdict
from perennial.reports.text import NONE, figure, markdown, seconds, share
from perennial.reports.words import metric_words

_NAMES = {"candidate": "this change", "champion": "base"}
_MEANING: dict[Status, str] = {
    "unchanged": "same settings, checks, code and lock file: not trained",
    "removed": "no longer a pipeline: not trained",
    "passed": "every gate passed",
    "gate failed": "at least one gate failed",
    "invalid": "its files are not valid: nothing was trained",
    "data missing": "its source could not be read, so nothing is known of it",
    "not compared": "the base's model could not be trained, so the candidate was judged without it",
    "not trained": "the retrain failed",
}


def render_change(outcome: Outcome) -> str:
    """Return the verdict as Markdown: a headline, a table of all pipelines, a section for each that changed."""
    return "\n".join((*_head(outcome), *(line for one in outcome.pipelines for line in _section(one)))) + "\n"


def _head(outcome: Outcome) -> Iterator[str]:
    failing = [one.change.pipeline for one in outcome.pipelines if one.fails]
    tried = [one for one in outcome.pipelines if one.status not in ("unchanged", "removed")]
    if failing:
        said = f"refused: {', '.join(markdown(name) for name in failing)}"
    else:
        said = f"passed: {len(tried)} checked" if tried else "passed: nothing to retrain"
    yield f"## Perennial: {said}"
    yield ""
    yield (
        f"Compared with {markdown(outcome.base)} (commit {outcome.commit[:12]}). Base and change were trained in a "
        "scratch workspace on the same data and date; nothing that is in force was touched."
    )
    yield ""
    yield "| Pipeline | Verdict | Gates passed | What changed |"
    yield "|---|---|---:|---|"
    for one in outcome.pipelines:
        passed = sum(v.passed for v in one.verdicts)
        gates = f"{passed} of {len(one.verdicts)}" if one.verdicts else NONE
        reasons = "; ".join(map(markdown, one.change.reasons[:3])) + ("; ..." if len(one.change.reasons) > 3 else "")
        yield f"| {markdown(one.change.pipeline)} | {_mark(one)} | {gates} | {reasons or NONE} |"
    yield ""


def _mark(one: Trial) -> str:
    if one.fails:
        return f"**{one.status.upper()}**"
    return f"{one.status} (excused)" if one.excused else one.status


def _section(one: Trial) -> Iterator[str]:
    if one.status in ("unchanged", "removed"):
        return
    yield f"### {markdown(one.change.pipeline)}: {_mark(one)}"
    yield ""
    when = f", as of {one.as_of}" if one.as_of else ""
    took = f", {seconds(one.seconds)}" if one.seconds else ""
    yield f"{_MEANING[one.status].capitalize()}{when}{took}."
    yield ""
    for reason in one.change.reasons:
        yield f"- {markdown(reason)}"
    if one.note:
        yield ""
        yield from (f"> {markdown(line)}" for line in one.note.splitlines())
    yield ""
    yield from _gates(one.verdicts)
    yield from _errors(one.scores)


def _gates(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Show every gate, refusals first."""
    if not verdicts:
        return
    yield "| Gate | Verdict | Figures |"
    yield "|---|---|---|"
    for one in sorted(verdicts, key=lambda v: v.passed):
        where = f" ({markdown(one.key)})" if one.key else ""
        yield f"| {markdown(one.gate)}{where} | {'pass' if one.passed else '**FAIL**'} | {markdown(one.reason)} |"
    yield ""


def _errors(scores: Sequence[Score]) -> Iterator[str]:
    """Show one table of errors per set of test rows; lower is better for every one."""
    for part, key in dict.fromkeys((s.part, s.key) for s in scores):
        rows = [s for s in scores if (s.part, s.key) == (part, key)]
        contenders = sorted(dict.fromkeys(s.contender for s in rows), key=_order)
        count = max((s.rows for s in rows), default=0)
        where = f"the evaluation set {markdown(key)}" if key else "all test rows"
        yield f"Errors on {where} ({count:,}); lower is better:"
        yield ""
        yield "| | " + " | ".join([*(markdown(_NAMES.get(c, c)) for c in contenders), "change from base"]) + " |"
        yield "|---|" + "---:|" * (len(contenders) + 1)
        for metric in dict.fromkeys(s.metric for s in rows):
            values = {s.contender: s.value for s in rows if s.metric == metric}
            shown = [figure(values.get(c, float("nan")), metric) for c in contenders]
            yield f"| {_title(metric)} | {' | '.join(shown)} | {_step(values)} |"
        yield ""


def _order(contender: str) -> int:
    return {"champion": 0, "candidate": 1}.get(contender, 2)


def _title(metric: str) -> str:
    words = metric_words(metric)
    return markdown(f"{words.label} ({words.short or metric})")


def _step(values: dict[str, float]) -> str:
    base, new = values.get("champion", float("nan")), values.get("candidate", float("nan"))
    return share(new / base - 1, sign=True) if base > 0 else NONE
