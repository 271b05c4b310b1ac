"""The demonstration: real sales of a UK retailer, a first model, four weeks later a challenger, a forecast."""

from collections.abc import Callable
from datetime import date
from typing import Any

from perennial.context import Workspace
from perennial.contracts import to_json

PIPELINE = "demand"
FIRST = date(2011, 10, 14)
SECOND = date(2011, 11, 11)


def play(workspace: Workspace, *, run: Callable[[str, date], Any], say: Callable[[Any], None]) -> dict[str, Any]:
    """Run the story and return its records by step.

    Args:
        workspace: Where everything is kept.
        run: Runs one flow by name as of one date and returns its record.
        say: Shows one line or table.
    """
    from flows import present

    result: dict[str, Any] = {}
    for number, day in enumerate((FIRST, SECOND), start=1):
        say(f"\n{number}. Retrain on what was known on {day:%A %d %B %Y}")
        record = run("retrain", day)
        result[f"retrain {day}"] = to_json(record)
        for line in present.run(record, workspace.home):
            say(line)
    say(f"\n3. Publish the forecast of the four weeks after {SECOND:%d %B %Y}")
    done = run("score", SECOND)
    result[f"score {SECOND}"] = to_json(done)
    for line in present.publication(done, workspace.env.lake):
        say(line)
    say("\n4. What is in force")
    from flows.presentfleet import models
    from perennial.overview import overview

    for line in models(overview(workspace)):
        say(line)
    say(
        "\nNext: open the report in a browser; `perennial history demand`; `perennial rollback demand`; "
        "`perennial verify`; change `data:` in configs/demand.yaml to use your own table."
    )
    return result
