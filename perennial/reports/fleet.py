"""The fleet page (placeholder while it is being written)."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perennial.context import Workspace


def write_fleet(workspace: "Workspace") -> Path:
    """Write the page."""
    page = workspace.home / "fleet" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<!doctype html><title>Fleet</title>")
    return page
