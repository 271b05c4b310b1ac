"""The rules of the house, as a walk over the syntax trees of the code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("perennial", "tasks", "flows")
"""Lowest first: a layer may import itself (but a task no other task) and those before it."""
DOORS = {
    "boto3": {"perennial/sources/s3.py"},
    "botocore": {"perennial/sources/s3.py"},
    "sqlalchemy": {"perennial/ledger", "perennial/sources/sql.py"},
    "deltalake": {"perennial/lake/tables.py"},
    "great_expectations": {"perennial/checks/expectations.py"},
    "mlflow": {"perennial/registry/tracking.py"},
    "skops": {"perennial/registry/canonical.py"},
    "apprise": {"perennial/alerts.py"},
}
"""Each SDK and the only places that may import it."""
HEAVY = {
    *("great_expectations", "mlflow", "skops", "sklearn", "lightgbm", "numba", "boto3", "deltalake", "prefect"),
    *("pandas", "sqlalchemy", "pyarrow", "numpy"),
}
"""Not loaded by asking for help."""
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the path as the rules spell it."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """Return the dotted name of a file."""
    return name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Yield every module that a file imports; those behind ``TYPE_CHECKING`` are types, not imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    skipped = {id(n) for block in typing for n in ast.walk(block)}
    nodes = tree.body if top_level else ast.walk(tree)
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_by(path: Path, modules: set[str]) -> set[str]:
    """Return the modules that loading a file loads; of ``from package import module`` only the latter counts."""
    found = [m for m in imports(path, top_level=True) if m in modules]
    return {m for m in found if not any(other.startswith(f"{m}.") for other in found)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    """Flows use tasks, tasks use the library, and nothing looks back."""
    layer = LAYERS.index(path.relative_to(ROOT).parts[0])
    above = set(LAYERS[layer + 1 :])
    assert not {name for name in imports(path) if name.split(".")[0] in above}


@pytest.mark.parametrize("path", sorted((ROOT / "tasks").glob("[!_]*.py")), ids=name_of)
def test_tasks_never_import_one_another(path: Path) -> None:
    """A stage stands alone, so that any flow can use it."""
    assert not {name for name in imports(path) if name.split(".")[0] == "tasks"}


def test_the_library_never_imports_prefect() -> None:
    """What a gate means does not depend on who runs it."""
    users = {name_of(p) for p in FILES if name_of(p).startswith("perennial/") for m in imports(p) if "prefect" in m}
    assert not users


@pytest.mark.parametrize("sdk", sorted(DOORS))
def test_each_sdk_has_one_door(sdk: str) -> None:
    """One file knows an SDK; everybody else knows that file."""
    users = {name_of(p) for p in FILES if any(m.split(".")[0] == sdk for m in imports(p))}
    strangers = {u for u in users if not any(u == door or u.startswith(f"{door}/") for door in DOORS[sdk])}
    assert not strangers


def test_there_are_no_import_cycles() -> None:
    """Modules form a directed acyclic graph when they are loaded."""
    modules = {module_of(p): p for p in FILES}
    graph = {name: loaded_by(p, set(modules)) - {name} for name, p in modules.items()}
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path, name))
        if name not in done:
            for other in graph[name]:
                walk(other, (*path, name))
            done.add(name)

    for name in graph:
        walk(name, ())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_swallowed(path: Path) -> None:
    """``except Exception`` stands only where the error is raised on."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            assert not broad or any(isinstance(n, ast.Raise) for n in ast.walk(node)), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_command_prints(path: Path) -> None:
    """Everybody else logs or returns."""
    calls = (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call))
    assert name_of(path) == "flows/cli.py" or not [c for c in calls if getattr(c.func, "id", "") == "print"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has at most 300 lines (a task 120, a flow 60), a function at most 40 beside its docstring."""
    text = path.read_text(encoding="utf-8")
    limit = 120 if name_of(path).startswith("tasks/") else 300
    if name_of(path) in {"flows/retrain.py", "flows/score.py"}:
        limit = 60
    assert text.count("\n") <= limit
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno + 1 - (doc.count("\n") + 1 if doc else 0)
            assert lines <= 40, f"{node.name}: {lines} lines"


def test_importing_everything_changes_nothing(tmp_path: Path) -> None:
    """Loading every module writes no file, opens no connection and sets no variable."""
    modules = [module_of(p) for p in FILES if module_of(p) != "flows.cli"]
    code = (
        "import importlib, os, sys; before = dict(os.environ)\n"
        "sys.addaudithook(lambda event, args: sys.exit(f'{event} {args}') if event == 'socket.connect' else None)\n"
        f"for name in {modules!r}:\n    importlib.import_module(name)\n"
        "added = {k for k in os.environ if os.environ[k] != before.get(k)}\n"
        "assert not {k for k in added if k.startswith(('PERENNIAL', 'MLFLOW'))}, added\n"
    )
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and ".prefect" not in p.parts]


def test_help_loads_nothing_heavy() -> None:
    """``perennial --help`` answers before any large package is imported."""
    code = (
        "import sys\nfrom flows.cli import main\nsys.argv = ['perennial', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"sys.exit(' '.join(m for m in {sorted(HEAVY)!r} if m in sys.modules) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "retrain" in done.stdout.lower()


def test_prefect_traps_are_avoided() -> None:
    """No ``tasks.py`` in ``flows/`` and no package ``tests/tasks``: both would shadow ``tasks``."""
    assert not (ROOT / "flows" / "tasks.py").exists()
    assert not (ROOT / "tests" / "tasks" / "__init__.py").exists()


def test_no_large_file_or_address_is_tracked() -> None:
    """Tracked files stay under 2 MB and hold no address of a package index."""
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in tracked.stdout.split():
        path = ROOT / name
        if path.is_file():
            assert path.stat().st_size <= 2_000_000, name
            assert b"/simple/" not in path.read_bytes() or name == "tests/test_architecture.py", name
