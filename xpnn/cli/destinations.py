"""Where results go: no file is written over that is read, or that another option writes."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from xpnn.errors import InputError
from xpnn.training.callbacks import Callback, Training


def refuse_same_files(data: Path, **options: Path | None) -> None:
    """Raise `InputError` if an option, by its name, has the path of the data or of an option before it."""
    files = [("the data file", data), *((f"--{name}", path) for name, path in options.items() if path is not None)]
    for (first, one), (second, other) in combinations(files, 2):
        if one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other)):
            of = first if one is data else f"the file of {first}"
            raise InputError(f"{second} {other} is {of} itself: choose another name.")


class Record(Callback):
    """A callback that writes what an option names: its errors name the option and the file.

    Parameters
    ----------
    option : str
    path : Path
    writer : Callback
    """

    def __init__(self, option: str, path: Path, writer: Callback) -> None:
        self.option, self.path, self.writer = option, path, writer

    def start(self, training: Training) -> None:
        """As the writer."""
        self._write("start", training)

    def epoch_end(self, training: Training) -> None:
        """As the writer."""
        self._write("epoch_end", training)

    def end(self, training: Training) -> None:
        """As the writer."""
        self._write("end", training)

    def _write(self, hook: str, training: Training) -> None:
        try:
            getattr(self.writer, hook)(training)
        except OSError as error:
            raise InputError(f"cannot write {self.option} {self.path}: {error.strerror or error}.") from error
        except InputError as error:
            message = str(error).removeprefix(f"{type(self.writer).__name__}: ")
            raise InputError(f"{self.option} {self.path}: {message}") from error
