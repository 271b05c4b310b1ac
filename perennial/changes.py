"""What differs between two revisions of a project, pipeline by pipeline: whose run key changes, and through what.

Pure: two folders are described, two descriptions are compared. A description holds what a run key holds beside its data
and its date (:mod:`perennial.identity`): the settings with the seed, the checks, the library's code and the lock file.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from perennial.config.choices import names
from perennial.config.files import content, find_pipeline, load_pipeline
from perennial.contracts import Score, Verdict
from perennial.errors import ConfigError
from perennial.identity import digest_file

LIBRARY = "perennial"
LOCK = "requirements.lock"
ABSENT = "nothing"
_SHOWN = 8
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)

Kind = Literal["unchanged", "changed", "new", "removed", "invalid"]
Status = Literal[
    "unchanged", "removed", "passed", "gate failed", "invalid", "data missing", "not compared", "not trained"
]
"""How a pipeline came through: trained or not, judged or not. The last five are reasons not to merge."""
FAILING: tuple[Status, ...] = ("gate failed", "invalid", "data missing", "not compared", "not trained")
EXCUSABLE: tuple[Status, ...] = ("data missing", "not compared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One pipeline at one revision.

    Attributes:
        digest: Digest of settings and checks; "" for a file that is not valid.
        content: The settings and checks behind it.
        trouble: Why the file is not valid, with lines; "" if it is.
    """

    digest: str = ""
    content: Mapping[str, Any] | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One revision of a project.

    Attributes:
        pipelines: By name of the file in ``configs/``.
        code: SHA-256 of every file of the library by path; empty for a project that uses an installed one.
        lock: The text of its lock file; "" without one.
    """

    pipelines: Mapping[str, Described]
    code: Mapping[str, str]
    lock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What became of one pipeline from one revision to the next.

    Attributes:
        kind: ``changed`` and ``new`` give another run key, ``invalid`` gives none.
        reasons: What differs, for example ``model.params.max_iter: 15 -> 25`` or ``code: perennial/gates.py``.
        trouble: Why the file is not valid now, or was not before.
    """

    pipeline: str
    kind: Kind
    reasons: tuple[str, ...] = ()
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one pipeline came through the check of a change.

    Attributes:
        status: The verdict in a word or two; see :data:`FAILING`.
        excused: Whether somebody said beforehand that this status is no reason to refuse.
        as_of: Date that base and candidate stand on; ``None`` if nothing was trained.
        note: What a reader should know beside the gates: what was raised, what was not compared.
        scores: Errors of candidate, champion (the base's model) and simple rules, overall and per evaluation set.
        verdicts: One per gate.
        seconds: How long both trainings took.
    """

    change: Change
    status: Status
    excused: bool = False
    as_of: str | None = None
    note: str = ""
    scores: tuple[Score, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    seconds: float = 0.0

    @property
    def fails(self) -> bool:
        """Whether this pipeline is a reason not to merge."""
        return self.status in FAILING and not self.excused


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The check of a change as a whole.

    Attributes:
        base: What the change was compared with, as it was asked for.
        commit: The commit that this was.
        passed: Whether no pipeline is a reason not to merge.
    """

    base: str
    commit: str
    passed: bool
    pipelines: tuple[Trial, ...]


def describe(root: Path) -> Revision:
    """Describe the project in a folder as its files are now; a pipeline that is not valid carries its trouble."""
    code = root / LIBRARY
    lock = root / LOCK
    return Revision(
        pipelines={name: _described(name, root) for name in names(root)},
        code={path.relative_to(root).as_posix(): digest_file(path) for path in sorted(code.rglob("*.py"))},
        lock=lock.read_text(encoding="utf-8") if lock.exists() else "",
    )


def compare(base: Revision, head: Revision) -> tuple[Change, ...]:
    """Return what became of every pipeline of either revision, in order of name."""
    shared = (*_code(base.code, head.code), *_lock(base.lock, head.lock))
    found = sorted({*base.pipelines, *head.pipelines})
    return tuple(_change(name, base.pipelines.get(name), head.pipelines.get(name), shared) for name in found)


def _described(name: str, root: Path) -> Described:
    path = find_pipeline(name, root)
    try:
        loaded = load_pipeline(path)
        return Described(digest=loaded.digest, content=content(path, loaded.config))
    except ConfigError as error:
        return Described(trouble=str(error).replace(f"{root}/", ""))


def _change(name: str, base: Described | None, head: Described | None, shared: tuple[str, ...]) -> Change:
    if head is None:
        return Change(pipeline=name, kind="removed")
    if head.trouble:
        return Change(pipeline=name, kind="invalid", trouble=head.trouble)
    if base is None:
        return Change(pipeline=name, kind="new", reasons=(f"configs/{name}.yaml is new",))
    if base.trouble:
        why = f"configs/{name}.yaml is valid now"
        return Change(pipeline=name, kind="new", reasons=(why, *shared), trouble=base.trouble)
    own = _shortened(_differences(base.content, head.content)) if base.digest != head.digest else ()
    reasons = (*own, *shared)
    return Change(pipeline=name, kind="changed" if reasons else "unchanged", reasons=reasons)


def _code(base: Mapping[str, str], head: Mapping[str, str]) -> tuple[str, ...]:
    files = sorted(name for name in {*base, *head} if base.get(name) != head.get(name))
    return tuple(f"code: {one}" for one in _shortened(files))


def _lock(base: str, head: str) -> tuple[str, ...]:
    """Say which packages have another version; hashes and comments alone are a change too, for a run key."""
    if base == head:
        return ()
    before, after = dict(_PINNED.findall(base)), dict(_PINNED.findall(head))
    packages = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    said = [f"{name} {before.get(name, ABSENT)} -> {after.get(name, ABSENT)}" for name in packages]
    return tuple(f"{LOCK}: {one}" for one in _shortened(said)) or (f"{LOCK}: no version, but its text",)


def _differences(base: Any, head: Any) -> list[str]:
    before, after = dict(_leaves(base)), dict(_leaves(head))
    names = [name for name in {**before, **after} if before.get(name, ABSENT) != after.get(name, ABSENT)]
    return [f"{name}: {before.get(name, ABSENT)} -> {after.get(name, ABSENT)}" for name in names]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every setting by its dotted name; positions in lists count from 1, as a reader does."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, key if place in ("", "pipeline") else f"{place}.{key}")
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value, 1):
            yield from _leaves(inner, f"{place}[{number}]")
    else:
        yield place, value


def _shortened(said: list[str]) -> tuple[str, ...]:
    more = len(said) - _SHOWN
    return tuple(said) if more <= 0 else (*said[:_SHOWN], f"and {more} more")
