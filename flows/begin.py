"""`perennial init`: from a table that nobody has described to a pipeline and its first run."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perennial.context import Workspace
from perennial.errors import ConfigError, Refused, SourceError
from perennial.profiling.convert import RECORD
from perennial.profiling.meaning import Answers, Guess, Meaning
from perennial.profiling.plan import Plan, Rule
from perennial.profiling.profile import Profile
from perennial.profiling.uses import ColumnUse
from perennial.profiling.write import Draft

Ask = Callable[[Guess], str]
"""Hears a guess and returns the answer; the guess itself where nobody is there to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for.

    Attributes:
        given: File, folder or address of a database.
        table: Table of the database.
        name: Of the pipeline; default: what the file is called.
        force: Overwrite what is there.
        data_only: Convert the table again and leave the settings alone.
        command: How to ask for the same again.
    """

    given: str
    table: str | None
    name: str | None
    said: Answers
    force: bool
    data_only: bool
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What was made of a table.

    Attributes:
        files: What was written, relative to the project.
        rows: Rows of the source that runs will read.
        last: The last day that a run can stand on: with a known target for a forecast, with a row for events.
    """

    pipeline: str
    kind: str
    rows_in: int
    rows: int
    last: date
    files: tuple[str, ...]
    guesses: tuple[Guess, ...]
    columns: tuple[ColumnUse, ...]
    conversion: str
    because: tuple[str, ...]
    rules: Mapping[str, str]


def begin(workspace: Workspace, wish: Wish, *, ask: Ask, tell: Callable[[str], Callable[[int, int], None]]) -> Begun:
    """Describe a table, write its pipeline and checks, and convert it where no pipeline could read it as it is.

    Args:
        workspace: Where the files go.
        wish: What the user asked for.
        ask: Settles guesses that are not sure.
        tell: Names a piece of work and returns what hears of its progress.

    Raises:
        ConfigError: The table is none that a kind can work on, or an option does not fit it.
        SourceError: It cannot be read.
        Refused: Something of this name is there already.
    """
    from perennial.profiling.convert import convert
    from perennial.profiling.history import history
    from perennial.profiling.opening import open_table
    from perennial.profiling.profile import profile

    name = pipeline_name(wish)
    target = _target(workspace, name)
    _refuse_overwriting(workspace, wish, name, target)
    wish, rules = _as_before(wish, target.with_name(RECORD))
    with TemporaryDirectory() as scratch:
        opened = open_table(wish.given, table=wish.table, base=workspace.root, scratch=Path(scratch))
        found = profile(opened, tell("Read"))
        meaning, columns, said = settle(found, wish.said, ask)
        plan = _plan(workspace, wish, found, meaning, columns, said, target).ruled(rules)
        with _put_back_on_error(target, target.with_name(RECORD)):
            if plan.how != "as it is":
                plan = plan.noticed(convert(found, meaning, plan, target, wish.command, tell("Convert")))
            rows = history(_table(plan), workspace.env, base=workspace.root, tell=tell("Learn from"))
            draft = Draft(
                name=name,
                source=opened.label,
                meaning=meaning,
                plan=plan,
                columns=columns,
                rows=rows,
                today=workspace.now().date(),
            )
            files = () if wish.data_only else _write(workspace, draft)
    made = tuple(_short(workspace, path) for path in (target, target.with_name(RECORD)) if plan.how != "as it is")
    return _begun(draft, found.rows, files + made)


def _begun(draft: Draft, rows_in: int, files: tuple[str, ...]) -> Begun:
    meaning, plan, rows = draft.meaning, draft.plan, draft.rows
    return Begun(
        pipeline=draft.name,
        kind=meaning.kind,
        rows_in=rows_in,
        rows=rows.rows,
        last=rows.last if meaning.kind == "forecast" else rows.newest,
        files=files,
        guesses=meaning.guesses,
        columns=draft.columns,
        conversion=plan.how,
        because=plan.reasons,
        rules=plan.rules,
    )


@contextmanager
def _put_back_on_error(*paths: Path) -> Iterator[None]:
    """Leave files as they were if what follows fails: a table that is refused must not stand in the way of the next."""
    kept = {path: path.with_suffix(".before") for path in paths if path.exists()}
    for path, aside in kept.items():
        shutil.copyfile(path, aside)
    try:
        yield
    except BaseException:
        for path in paths:
            if path in kept:
                kept[path].replace(path)
            else:
                path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            with suppress(OSError):  # it holds something else, or never was
                folder.rmdir()
        raise
    for aside in kept.values():
        aside.unlink()


def _as_before(wish: Wish, record: Path) -> tuple[Wish, Mapping[str, Rule]]:
    """Return a wish in which what is not said is as it was when the settings were made, and the rules of its columns.

    Raises:
        Refused: Something is said that is not as it was: the settings would be about another table.
    """
    import json

    if not (wish.data_only and record.exists()):
        return wish, {}
    kept = json.loads(record.read_text(encoding="utf-8"))
    before = kept.get("meaning") or {}
    if before.get("entity") is not None:
        before["entity"] = tuple(before["entity"])
    for what, value in before.items():
        said = getattr(wish.said, what)
        if said not in (None, value):
            raise Refused(
                f"--{what} {said}: it was {value!r} when the settings were made; make others with --name or --force"
            )
    said = replace(wish.said, **{what: value for what, value in before.items() if value is not None})
    if kept.get("first_day_assumed"):
        said = replace(said, start=said.start or kept["first_day_assumed"])
    return replace(wish, said=said, command=kept.get("again", wish.command)), kept.get("each_column_of_a_day", {})


def settle(found: Profile, said: Answers, ask: Ask) -> tuple[Meaning, tuple[ColumnUse, ...], Answers]:
    """Guess, ask about what is not sure, and guess again with each answer, until nothing is left to ask."""
    from perennial.profiling.guess import guess
    from perennial.profiling.plan import wide_meaning
    from perennial.profiling.uses import uses

    settled: set[str] = set()
    while True:
        if found.wide is not None:
            meaning, columns = wide_meaning(found, said)
        else:
            meaning = guess(found, said)
            columns = uses(found, meaning)
        open_ = [g for g in meaning.guesses if g.sure != "sure" and g.choices and g.what not in settled]
        if not open_:
            return meaning, columns, said
        settled.add(open_[0].what)
        answer = ask(open_[0])
        if answer != open_[0].value:
            value: Any = tuple(filter(None, answer.split(", "))) if open_[0].what == "entity" else answer
            said = replace(said, **{open_[0].what: value})


def pipeline_name(wish: Wish) -> str:
    """Return the name that was given, or one made of the file's or table's.

    Raises:
        ConfigError: The given name is none.
    """
    import re

    if wish.name is not None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", wish.name):
            raise ConfigError(f"--name {wish.name}: lower-case letters, digits and underscores, a letter first")
        return wish.name
    stem = wish.table or wish.given.partition("table=")[2] or Path(wish.given).name.split(".")[0] or "table"
    plain = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:40] or "table"
    return plain if plain[0].isalpha() else f"t_{plain}"


def _refuse_overwriting(workspace: Workspace, wish: Wish, name: str, target: Path) -> None:
    configs = [workspace.root / "configs" / f"{name}{end}" for end in (".yaml", ".checks.yaml")]
    if wish.data_only:
        if not configs[0].exists():
            raise Refused(
                f"--data-only converts the table of a pipeline again, and there is no {configs[0]}; leave it out"
            )
        return
    there = [path for path in (*configs, target) if path.exists()]
    if there and not wish.force:
        raise Refused(
            f"{', '.join(_short(workspace, path) for path in there)} would be overwritten. Say --name OTHER for"
            " a second pipeline, --force to write anew, or --data-only to convert a table that has grown"
        )


def _plan(
    workspace: Workspace,
    wish: Wish,
    found: Profile,
    meaning: Meaning,
    columns: Sequence[ColumnUse],
    said: Answers,
    target: Path,
) -> Plan:
    from perennial.profiling.plan import plan, relative

    base = workspace.root
    roots = [base / root for root in workspace.env.data_roots]
    local = found.opened.kept_as != "sql"
    inside = relative(found.opened.files, Path(wish.given).expanduser(), roots, base) if local else ""
    return plan(found, meaning, columns, said, inside=inside, target=_short(workspace, target))


def _table(plan: Plan) -> Any:
    import json

    from perennial.config.models import Table
    from perennial.config.yamlsafe import parse
    from perennial.profiling.write import source_text

    return Table.model_validate_json(json.dumps(parse(source_text(plan), "the table").value["data"]))


def _write(workspace: Workspace, draft: Draft) -> tuple[str, ...]:
    """Write both files, once they have been read back and found valid."""
    from perennial.checks.expectations import load_suite
    from perennial.config.files import load_pipeline
    from perennial.profiling.checks import checks_text
    from perennial.profiling.write import pipeline_text

    texts = {
        f"{draft.name}.yaml": pipeline_text(draft),
        f"{draft.name}.checks.yaml": checks_text(draft.rows, draft.name, events=draft.meaning.kind == "classify"),
    }
    with TemporaryDirectory() as folder:
        for name, text in texts.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        load_suite(Path(folder) / f"{draft.name}.checks.yaml")
        load_pipeline(Path(folder) / f"{draft.name}.yaml")
        for name in reversed(texts):
            shutil.copyfile(Path(folder) / name, workspace.root / "configs" / name)
    return tuple(f"configs/{name}" for name in texts)


def _target(workspace: Workspace, name: str) -> Path:
    if not workspace.env.data_roots:
        raise SourceError("the environment names no `data_roots`, so no run may read a file; add a folder to it")
    return workspace.root / workspace.env.data_roots[0] / name / "rows.parquet"


def _short(workspace: Workspace, path: Path) -> str:
    return path.relative_to(workspace.root).as_posix() if path.is_relative_to(workspace.root) else str(path)
