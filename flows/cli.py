"""The ``perennial`` command: the same flows from the shell. The only place that prints."""

import sys
from datetime import datetime
from typing import Annotated

import typer

from flows import beginning, operations
from flows.shell import (
    AsJson,
    AsOf,
    Env,
    ModelName,
    PipelineName,
    complain,
    open_workspace,
    put,
    run_flow,
    show,
    silent,
    who,
)

app = typer.Typer(
    name="perennial",
    help="Keep machine-learning models fresh: one YAML file per pipeline, one retraining system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(beginning.app)
app.add_typer(operations.app)


@app.command(epilog="Example: perennial run demand --as-of 2011-11-11 --set model.seed=3")
def run(
    pipeline: PipelineName,
    as_of: AsOf = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of `model` for this run alone, for example model.params.max_iter=200."),
    ] = None,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Retrain a pipeline: extract, check, train, judge, register, promote or keep the champion."""
    from flows import present
    from perennial.config import overrides

    with open_workspace(env) as workspace:
        given = overrides.parse(settings or ())
        record = run_flow(workspace, "retrain", pipeline, as_of, env, as_json, overrides=given)
        show(record, as_json, lambda: present.run(record, workspace.home))


@app.command(epilog="Example: perennial score demand --as-of 2011-11-11")
def score(pipeline: PipelineName, as_of: AsOf = None, env: Env = None, as_json: AsJson = False) -> None:
    """Publish the champion's forecast, once per date."""
    from flows import present

    with open_workspace(env) as workspace:
        publication = run_flow(workspace, "score", pipeline, as_of, env, as_json)
        show(publication, as_json, lambda: present.publication(publication, workspace.env.lake))


@app.command(epilog="Example: perennial demo")
def demo(as_json: AsJson = False) -> None:
    """Run the whole job on real sales: a first model, four weeks later a challenger, a published forecast."""
    from flows import demo as story

    with open_workspace(None) as workspace:
        result = story.play(
            workspace,
            run=lambda flow, day: run_flow(workspace, flow, story.PIPELINE, day, None, as_json),
            say=silent if as_json else put,
        )
        show(result, as_json, lambda: ())


@app.command(epilog="Example: perennial models --json")
def models(env: Env = None, as_json: AsJson = False) -> None:
    """List every pipeline: champion, age, health, last decision, error against the best simple rule, alerts, cost."""
    from flows.presentfleet import models as lines
    from perennial.overview import overview

    with open_workspace(env) as workspace:
        rows = overview(workspace)
        show(rows, as_json, lambda: lines(rows))


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

    with open_workspace(env) as workspace:
        changes = story(workspace.ledger, model, on.date() if on else None)
        show(changes, as_json, lambda: present.history(model, changes, on.date() if on else None))


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

    with open_workspace(env) as workspace:
        done = roll_back(workspace, model, to, actor=who(), reason=reason)
        show(done, as_json, lambda: present.rollback(done))


@app.command(epilog="Example: perennial verify")
def verify(env: Env = None, as_json: AsJson = False) -> None:
    """Check the audit chain, every digest and every invariant; exit 1 if anything is wrong."""
    from flows import present
    from perennial.invariants import check_invariants

    with open_workspace(env) as workspace:
        violations = check_invariants(workspace.env)
        show(violations, as_json, lambda: present.violations(violations))
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

    with open_workspace(env) as workspace:
        loaded = validation.validate(workspace, config)
        data = validation.unreadable(workspace, loaded.config)
        answer = {"valid": True, "pipeline": loaded.config.pipeline, "digest": loaded.digest, "data": data}
        show(answer, as_json, lambda: present.valid(loaded, data))


@app.command(epilog="Example: perennial doctor")
def doctor(env: Env = None, as_json: AsJson = False) -> None:
    """Check this installation: versions, stores, ports, secrets; exit 1 if something must be mended."""
    from flows import present
    from perennial.doctor import diagnose

    with open_workspace(env) as workspace:
        checks = diagnose(workspace.env, workspace.root)
        show(checks, as_json, lambda: present.diagnosis(checks))
        if any(not c.passed and c.severity == "critical" for c in checks):
            raise typer.Exit(1)


@app.command(epilog="Example: perennial down")
def down(env: Env = None, as_json: AsJson = False) -> None:
    """Stop the Prefect server that a run from the shell left in the background."""
    from flows import server

    with open_workspace(env) as workspace:
        stopped = server.stop(workspace.home)
        show({"stopped": stopped}, as_json, lambda: ("Stopped." if stopped else "No server was running.",))


def main() -> None:
    """Run the command; deliberate errors become one paragraph and exit code 1, never a traceback."""
    from perennial.resources import spin_briefly

    spin_briefly()
    try:
        app()
    except KeyboardInterrupt:
        complain("Stopped. Nothing is half done: run the same command again to finish.")
        sys.exit(130)


if __name__ == "__main__":
    main()
