"""The verdicts as a table: what each gate compared, in the unit of its metric, and the evidence it judged by."""

from dataclasses import dataclass

from perennial.contracts import Verdict
from perennial.reports.contents import ReportInput
from perennial.reports.metricwords import metric_words
from perennial.reports.scoreboard import Difference, Scores, difference
from perennial.reports.text import NONE, figure, plain
from perennial.reports.words import part_name, sentence

_SHOWN_REFUSALS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One verdict.

    Attributes:
        where: The slice it is about; ``""`` for all rows.
        candidate: What the candidate scored.
        other: What it was compared with: another contender's score, or the bound.
        reason: The evidence, as the gate gave it.
    """

    passed: bool
    title: str
    where: str
    candidate: str
    other: str
    difference: Difference
    reason: str


def gate_rows(report: ReportInput, scores: Scores) -> tuple[GateRow, ...]:
    """Return all verdicts, refusals first, each group in the order of the configuration."""
    return tuple(_gate_row(v, report, scores) for v in sorted(report.decision.verdicts, key=lambda v: v.passed))


def refusals(report: ReportInput, scores: Scores) -> tuple[str, ...]:
    """Say why the candidate was refused: the first few gates that failed."""
    if not report.decision.verdicts:
        return ("No gate was judged, and without a verdict nothing is promoted.",)
    failed = [row for row in gate_rows(report, scores) if not row.passed]
    texts = [_refusal(row) for row in failed[:_SHOWN_REFUSALS]]
    if len(failed) > _SHOWN_REFUSALS:
        texts.append(f"{len(failed) - _SHOWN_REFUSALS} more gates failed; they are listed below.")
    return tuple(texts)


def _refusal(row: GateRow) -> str:
    where = f" ({row.where})" if row.where else ""
    if NONE in (row.candidate, row.other):
        return f"{row.title}{where}: {row.reason}."
    text = f"{row.title}{where}: {row.candidate} against {row.other}"
    if row.difference.tone == "good":
        return f"{text}, better, but not by as much or not as surely as this gate asks."
    return f"{text}."


def _gate_row(verdict: Verdict, report: ReportInput, scores: Scores) -> GateRow:
    """Show the scores that were compared; the verdict's own value may be a p-value or an upper bound."""
    part = "slice" if verdict.key else "overall"
    candidate = scores.value("candidate", verdict.metric, part, verdict.key)
    other = verdict.bound
    if verdict.against != "bound":
        other = scores.value(verdict.against, verdict.metric, part, verdict.key)
    return GateRow(
        passed=verdict.passed,
        title=plain(f"{metric_words(verdict.metric).label} {_against(verdict, report)}", 120),
        where=_where(verdict.key),
        candidate=figure(candidate, verdict.metric),
        other=figure(other, verdict.metric),
        difference=difference(candidate, other, verdict.metric),
        reason=plain(verdict.reason, 240),
    )


def _against(verdict: Verdict, report: ReportInput) -> str:
    if verdict.against == "bound":
        return "within its limit"
    if verdict.against == "champion":
        return f"against version {report.champion.version}" if report.champion else "against a champion"
    return f"against {plain(sentence(verdict.against), 40).lower()}"


def _where(key: str) -> str:
    name, _, value = key.partition("=")
    return f"{plain(sentence(name), 30).lower()} {part_name('slice', plain(value, 40))}" if value else plain(key, 40)
