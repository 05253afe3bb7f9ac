"""Showing how training goes: a bar with the loss on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from xpnn.training.callbacks import Epoch


class Progress:
    """A callback, and a context manager that puts the terminal in order again.

    Parameters
    ----------
    stream : text file, optional
        Where to write; standard error by default. On a terminal there is a bar (if ``rich`` is installed),
        elsewhere about ten lines in all.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar: Any = _bar(self._stream) if self._stream.isatty() else None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, epoch: Epoch) -> None:
        """Show one epoch."""
        text = "  ".join(f"{name.removesuffix('_loss')} {values[-1]:.4g}" for name, values in epoch.history.items())
        if self._bar is not None:
            if self._task is None:
                self._task = self._bar.add_task("", total=epoch.of, text="")
            self._bar.update(self._task, completed=epoch.number, text=text)
        elif epoch.number == 1 or epoch.number == epoch.of or epoch.number % max(1, epoch.of // 10) == 0:
            print(f"epoch {epoch.number}/{epoch.of}  {text}", file=self._stream, flush=True)


def _bar(stream: TextIO) -> Any:
    try:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar
        from rich.table import Column
    except ImportError:
        return None

    def whole() -> Column:
        return Column(no_wrap=True, overflow="ignore")

    return Bar(
        TextColumn("epoch {task.completed}/{task.total}", table_column=whole()),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),  # gives way first
        TextColumn("{task.fields[text]}", table_column=whole()),
        TimeElapsedColumn(),
        console=Console(file=stream),
        expand=True,
    )
