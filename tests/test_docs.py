"""What the documents say is so."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from perennial.config.files import load_pipeline

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_configuration_page_is_generated() -> None:
    """``docs/configuration.md`` is what ``make docs`` writes from the models."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    assert build.PAGE.read_text(encoding="utf-8") == build.page()


def test_the_readme_names_every_command() -> None:
    """Every command of the program stands in the table, and the table names no other."""
    from flows.cli import app

    groups = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    commands = {c.name or getattr(c.callback, "__name__", "") for one in groups for c in one.registered_commands}
    table = README[README.index("## The command") : README.index("Each takes `--help`")]
    assert set(re.findall(r"perennial ([a-z]+)", table)) == commands


def test_every_make_target_in_the_documents_exists() -> None:
    """A figure names a command that can be run, and no target is there twice."""
    found = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    targets = set(found)
    assert len(found) == len(targets)
    named = {t for page in PAGES for t in re.findall(r"`make ([a-z0-9-]+)", page.read_text(encoding="utf-8"))}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the project."""
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_pipelines_in_the_documents_are_valid(tmp_path: Path) -> None:
    """The README's file can be pasted as it stands, and what ``docs/your-data.md`` adds fits into it."""
    (first,) = blocks("README.md", "yaml")
    (more,) = blocks("docs/your-data.md", "yaml")
    for text in (first, f"{first}\n{more}"):
        path = tmp_path / "shops.yaml"
        path.write_text(text)
        assert load_pipeline(path).config.pipeline == "shops"


def test_an_installed_copy_holds_every_package() -> None:
    """Every folder of code is found when the project is installed: a package needs its ``__init__.py``."""
    include = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert include == ["flows*", "tasks*", "perennial*"]
    folders = {p.parent for top in ("flows", "tasks", "perennial") for p in (ROOT / top).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
