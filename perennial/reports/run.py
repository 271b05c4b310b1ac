"""How a run was made: its test windows, its training, its lineage and its cost."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from perennial.config.section import flat
from perennial.evaluation.catalogue import SECTIONS
from perennial.reports.contents import ReportInput
from perennial.reports.facts import most_missed
from perennial.reports.kindwords import kind_words
from perennial.reports.text import NONE, amount, count, day, mebibytes, moment, plain, seconds, share, short_day
from perennial.reports.words import estimator_name, sentence

_SHOWN_FEATURES = 12
_SHOWN_ENTITIES = 8
_DIGEST = re.compile(r"[0-9a-f]{7,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of a small chart; ``left`` and ``width`` in percent."""

    name: str
    text: str
    width: float
    left: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and a value; ``code`` for a value that is compared, not read."""

    name: str
    value: str
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The last trained days and the test windows after them, on one axis.

    Attributes:
        begins: First day of the axis, which is not the first trained day.
        says: The same in a sentence.
    """

    trained: Bar
    windows: tuple[Bar, ...]
    begins: str
    ends: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedRow:
    """One of the series that were missed the most."""

    entity: str
    actual: str
    forecast: str
    miss: str
    error: str
    champion: str


def timeline(report: ReportInput) -> Timeline:
    """Draw the end of training and the test windows on a common axis."""
    split, last = report.split, report.snapshot.as_of
    first = split.train_end - timedelta(days=max((last - split.train_end).days, 7))
    span = (last - first).days

    def at(when: date) -> float:
        return round((when - first).days / span * 100, 2)

    windows = tuple(
        Bar(
            name=f"from {short_day(w.origin)}",
            text=f"{w.horizon} day{'s' if w.horizon > 1 else ''}",
            left=at(w.origin),
            width=round(w.horizon / span * 100, 2),
        )
        for w in split.windows
    )
    trained = Bar(name="trained", text=f"trained up to {short_day(split.train_end)}", width=at(split.train_end))
    return Timeline(
        trained=trained, windows=windows, begins=short_day(first), ends=short_day(last), says=_tested(report)
    )


def _tested(report: ReportInput) -> str:
    windows = report.split.windows
    rows = count(len(report.evaluation.rows.y))
    many = f"{len(windows)} times" if len(windows) != 1 else "once"
    if not windows:
        return "History is too short for a test window; nothing was compared."
    horizon = max(w.horizon for w in windows)
    words = kind_words(report.pipeline.kind)
    return (
        f"Every contender {words.did} {many}, each time knowing only what was known on that day, "
        f"up to {horizon} days ahead. None of these days was trained on, and all contenders are compared on the same "
        f"{rows} {words.rows.format(count(report.split.entities))}."
    )


def missed_rows(report: ReportInput) -> tuple[MissedRow, ...]:
    """Return the series with the largest misses in the first test window."""
    told = kind_words(report.pipeline.kind).totals and not report.pipeline.privacy.hidden
    missed = most_missed(report.evaluation.rows) if told else ()
    show: Callable[[float], str] = count if missed and missed[0].miss >= 100 else amount  # one unit for a column
    return tuple(
        MissedRow(
            entity=plain(m.entity, 40),
            actual=show(m.actual),
            forecast=show(m.forecast),
            miss=show(m.miss),
            error=share(m.miss / m.actual, 0) if m.actual > 0 else NONE,
            champion=show(m.champion_miss),
        )
        for m in missed
    )


def feature_bars(report: ReportInput) -> tuple[Bar, ...]:
    """Return the most important inputs of the model, longest bar first."""
    ranked = sorted(report.training.importance.items(), key=lambda item: -item[1])[:_SHOWN_FEATURES]
    longest = max((value for _, value in ranked), default=0.0)
    return tuple(
        Bar(name=plain(name, 40), text=share(value), width=round(value / longest * 100, 1))
        for name, value in ranked
        if value > 0
    )


def new_entities(report: ReportInput) -> str:
    """Say which series began after training; ``""`` if none did."""
    names, what = report.split.new_entities, kind_words(report.pipeline.kind).entities
    if not names:
        return ""
    if report.pipeline.privacy.hidden:
        return f"{count(len(names))} {what} first appeared after training ended and were judged all the same."
    shown = ", ".join(plain(name, 40) for name in names[:_SHOWN_ENTITIES])
    more = f" and {count(len(names) - _SHOWN_ENTITIES)} more" if len(names) > _SHOWN_ENTITIES else ""
    return (
        f"{count(len(names))} {what} first appeared after training ended and were judged all the same: {shown}{more}."
    )


def training_facts(report: ReportInput) -> tuple[Fact, ...]:
    """Return how the candidate was trained."""
    training, model, own = report.training, report.pipeline.model, kind_words(report.pipeline.kind).estimator
    how = "from scratch" if training.mode == "refit" else "champion continued with recent days"
    return (
        Fact(name="Estimator", value=own or estimator_name(model.estimator)),
        Fact(name="Fitted", value=how),
        Fact(name="Trained up to", value=day(report.split.train_end)),
        Fact(name="Training rows", value=count(training.rows)),
        Fact(name="Inputs", value=count(len(training.features))),
        Fact(name="Seed", value=str(model.seed)),
    )


def lineage_facts(report: ReportInput) -> tuple[Fact, ...]:
    """Return what identifies this run: the same input, code, settings and seed give the same model again."""
    version, champion = report.version, report.champion
    own = {
        "model": f"{version.model}, version {version.version}",
        "champion before": f"version {champion.version}, as of {day(champion.as_of)}" if champion else "none",
        "as-of date": day(report.snapshot.as_of),
        "rows known before": moment(report.snapshot.cutoff),
        "model digest": version.digest,
        "run key": version.run_key,
        "snapshot": report.snapshot.snapshot_id,
    }
    given = {k: v for k, v in report.lineage.items() if k not in own}
    return _facts(own | given)


def setting_facts(report: ReportInput) -> tuple[Fact, ...]:
    """Return the settings of the pipeline and what the fit made of them, flat."""
    others = tuple(f"{kind}." for kind in SECTIONS if kind != report.pipeline.kind)
    shown = {k: v for k, v in flat(report.pipeline).items() if not k.startswith(others)}
    settings = {k: v for k, v in shown.items() if k not in {"gates", "description", "owner"}}
    fitted = {f"fit.{k}": v for k, v in report.training.params.items() if k not in settings}
    return tuple(Fact(name=plain(k, 60), value=plain(setting_text(v), 200)) for k, v in (settings | fitted).items())


def cost_facts(report: ReportInput) -> tuple[Fact, ...]:
    """Return time, memory and rows of the run."""
    total = sum(report.seconds.values())
    return (
        Fact(name="Total time", value=seconds(total)),
        Fact(name="Peak memory", value=mebibytes(report.peak_mib)),
        Fact(name="Rows read", value=count(report.rows)),
        Fact(name=sentence(kind_words(report.pipeline.kind).entities), value=count(report.split.entities)),
    )


def stage_bars(report: ReportInput) -> tuple[Bar, ...]:
    """Return the stages one after another, as they ran."""
    total = sum(report.seconds.values()) or 1.0
    bars, left = [], 0.0
    for name, value in report.seconds.items():
        width = value / total * 100
        bars.append(
            Bar(name=plain(sentence(name), 30), text=seconds(value), left=round(left, 2), width=round(width, 2))
        )
        left += width
    return tuple(bars)


def _facts(values: Mapping[str, object]) -> tuple[Fact, ...]:
    return tuple(
        Fact(name=plain(sentence(k), 40), value=plain(v, 200), code=bool(_DIGEST.fullmatch(str(v))))
        for k, v in values.items()
    )


def setting_text(value: object) -> str:
    """Return a setting as it is read, ``–`` where none is given."""
    if value is None or value in ((), {}, ""):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join("–".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items())
    return str(value)
