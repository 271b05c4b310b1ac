"""The pipeline file that a table suggests, commented: what was guessed, why, and how sure it is."""

import json
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from perennial.config.types import WEEKDAYS
from perennial.contracts import TARGET
from perennial.errors import ConfigError
from perennial.profiling.history import History
from perennial.profiling.meaning import Meaning
from perennial.profiling.plan import Plan
from perennial.profiling.uses import ColumnUse, horizon

LIVE_DAYS = 7
"""A table whose last day is not older than this is taken for one that grows."""
RETURNS = 0.02
"""Share of targets below zero that may be returns; they are set aside."""
WEEKLY_DAYS, DAILY_DAYS = 1825, 730
"""Days of history to learn from, at most."""
MIN_HISTORY = 56
"""Days without which nothing can be held out and learned from."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ .-]*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that a pipeline file is made of."""

    name: str
    source: str
    meaning: Meaning
    plan: Plan
    columns: tuple[ColumnUse, ...]
    rows: History
    today: date


def source_text(plan: Plan) -> str:
    """Return the section ``data``, with which the history can be read before the rest is known."""
    kept = "" if plan.path.endswith(f".{plan.kept_as}") or plan.kept_as == "parquet" else f", format: {plan.kept_as}"
    lines = ["data:", f"  source: {{type: files, path: {_word(plan.path)}{kept}}}", "  columns:"]
    if plan.entity:
        one = len(plan.entity) == 1
        lines.append(f"    entity: {_word(plan.entity[0]) if one else _list(plan.entity)}")
    lines += [f"    ds: {_word(plan.ds)}", f"    y: {_word(plan.y)}"]
    extra = dict(plan.extra) | ({plan.second: plan.second} if plan.second else {})
    if extra:
        lines += ["    extra:", *(f"      {ours}: {_word(theirs)}" for ours, theirs in extra.items())]
    if plan.text:
        lines.append(f"    text: {_list(plan.text)}")
    return "\n".join(lines)


def pipeline_text(draft: Draft) -> str:
    """Return the text of ``configs/<name>.yaml``.

    Raises:
        ConfigError: There is too little history to hold days out and learn from the others.
    """
    rows = draft.rows
    if rows.days < MIN_HISTORY and draft.meaning.kind == "forecast":
        raise ConfigError(
            f"{draft.source} has {rows.days} days of history, {rows.first} to {rows.last}; at least {MIN_HISTORY} are"
            " needed to hold some out and learn from the others. Come back with more"
        )
    if draft.meaning.kind == "forecast" and (below := _below_zero(rows)) > RETURNS:
        raise ConfigError(
            f"{draft.meaning.target} is below zero in {below:.0%} of the rows, down to {rows.lows[TARGET]:g}, and kind"
            " forecast is for amounts that are never negative: intervals are shares of the forecast. Forecast what it"
            " is made of (income and cost, inflow and outflow) with --target, or whether it is negative with"
            " --kind classify on a column of your own that says so"
        )
    kind = _forecast(draft) if draft.meaning.kind == "forecast" else _classify(draft)
    blocks = [_head(draft), source_text(draft.plan), *_known(draft), _guards(draft), *kind]
    return "\n\n".join(blocks) + "\n"


def _head(draft: Draft) -> str:
    lines = [
        "# yaml-language-server: $schema=schema.json",
        *_comment(f"Written by `perennial init` from {draft.source}. What it guessed, why, and how sure it is:"),
    ]
    for one in draft.meaning.guesses:
        lines += _comment(f"- {one.what}: {one.value or 'none'} ({one.sure}): {one.why}")
    for use, sure, why in dict.fromkeys((c.use, c.sure, c.why) for c in draft.columns):
        names = ", ".join(c.name for c in draft.columns if (c.use, c.sure, c.why) == (use, sure, why))
        lines += _comment(f"- {names}: {use} ({sure}): {why}")
    for reason in draft.plan.reasons:
        lines += _comment(f"- converted: {reason}")
    for column, rule in draft.plan.rules.items():
        lines += _comment(f"- a day's {column} is the {rule} of its rows")
    lines += [f"pipeline: {draft.name}", f"kind: {draft.meaning.kind}", *_as_of(draft)]
    return "\n".join(lines)


def _as_of(draft: Draft) -> list[str]:
    last = draft.rows.last if draft.meaning.kind == "forecast" else draft.rows.newest
    if not draft.plan.dealt and (draft.today - last).days <= LIVE_DAYS:
        return ["# as_of: left out, the table grows: a run stands on yesterday"]
    if draft.plan.dealt:
        return [f"as_of: {last} # not a real date: the table has none, days are counted from {draft.plan.start}"]
    return [f"as_of: {last} # the table ends here; delete this line when it grows"]


def _known(draft: Draft) -> Iterator[str]:
    known = draft.plan.uses.get("known", ())
    if known:
        kept = "" if draft.plan.path.endswith(f".{draft.plan.kept_as}") else f", format: {draft.plan.kept_as}"
        columns = f"{{entity: {_list(draft.plan.entity)}, " if draft.plan.entity else "{"
        extra = ", ".join(f"{name}: {_word(draft.plan.extra[name])}" for name in known)
        yield (
            "known: # columns that rows ahead of the last target have already\n"
            f"  ahead:\n    source: {{type: files, path: {_word(draft.plan.path)}{kept}}}\n"
            f"    columns: {columns}ds: {_word(draft.plan.ds)}, extra: {{{extra}}}}}\n"
            f"    delay_days: -{horizon(draft.rows.days)} # known so many days before"
        )
    ahead = [c.name for c in draft.columns if "see `known`" in c.why]
    if ahead and not known:
        yield (
            f"# {', '.join(ahead)}: known in advance, it seems. Once a table has the days to come, say\n"
            "# known:\n#   plans:\n#     source: {type: files, path: data/plans.csv}\n"
            f"#     columns: {{ds: date, extra: {{{', '.join(f'{_plain(n)}: {_word(n)}' for n in ahead)}}}}}\n"
            f"#     delay_days: -{horizon(draft.rows.days)}\n# and name them in `forecast.known`."
        )


def _guards(draft: Draft) -> str:
    rows, events = draft.rows, draft.meaning.kind == "classify"
    closed = frozenset[int]() if events else frozenset(range(7)) - set(draft.meaning.weekdays)
    age, missing = _holes(rows, closed)
    nulls = rows.missing(TARGET)
    late = rows.late if events else 0
    lines = [
        "guards: # learned from history; a run that breaks one trains nothing",
        f"  min_rows: {max(1, rows.rows // 2)}",
        f"  min_entities: {max(1, rows.entities // 2)}",
        f"  max_age_days: {age + late} # the longest gap in history has {age - 1} days"
        + (f", and labels are {late} days late" if late else ""),
        f"  max_missing_days: {missing} # the most in any four weeks of history",
        f"  min_coverage: {_coverage(rows):g} # of the usual rows of the newest day; history's worst day allows it",
    ]
    if events or nulls > 0:
        lines.append(f"  max_null_rate: {1.0 if events else min(1.0, round(1.5 * nulls + 0.01, 2)):g}")
    below = _below_zero(rows) if not events else 0.0
    if rows.bad or below:
        share = rows.bad / (rows.rows + rows.bad) + below
        why = f" # {below:.1%} of the targets are below zero (returns?): they are set aside" if below else ""
        lines.append(f"  max_quarantine_rate: {min(1.0, round(2 * share + 0.01, 3)):g}{why}")
    return "\n".join(lines)


def _below_zero(rows: History) -> float:
    known = rows.sample[TARGET].dropna()
    return float((known < 0).mean()) if len(known) else 0.0


def _holes(rows: History, closed: frozenset[int]) -> tuple[int, int]:
    """Return the longest run of open days without a row, plus one, and the most such days in any four weeks."""
    days = [rows.first + timedelta(days=n) for n in range(rows.days)]
    there = {day.date() for day in rows.daily.index}
    hole = np.array([day.weekday() not in closed and day not in there for day in days])
    longest = run = 0
    for one in hole:
        run = run + 1 if one else 0
        longest = max(longest, run)
    window = np.convolve(hole, np.ones(min(28, len(hole)), dtype=int)).max()
    return longest + 1, int(window)


def _coverage(rows: History) -> float:
    counts = rows.daily["rows"].iloc[-365:]
    usual = counts.groupby(pd.DatetimeIndex(counts.index).day_of_week).transform("median")
    worst = float((counts / usual).min())
    return max(0.05, min(0.5, math.floor(worst * 0.8 * 20) / 20))


def _forecast(draft: Draft) -> Iterator[str]:
    rows, uses = draft.rows, draft.plan.uses
    closed = [day for n, day in enumerate(WEEKDAYS) if n not in draft.meaning.weekdays]
    dense = rows.density(frozenset(WEEKDAYS.index(day) for day in closed))
    zero = dense < 0.95
    ahead = horizon(rows.days)
    lines = ["forecast:", f"  horizon: {ahead}"]
    lines.append(f"  absent: {'zero' if zero else 'missing'} # {dense:.0%} of all days of all series have a row")
    if closed:
        lines.append(f"  closed_weekdays: {_list(closed)} # no rows on these")
    for use in ("static", "observed", "known"):
        if uses.get(use):
            lines.append(f"  {use}: {_list(uses[use])}")
    yield "\n".join(lines)
    holdout = 56 if rows.days >= 500 and rows.entities < 50 else max(28, ahead) if rows.days >= 120 else 14
    yield f"split: {{holdout: {holdout}, step: 7}}"
    yield _model(draft)
    yield _slices(draft)
    metric = "wrmsse" if rows.entities > 1 else "wape"
    yield _gates(
        [
            (f"{{metric: {metric}, against: baseline, ratio: 1.0}}", "no worse than the best simple rule"),
            ("{metric: rmse, against: champion, ratio: 1.05}", "at most 5 % worse than the model in force"),
        ]
    )


def _model(draft: Draft) -> str:
    days = WEEKLY_DAYS if draft.meaning.step == "week" else DAILY_DAYS
    history = f"  history_days: {days}" + (f" # of {draft.rows.days:,}" if draft.rows.days > days else "")
    lines = ["model:", "  estimator: hist_gradient_boosting", "  rows: 200000", history, "  seed: 7"]
    if draft.rows.rows < 5_000:
        lines.append("  params: {min_samples_leaf: 10, max_leaf_nodes: 15} # few rows: small trees")
    return "\n".join(lines)


def _slices(draft: Draft) -> str:
    ahead = horizon(draft.rows.days)
    parts = [(1, 7), (8, 14), (15, 28)]
    listed = ", ".join(f"[{first}, {last}]" for first, last in parts if last <= ahead)
    static = list(draft.plan.uses.get("static", ())[:2])
    slices = [*static, "volume"] if draft.rows.entities >= 10 else []
    return f"evaluation: {{slices: {_list(slices)}, horizons: [{listed}]}}"


def _classify(draft: Draft) -> Iterator[str]:
    uses, rows = draft.plan.uses, draft.rows
    if not any(uses.get(use) for use in ("number", "category", "unit")):
        raise ConfigError(
            f"no column of {draft.source} is left to tell {draft.meaning.target} by: "
            + ("; ".join(f"{c.name} is {c.use}, {c.why}" for c in draft.columns) or "it has no other")
        )
    why = "a label is known the day after its event; say more if it takes longer"
    if rows.late > 1:
        why = f"the newest {rows.late} days have no label yet: labels are taken to be that late"
    lines = ["classify:", f"  label_delay_days: {max(1, rows.late)} # {why}"]
    if draft.plan.second:
        lines.append(f"  time: {draft.plan.second}")
    holdout = max(7, min(28, rows.days // 4))
    lines += [f"  calibration_days: {max(3, min(14, rows.days // 8))}", "  features:"]
    if uses.get("number"):
        lines.append(f"    numbers: {_list(uses['number'])}")
    if uses.get("category"):
        lines.append(f"    categories: {_list(uses['category'])}")
    if draft.plan.second and draft.meaning.time:
        lines.append("    calendar: [weekend, night]")
    if uses.get("unit"):
        lines.append("    units: # what is remembered of each")
        lines += [f"      - {{column: {name}, counts: true, rates: true}}" for name in uses["unit"]]
    lines.append("  costs: {false_positive: 1, false_negative: 1} # say what mistakes cost you: it sets the threshold")
    yield "\n".join(lines)
    yield f"split: {{holdout: {holdout}, step: {max(1, min(7, holdout // 2))}}}"
    yield _model(draft)
    yield _gates(
        [
            (
                "{metric: log_loss, against: baseline, ratio: 1.0}",
                "no worse than the share of positives, or of the past",
            ),
            ("{metric: log_loss, against: champion, ratio: 1.05}", "at most 5 % worse than the model in force"),
        ]
    )


def _gates(gates: Sequence[tuple[str, str]]) -> str:
    return "\n".join(["gates:", *(f"  - {gate} # {why}" for gate, why in gates)])


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 118, initial_indent="# ", subsequent_indent="#   ")


def _word(text: str) -> str:
    """Return text as a YAML scalar, quoted where it could be read as something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "column"


def _list(words: Sequence[str]) -> str:
    return f"[{', '.join(map(_word, words))}]"
