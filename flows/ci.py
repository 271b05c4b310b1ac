"""A change to a pipeline, checked as code is: what it changes is retrained in a scratch workspace and judged.

Both sides are runs of the `perennial` command in processes of their own, each with its revision's code and settings:
the base's model is trained as the base would train it, and the candidate as it will be trained after the merge. Each
has a home of its own, so that each lands the data under its own checks. Then the base's model is put in force in the
candidate's home, and the candidate meets it there as it would meet the champion.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory

from flows import server
from flows.sides import Ran, Side, train
from perennial.changes import EXCUSABLE, Change, Outcome, Revision, Status, Trial, compare, describe
from perennial.config.files import scratch_environment
from perennial.config.validation import validate
from perennial.config.yamlsafe import nearest
from perennial.contracts import Score, Verdict
from perennial.errors import ConfigError
from perennial.privacy import KEY_FILE
from perennial.revisions import check_out, commit_of, enthrone


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be checked.

    Attributes:
        base: A revision that git knows.
        pipelines: Only these; empty for all.
        excused: Pipelines that may lack their data, or a model of the base to be compared with.
        as_of: Date that both sides stand on; ``None`` for the one that the pipeline itself would take.
        environment: The environment whose sources are read.
        reports: Folder that the candidates' reports are copied to, or ``None``.
    """

    base: str
    pipelines: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()
    as_of: date | None = None
    environment: str | None = None
    reports: Path | None = None


def check(root: Path, request: Request, say: Callable[[str], None]) -> Outcome:
    """Compare the files of a project with a revision, and retrain and judge what it changes.

    Args:
        root: Folder of the project.
        request: What is to be checked.
        say: Is told what is being done.

    Raises:
        GitError: git is absent, or does not know the revision.
        ConfigError: The environment is not valid, or a pipeline that was named does not exist.
    """
    root = root.resolve()
    commit = commit_of(root, request.base)
    scratch_environment(request.environment, root, root)  # complain before anything is done
    with TemporaryDirectory(prefix="perennial-ci-") as folder:
        scratch = Path(folder).resolve()
        before = check_out(root, commit, scratch / "base")
        old, new = describe(before), describe(root)
        changes = _wanted(compare(old, new), request, old, new)
        with _prefect(scratch, root, request, changes):
            trials = tuple(_trial(one, root, before, commit, request, say) for one in changes)
    passed = not any(one.fails for one in trials)
    return Outcome(base=request.base, commit=commit, passed=passed, pipelines=trials)


def _wanted(changes: Sequence[Change], request: Request, old: Revision, new: Revision) -> list[Change]:
    known = sorted({*old.pipelines, *new.pipelines})
    for name in (*request.pipelines, *request.excused):
        if name not in known:
            raise ConfigError(f"there is no pipeline {name!r}, nor was there one; {nearest(name, known)} (in configs/)")
    return [one for one in changes if not request.pipelines or one.pipeline in request.pipelines]


@contextmanager
def _prefect(scratch: Path, root: Path, request: Request, changes: Sequence[Change]) -> Iterator[None]:
    """Have a Prefect server for the runs: the configured one, or one that ends with this check."""
    if not any(one.kind in ("changed", "new") for one in changes):
        yield
        return
    settings = scratch_environment(request.environment, root, scratch)
    try:
        server.connect(scratch, configured=settings.get("prefect") == "configured")
        yield
    finally:
        if server.stop(scratch):
            os.environ.pop("PREFECT_API_URL", None)


def _trial(
    change: Change, root: Path, before: Path, commit: str, request: Request, say: Callable[[str], None]
) -> Trial:
    if change.kind == "invalid":
        return Trial(change=change, status="invalid", note=change.trouble)
    if change.kind == "unchanged" or change.kind == "removed":
        return Trial(change=change, status=change.kind)
    start = time.perf_counter()
    folder = before.parent / "runs" / change.pipeline
    old, new = (_side(name, folder, where, request, root) for name, where in (("base", before), ("change", root)))
    try:
        config = validate(new.workspace(), change.pipeline).config  # costs seconds, where a training costs minutes
    except ConfigError as error:
        return Trial(change=change, status="invalid", note=str(error).replace(f"{root}/", ""))
    day = request.as_of or new.workspace().business_date(config)
    note = f"No base to compare with. {change.trouble}" if change.kind == "new" else ""
    base = None
    if change.kind == "changed":
        say(f"{change.pipeline}: training the base's model as of {day} ...")
        base = train(old, change.pipeline, day)
        note = _enthroned(base, old, new, day, commit)
    say(f"{change.pipeline}: retraining ({'; '.join(change.reasons[:2])}) ...")
    ran = train(new, change.pipeline, day)
    if request.reports and (new.home / "reports").is_dir():
        shutil.copytree(new.home / "reports", request.reports, dirs_exist_ok=True)
    trial = replace(_judged(change, ran, base, note), as_of=str(day), seconds=time.perf_counter() - start)
    excused = change.pipeline in request.excused and trial.status in EXCUSABLE
    shutil.rmtree(folder)  # a copy of the data, twice
    return replace(trial, excused=excused)


def _side(name: str, folder: Path, root: Path, request: Request, project: Path) -> Side:
    home = folder / name
    home.mkdir(parents=True)
    file = folder / f"{name}.yaml"
    # JSON is YAML; references to secrets are left as they stand
    file.write_text(json.dumps(scratch_environment(request.environment, project, home)), encoding="utf-8")
    return Side(root=root, home=home, environment=file)


def _enthroned(base: Ran, old: Side, new: Side, day: date, commit: str) -> str:
    """Put the base's model in force where the candidate will be trained; return what a reader should know of it."""
    if base.record is None:
        return f"The base's model could not be trained: {base.error}"
    if (old.home / KEY_FILE).exists():  # one and the same person on both sides
        shutil.copy(old.home / KEY_FILE, new.home)
    record, (blob,) = base.record, base.models
    enthrone(new.workspace(), record["pipeline"], blob, record["run_key"], day, commit)
    failed = [v["reason"] for v in record["verdicts"] if not v["passed"]]
    return f"The base's own model does not pass its gates either: {'; '.join(failed)}" if failed else ""


def _judged(change: Change, ran: Ran, base: Ran | None, note: str) -> Trial:
    if ran.record is None:
        status: Status = "data missing" if ran.unreadable else "not trained"
        return Trial(change=change, status=status, note="\n".join(filter(None, (ran.error, note))))
    record = ran.record
    if record["outcome"] == "already done":  # its verdicts would be those of the base, which met no champion
        return Trial(change=change, status="not trained", note="The run key is that of the base: nothing was judged.")
    scores = tuple(Score(**{**s, "value": _number(s["value"])}) for s in record["scores"])
    told = ("value", "bound")
    verdicts = tuple(Verdict(**{**v, **{name: _number(v[name]) for name in told}}) for v in record["verdicts"])
    status = "passed" if verdicts and all(v.passed for v in verdicts) else "gate failed"
    if status == "passed" and base and base.record is None:
        status = "not compared"
    return Trial(change=change, status=status, note=note, scores=scores, verdicts=verdicts)


def _number(value: float | None) -> float:
    return nan if value is None else value
