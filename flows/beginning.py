"""The command `perennial init`."""

import shlex
import sys
import time as clock
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.shell import AsJson, Env, open_workspace, put, run_flow, say, show, silent

if TYPE_CHECKING:
    from flows.begin import Begun, Wish
    from perennial.contracts import RunRecord
    from perennial.profiling.meaning import Guess

app = typer.Typer()

Tell = Callable[[str], Callable[[int, int], None]]
"""Given a piece of work's name, returns what is told how much of it is done, of how much."""
EVERY_S = 5.0
"""Seconds between two lines about the same piece of work, where there is no terminal."""


Given = Annotated[
    str, typer.Argument(metavar="FILE_OR_URL", help="Parquet or CSV file, folder, sqlite:///, postgresql://.")
]
Target = Annotated[str | None, typer.Option("--target", help="Column to predict.")]
Time = Annotated[str | None, typer.Option("--time", help="Column of dates.")]
Entity = Annotated[
    list[str] | None, typer.Option("--entity", help="Column that names a series or event; may be repeated.")
]
KindChoice = Annotated[
    Literal["forecast", "classify"] | None,
    typer.Option("--kind", help="forecast: a value a day; classify: events that are one thing or another."),
]
Positive = Annotated[str | None, typer.Option("--positive", help="Value of the target that is looked for.")]
Start = Annotated[
    str | None, typer.Option("--start", metavar="YYYY-MM-DD", help="First day of a table that has no dates.")
]
Sql = Annotated[str | None, typer.Option("--table", help="Table of a database.")]
PipelineCalled = Annotated[str | None, typer.Option("--name", help="Name of the pipeline; default: the file's.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files of that name.")]
DataOnly = Annotated[bool, typer.Option("--data-only", help="Convert the table again, write no settings.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Do not run the first retrain.")]


@app.command(name="init", epilog="Example: perennial init data/shops.csv --target units")
def init(
    given: Given,
    target: Target = None,
    time: Time = None,
    entity: Entity = None,
    kind: KindChoice = None,
    positive: Positive = None,
    start: Start = None,
    table: Sql = None,
    name: PipelineCalled = None,
    force: Force = False,
    data_only: DataOnly = False,
    no_run: NoRun = False,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Make a pipeline of your own table: guess what it holds, write settings and checks, train a first model.

    What is not sure is asked on a terminal; elsewhere the best guess is taken. Nothing is overwritten without --force.
    """
    from flows.begin import Wish
    from perennial.profiling.meaning import Answers

    columns = tuple(entity) if entity else None
    said = Answers(kind=kind, time=time, target=target, positive=positive, start=_day(start), entity=columns)
    wish = Wish(
        given=given,
        table=table,
        name=name,
        said=said,
        force=force,
        data_only=data_only,
        command=_again(given, name, table, said),
    )
    _begin(wish, train=not (no_run or data_only), env=env, as_json=as_json)


def _begin(wish: "Wish", *, train: bool, env: str | None, as_json: bool) -> None:
    from flows import present, presentinit
    from flows.begin import begin
    from perennial.contracts import to_json

    line = silent if as_json else put
    with open_workspace(env) as workspace:
        with _bars() as (tell, still):

            def ask(one: "Guess") -> str:
                if as_json or not sys.stdin.isatty():
                    return one.value
                with still():
                    return _ask(one)

            begun = begin(workspace, wish, ask=ask, tell=tell)
        for one in presentinit.begun(begun):
            line(one)
        record = run_flow(workspace, "retrain", begun.pipeline, None, env, as_json) if train else None
        for one in present.run(record, workspace.home) if record else ():
            line(one)
        answer = {"init": to_json(begun), "run": to_json(record) if record else None}
        show(answer, as_json, lambda: (_next(begun, record, grown=wish.data_only),))


def _next(begun: "Begun", record: "RunRecord | None", *, grown: bool) -> str:
    """Say what to do now, which depends on how the first run ended."""
    name = begun.pipeline
    file = f"configs/{name}.yaml"
    if grown:
        return (
            f"Next: the table ends {begun.last} now. `perennial day {name} --as-of {begun.last}` does the dates that"
            f" are missing; `as_of` in {file}, if it stands there, is the date of runs that are given none."
        )
    if record and record.outcome == "not promoted":
        target = next((one for one in begun.guesses if one.what == "target" and one.sure != "sure"), None)
        other = f" `{target.value}` was a guess: `--target OTHER --force` begins anew with another." if target else ""
        return (
            "Next: no model is in force, so there is nothing to score yet; the report says what the first one lacks."
            f"{other} Else give it more history or columns, or change its gates in {file}, and `perennial run {name}`."
        )
    first = f"perennial score {name}" if record else f"perennial run {name}"
    return (
        f"Next: read {file}, which says what was guessed; `perennial validate {name}`; `{first}`;"
        f" `perennial day {name}` for each business date from now on."
    )


def _day(start: str | None) -> str | None:
    from datetime import date

    if start is None:
        return None
    try:
        return date.fromisoformat(start).isoformat()
    except ValueError as error:
        raise typer.BadParameter(f"{start!r} is not a date; write YYYY-MM-DD", param_hint="--start") from error


def _again(given: str, name: str | None, table: str | None, said: object) -> str:
    """Return the command that converts the same table again, without the password of an address."""
    from perennial.sources.sql import shown

    parts = ["perennial", "init", shown(given) if "://" in given else given]
    options = {"name": name, "table": table} | {
        field: getattr(said, field) for field in ("kind", "time", "target", "positive", "start")
    }
    for option, value in options.items():
        parts += [f"--{option}", value] if value else []
    for column in getattr(said, "entity", None) or ():
        parts += ["--entity", column]
    return shlex.join([*parts, "--data-only"])


def _ask(one: "Guess") -> str:
    """Ask about one guess; Enter takes it."""
    say(f"{one.what}: {one.value or 'none'}? It is {one.sure}: {one.why}.")
    choices = ", ".join(one.choices[:12])
    answer = typer.prompt(f"  Enter takes it; or one of {choices}", default=one.value, show_default=False, err=True)
    return "" if answer == "none" else str(answer).strip()


@contextmanager
def _bars() -> "Iterator[tuple[Tell, Callable[[], AbstractContextManager[None]]]]":
    """Show a bar for each piece of work on a terminal, a line now and then elsewhere.

    Yields:
        What is told of work, and a context in which bars stand still: they would draw over a question.
    """
    if not sys.stderr.isatty():
        yield _lines, nullcontext
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bars:

        def bar(title: str) -> Callable[[int, int], None]:
            task = bars.add_task(title, total=None)
            return lambda done, of: bars.update(task, completed=done, total=of or None)

        @contextmanager
        def still() -> Iterator[None]:
            bars.stop()
            try:
                yield
            finally:
                bars.start()

        yield bar, still


def _lines(title: str) -> Callable[[int, int], None]:
    said = clock.monotonic()

    def heard(done: int, of: int) -> None:
        nonlocal said
        if clock.monotonic() - said >= EVERY_S:
            said = clock.monotonic()
            say(f"{title}: {done:,}{f' of {of:,}' if of else ''} rows")

    return heard
