"""The verdict on a change, in the Markdown of a pull request: what changed, what was retrained, how it did."""

import math
from collections.abc import Iterator, Sequence

from perennial.changes import Outcome, Status, Trial
from perennial.contracts import Score, Verdict
from perennial.reports.metricwords import metric_words
from perennial.reports.scoreboard import difference
from perennial.reports.text import NONE, figure, markdown, seconds

_NAMES = {"candidate": "this change", "champion": "base"}
_UNTRIED: tuple[Status, ...] = ("unchanged", "removed")
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
    """Return the verdict as Markdown: a headline, a table of all pipelines, a section for each that changed.

    What is refused comes first, since that is what a reader looks for among pipelines that passed.
    """
    ordered = sorted(outcome.pipelines, key=lambda one: (not one.fails, one.status in _UNTRIED))
    return "\n".join((*_head(outcome, ordered), *(line for one in ordered for line in _section(one)))) + "\n"


def _head(outcome: Outcome, ordered: Sequence[Trial]) -> Iterator[str]:
    yield f"## Models: {headline(ordered)}"
    yield ""
    yield f"Compared with {markdown(outcome.base)} (commit {outcome.commit[:12]}). {_how(ordered)}"
    yield ""
    if not ordered:
        return
    yield "| Pipeline | Verdict | Gates passed | What changed |"
    yield "|---|---|---:|---|"
    for one in ordered:
        passed = sum(v.passed for v in one.verdicts)
        gates = f"{passed} of {len(one.verdicts)}" if one.verdicts else NONE
        reasons = "; ".join(map(_prose, one.change.reasons[:3])) + ("; ..." if len(one.change.reasons) > 3 else "")
        yield f"| {markdown(one.change.pipeline)} | {_mark(one)} | {gates} | {reasons or NONE} |"
    yield ""


def headline(trials: Sequence[Trial]) -> str:
    """Return the verdict in a line, for example ``refused because of demand``."""
    failing = [markdown(one.change.pipeline) for one in trials if one.fails]
    if failing:
        return f"refused because of {', '.join(failing)}"
    tried = sum(one.status not in _UNTRIED for one in trials)
    return f"passed, {tried} of {len(trials)} pipelines checked" if tried else "passed, nothing to retrain"


def _how(trials: Sequence[Trial]) -> str:
    """Say how the figures came about; nothing is claimed where nothing was trained."""
    if not any(one.verdicts for one in trials):
        return "No model was judged, and nothing that is in force was touched."
    return (
        "Base and change were trained in a scratch workspace on the same data and date; nothing that is in force was "
        "touched. The champion of a gate is the base's model."
    )


def _mark(one: Trial) -> str:
    if one.fails:
        return f"**{one.status.upper()}**"
    return f"{one.status} (excused)" if one.excused else one.status


def _section(one: Trial) -> Iterator[str]:
    if one.status in _UNTRIED:
        return
    yield f"### {markdown(one.change.pipeline)}: {_mark(one)}"
    yield ""
    when = f", as of {one.as_of}" if one.as_of else ""
    took = f", {seconds(one.seconds)}" if one.seconds else ""
    yield f"{_MEANING[one.status].capitalize()}{when}{took}."
    yield ""
    yield from _blocks([f"- {_prose(reason)}" for reason in one.change.reasons], _quoted(one.note))
    yield from _gates(one.verdicts)
    yield from _errors(one.scores)


def _blocks(*blocks: Sequence[str]) -> Iterator[str]:
    """Yield blocks of lines with an empty one after each; what is empty is left out."""
    for block in filter(None, blocks):
        yield from block
        yield ""


def _quoted(note: str) -> list[str]:
    """Quote what a run ended with; indented lines are points of a list, or Markdown would run them together."""
    return [f"> {'- ' if line.startswith(' ') else ''}{markdown(line.strip())}" for line in note.splitlines()]


def _prose(text: str) -> str:
    """Escape text and show its arrows and bounds as signs, which need no escape and also read well in a plain log."""
    return markdown(text).replace("-&gt;", "→").replace("&lt;=", "≤").replace("&gt;=", "≥")


def _gates(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Show every gate, refusals first."""
    if not verdicts:
        return
    yield "| Gate | Verdict | Figures |"
    yield "|---|---|---|"
    for one in sorted(verdicts, key=lambda v: v.passed):
        where = f" ({markdown(one.key)})" if one.key and one.key not in one.gate else ""
        yield f"| {markdown(one.gate)}{where} | {'pass' if one.passed else '**FAIL**'} | {_prose(one.reason)} |"
    yield ""


def _errors(scores: Sequence[Score]) -> Iterator[str]:
    """Show one table of errors per set of test rows; lower is better for every one."""
    for part, key in dict.fromkeys((s.part, s.key) for s in scores):
        rows = [s for s in scores if (s.part, s.key) == (part, key)]
        contenders = sorted(dict.fromkeys(s.contender for s in rows), key=_order)
        count = max((s.rows for s in rows), default=0)
        where = f"the evaluation set {markdown(key.removeprefix('set='))}" if key else "all test rows"
        yield f"Errors on {where} ({count:,}); lower is better:"
        yield ""
        yield "| | " + " | ".join([*(markdown(_NAMES.get(c, c)) for c in contenders), "change from base"]) + " |"
        yield "|---|" + "---:|" * (len(contenders) + 1)
        for metric in dict.fromkeys(s.metric for s in rows if math.isfinite(s.value)):
            values = {s.contender: s.value for s in rows if s.metric == metric}
            shown = [figure(values.get(c, float("nan")), metric) for c in contenders]
            yield f"| {_title(metric)} | {' | '.join(shown)} | {_step(values, metric)} |"
        yield ""


def _order(contender: str) -> int:
    return {"champion": 0, "candidate": 1}.get(contender, 2)


def _title(metric: str) -> str:
    words = metric_words(metric)
    return markdown(f"{words.label} ({words.short or metric})")


def _step(values: dict[str, float], metric: str) -> str:
    """Return how far the change is from the base, in points for figures near zero."""
    return difference(values.get("candidate", math.nan), values.get("champion", math.nan), metric).text
