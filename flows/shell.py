"""What every command of the shell needs: its workspace, one flow run with its progress, an answer shown."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from perennial.config.overrides import Overrides
    from perennial.context import Workspace

AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="Business date; nothing known later is used."),
]
Env = Annotated[str | None, typer.Option("--env", help="A name in configs/environments/; default: local.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, logs on standard error.")]
PipelineName = Annotated[str, typer.Argument(help="A name in configs/, for example demand.")]
ModelName = Annotated[str, typer.Argument(help="A model, which has its pipeline's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


def run_flow(
    workspace: "Workspace",
    name: str,
    pipeline: str,
    as_of: date | None,
    env: str | None,
    quiet: bool,
    overrides: "Overrides | None" = None,
) -> Any:
    """Run one flow on the server of this workspace and return what its state carries."""
    from flows import server

    day = as_of.date() if isinstance(as_of, datetime) else as_of
    loaded = workspace.pipeline(pipeline, overrides)
    found = server.connect(workspace.home, configured=workspace.env.prefect == "configured")
    if found.started and not quiet:
        say(f"Started a Prefect server at {found.ui} (stop it with `perennial down`).")
    day = day or workspace.business_date(loaded.config)
    with _progress(f"{name} {loaded.config.pipeline} as of {day}"), server.leaving_at_once():
        more = {"overrides": overrides} if overrides else {}
        return getattr(import_module(f"flows.{name}"), name)(pipeline, day, env, **more)


@contextmanager
def open_workspace(env: str | None) -> "Iterator[Workspace]":
    """Open the workspace; a deliberate error inside becomes one paragraph on standard error and exit code 1."""
    from perennial.context import Workspace

    with in_a_paragraph():
        yield Workspace.open(env)


@contextmanager
def in_a_paragraph() -> Iterator[None]:
    """Turn a deliberate error inside into one paragraph on standard error and exit code 1."""
    from perennial.errors import PerennialError

    try:
        yield
    except PerennialError as error:
        complain(f"{type(error).__name__}: {error}")
        raise typer.Exit(1) from error
    except OSError as error:  # a full disk, a folder that may not be written
        complain(f"{type(error).__name__}: {error}; check the disk and its permissions, then run again")
        raise typer.Exit(1) from error


@contextmanager
def _progress(title: str) -> Iterator[None]:
    from flows.progress import Stages

    start = time.perf_counter()
    with Stages(title, file=sys.stderr):
        yield
    logging.getLogger("tasks").debug("%s took %.1f s", title, time.perf_counter() - start)


def show(result: Any, as_json: bool, lines: "Callable[[], Any]") -> None:
    """Write the answer: as one JSON document, or as the lines that ``lines`` makes."""
    if as_json:
        from perennial.contracts import to_json, without_nan

        sys.stdout.write(json.dumps(without_nan(to_json(result)), indent=2, allow_nan=False) + "\n")
        return
    for line in lines():
        put(line)


def put(line: Any) -> None:
    """Write one line or table to standard output."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 110, highlight=False, soft_wrap=not sys.stdout.isatty()).print(line)


def put_text(text: str) -> None:
    """Write a document to standard output as it stands: nothing in it is markup for a terminal."""
    sys.stdout.write(text)


def silent(_line: Any) -> None:
    """Say nothing: the caller wants JSON alone."""


def say(line: str) -> None:
    """Write one line to standard error."""
    sys.stderr.write(f"{line}\n")


def complain(text: str) -> None:
    """Say on standard error what went wrong."""
    sys.stderr.write(f"{text}\n")


def who() -> str:
    """Return who types, for the audit trail."""
    return f"{os.environ.get('USER') or 'unknown'}@{os.uname().nodename}"
