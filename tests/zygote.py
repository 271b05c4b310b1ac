"""Runs flows in forked children of a process that has imported everything: a kill and a recovery in seconds.

The process imports and never computes, so that no thread pool exists when it forks. The process that makes MLflow's
aliases follow, which a flow starts and leaves alone, is forked here too, once the flow has ended or was killed. One
JSON line in, one out:
``{"flow": "retrain", "pipeline": "shop", "as_of": "2024-05-19", "env": {...}}`` ->
``{"signal": 9, "code": null, "result": null}``.
"""

import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WANTED = Path("reconcile")
"""Below the project: what a process that reconciles was to be given."""


class Zygote:
    """The process, from the outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        root = str(Path(__file__).resolve().parent.parent)
        self._log = (self._folder / "zygote.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.zygote"],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=120)
        self._process.stdout.close()
        self._log.close()

    def run(self, flow: str, pipeline: str, as_of: date, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Run one flow in a fork and say how it ended."""
        self.start(flow, pipeline, as_of, env)
        return self.wait()

    def start(self, flow: str, pipeline: str, as_of: date, env: Mapping[str, str] | None = None) -> None:
        """Ask for a flow without waiting for it."""
        assert self._process.stdin is not None
        order = {"flow": flow, "pipeline": pipeline, "as_of": as_of.isoformat(), "env": dict(env or {})}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def wait(self) -> dict[str, Any]:
        """Wait for the flow that was started and say how it ended."""
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def main() -> None:
    """Import, then fork for every line."""
    import great_expectations  # noqa: F401
    import mlflow.pyfunc  # noqa: F401
    import sklearn.ensemble  # noqa: F401
    import skops.io  # noqa: F401

    import flows.day  # noqa: F401 - and with it retrain, score and monitor
    import perennial.kinds.forecast  # noqa: F401

    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _work(json.loads(line), writer)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            result = pipe.read()
        _, status = os.waitpid(child, 0)
        _flip_aliases()
        answer = {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "result": json.loads(result) if result else None,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _work(order: dict[str, Any], writer: int) -> None:
    code = 1
    try:
        os.environ.update(order["env"])
        from perennial.registry import projection

        projection.subprocess.Popen = Later  # type: ignore[assignment,misc]
        from perennial.contracts import to_json

        record = _do(order["flow"], order["pipeline"], date.fromisoformat(order["as_of"]))
        os.write(writer, json.dumps(to_json(record)).encode())
        code = 0
    except BaseException as error:
        traceback.print_exc()
        os.write(writer, json.dumps({"error": type(error).__name__, "message": str(error)[:2000]}).encode())
        raise
    finally:
        os._exit(code)


class Later:
    """Stands for a process that is to reconcile: keeps what it is to read, see :func:`_flip_aliases`."""

    def __init__(self, *_: object, **__: object) -> None:
        WANTED.mkdir(exist_ok=True)
        text = json.dumps(dict(os.environ))
        (WANTED / "environ").write_text(text)
        self.stdin = (WANTED / "stdin").open("wb")

    def wait(self) -> int:
        """Say that it has ended."""
        return 0


def _flip_aliases() -> None:
    """Do what the processes that were started meanwhile would do, all at once: they all do the same."""
    if not WANTED.exists():
        return
    child = os.fork()
    if child == 0:
        try:
            os.environ.update(json.loads((WANTED / "environ").read_text()))
            from perennial.registry import projection

            sys.stdin = (WANTED / "stdin").open(encoding="utf-8")
            projection.main()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    shutil.rmtree(WANTED)


def _do(name: str, pipeline: str, as_of: date) -> Any:
    """Run a flow, or what a person may do to a model as the shell's command does it."""
    from flows import day
    from perennial import lifecycle
    from perennial.context import Workspace

    if name in ("approve", "rollback"):
        act = {"approve": lifecycle.approve, "rollback": lifecycle.roll_back}[name]
        return act(Workspace.open(), pipeline, actor="somebody", reason="a test")
    flows = {"retrain": day.retrain, "score": day.score, "monitor": day.monitor, "day": day.day}
    return flows[name](pipeline, as_of)


if __name__ == "__main__":
    main()
