"""Stage 2 of 9: judge what landed before anything is trained on it.

Policy: our own guards first; the Great Expectations suite runs over new rows only, since rows are checked once, when
they land, and over older ones too when guards or expectations have changed since. Every failure is listed in one
exception. Never retried: bad data does not heal.
"""

import logging
import time
from dataclasses import replace
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from perennial import intake
from perennial.checks import suites
from perennial.checks.expectations import load_suite, run_suite
from perennial.config.files import checks_path
from perennial.context import Run
from perennial.contracts import ENTITY, Check, CheckReport, Landing, Snapshot

log = logging.getLogger(__name__)


@task(name="check", cache_policy=NO_CACHE)
def check(run: Run, landings: tuple[Landing, ...]) -> Snapshot:
    """Judge the new rows and the table they join; pin what the run may know.

    Args:
        run: The run.
        landings: What extraction appended and nobody has judged yet.

    Returns:
        The pinned snapshot.

    Raises:
        DataCheckFailed: At least one critical check failed; the new rows are out of the tables again.
    """
    with run.stage("check"):
        snapshot = intake.visible(run, {name: tuple(run.ledger.landings(name)) for name in intake.tables(run.cfg)})
        again = intake.judged_otherwise(run, snapshot)
        if not landings and not again and run.ledger.snapshot(run.name, run.as_of) == snapshot:
            log.info("the snapshot of %s was checked before", run.as_of)
            return snapshot
        if again:
            log.info("guards or expectations have changed: rows that landed before are judged again")
        report = _report(run, landings, again, snapshot)
        for one in report.checks:
            if not one.passed:
                log.warning("%s: %s: observed %s, expected %s", one.severity, one.name, one.observed, one.expected)
        if report.failures:
            intake.reject(run, landings, report)
        intake.accept(run, landings, snapshot, report)
        intake.mark_judged(run, again, report)
    log.info("%d checks passed, %d warnings", len(report.checks) - len(report.warnings), len(report.warnings))
    return snapshot


def _report(run: Run, fresh: tuple[Landing, ...], again: tuple[Landing, ...], snapshot: Snapshot) -> CheckReport:
    start = time.perf_counter()
    checks = intake.guard(run, fresh, again, snapshot)
    docs = None
    asked = (*again, *(one for one in fresh if one.table == run.name and one.counts.accepted))
    if asked and checks_path(run.loaded.path).exists() and not any(_fatal(c) for c in checks):
        expected, docs = _expect(run, tuple(one.landing_id for one in asked), snapshot)
        checks += expected
    return CheckReport(checks=checks, docs=docs, seconds=time.perf_counter() - start, rules=run.loaded.rules)


def _expect(run: Run, landings: tuple[str, ...], snapshot: Snapshot) -> tuple[tuple[Check, ...], str]:
    suite = load_suite(checks_path(run.loaded.path), suites.columns(run.cfg))
    if len(landings) > 1:  # what is said of one landing's number of rows is not said of several together
        suite = replace(suite, expectations=tuple(one for one in suite.expectations if not one.counts_rows))
    page = Path("datadocs") / run.name / f"{run.as_of}-{landings[-1][:12]}.html"
    rows = intake.read(run, replace(snapshot.main, landings=landings), snapshot, suite.columns or (ENTITY,))
    quote = not run.cfg.privacy.hidden
    return run_suite(suite, run.name, rows, docs=run.workspace.home / page, quote=quote), page.as_posix()


def _fatal(check: Check) -> bool:
    return not check.passed and check.severity == "critical"
