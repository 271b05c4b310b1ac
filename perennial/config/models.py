"""The two YAML files a team writes, as strict, frozen, closed models.

A *pipeline* (``configs/<name>.yaml``) says where the data is, what to predict and what a good model is. An
*environment* (``configs/environments/<name>.yaml``) says where things are kept. Reading them from disk, with
line numbers in the errors, is :mod:`perennial.config.files`.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from perennial.config.anomaly import Anomaly
from perennial.config.classify import Classify
from perennial.config.forecast import Forecast
from perennial.config.operation import Channel, Delivery, Monitor, Retraining, Rollout
from perennial.config.privacy import Privacy
from perennial.config.recommend import Recommend
from perennial.config.replenish import Replenish
from perennial.config.section import KindSettings, Section
from perennial.config.types import Column, Fraction, Name

# --- where the data is -------------------------------------------------------------------------------------


class Columns(Section):
    """How the columns of the source are called there; everything else is left behind."""

    entity: Column | tuple[Column, ...] | None = Field(
        None,
        description="Column(s) naming the series; several are joined with '/'. Absent: one series, or rows for all.",
    )
    ds: Column = Field(description="Date of the row.")
    y: Column | None = Field(None, description="Observed value (main source only).")
    available_at: Column | None = Field(None, description="When the row became known, if the source says so.")
    extra: dict[Name, Column] = Field(
        default_factory=dict, description="Further columns: our name -> name in the source."
    )
    text: tuple[Name, ...] = Field(
        (), description="Extra columns that hold text. Only a CSV needs to be told: its others are read as numbers."
    )


class FileSource(Section):
    """Parquet or CSV: one file, a glob, or a folder with Hive partitions."""

    type: Literal["files"]
    path: str = Field(description="File, glob or folder, below one of the environment's data_roots.")
    format: Literal["parquet", "csv"] | None = Field(None, description="Default: csv if `path` ends so, else parquet.")

    @property
    def kept_as(self) -> Literal["parquet", "csv"]:
        """The format, told by the path's ending where it was not given."""
        return self.format or ("csv" if self.path.endswith(".csv") else "parquet")


class S3Source(Section):
    """Objects below a prefix; new ones are told by key and ETag."""

    type: Literal["s3"]
    bucket: str = Field(description="Must be one of the environment's s3.buckets.")
    prefix: str = ""
    format: Literal["parquet", "csv"] | None = Field(
        None, description="Default: csv if `prefix` ends so, else parquet."
    )

    @property
    def kept_as(self) -> Literal["parquet", "csv"]:
        """The format, told by the prefix's ending where it was not given."""
        return self.format or ("csv" if self.prefix.endswith(".csv") else "parquet")


class SqlSource(Section):
    """One table or view of SQLite or PostgreSQL."""

    type: Literal["sql"]
    connection: Name = Field(description="Name of one of the environment's connections.")
    table: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")] = Field(
        description="Table or schema.table; letters, digits and underscores only."
    )


Source = Annotated[FileSource | S3Source | SqlSource, Field(discriminator="type")]


class Table(Section):
    """A source and what its columns mean."""

    source: Source
    columns: Columns
    delay_days: int = Field(
        0,
        ge=-3660,
        le=366,
        description="Without available_at: a row is known this many days after its date; negative for plans.",
    )
    batch_rows: int = Field(500_000, ge=1_000, le=10_000_000, description="Rows in memory at a time while landing.")


class KnownTable(Table):
    """Covariates known in advance (prices, promotions, events), by entity and date or by date alone."""

    fill: Literal["none", "forward"] = Field("none", description="forward: a value holds until the next one.")


# --- what must be true of it -------------------------------------------------------------------------------


class Guards(Section):
    """Our own checks; they run before any expectation and fail closed. ``null`` switches one off, visibly."""

    min_rows: int = Field(1, ge=0, description="Rows visible at the as-of date.")
    min_entities: int = Field(1, ge=0, description="Entities visible at the as-of date.")
    max_null_rate: float = Field(0.0, ge=0, le=1, description="Share of landed rows whose target is null.")
    max_quarantine_rate: float = Field(0.01, ge=0, le=1, description="Share of landed rows set aside.")
    max_age_days: int | None = Field(1, ge=0, description="Days between the newest observation and the as-of date.")
    max_missing_days: int | None = Field(0, ge=0, description="Open days without a single row in the last `gap_days`.")
    gap_days: int = Field(28, ge=1, description="How far back missing days count.")
    min_coverage: float | None = Field(
        0.5, ge=0, le=1, description="Rows of the newest day as a share of the median of the same weekdays before it."
    )
    min_value: float | None = Field(0.0, description="Targets below are quarantined (negative demand is a return).")
    max_value: float | None = Field(None, description="Targets above are quarantined.")


# --- what to predict ---------------------------------------------------------------------------------------


class SplitSettings(Section):
    """Rolling-origin evaluation: several origins inside the last days of history."""

    holdout: int = Field(28, ge=1, description="Days at the end of history that are never trained on.")
    step: int = Field(7, ge=1, description="Days between two origins.")
    gap: int = Field(0, ge=0, description="Days between the last trained target and the first origin.")


class ModelSettings(Section):
    """What is fitted, on how much, and how."""

    estimator: Literal["hist_gradient_boosting", "lightgbm", "random_forest", "linear"] = "hist_gradient_boosting"
    params: dict[str, int | float | str | bool | None] = Field(
        default_factory=dict, description="Keyword arguments of the estimator; unknown ones are errors."
    )
    seed: int = Field(0, ge=0, lt=2**31)
    mode: Literal["refit", "update"] = Field("refit", description="update: continue the champion with a few trees.")
    update_trees: int = Field(10, ge=1, le=500)
    update_days: int = Field(28, ge=1)
    rows: int = Field(1_000_000, ge=1_000, description="Training rows drawn at random.")
    bags: int = Field(
        1,
        ge=1,
        le=10,
        description="Models of different seeds and row samples (`rows` each) whose forecasts are averaged"
        " (in the link's space).",
    )
    history_days: int = Field(
        500, ge=1, description="Target days that rows are drawn from, counted back from train_end."
    )
    quantiles: tuple[Fraction, ...] = Field((0.05, 0.25, 0.5, 0.75, 0.95), description="Published beside the mean.")
    threads: int = Field(0, ge=0, description="Cores a run may use; 0: what the environment says.")


# --- what a good model is ----------------------------------------------------------------------------------


class EvaluationSettings(Section):
    """Which figures are computed, and for which parts."""

    slices: tuple[str, ...] = Field(
        ("volume",), description="Static columns, or the computed: volume, intermittency, novelty."
    )
    horizons: tuple[tuple[int, int], ...] = ((1, 7), (8, 14), (15, 28))
    weight: Literal["revenue", "units"] = Field("units", description="Weights of WRMSSE; revenue needs `price`.")
    price: Name | None = Field(None, description="Observed or known column that holds the unit price.")


class Gate(Section):
    """One rule the candidate must pass. Every metric is an error: lower is better.

    ``value <= max`` for ``against: bound``; ``value <= ratio * other`` for a baseline or the champion; with
    ``confidence``, the upper bound of a paired block bootstrap of the difference must satisfy it too.
    """

    metric: str
    against: Literal["bound", "baseline", "champion"]
    max: float | None = Field(None, description="Only with against: bound.")
    ratio: float = Field(1.0, gt=0, description="1.0: no worse; 0.98: at least 2 % better; 1.02: at most 2 % worse.")
    baseline: str = Field("best", description="Name of a baseline, or best: the best of them by this metric.")
    slices: str | None = Field(None, description="Judge each value of this slice, with Holm's correction.")
    set: str | None = Field(None, description="Judge on this evaluation set instead of the main one.")
    confidence: Fraction | None = None
    min_rows: int = Field(100, ge=1, description="Slices with fewer test rows are pooled into `other`.")

    @model_validator(mode="after")
    def _bound_needs_max(self) -> "Gate":
        if (self.against == "bound") != (self.max is not None):
            raise ValueError("`max` belongs to `against: bound`, and `against: bound` needs it")
        return self


class Pipeline(Section):
    """One model that is kept fresh."""

    pipeline: Name = Field(
        description="Name of the pipeline, of its model and of its tables; the file is named so too."
    )
    kind: Literal["forecast", "classify", "anomaly", "recommend", "replenish"] = Field(description="Kind of problem.")
    description: str = ""
    owner: str = ""
    timezone: str = Field("UTC", description="IANA name; `as_of: yesterday` is the day before today there.")
    as_of: date | Literal["yesterday"] = Field(
        "yesterday", description="Date a run stands on when none is given; a fixed date suits data that has ended."
    )
    data: Table
    known: dict[Name, KnownTable] = Field(default_factory=dict)
    guards: Guards = Guards()
    privacy: Privacy = Privacy()
    forecast: Forecast = Forecast()
    classify: Classify = Classify()
    anomaly: Anomaly = Anomaly()
    recommend: Recommend = Recommend()
    replenish: Replenish = Replenish()
    split: SplitSettings = SplitSettings()
    model: ModelSettings = ModelSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    gates: tuple[Gate, ...] = Field(min_length=1)
    monitor: Monitor = Monitor()
    retrain: Retraining = Retraining()
    rollout: Rollout = Rollout()
    delivery: Delivery = Delivery()

    @model_validator(mode="after")
    def _without_forecast_parts(self) -> "Pipeline":
        """Leave slices and horizons that only a forecast has out of the defaults of other kinds."""
        mine = self.evaluation
        empty = {name: () for name in ("slices", "horizons") if name not in mine.model_fields_set}
        if self.kind != "forecast" and empty:  # still being made: frozen from here on
            self.__dict__["evaluation"] = mine.model_copy(update=empty)
        return self

    @property
    def problem(self) -> KindSettings:
        """The section that belongs to the pipeline's kind."""
        found: KindSettings = getattr(self, self.kind)
        return found


# --- where things are kept ---------------------------------------------------------------------------------


class S3Settings(Section):
    """How to reach S3; credentials come from the environment or the machine's role, never from here."""

    buckets: tuple[str, ...] = Field((), description="Buckets that may be read or written.")
    endpoint_url: str | None = None
    region: str = "us-east-1"


class Environment(Section):
    """Where the ledger, the lake, the models and the tracking are. ``${VAR}`` is taken from the process environment."""

    environment: Name
    home: str = Field(".perennial", description="Local folder for locks, reports, caches and the embedded defaults.")
    ledger: str = Field("sqlite:///{home}/ledger.db", description="SQLAlchemy URL: SQLite or PostgreSQL.")
    lake: str = Field("{home}/lake", description="Folder or s3:// URI of the Delta tables.")
    models: str = Field("{home}/models", description="Folder or s3:// URI of the model bytes, by digest.")
    tracking: str = Field("sqlite:///{home}/mlflow.db", description="MLflow tracking and registry URI.")
    artifacts: str = Field("{home}/artifacts", description="Folder or s3:// URI of MLflow's artifacts.")
    data_roots: tuple[str, ...] = Field(("data",), description="Folders that file sources may read.")
    connections: dict[Name, str] = Field(default_factory=dict, description="SQLAlchemy URLs of SQL sources.")
    s3: S3Settings = S3Settings()
    pseudonym_key: str | None = Field(
        None, description="Secret behind pseudonyms, as ${VAR}; absent: a file in `home`, made once."
    )
    threads: int = Field(0, ge=0, description="Cores a run may use; 0: those that are free.")
    channels: dict[Name, Channel] = Field(default_factory=dict, description="Where alerts are sent.")
    retrain: Literal["call", "event"] = Field(
        "call", description="How `day` has a model trained: itself, or by an event that an automation answers."
    )
    prefect: Literal["background", "configured"] = Field(
        "background",
        description="background: use or start one server on loopback; configured: what PREFECT_API_URL says.",
    )
