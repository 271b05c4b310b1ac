"""The first screen of the report: what was decided, why, and what it means for whoever plans with the forecast."""

import math
from dataclasses import dataclass
from typing import Literal

from perennial.evaluation.suspicion import against_rules, too_good
from perennial.reports.contents import ReportInput
from perennial.reports.facts import change_of_total, coverage, total_bias
from perennial.reports.gatetable import refusals
from perennial.reports.kindwords import kind_words
from perennial.reports.metricwords import metric_words
from perennial.reports.scoreboard import Scores, Tone, difference
from perennial.reports.text import count, figure, plain, share
from perennial.reports.words import sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The decision in words.

    Attributes:
        lead: How good the candidate is, in one sentence.
        reasons: Why it was refused; empty when it was not.
        next_steps: What happens now.
        undo: Shell command that takes the decision back; ``""`` when there is nothing to take back.
    """

    badge: str
    tone: Literal["good", "still", "bad"]
    title: str
    lead: str
    reasons: tuple[str, ...] = ()
    next_steps: str
    undo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFigure:
    """One large number of the first screen."""

    label: str
    value: str
    note: str
    tone: Tone


def headline(report: ReportInput, scores: Scores) -> Headline:
    """Say what was decided and why."""
    lead = _lead(report, scores)
    if doubt := too_good(scores.all, report.training.importance, against_rules(report.pipeline)):
        lead += f" Is that {doubt}."
    new, old = report.version.version, report.champion
    if report.decision.promote:
        return _first(new, lead) if old is None else _promoted(report, new, old.version, lead)
    reasons = refusals(report, scores)
    return _none_in_use(new, lead, reasons) if old is None else _kept(new, old.version, lead, reasons)


def _promoted(report: ReportInput, new: int, old: int, lead: str) -> Headline:
    return Headline(
        badge="Promoted",
        tone="good",
        title=f"Version {new} takes over from version {old}",
        lead=lead,
        next_steps=f"From the next scoring run on, forecasts come from version {new}.{_plan_change(report, old)} "
        f"Version {old} is kept and can be brought back at once.",
        undo=f"perennial rollback {report.pipeline.pipeline} --to {old}",
    )


def _first(new: int, lead: str) -> Headline:
    return Headline(
        badge="First model",
        tone="good",
        title=f"Version {new} is the first model in use",
        lead=lead,
        next_steps=f"There was no model before. From the next scoring run on, forecasts come from version {new}.",
    )


def _kept(new: int, old: int, lead: str, reasons: tuple[str, ...]) -> Headline:
    return Headline(
        badge="Kept champion",
        tone="still",
        title=f"Version {old} stays in use",
        lead=lead,
        reasons=reasons,
        next_steps=f"Nothing changes in the forecasts you work with. Version {new} is on record with its figures; "
        "the next retraining starts a new candidate.",
    )


def _none_in_use(new: int, lead: str, reasons: tuple[str, ...]) -> Headline:
    return Headline(
        badge="Not promoted",
        tone="bad",
        title=f"Version {new} is not good enough to use",
        lead=lead,
        reasons=reasons,
        next_steps="No version is in use yet, so this pipeline has no model to forecast with. Look at the gates "
        "that failed, then at the data and the settings of the model.",
    )


def _lead(report: ReportInput, scores: Scores) -> str:
    value = scores.value("candidate", scores.main)
    subject = f"Version {report.version.version}"
    if not math.isfinite(value):
        return f"{subject} could not be scored: its {metric_words(scores.main).label.lower()} is undefined."
    shown = figure(value, scores.main)
    if scores.main == "wape":
        text = f"{subject}'s misses, over all series and test days, add up to {shown} of the actual volume"
    else:
        text = f"{subject} scores {shown} in {metric_words(scores.main).label.lower()}"
    compared = _comparisons(report, scores, value)
    return f"{text}: {' and '.join(compared)}." if compared else f"{text}."


def _comparisons(report: ReportInput, scores: Scores, value: float) -> list[str]:
    baseline = scores.best_baseline(scores.main)
    rivals = [("champion", f"version {report.champion.version}")] if report.champion else []
    if baseline:
        rivals.append((baseline, f"the best simple rule, {sentence(plain(baseline, 40)).lower()}"))
    out = []
    for contender, name in rivals:
        other = scores.value(contender, scores.main)
        if math.isfinite(other) and other > 0:
            out.append(f"{_more_or_less(value / other - 1)} {name} ({figure(other, scores.main)})")
    return out


def _more_or_less(change: float) -> str:
    if abs(change) < 0.0005:
        return "the same as"
    return f"{share(abs(change))} {'less' if change < 0 else 'more'} than"


def _plan_change(report: ReportInput, old: int) -> str:
    change = change_of_total(report.evaluation.rows) if kind_words(report.pipeline.kind).totals else 0.0
    if not math.isfinite(change) or abs(change) < 0.0005:
        return ""
    direction = "higher" if change > 0 else "lower"
    return f" On the test days their total was {share(abs(change))} {direction} than version {old}'s."


def key_figures(report: ReportInput, scores: Scores) -> tuple[KeyFigure, ...]:
    """Return the figures of the first screen: error, direction, band and steadiness, as far as they exist."""
    found = (_error_figure(report, scores), _bias_figure(report), _band_figure(report), _steadiness(report, scores))
    return tuple(f for f in found if f is not None)


def _error_figure(report: ReportInput, scores: Scores) -> KeyFigure:
    value, champion = scores.value("candidate", scores.main), scores.value("champion", scores.main)
    change = difference(value, champion, scores.main)
    baseline = scores.best_baseline(scores.main)
    if report.champion and math.isfinite(champion):
        note = f"{change.text} against version\N{NO-BREAK SPACE}{report.champion.version}"
    elif baseline:
        change = difference(value, scores.value(baseline, scores.main), scores.main)
        note = f"{change.text} against {sentence(plain(baseline, 40)).lower()}"
    else:
        note = "nothing to compare with"
    words = metric_words(scores.main)
    label = f"{words.label} ({words.short})" if words.short else words.label
    return KeyFigure(label=label, value=figure(value, scores.main), note=note, tone=change.tone)


def _bias_figure(report: ReportInput) -> KeyFigure | None:
    bias = total_bias(report.evaluation.rows, "candidate")
    if not (math.isfinite(bias) and kind_words(report.pipeline.kind).totals):
        return None
    words = "too much" if bias > 0.0005 else "too little" if bias < -0.0005 else "neither too much nor too little"
    champion = total_bias(report.evaluation.rows, "champion")
    before = (
        f"; version\N{NO-BREAK SPACE}{report.champion.version}: {share(champion, sign=True)}" if report.champion else ""
    )
    return KeyFigure(label="Total forecast", value=share(bias, sign=True), note=f"{words} in all{before}", tone="even")


def _band_figure(report: ReportInput) -> KeyFigure | None:
    found = coverage(report.evaluation.rows)
    if found is None:
        return None
    note = (
        f"of actuals inside the {share(found.level, 0)} band; {share(found.above)} above it, {share(found.below)} below"
    )
    return KeyFigure(label="Uncertainty band", value=share(found.inside), note=note, tone="even")


def _steadiness(report: ReportInput, scores: Scores) -> KeyFigure | None:
    value, champion = scores.value("candidate", "instability"), scores.value("champion", "instability")
    if not math.isfinite(value):
        return None
    before = f"; version\N{NO-BREAK SPACE}{report.champion.version}: {share(champion)}" if report.champion else ""
    return KeyFigure(
        label="Change between runs",
        value=share(value),
        note=f"of the volume, when the same day is forecast again{before}",
        tone="even",
    )


def tally(report: ReportInput) -> tuple[str, str, str]:
    """Return one line each about gates, checks and rows set aside."""
    verdicts, checks = report.decision.verdicts, report.checks.checks
    warnings = len(report.checks.warnings)
    passed = sum(c.passed for c in checks)
    also = f", {warnings} warning{'s' if warnings > 1 else ''}" if warnings else ""
    aside = sum(q.rows for q in report.quarantine)
    return (
        f"{sum(v.passed for v in verdicts)} of {len(verdicts)} gates passed" if verdicts else "no gate was judged",
        f"{passed} of {len(checks)} data checks passed{also}" if checks else "no data check ran",
        f"{count(aside)} rows set aside" if aside else "no rows set aside",
    )
