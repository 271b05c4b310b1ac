"""Data Docs: a self-contained page for each judged landing, and an index of all of them.

Great Expectations' own pages load style, scripts and pictures from the web and are unreadable without it;
these need no network. What is written is what the checks hold, so a page never shows more of the data than
their bounded samples.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from perennial.contracts import Check, to_json
from perennial.durable import write_atomically
from perennial.reports.render import asset, templates
from perennial.reports.text import count, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One page in figures: what the index lists.

    Attributes:
        page: Name of the page without ``.html``, by convention the as-of date.
        failed: Failed expectations of severity ``critical``.
        warned: Failed expectations of severity ``warning``.
    """

    page: str
    suite: str
    table: str
    rows: int
    expectations: int
    failed: int
    warned: int

    @property
    def passed(self) -> int:
        """Expectations that hold."""
        return self.expectations - self.failed - self.warned


def write(page: Path, *, suite: str, table: str, rows: int, checks: Sequence[Check]) -> None:
    """Write one page, the same as JSON beside it, and the index of the folder."""
    broken = [check.severity for check in checks if not check.passed]
    summary = Summary(
        page=page.stem,
        suite=suite,
        table=table,
        rows=rows,
        expectations=len(checks),
        failed=broken.count("critical"),
        warned=broken.count("warning"),
    )
    facts = {"summary": to_json(summary), "checks": [to_json(check) for check in checks]}
    _store(page.with_suffix(".json"), json.dumps(facts, indent=1, ensure_ascii=False))
    _store(page, _render("datadocs.html.j2", one=summary, sections=_sections(checks)))
    pages = _summaries(page.parent)
    _store(page.with_name("index.html"), _render("datadocs-index.html.j2", pages=pages, suite=suite))


def _summaries(folder: Path) -> list[Summary]:
    """Read what the pages of a folder say, newest first; a page that another program spoiled is left out."""
    found = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.stem, reverse=True):
        try:
            found.append(Summary(**json.loads(path.read_text("utf-8"))["summary"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _sections(checks: Sequence[Check]) -> dict[str, list[Check]]:
    """Order the checks by column: those with a failure first, then in order of the suite."""
    sections: dict[str, list[Check]] = {}
    for check in checks:
        sections.setdefault(check.column or "", []).append(check)
    return dict(sorted(sections.items(), key=lambda section: all(check.passed for check in section[1])))


def _store(path: Path, text: str) -> None:
    write_atomically(path, text.encode("utf-8", "replace"))


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(css=asset("run.css"), **values)


@cache
def _templates() -> Environment:
    environment = templates(autoescape=True)
    environment.filters |= {"count": count, "plain": plain}
    return environment
