"""A seventh system is a file in `configs/`: nothing else of the project changes, and it runs like the six."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perennial.config.choices import names
from tests import shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("prefect_server")]

TREE = ("configs", "deployments", "flows", "perennial", "tasks")


def digests(root: Path) -> dict[str, str]:
    """Return the digest of every file of the project's own code and settings."""
    files = (path for folder in TREE for path in (root / folder).rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if "__pycache__" not in path.parts
    }


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a copy of the project, as it is here, with the table of the seventh system below `data/`."""
    root = tmp_path / "clone"
    for folder in TREE:
        shutil.copytree(shop.ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shop.write_sales(root, shop.sales())
    return root


def perennial(root: Path, *args: str) -> dict[str, Any]:
    """Run a command of the copy; return its answer."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *args, "--json"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_seventh_pipeline_touches_configs_alone(clone: Path) -> None:
    """Written, retrained, published and deployed; of the project's files one is new and the generated one follows."""
    before, known = digests(clone), names(clone)
    text = shop.PIPELINE.replace("pipeline: shop", f"pipeline: seventh\nas_of: {shop.AS_OF}")
    (clone / "configs" / "seventh.yaml").write_text(text)

    assert perennial(clone, "run", "seventh")["outcome"] == "promoted"
    assert perennial(clone, "score", "seventh")["rows"] == 30 * 7
    perennial(clone, "deployments")

    after = digests(clone)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {"configs/seventh.yaml", "deployments/prefect.yaml"}
    assert set(names(clone)) == {*known, "seventh"}
    assert "name: seventh" in (clone / "deployments" / "prefect.yaml").read_text()
