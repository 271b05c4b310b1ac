"""A revision of a project beside the working tree: taken from git, and its model as a champion to be measured by."""

import hashlib
import subprocess
import tarfile
from datetime import date
from pathlib import Path
from tempfile import TemporaryFile

from perennial.context import Workspace
from perennial.contracts import Decision, ModelBlob, ModelVersion, Verdict
from perennial.errors import PerennialError, Refused

VERSIONED = ("configs", "requirements.lock", "perennial", "tasks", "flows")
"""What a revision's run depends on beside its data; all else it shares with the working tree."""


class GitError(PerennialError):
    """git is not there, or does not know what was asked for."""


def commit_of(root: Path, revision: str) -> str:
    """Return the commit that a revision names.

    Raises:
        GitError: git is not installed, the folder is in no repository, or there is no such revision.
    """
    _git(root, "rev-parse", "--git-dir")
    try:
        found = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except GitError:
        raise GitError(
            f"git knows no revision {revision!r} here; name a branch, tag or commit that `git log` shows, or fetch it "
            "first (a CI service clones one commit alone unless it is told otherwise: fetch-depth: 0, GIT_DEPTH: 0)"
        ) from None
    return found.decode().strip()


def check_out(root: Path, commit: str, into: Path) -> Path:
    """Lay a commit's configuration, lock file and code out in a folder, beside links to the rest of the working tree.

    Data is deliberately the working tree's: two models can only be compared on the same rows, and most data is not in
    git. Nothing is written to the repository, as a ``git worktree`` would.

    Args:
        root: Folder of the project, which may lie below that of the repository.
        commit: From :func:`commit_of`.
        into: A folder that does not exist yet.

    Raises:
        GitError: The project had no ``configs`` then, or git failed.
    """
    present = set(_git(root, "ls-tree", "--name-only", commit).decode().splitlines())
    wanted = [name for name in VERSIONED if name in present]
    if "configs" not in wanted:
        raise GitError(f"commit {commit[:12]} has no folder `configs`; name a revision that has pipelines")
    into.mkdir(parents=True)
    with TemporaryFile() as file:
        file.write(_git(root, "archive", "--format=tar", commit, "--", *wanted))
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            archive.extractall(into, filter="data")
    for entry in root.iterdir():
        if entry.name not in {*VERSIONED, ".git"}:
            (into / entry.name).symlink_to(entry.resolve())
    return into


def enthrone(workspace: Workspace, model: str, blob: Path, run_key: str, as_of: date, commit: str) -> ModelVersion:
    """Put a model that was trained elsewhere in force in a scratch workspace, whatever its own gates said.

    It stands for what is in force before a change is merged, so that the change is measured by it.

    Raises:
        Refused: Something is in force there already: it is no scratch workspace.
    """
    ledger = workspace.ledger
    if ledger.versions(model):
        raise Refused(f"{model} has versions in {workspace.home}; only an empty workspace takes a model from elsewhere")
    data = blob.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    workspace.store.put(ModelBlob(data=data, digest=digest))
    given = Verdict(
        gate="base revision",
        metric="",
        against="bound",
        key="",
        value=0.0,
        bound=0.0,
        passed=True,
        reason=f"the model of commit {commit[:12]}, for comparison",
    )
    with ledger.hold(model, locks=workspace.home / "locks") as lease:
        version = ledger.record_training(
            lease, model=model, run_key=run_key, digest=digest, snapshot_id=commit, as_of=as_of
        )
        ledger.commit_decision(lease, version, Decision(verdicts=(given,)), as_of=as_of, actor="perennial ci")
    return version


def _git(root: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=False)
    except FileNotFoundError:
        raise GitError("git is not installed, or not on the PATH; install it, a change is found by it") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"exit code {done.returncode}"
        raise GitError(f"`git {words[0]}` failed in {root}: {said[:500]}")
    return done.stdout
