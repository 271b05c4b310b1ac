"""What was forecast, measured and decided: splits, test rows, scores, verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # commands that ask the ledger alone need neither
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One rolling-origin test window: forecasts made knowing rows up to ``origin``, for the days after it.

    Attributes:
        origin: Last day the forecast may look at.
        horizon: Number of periods forecast, counted from the period after ``origin``.
    """

    origin: date
    horizon: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Where training ends and which windows judge.

    Attributes:
        train_end: Last day whose target may be trained on.
        windows: Test windows in order of origin; every target day lies after ``train_end``.
        entities: Number of entities in the snapshot.
        new_entities: Entities first seen after ``train_end``: forecast and reported, never dropped.
    """

    train_end: date
    windows: tuple[Window, ...]
    entities: int
    new_entities: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A snapshot in the form its kind works on, and how it is split.

    Attributes:
        data: Whatever the kind's ``load`` returned, for a forecast a dense panel.
    """

    data: Any
    split: Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One metric of one contender on one part of the test rows.

    Attributes:
        contender: ``candidate``, ``champion`` or the name of a baseline.
        metric: Name in :mod:`perennial.evaluation.metrics`; lower is better for every one of them.
        part: ``overall``, ``slice``, ``horizon`` or ``set``.
        key: ``""`` for overall; else for example ``category=FOODS``, ``h=1-7`` or ``set=recent``.
        rows: Test rows behind the figure.
    """

    contender: str
    metric: str
    part: Literal["overall", "slice", "horizon", "set"]
    key: str
    value: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRows:
    """Every contender's forecast of the same test rows; all metrics and bootstraps are computed from it.

    Attributes:
        entities: Entity names, shape (n_entities,).
        entity: Index into ``entities``, shape (n_rows,).
        window: Index of the rolling-origin window, shape (n_rows,).
        horizon: Periods ahead, from 1, shape (n_rows,).
        day: Target day as days since 1970-01-01, shape (n_rows,).
        y: Observed value, shape (n_rows,); every one is finite.
        forecasts: Point forecast (the mean) by contender, each of shape (n_rows,).
        levels: Quantile levels, increasing; empty if none.
        quantiles: Quantile forecasts by contender (candidate and champion only), each (n_rows, n_levels).
        scale_abs: Mean absolute change of one season in training per entity (MASE); nan where undefined.
        scale_sq: Mean squared day-to-day change since the first sale per entity (RMSSE); nan where undefined.
        weight: Weight of an entity in WRMSSE, summing to 1, shape (n_entities,).
        slices: Label of every entity by slice name, each an array of strings of shape (n_entities,).
        groups: Levels of WRMSSE: group index of every entity by level name, for example
            ``{"total": zeros, "category": ..., "entity": arange}``.
        group_scale_sq: ``scale_sq`` of the summed series by level, shape (n_groups,).
        kind: Kind of problem, which says what these rows are measured by.
        cluster: What varies together, for example the customer of an entity, shape (n_entities,); ``None``: each
            entity by itself.
        extra: Further columns that metrics need, by name, each of shape (n_rows,).
        sets: Rows of each evaluation set by name, each of shape (n_rows,), which may overlap; ``main`` are those of the
            overall figures, all rows if it is absent.
    """

    __test__ = False  # not a test class, whatever pytest thinks of its name

    entities: "npt.NDArray[np.str_]"
    entity: "npt.NDArray[np.int32]"
    window: "npt.NDArray[np.int16]"
    horizon: "npt.NDArray[np.int16]"
    day: "npt.NDArray[np.int32]"
    y: "npt.NDArray[np.float32]"
    forecasts: "Mapping[str, npt.NDArray[np.float32]]"
    levels: tuple[float, ...]
    quantiles: "Mapping[str, npt.NDArray[np.float32]]"
    scale_abs: "npt.NDArray[np.float64]"
    scale_sq: "npt.NDArray[np.float64]"
    weight: "npt.NDArray[np.float64]"
    slices: "Mapping[str, npt.NDArray[np.str_]]"
    groups: "Mapping[str, npt.NDArray[np.int32]]"
    group_scale_sq: "Mapping[str, npt.NDArray[np.float64]]"
    kind: str = "forecast"
    cluster: "npt.NDArray[np.int32] | None" = None
    extra: "Mapping[str, npt.NDArray[Any]]" = field(default_factory=dict)
    sets: "Mapping[str, npt.NDArray[np.bool_]]" = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One picture for the report: lines over dates or numbers, with an optional band; the kind chooses what it shows.

    Attributes:
        title: For example ``All products together`` or the name of an entity.
        note: One sentence that says what to look at.
        dates: ISO dates, increasing; or numbers as text (``0.05``) where ``axis`` names their unit.
        lines: Values by name (``actual``, ``candidate``, ``champion``, a baseline); ``None`` where there is none.
        low: Lower edge of the candidate's interval, or empty.
        high: Upper edge, or empty.
        level: Nominal coverage of the band, for example 0.9; 0 without a band.
        axis: What the numbers in ``dates`` are, for example ``Forecast probability``; empty for dates.
        unit: What the lines measure, for example ``Share of readmissions``; empty for the target a day.
    """

    title: str
    note: str
    dates: tuple[str, ...]
    lines: Mapping[str, tuple[float | None, ...]]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    level: float = 0.0
    axis: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Candidate, champion and baselines on the same rows.

    Attributes:
        scores: Every metric of every contender, overall, per slice and per horizon bucket.
        rows: What the scores were computed from; the gates' bootstrap needs it.
        per_entity: One row per entity with its metrics, kept as a Parquet artifact.
        charts: Pictures for the report.
    """

    scores: tuple[Score, ...]
    rows: TestRows
    per_entity: "pa.Table"
    charts: tuple[Chart, ...]

    def value(self, contender: str, metric: str, part: str = "overall", key: str = "") -> float:
        """Return one score; nan when it was not computed, which no gate accepts."""
        for s in self.scores:
            if (s.contender, s.metric, s.part, s.key) == (contender, metric, part, key):
                return s.value
        return float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One gate's answer.

    Attributes:
        gate: Readable name, for example ``wape vs champion``.
        value: What the candidate scored (or the upper confidence bound of its difference).
        bound: What it had to stay at or below.
        reason: One sentence with both figures.
    """

    gate: str
    metric: str
    against: str
    key: str
    value: float
    bound: float
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All verdicts of a run; promotes only if there is at least one and every one passed."""

    verdicts: tuple[Verdict, ...]

    @property
    def promote(self) -> bool:
        """Whether the candidate takes over."""
        return bool(self.verdicts) and all(v.passed for v in self.verdicts)

    @property
    def summary(self) -> str:
        """One line: how many gates passed, and the first reason against."""
        if not self.verdicts:
            return "no gate was judged"
        failed = [v for v in self.verdicts if not v.passed]
        if not failed:
            return f"all {len(self.verdicts)} gates passed"
        return f"{len(failed)} of {len(self.verdicts)} gates failed: {failed[0].reason}"
