"""The scores as tables: every metric of every contender, and the main metric by slice and by horizon."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from perennial.contracts import Score
from perennial.reports.charts import Tick
from perennial.reports.contents import ReportInput
from perennial.reports.metricwords import MetricWords, metric_order, metric_words
from perennial.reports.text import NONE, count, figure, plain, share
from perennial.reports.ticks import nice_ticks
from perennial.reports.words import contender_name, part_name, sentence

OWN = ("candidate", "champion")
"""Contenders that are models; the others are baselines."""
_SHOWN_PARTS = 12

Tone = Literal["good", "bad", "even"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How the candidate's figure compares with another's; lower is better, so a minus is good."""

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One figure of a baseline or the champion, and the candidate's difference to it."""

    text: str
    difference: Difference
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric over all contenders; ``cells`` is in the order of the scoreboard's columns."""

    words: MetricWords
    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One contender in the ranking by the main metric; ``width`` is the bar's length in percent."""

    name: str
    style: str
    text: str
    width: float
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """One slice value or horizon bucket: positions of the dots in percent, and the figures."""

    name: str
    rows: str
    candidate: str
    other: str
    difference: Difference
    candidate_at: float | None
    champion_at: float | None
    baseline_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTable:
    """The main metric by the values of one slice, or by days ahead, on one common scale."""

    title: str
    other: str
    ticks: tuple[Tick, ...]
    rows: tuple[PartRow, ...]
    left_out: int


class Scores:
    """The scores of one report with a quick look-up."""

    def __init__(self, report: ReportInput) -> None:
        self.report = report
        self.all: Sequence[Score] = report.evaluation.scores
        self._value: dict[tuple[str, str, str, str], float] = {
            (s.contender, s.metric, s.part, s.key): s.value for s in self.all
        }
        self.main = self._main_metric("overall")
        self.by_part = self._main_metric("horizon")

    def value(self, contender: str, metric: str, part: str = "overall", key: str = "") -> float:
        """Return one score, nan if it was not computed."""
        return self._value.get((contender, metric, part, key), math.nan)

    def best_baseline(self, metric: str, part: str = "overall", key: str = "") -> str | None:
        """Return the baseline with the lowest finite score, ``None`` if there is none."""
        values = {b: self.value(b, metric, part, key) for b in self.baselines}
        finite = {b: v for b, v in values.items() if math.isfinite(v)}
        return min(finite, key=lambda b: finite[b]) if finite else None

    @property
    def baselines(self) -> tuple[str, ...]:
        """Baselines in order of appearance."""
        return tuple(dict.fromkeys(s.contender for s in self.all if s.contender not in OWN))

    @property
    def contenders(self) -> tuple[str, ...]:
        """The candidate, the champion if it was scored, then the baselines, best first."""
        own = [c for c in OWN if any(s.contender == c for s in self.all)]
        return (*own, *sorted(self.baselines, key=lambda b: _nan_last(self.value(b, self.main))))

    def name(self, contender: str) -> str:
        """Return what a contender is called."""
        return plain(contender_name(contender, self.report.version, self.report.champion), 40)

    def _main_metric(self, part: str) -> str:
        """Return what the first gate that compares judges by, if it is scored on such parts; else WAPE."""
        scored = {s.metric for s in self.all if s.contender == "candidate" and s.part == part}
        judged = (gate.metric for gate in self.report.pipeline.gates if gate.against != "bound")
        return next((metric for metric in (*judged, "wape", *sorted(scored)) if metric in scored), "wape")


def difference(value: float, other: float, metric: str) -> Difference:
    """Compare the candidate's ``value`` with ``other``: relative, or in points for figures near zero.

    Changes too small to matter (half a percent, a fifth of a point) are neither good nor bad.
    """
    if not (math.isfinite(value) and math.isfinite(other)):
        return Difference(text=NONE, tone="even")
    if metric_words(metric).points:
        change = round((value - other) * 100, 1)
        text = share(change / 100, sign=True).replace("%", "pt")
    elif other == 0:
        return Difference(text=NONE, tone="even")
    else:
        change = round((value / other - 1) * 100, 1)
        text = share(change / 100, sign=True)
    small = 0.2 if metric_words(metric).points else 0.5
    return Difference(text=text, tone="even" if abs(change) < small else "good" if change < 0 else "bad")


def metric_rows(scores: Scores) -> tuple[MetricRow, ...]:
    """Return one row per metric with the figure of every contender."""
    metrics = {s.metric for s in scores.all if s.part == "overall"}
    return tuple(_metric_row(m, scores) for m in sorted(metrics, key=lambda m: (metric_order(m), m)))


def _metric_row(metric: str, scores: Scores) -> MetricRow:
    values = {c: scores.value(c, metric) for c in scores.contenders}
    best = min((v for v in values.values() if math.isfinite(v)), default=math.nan)
    cells = tuple(
        Cell(
            text=figure(value, metric),
            difference=difference(values.get("candidate", math.nan), value, metric),
            best=value == best,
        )
        for value in values.values()
    )
    return MetricRow(words=metric_words(metric), name=plain(metric), cells=cells)


def standings(scores: Scores) -> tuple[Standing, ...]:
    """Rank all contenders by the main metric, best first; undefined ones last."""
    values = {c: scores.value(c, scores.main) for c in scores.contenders}
    longest = max((v for v in values.values() if math.isfinite(v)), default=0.0)
    candidate = values.get("candidate", math.nan)
    return tuple(
        Standing(
            name=scores.name(c),
            style=c if c in OWN else "baseline",
            text=figure(v, scores.main),
            width=round(v / longest * 100, 2) if math.isfinite(v) and longest > 0 else 0.0,
            difference=difference(candidate, v, scores.main) if c != "candidate" else Difference(text="", tone="even"),
        )
        for c, v in sorted(values.items(), key=lambda item: _nan_last(item[1]))
    )


def part_tables(scores: Scores) -> tuple[PartTable, ...]:
    """Return the main metric of the parts by horizon, then by each slice in order of configuration."""
    groups: dict[tuple[str, str], list[str]] = {}
    for s in scores.all:
        if s.part != "overall" and s.contender == "candidate" and s.metric == scores.by_part:
            groups.setdefault((s.part, s.key.partition("=")[0]), []).append(s.key)
    ordered = sorted(groups.items(), key=lambda item: item[0][0] != "horizon")
    return tuple(_part_table(scores, part, name, keys) for (part, name), keys in ordered)


def _part_table(scores: Scores, part: str, name: str, keys: Sequence[str]) -> PartTable:
    sizes = {s.key: s.rows for s in scores.all if s.part == part and s.contender == "candidate"}
    if part == "slice":
        largest = sorted(keys, key=lambda k: -sizes[k])[:_SHOWN_PARTS]
        keys = sorted(largest, key=lambda k: (k.endswith("=other"), k))
    values = {k: _contender_values(scores, part, k) for k in keys}
    finite = [v for trio in values.values() for v in trio.values() if math.isfinite(v)]
    ticks = nice_ticks(min(finite), max(finite), 3) if finite else (0.0, 1.0)
    rows = tuple(_part_row(scores.by_part, part, k, values[k], ticks, sizes[k]) for k in keys)
    has_champion = any(math.isfinite(trio["champion"]) for trio in values.values())
    return PartTable(
        title="By days ahead" if part == "horizon" else f"By {plain(sentence(name)).lower()}",
        other=scores.name("champion") if has_champion else "Best baseline",
        ticks=tuple(Tick(at=_position(t, ticks) or 0.0, label=figure(t, scores.by_part)) for t in ticks),
        rows=rows,
        left_out=len([k for k in sizes if k.startswith(f"{name}=")]) - len(rows) if part == "slice" else 0,
    )


def _contender_values(scores: Scores, part: str, key: str) -> Mapping[str, float]:
    values = {c: scores.value(c, scores.by_part, part, key) for c in OWN}
    baseline = scores.best_baseline(scores.by_part, part, key)
    return values | {"baseline": scores.value(baseline, scores.by_part, part, key) if baseline else math.nan}


def _part_row(
    metric: str, part: str, key: str, values: Mapping[str, float], ticks: Sequence[float], size: int
) -> PartRow:
    other = values["champion"] if math.isfinite(values["champion"]) else values["baseline"]
    return PartRow(
        name=plain(part_name(part, key), 40),
        rows=count(size),
        candidate=figure(values["candidate"], metric),
        other=figure(other, metric),
        difference=difference(values["candidate"], other, metric),
        candidate_at=_position(values["candidate"], ticks),
        champion_at=_position(values["champion"], ticks),
        baseline_at=_position(values["baseline"], ticks),
    )


def _position(value: float, ticks: Sequence[float]) -> float | None:
    if not math.isfinite(value):
        return None
    return round((value - ticks[0]) / (ticks[-1] - ticks[0]) * 100, 2)


def _nan_last(value: float) -> float:
    return value if math.isfinite(value) else math.inf
