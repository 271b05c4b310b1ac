"""What `perennial init` shows: what was guessed, why and how sure it is, and what was written."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.begin import Begun


def begun(made: Begun) -> Iterable[Any]:
    """Show what was guessed, why and how sure it is, and what was written."""
    yield Text(f"{made.pipeline}: ", style="bold").append(f"{made.kind}, {made.rows_in:,} rows", style="default")
    table = Table(box=None, pad_edge=True, show_header=False)
    for style in ("bold", None, None, None):
        table.add_column(style=style, overflow="fold")
    for one in made.guesses:
        table.add_row(one.what, one.value or "none", one.sure, one.why)
    for use in dict.fromkeys(c.use for c in made.columns):
        for why, sure in dict.fromkeys((c.why, c.sure) for c in made.columns if c.use == use):
            names = ", ".join(c.name for c in made.columns if (c.use, c.why, c.sure) == (use, why, sure))
            table.add_row(use, names, sure, why)
    yield table
    for reason in made.because:
        yield f"  Converted: {reason}"
    for column, rule in made.rules.items():
        yield f"  Each day's {column} is the {rule} of its rows"
    yield f"  Wrote {', '.join(made.files)}"
