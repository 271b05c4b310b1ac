"""Commands of daily operation: a business date, what was measured, what a person decides, the servers."""

from typing import Annotated

import typer

from flows.shell import AsJson, AsOf, Env, ModelName, PipelineName, Reason, open_workspace, run_flow, show, who

app = typer.Typer()

Version = Annotated[int | None, typer.Argument(help="Version; default: the one that waits.")]


@app.command(epilog="Example: perennial day demand --as-of 2011-11-11")
def day(pipeline: PipelineName, as_of: AsOf = None, env: Env = None, as_json: AsJson = False) -> None:
    """Do a business date: score, monitor, retrain if wanted; dates that were missed come first, oldest first."""
    from flows import presentdaily as present

    with open_workspace(env) as workspace:
        dates = run_flow(workspace, "day", pipeline, as_of, env, as_json)
        show(dates, as_json, lambda: present.days(dates))


@app.command(epilog="Example: perennial monitor demand --as-of 2011-11-11")
def monitor(pipeline: PipelineName, as_of: AsOf = None, env: Env = None, as_json: AsJson = False) -> None:
    """Compare what was published with what came true; alert, and conclude a canary that has shown enough."""
    from flows import presentdaily as present

    with open_workspace(env) as workspace:
        measured = run_flow(workspace, "monitor", pipeline, as_of, env, as_json)
        show(measured, as_json, lambda: present.measurement(measured, workspace.home))


@app.command(epilog="Example: perennial approve demand")
def approve(
    model: ModelName,
    version: Version = None,
    reason: Reason = "approved from the shell",
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Let a version that passed its gates come into force, where `rollout.approval` asks for a person."""
    from flows import present
    from perennial.lifecycle import approve as let_in

    with open_workspace(env) as workspace:
        done = let_in(workspace, model, version, actor=who(), reason=reason)
        show(done, as_json, lambda: present.history(model, (done,), None))


@app.command(epilog="Example: perennial reject demand --reason 'promotion week is missing'")
def reject(
    model: ModelName,
    version: Version = None,
    reason: Reason = "rejected from the shell",
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a version that waits for approval; the champion stays."""
    from perennial.lifecycle import reject as refuse

    with open_workspace(env) as workspace:
        refuse(workspace, model, version, actor=who(), reason=reason)
        show({"model": model, "rejected": True}, as_json, lambda: (f"Rejected: the champion of {model} stays.",))


@app.command(epilog="Example: perennial retire demand 3 --reason 'trained on wrong prices'")
def retire(
    model: ModelName,
    version: Annotated[int, typer.Argument(help="Version to rule out; it must not be in force.")],
    reason: Reason = "retired from the shell",
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Rule a version out for good; its bytes and its history stay."""
    from perennial.lifecycle import retire as rule_out

    with open_workspace(env) as workspace:
        done = rule_out(workspace, model, version, actor=who(), reason=reason)
        show(done, as_json, lambda: (f"Retired: {done.model} version {done.version}.",))


@app.command(epilog="Example: perennial watch --once")
def watch(
    once: Annotated[bool, typer.Option("--once", help="Look once and end; else every minute.")] = False,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Be the dead man's switch: alert when a publication is missing after its deadline; send what is unsent."""
    import time

    from flows import presentdaily as present
    from perennial.monitoring.watch import watch_once

    with open_workspace(env) as workspace:
        while True:
            found = watch_once(workspace)
            show(found, as_json, lambda found=found: present.alerts(found))  # type: ignore[misc]
            if once:
                return
            time.sleep(60)


@app.command(epilog="Example: perennial fleet")
def fleet(env: Env = None, as_json: AsJson = False) -> None:
    """Write the fleet page: every pipeline with its champion, health, alerts and costs."""
    from flows.present import short
    from perennial.reports.fleet import write_fleet

    with open_workspace(env) as workspace:
        page = write_fleet(workspace)
        show({"page": str(page)}, as_json, lambda: (f"Fleet page: {short(page)}",))
