"""A workspace (where everything is kept) and a run (one flow, one pipeline, one date) inside it."""

import logging
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from perennial.clock import Now, system_now
from perennial.config.files import Loaded, find_pipeline, load_environment, load_pipeline
from perennial.config.models import Environment, Pipeline
from perennial.config.overrides import Overrides
from perennial.contracts import ModelVersion, Snapshot
from perennial.errors import Busy, ConfigError
from perennial.identity import run_key
from perennial.resources import free_threads

if TYPE_CHECKING:
    from perennial.lake.tables import Lake
    from perennial.ledger import Lease, Ledger
    from perennial.registry.tracking import ModelStore, Registry

log = logging.getLogger(__name__)
_PATIENCE_S = 10.0


class Workspace:
    """One project folder and its environment; opens each store once, on first use."""

    def __init__(self, root: Path, env: Environment, now: Now = system_now) -> None:
        self.root = root
        self.env = env
        self.now = now

    @classmethod
    def open(cls, environment: str | None = None, root: Path | None = None) -> "Workspace":
        """Open the workspace around ``root`` (default: the nearest folder upward with a ``configs`` folder).

        Raises:
            ConfigError: No such folder, or its environment file is not valid.
        """
        found = root or project_root(Path.cwd())
        return cls(found, load_environment(environment, found))

    @property
    def home(self) -> Path:
        """Local folder of locks, reports and the embedded defaults."""
        return Path(self.env.home)

    @cached_property
    def ledger(self) -> "Ledger":
        """The record of what happened and what is in force."""
        from perennial.ledger import Ledger

        return Ledger.open(self.env.ledger, anchors=self.home / "anchors", now=self.now)

    @cached_property
    def lake(self) -> "Lake":
        """The tables."""
        from perennial.lake.tables import Lake

        return Lake(self.env.lake, self.env.s3)

    @cached_property
    def store(self) -> "ModelStore":
        """The model bytes, by digest."""
        from perennial.registry.tracking import ModelStore

        return ModelStore(self.env.models, self.env.s3)

    @cached_property
    def registry(self) -> "Registry":
        """MLflow."""
        from perennial.registry.tracking import Registry

        return Registry(self.env)

    def pipeline(self, name: str, overrides: Overrides | None = None) -> Loaded:
        """Load ``configs/<name>.yaml`` with its checks, and with settings that hold for one run alone.

        Raises:
            ConfigError: There is no such pipeline, or its file is not valid.
        """
        return load_pipeline(find_pipeline(name, self.root), overrides)

    def business_date(self, cfg: Pipeline, late: timedelta = timedelta(0)) -> date:
        """Return the as-of date of a run that was given none: yesterday where the pipeline lives, or a fixed one.

        Args:
            cfg: The pipeline.
            late: How long ago the run should have started; the date is the one it would have had then.
        """
        if isinstance(cfg.as_of, date):
            return cfg.as_of
        return (self.now() - late).astimezone(ZoneInfo(cfg.timezone)).date() - timedelta(days=1)


class Run:
    """One flow on one pipeline and date, with the pipeline's lock held.

    Deliberately not a dataclass: Prefect walks the fields of dataclasses that are passed to tasks.
    """

    def __init__(self, workspace: Workspace, loaded: Loaded, as_of: date, lease: "Lease", run_id: str) -> None:
        self.workspace = workspace
        self.loaded = loaded
        self.as_of = as_of
        self.lease = lease
        self.run_id = run_id
        self.seconds: dict[str, float] = {}
        self.record: dict[str, Any] = {}

    @property
    def cfg(self) -> Pipeline:
        """The pipeline's settings."""
        return self.loaded.config

    @property
    def name(self) -> str:
        """The pipeline's name, which is also its model's."""
        return self.cfg.pipeline

    @property
    def threads(self) -> int:
        """How many threads a fit or a prediction may take now."""
        return free_threads(self.cfg.model.threads or self.workspace.env.threads)

    @property
    def ledger(self) -> "Ledger":
        """The ledger of the workspace."""
        return self.workspace.ledger

    @property
    def base(self) -> ModelVersion | None:
        """The version that ``mode: update`` continues: the champion of the day before.

        Not the present one, which a run that is repeated may have made itself.
        """
        if self.cfg.model.mode != "update":
            return None
        return self.ledger.in_force(self.name, on=self.as_of - timedelta(days=1))

    def key(self, snapshot: Snapshot) -> str:
        """Return the run key of a training on ``snapshot``."""
        base = self.base
        return run_key(
            snapshot=snapshot.snapshot_id,
            config=self.loaded.digest,
            seed=self.cfg.model.seed,
            as_of=self.as_of,
            root=self.workspace.root,
            base=base.digest if base else "",
        )

    def folder(self, key: str) -> Path:
        """Return the folder of a run's report and artifacts, below the home folder; it exists afterwards."""
        folder = self.workspace.home / "reports" / self.name / f"{self.as_of}-{key[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and tell whoever listens on this logger when it starts and ends."""
        log.debug("%s ...", name, extra={"stage": name, "stage_event": "start"})
        start = time.perf_counter()
        yield
        took = time.perf_counter() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        log.debug("%s %.1f s", name, took, extra={"stage": name, "stage_event": "end"})


@contextmanager
def open_run(
    flow: str,
    pipeline: str,
    as_of: date | None = None,
    *,
    environment: str | None = None,
    workspace: Workspace | None = None,
    late: timedelta = timedelta(0),
    overrides: Overrides | None = None,
    overtake: bool = False,
) -> Iterator[Run]:
    """Take the pipeline's lock, record the run, and close both however the run ends.

    Args:
        flow: Name of the flow, for the record.
        pipeline: A name in ``configs/`` or a path.
        as_of: Business date; ``None`` takes what the pipeline says.
        environment: A name in ``configs/environments/`` or a path; ``None`` takes ``$PERENNIAL_ENV`` or ``local``.
        workspace: An open workspace, instead of the one around the working folder.
        late: How long ago the run should have started, which tells the date of one that was given none.
        overrides: Settings for this run alone; they are part of its run key.
        overtake: After ten seconds, fence the run that holds the lock instead of waiting for it: for what is owed
            by a deadline, while another run trains for hours or hangs.

    Raises:
        ConfigError: The pipeline or the environment is not valid.
        LedgerError: The ledger is not the one that this machine has worked with.
        Busy: Another run kept the lock for too long.
    """
    place = workspace or Workspace.open(environment)
    loaded = place.pipeline(pipeline, overrides)
    day = as_of or place.business_date(loaded.config, late)
    place.ledger.require_anchored()
    with _lease(place, loaded.config.pipeline, overtake) as lease:
        run = Run(place, loaded, day, lease, place.ledger.begin_run(lease, flow, day))
        try:
            yield run
        except BaseException as error:
            status = "failed" if isinstance(error, Exception) else "cancelled"
            place.ledger.end_run(lease, run.run_id, status, {"error": f"{type(error).__name__}: {error}"[:2000]})
            raise
        place.ledger.end_run(lease, run.run_id, "succeeded", run.record)


@contextmanager
def _lease(place: Workspace, pipeline: str, overtake: bool) -> Iterator["Lease"]:
    with ExitStack() as stack:
        patience = {"wait_s": _PATIENCE_S} if overtake else {}
        try:
            lease = stack.enter_context(place.ledger.hold(pipeline, locks=place.home / "locks", **patience))
        except Busy as error:
            if not overtake:
                raise
            log.warning("%s; it is overtaken", error)
            lease = place.ledger.overtake(pipeline)
        yield lease


def peak_mib() -> float:
    """Return the largest resident size this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def project_root(start: Path) -> Path:
    """Return the nearest folder from ``start`` upward that has a ``configs`` folder.

    Raises:
        ConfigError: There is none.
    """
    for folder in (start, *start.parents):
        if (folder / "configs").is_dir():
            return folder
    raise ConfigError(
        f"no folder named `configs` in {start} or above it; change to a project folder first, or begin one here with "
        "`mkdir configs`"
    )
