"""The ``perennial`` command: the same flows from the shell. The only place that prints."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from perennial.context import Workspace

app = typer.Typer(
    name="perennial",
    help="Keep machine-learning models fresh: one YAML file per pipeline, one retraining system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="Business date; nothing known later is used."),
]
Env = Annotated[str | None, typer.Option("--env", help="A name in configs/environments/; default: local.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, logs on standard error.")]
PipelineName = Annotated[str, typer.Argument(help="A name in configs/, for example demand.")]
ModelName = Annotated[str, typer.Argument(help="A model, which has its pipeline's name.")]


@app.command(epilog="Example: perennial run demand --as-of 2011-11-11")
def run(pipeline: PipelineName, as_of: AsOf = None, env: Env = None, as_json: AsJson = False) -> None:
    """Retrain a pipeline: extract, check, train, judge, register, promote or keep the champion."""
    from flows import present

    with _workspace(env) as workspace:
        record = _flow(workspace, "retrain", pipeline, as_of, env, as_json)
        _show(record, as_json, lambda: present.run(record, workspace.home))


@app.command(epilog="Example: perennial score demand --as-of 2011-11-11")
def score(pipeline: PipelineName, as_of: AsOf = None, env: Env = None, as_json: AsJson = False) -> None:
    """Publish the champion's forecast, once per date."""
    from flows import present

    with _workspace(env) as workspace:
        publication = _flow(workspace, "score", pipeline, as_of, env, as_json)
        _show(publication, as_json, lambda: present.publication(publication, workspace.env.lake))


@app.command(epilog="Example: perennial demo")
def demo(as_json: AsJson = False) -> None:
    """Run the whole job on real sales: a first model, four weeks later a challenger, a published forecast."""
    from flows import demo as story

    with _workspace(None) as workspace:
        result = story.play(
            workspace,
            run=lambda flow, day: _flow(workspace, flow, story.PIPELINE, day, None, as_json),
            say=_silent if as_json else _print,
        )
        _show(result, as_json, lambda: ())


@app.command(epilog="Example: perennial models --json")
def models(env: Env = None, as_json: AsJson = False) -> None:
    """List every model: its champion, its age, its last decision and publication."""
    from flows import present
    from perennial.overview import overview

    with _workspace(env) as workspace:
        rows = overview(workspace.ledger)
        _show(rows, as_json, lambda: present.models(rows))


@app.command(epilog="Example: perennial history demand --on 2011-10-14")
def history(
    model: ModelName,
    on: Annotated[
        datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="What was in force on this business date.")
    ] = None,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Tell which versions were in force, since when and why."""
    from flows import present
    from perennial.overview import story

    with _workspace(env) as workspace:
        changes = story(workspace.ledger, model, on.date() if on else None)
        _show(changes, as_json, lambda: present.history(model, changes, on.date() if on else None))


@app.command(epilog="Example: perennial rollback demand --to 1")
def rollback(
    model: ModelName,
    to: Annotated[int | None, typer.Option("--to", help="Version to return to; default: the one before.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "rollback from the shell",
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Put an earlier champion back in force: one ledger commit, then the MLflow alias."""
    from flows import present
    from perennial.lifecycle import roll_back

    with _workspace(env) as workspace:
        done = roll_back(workspace, model, to, actor=_who(), reason=reason)
        _show(done, as_json, lambda: present.rollback(done))


@app.command(epilog="Example: perennial verify")
def verify(env: Env = None, as_json: AsJson = False) -> None:
    """Check the audit chain, every digest and every invariant; exit 1 if anything is wrong."""
    from flows import present
    from perennial.invariants import check_invariants

    with _workspace(env) as workspace:
        violations = check_invariants(workspace.env)
        _show(violations, as_json, lambda: present.violations(violations))
        if violations:
            raise typer.Exit(1)


@app.command(epilog="Example: perennial validate demand")
def validate(
    config: Annotated[str, typer.Argument(help="A pipeline's name or file.")],
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Explain every problem of a pipeline file and its checks at once, with line numbers."""
    from flows import present
    from perennial.config import validation

    with _workspace(env) as workspace:
        loaded = validation.validate(workspace, config)
        answer = {"valid": True, "pipeline": loaded.config.pipeline, "digest": loaded.digest}
        _show(answer, as_json, lambda: present.valid(loaded))


@app.command(epilog="Example: perennial doctor")
def doctor(env: Env = None, as_json: AsJson = False) -> None:
    """Check this installation: versions, stores, ports, secrets; exit 1 if something must be mended."""
    from flows import present
    from perennial.doctor import diagnose

    with _workspace(env) as workspace:
        checks = diagnose(workspace.env, workspace.root)
        _show(checks, as_json, lambda: present.diagnosis(checks))
        if any(not c.passed and c.severity == "critical" for c in checks):
            raise typer.Exit(1)


@app.command(epilog="Example: perennial down")
def down(env: Env = None, as_json: AsJson = False) -> None:
    """Stop the Prefect server that a run from the shell left in the background."""
    from flows import server

    with _workspace(env) as workspace:
        stopped = server.stop(workspace.home)
        _show({"stopped": stopped}, as_json, lambda: ("Stopped." if stopped else "No server was running.",))


def main() -> None:
    """Run the command; deliberate errors become one paragraph and exit code 1, never a traceback."""
    from perennial.resources import spin_briefly

    spin_briefly()
    try:
        app()
    except KeyboardInterrupt:
        _complain("Stopped. Nothing is half done: run the same command again to finish.")
        sys.exit(130)


def _flow(workspace: "Workspace", name: str, pipeline: str, as_of: date | None, env: str | None, quiet: bool) -> Any:
    """Run one flow on the server of this workspace and return what its state carries."""
    from flows import server

    day = as_of.date() if isinstance(as_of, datetime) else as_of
    loaded = workspace.pipeline(pipeline)
    found = server.connect(workspace.home, configured=workspace.env.prefect == "configured")
    if found.started and not quiet:
        _say(f"Started a Prefect server at {found.ui} (stop it with `perennial down`).")
    day = day or workspace.business_date(loaded.config)
    with _progress(f"{name} {loaded.config.pipeline} as of {day}"), server.leaving_at_once():
        if name == "retrain":
            from flows.retrain import retrain

            return retrain(pipeline, day, env)
        from flows.score import score as score_flow

        return score_flow(pipeline, day, env)


@contextmanager
def _workspace(env: str | None) -> "Iterator[Workspace]":
    from perennial.context import Workspace
    from perennial.errors import PerennialError

    try:
        yield Workspace.open(env)
    except PerennialError as error:
        _complain(f"{type(error).__name__}: {error}")
        raise typer.Exit(1) from error
    except OSError as error:  # a full disk, a folder that may not be written
        _complain(f"{type(error).__name__}: {error}; check the disk and its permissions, then run again")
        raise typer.Exit(1) from error


@contextmanager
def _progress(title: str) -> Iterator[None]:
    from flows.progress import Stages

    start = time.perf_counter()
    with Stages(title, file=sys.stderr):
        yield
    logging.getLogger("tasks").debug("%s took %.1f s", title, time.perf_counter() - start)


def _show(result: Any, as_json: bool, lines: "Callable[[], Any]") -> None:
    if as_json:
        from perennial.contracts import to_json, without_nan

        sys.stdout.write(json.dumps(without_nan(to_json(result)), indent=2, allow_nan=False) + "\n")
        return
    for line in lines():
        _print(line)


def _print(line: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 110, highlight=False, soft_wrap=not sys.stdout.isatty()).print(line)


def _silent(_line: Any) -> None:
    """Say nothing: the caller wants JSON alone."""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _who() -> str:
    return f"{os.environ.get('USER') or 'unknown'}@{os.uname().nodename}"


if __name__ == "__main__":
    main()
