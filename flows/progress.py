"""What a person sees while a flow works: a bar on a terminal, plain lines elsewhere, fed by the stages' log."""

import logging
import sys
from types import TracebackType
from typing import Any, Self, TextIO

LOGGERS = ("tasks", "perennial")


class Stages(logging.Handler):
    """Shows the stages of one flow while it is entered, then takes itself out of logging again."""

    def __init__(self, title: str, *, file: TextIO = sys.stderr) -> None:
        super().__init__(logging.DEBUG)
        self._title = title
        self._file = file
        self._bar: Any = None
        self._stage: Any = None
        self._levels: dict[str, int] = {}

    def __enter__(self) -> Self:
        for name in LOGGERS:
            logger = logging.getLogger(name)
            self._levels[name] = logger.level
            logger.setLevel(logging.DEBUG)
            logger.addHandler(self)
        if self._file.isatty():
            self._start_bar()
        else:
            self._line(self._title)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)
            logging.getLogger(name).setLevel(self._levels[name])
        if self._bar is not None:
            self._bar.stop()

    def emit(self, record: logging.LogRecord) -> None:
        """Move the bar at a stage's start, print what a stage has to say."""
        event = getattr(record, "stage_event", None)
        if event == "start" and self._bar is not None:
            self._bar.update(self._stage, description=f"{self._title}: {getattr(record, 'stage', '')}", advance=1)
        if event is None and record.levelno >= logging.INFO:
            self._line(f"  {record.name.rpartition('.')[2]:<9} {record.getMessage()}")

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=Console(file=self._file)
        )
        self._bar.start()
        self._stage = self._bar.add_task(self._title, total=None)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self._file.write(text + "\n")
            self._file.flush()
