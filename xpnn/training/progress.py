"""Showing how training goes: a bar with the loss on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any, TextIO

from xpnn.training.callbacks import Callback, Training


class Progress(Callback):
    """Shows the epochs done, the latest values of the history and the time.

    Parameters
    ----------
    stream : text file, optional
        Where to write; standard error by default. On a terminal there is a bar (if ``rich`` is installed), in a
        notebook too (if ``ipywidgets`` is as well), elsewhere about ten lines in all.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = None
        self._shown = 0
        self._task: Any = None

    def start(self, training: Training) -> None:
        """Show an empty bar."""
        self._bar, self._shown = _bar(self._stream), 0
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=training.epochs, text="")

    def epoch_end(self, training: Training) -> None:
        """Show one epoch."""
        epoch, epochs = training.epoch, training.epochs
        if self._bar is not None:
            self._bar.update(self._task, completed=epoch, text=_figures(training))
        elif epoch == 1 or epoch == epochs or epoch % max(1, epochs // 10) == 0:
            self._line(training)

    def end(self, training: Training) -> None:
        """Show the last epoch, and put the terminal in order again."""
        if self._bar is not None:
            self._bar.refresh()  # in a notebook, stopping does not show what came last
            self._bar.stop()
        elif training.epoch > self._shown and training.stopped != "error":
            self._line(training)

    def _line(self, training: Training) -> None:
        self._shown = training.epoch
        print(f"epoch {training.epoch}/{training.epochs}  {_figures(training)}", file=self._stream, flush=True)


def _figures(training: Training) -> str:
    return "  ".join(f"{name.removesuffix('_loss')} {values[-1]:.4g}" for name, values in training.history.items())


def _bar(stream: TextIO) -> Any:
    """A bar, where one can be shown."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.table import Column
    except ImportError:
        return None
    notebook = Console().is_jupyter and stream is sys.stderr and importlib.util.find_spec("ipywidgets") is not None
    if not (notebook or stream.isatty()):
        return None

    def whole() -> Column:
        return Column(no_wrap=True, overflow="ignore")

    return Bar(
        TextColumn("epoch {task.completed}/{task.total}", table_column=whole()),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),  # gives way first
        TextColumn("{task.fields[text]}", table_column=whole()),
        TimeElapsedColumn(),
        console=Console() if notebook else Console(file=stream),
        expand=True,
    )
