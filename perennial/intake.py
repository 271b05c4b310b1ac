"""From the source to a pinned snapshot: land every table of a pipeline, judge what landed, pin what is visible."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from perennial import privacy
from perennial.checks.guards import gather, judge, judge_landing
from perennial.config.models import Pipeline, PredictionsSource, Table
from perennial.context import Run
from perennial.contracts import ENTITY, TARGET, TIME, Check, CheckReport, Landing, Snapshot, TablePin
from perennial.errors import DataCheckFailed, IntegrityError, sample
from perennial.faults import fault_point
from perennial.landing.feed import Feed
from perennial.landing.land import land, pin, read_pin


def tables(cfg: Pipeline) -> Mapping[str, Table]:
    """Return the tables of a pipeline by logical name, the observations first.

    Example:
        ``{"demand": <the observations>, "demand.prices": <known in advance>}``
    """
    return {cfg.pipeline: cfg.data} | {f"{cfg.pipeline}.{name}": table for name, table in cfg.known.items()}


def recover(run: Run) -> None:
    """Undo what a killed run appended and nobody judged: the ledger says which version of a table counts.

    What it had recorded already is taken back too: this run lands the same rows again, as of its own date, so
    that every landing is judged as a whole by the run that made it.

    Raises:
        IntegrityError: A table has lost versions that the ledger recorded.
    """
    lake = run.workspace.lake
    for landing in reversed(pending(run)):
        run.ledger.reject_landing(run.lease, landing.landing_id, CheckReport(checks=()))
    for name in tables(run.cfg):
        recorded = run.ledger.table_version(name)
        wanted, found = -1 if recorded is None else recorded, lake.version(name)
        if found < wanted:
            raise IntegrityError(
                f"{name} is at version {found}, the ledger recorded {wanted}; restore the lake from a backup"
            )
        if found > wanted:
            lake.restore(name, wanted)


def take_in(run: Run) -> None:
    """Land the new rows of every table; record each landing once its rows are durable."""
    pseudonyms = privacy.of_run(run)
    with _scratch(run) as scratch:
        for name, table in tables(run.cfg).items():
            earlier = run.ledger.landings(name)
            landing = land(
                table,
                name,
                main=name == run.name,
                pipeline=run.name,
                as_of=run.as_of,
                earlier=earlier,
                lake=run.workspace.lake,
                env=run.workspace.env,
                guards=run.cfg.guards,
                base=run.workspace.root,
                scratch=scratch,
                pseudonyms=pseudonyms,
                feed=_feed(run, table),
            )
            if _is_news(landing, earlier):
                fault_point("landing.unrecorded")
                run.ledger.record_landing(run.lease, landing)


def _feed(run: Run, table: Table) -> Feed | None:
    """Return what another pipeline has published, if that is the table's source."""
    if not isinstance(table.source, PredictionsSource):
        return None
    name = table.source.pipeline
    return Feed(pipeline=name, publications=run.ledger.publications(name), lake=run.workspace.lake)


def _is_news(landing: Landing, earlier: Sequence[Landing]) -> bool:
    """Whether a landing says anything new: rows, or that a later date than ever before had none.

    Without the latter, a row that arrives a day late would pass for one that was there in time.
    """
    took = landing.counts.rows_in > landing.counts.deferred
    return took or not earlier or landing.as_of > max(one.as_of for one in earlier)


def pending(run: Run) -> tuple[Landing, ...]:
    """Return the landings that were recorded and not judged yet, oldest first."""
    return tuple(one for name in tables(run.cfg) for one in run.ledger.landings(name, status="landed"))


def visible(run: Run, landings: Mapping[str, tuple[Landing, ...]]) -> Snapshot:
    """Return what the run may know of these landings, by table."""
    known = {name.partition(".")[2]: found for name, found in landings.items() if name != run.name}
    return pin(run.name, run.as_of, landings[run.name], known)


def read(
    run: Run, table: TablePin, snapshot: Snapshot, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a snapshot's table, digests verified, batch by batch."""
    return read_pin(
        run.workspace.lake,
        table,
        run.ledger.landings(table.table),
        snapshot.cutoff,
        main=table.table == run.name,
        columns=columns,
    )


def judged_otherwise(run: Run, snapshot: Snapshot) -> tuple[Landing, ...]:
    """Return the visible landings whose rows were let pass by other guards or expectations than today's."""
    reports = run.ledger.check_reports(run.name)
    other = {one for one in snapshot.main.landings if one in reports and reports[one].rules != run.loaded.rules}
    return tuple(one for one in run.ledger.landings(run.name, status="accepted") if one.landing_id in other)


def guard(run: Run, landings: tuple[Landing, ...], again: tuple[Landing, ...], snapshot: Snapshot) -> tuple[Check, ...]:
    """Judge what landed, and the table it landed in, by our own guards.

    Args:
        run: The run.
        landings: What landed now; of several of the observations, the newest is told of and others that fail.
        again: What landed before, to be judged once more.
        snapshot: What is visible.
    """
    facts = gather(
        read(run, snapshot.main, snapshot, (ENTITY, TIME, TARGET)),
        as_of=run.as_of,
        closed_weekdays=run.cfg.problem.closed(),
        labelled=run.cfg.problem.labelled(),
        table=run.name,
    )
    main = [*again, *(one for one in landings if one.table == run.name)]
    earlier = [check for one in main[:-1] for check in judge_landing(one, run.cfg.guards) if not check.passed]
    known = [check for one in landings if one.table != run.name for check in judge_landing(one, run.cfg.guards)]
    return (*judge(main[-1] if main else None, facts, run.cfg.guards), *earlier, *known)


def accept(run: Run, landings: tuple[Landing, ...], snapshot: Snapshot, report: CheckReport) -> None:
    """Make the landings part of the record and pin the snapshot."""
    for landing in landings:
        run.ledger.accept_landing(run.lease, landing.landing_id, report)
    fault_point("landing.accepted")
    run.ledger.pin_snapshot(run.lease, snapshot)


def mark_judged(run: Run, landings: tuple[Landing, ...], report: CheckReport) -> None:
    """Record that landings were judged again, as far as this run sees all that they hold."""
    for landing in landings:
        if landing.as_of <= run.as_of:
            run.ledger.judge_again(run.lease, landing.landing_id, report)


def reject(run: Run, landings: tuple[Landing, ...], report: CheckReport) -> None:
    """Take the landings back out of their tables, newest first, and say everything that was wrong.

    Raises:
        DataCheckFailed: Always; it lists every critical check that failed.
    """
    for landing in reversed(landings):
        run.ledger.reject_landing(run.lease, landing.landing_id, report)
        fault_point("landing.rejected")
        run.workspace.lake.restore(landing.table, landing.version_before)
    lines = [
        f"{c.table}{f'.{c.column}' if c.column else ''}: {c.name}: observed {c.observed}, expected {c.expected}"
        + (f" (for example {sample(c.samples)})" if c.samples else "")
        for c in report.failures
    ]
    raise DataCheckFailed(
        f"{len(lines)} of {len(report.checks)} checks failed as of {run.as_of}; nothing was trained or published. "
        + "; ".join(lines)
        + f". Mend the source, or change the bound in configs/{run.name}.yaml or its checks file, and run again."
    )


@contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    home = run.workspace.home
    home.mkdir(parents=True, exist_ok=True)
    for left in home.glob(f"scratch-{run.name}-*"):  # by a killed run: the lock says that nobody uses it
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"scratch-{run.name}-", dir=home))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
