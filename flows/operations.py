"""Commands of daily operation: a business date, what was measured, what a person decides, the servers."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.shell import (
    AsJson,
    AsOf,
    Env,
    ModelName,
    PipelineName,
    Reason,
    in_a_paragraph,
    open_workspace,
    put,
    put_text,
    run_flow,
    say,
    show,
    who,
)

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


@app.command(epilog="Example: perennial stream recommendations --events data/choices --once")
def stream(
    pipeline: PipelineName,
    events: Annotated[str, typer.Option("--events", help="Folder that files of choices (user, item) arrive in.")],
    once: Annotated[bool, typer.Option("--once", help="Look once and end; else again and again.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, max=60, help="Seconds between two looks.")] = 5.0,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Compare choices with the served lists as they come in; alert within the minute when lists are hit less often."""
    from pathlib import Path

    from flows import presentdaily as present
    from perennial.streaming import follow, follower

    with open_workspace(env) as workspace:
        batches = follow(follower(workspace, pipeline, Path(events)), every_s=every, looks=1 if once else None)
        for one in batches:
            show(one, as_json, lambda one=one: present.batch(one))  # type: ignore[misc]


@app.command(epilog="Example: perennial fleet")
def fleet(env: Env = None, as_json: AsJson = False) -> None:
    """Write the fleet page: every pipeline with its champion, health, alerts and costs."""
    from flows.present import short
    from perennial.reports.fleet import write_fleet

    with open_workspace(env) as workspace:
        page = write_fleet(workspace)
        show({"page": str(page)}, as_json, lambda: (f"Fleet page: {short(page)}",))


@app.command(epilog="Example: perennial deployments --env production")
def deployments(env: Env = "production", as_json: AsJson = False) -> None:
    """Write deployments/prefect.yaml: a deployment per flow and pipeline, for `prefect deploy`."""
    from flows import deployments as prefect

    with open_workspace(None) as workspace:
        name = env or "production"
        described = prefect.describe(workspace.root, name, parameter=name)
        path = workspace.root / prefect.FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(prefect.text(described), encoding="utf-8")
        count = len(described["deployments"])
        show({"file": str(path), "deployments": count}, as_json, lambda: (f"{prefect.FILE}: {count} deployments",))


@app.command(epilog="Example: perennial ci --base origin/main --out verdict.md")
def ci(
    base: Annotated[str, typer.Option("--base", help="Revision to compare the files as they are now with.")],
    pipeline: Annotated[list[str] | None, typer.Option("--pipeline", help="Only this one; may be repeated.")] = None,
    excuse: Annotated[
        list[str] | None,
        typer.Option("--excuse", help="This pipeline may lack its data, or a base to compare with; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File for the Markdown; default: standard output.")] = None,
    reports: Annotated[Path | None, typer.Option("--reports", help="Folder for the candidates' reports.")] = None,
    as_of: AsOf = None,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Check a change as code is: retrain what it changes, judge it against the base's model; exit 1 if it is refused.

    Everything happens in a scratch workspace: what is in force is neither read nor touched.
    """
    from flows import ci as change
    from perennial.context import project_root
    from perennial.durable import write_atomically
    from perennial.reports.pullrequest import headline, render_change

    with in_a_paragraph():
        request = change.Request(
            base=base,
            pipelines=tuple(pipeline or ()),
            excused=tuple(excuse or ()),
            as_of=as_of.date() if isinstance(as_of, datetime) else as_of,
            environment=env,
            reports=reports,
        )
        outcome = change.check(project_root(Path.cwd()), request, say)
        text = render_change(outcome)
        if out:
            write_atomically(out, text.encode(), mode=0o644)
            say(f"{headline(outcome.pipelines).capitalize()}; see {out}")
        if as_json:
            show(outcome, as_json, lambda: ())
        elif not out:
            put_text(text)
        if not outcome.passed:
            raise typer.Exit(1)


@app.command(epilog="Example: perennial up --env local")
def up(env: Env = None, as_json: AsJson = False) -> None:
    """Start everything on this machine: Prefect with every deployment, a worker, MLflow's pages, the dead man's switch.

    Ctrl-C stops it all.
    """
    from flows import up as servers

    with open_workspace(env) as workspace:
        servers.up(
            workspace, env, lambda addresses, lines: show(addresses, as_json, lines), put if not as_json else say
        )


@app.command(epilog="Example: perennial simulate fraud --seed 1")
def simulate(
    name: Annotated[str, typer.Argument(help="A world, for example fraud.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Equal seeds write equal bytes.")] = 0,
    env: Env = None,
    as_json: AsJson = False,
) -> None:
    """Write the data of a simulated world with a known truth below data/simulated/, for pipelines that need some."""
    from perennial.simulate import simulator

    with open_workspace(env) as workspace:
        made = simulator(name).write(workspace.root / "data" / "simulated" / name, seed)
        lines = (f"Wrote {made.rows:,} rows of {made.first} to {made.last} in {len(made.files)} files.", *made.files)
        show(made, as_json, lambda: lines)


@app.command(epilog="Example: perennial pseudonym disease_risk < encounters.txt")
def pseudonym(pipeline: PipelineName, env: Env = None, as_json: AsJson = False) -> None:
    """Turn identifiers, one a line on standard input, into those that the pipeline's tables hold, in order.

    Standard input, since what stands on a command line is seen and kept by others.
    """
    from perennial import privacy

    with open_workspace(env) as workspace:
        found = privacy.of_names(workspace, pipeline, [line.strip() for line in typer.get_text_stream("stdin")])
        show(found, as_json, lambda: found)
