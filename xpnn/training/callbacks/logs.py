"""Callbacks that keep a record of a training."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from xpnn.errors import BackendError, InputError
from xpnn.training.callbacks.base import Callback, Training


@dataclass(eq=False)
class HistoryFile(Callback):
    """Writes a line for each epoch to a file, at once: a training that is cut off leaves them.

    Parameters
    ----------
    path : str or path
        Ends in ``.csv`` for a table with a header, or in ``.jsonl`` for a JSON object a line. Each line holds the
        epoch and the latest value of everything in the history. Where many trainings write, a cross-validation say,
        ``"history-{n}.csv"`` gives each a file of its own, with the first number that is free.
    overwrite : bool
        Whether a file that is there already may be replaced, when the first epoch is over.

    Raises
    ------
    InputError
        If the ending is another, the folder is not there, or the file is and may not be replaced.
    """

    path: str | os.PathLike[str]
    overwrite: bool = False
    _file: Path | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        path = Path(self.path)
        if path.suffix not in (".csv", ".jsonl"):
            raise InputError(f"HistoryFile: the file's name must end in .csv or .jsonl, got {str(path)!r}.")
        if not path.parent.is_dir():
            raise InputError(f"HistoryFile: there is no folder {str(path.parent)!r} to write {path.name!r} into.")
        if path.exists() and not self.overwrite and "{n}" not in path.name:
            each = f"{path.stem}-{{n}}{path.suffix}"
            raise InputError(
                f"HistoryFile: {str(path)!r} is there already: choose another, {each!r} for a file for each "
                "training, or say overwrite=True."
            )

    def _begun(self) -> Path:
        """The file of a training that begins."""
        if "{n}" not in Path(self.path).name:
            self._check()  # another training may have written it meanwhile
            return Path(self.path)
        n = 1
        while True:
            path = Path(self.path).with_name(Path(self.path).name.replace("{n}", str(n)))
            try:
                path.open("x", encoding="utf-8").close()  # nobody else's from now on
                return path
            except FileExistsError:
                n += 1

    def start(self, training: Training) -> None:
        """Find out whether the file may be written: another training may have written it meanwhile."""
        self._check()

    def epoch_end(self, training: Training) -> None:
        """Write the line of this epoch."""
        first = training.epoch == 1
        if first or self._file is None:
            self._file = self._begun()
        path = self._file
        row = {"epoch": training.epoch, **{name: values[-1] for name, values in training.history.items()}}
        with path.open("w" if first else "a", encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                known = {name: value if math.isfinite(value) else None for name, value in row.items()}
                file.write(json.dumps(known) + "\n")  # JSON has no NaN
                return
            writer = csv.DictWriter(file, list(row))
            if first:
                writer.writeheader()
            writer.writerow(row)


@dataclass(eq=False)
class LearningRateLogger(Callback):
    """Adds the learning rate to the history: ``"learning_rate"``, α of each epoch's last step."""

    adds: ClassVar[tuple[str, ...]] = ("learning_rate",)

    def figures(self, training: Training) -> Mapping[str, float]:
        """Α of the last step."""
        return {"learning_rate": training.learning_rate}


@dataclass(eq=False)
class TensorBoard(Callback):
    """Writes the history as events that TensorBoard shows: ``tensorboard --logdir FOLDER``.

    Each name of the history is a curve over the epochs; with `every` there are curves over the steps as well,
    ``batch/loss`` and ``batch/learning_rate``. Needs ``tensorboardX``.

    Parameters
    ----------
    folder : str or path
        One for each training; made if it is not there.
    every : int
        After how many batches to write, which waits for the device; 0: after epochs only.

    Raises
    ------
    BackendError
        If tensorboardX is not installed.
    InputError
        At the start of a training, if the folder cannot be made.
    """

    folder: str | os.PathLike[str]
    every: int = 0
    _writer: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if importlib.util.find_spec("tensorboardX") is None:
            raise BackendError("TensorBoard needs tensorboardX: pip install 'xpnn[tensorboard]'.")

    def start(self, training: Training) -> None:
        """Open a file of events in the folder."""
        from tensorboardX import SummaryWriter

        try:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(self.folder))
        except OSError as error:
            raise InputError(f"TensorBoard: cannot write into {str(self.folder)!r}: {error.strerror}.") from error

    def batch_end(self, training: Training) -> None:
        """Write the batch's loss and the learning rate."""
        self._writer.add_scalar("batch/loss", training.loss, training.step)
        if math.isfinite(training.learning_rate):
            self._writer.add_scalar("batch/learning_rate", training.learning_rate, training.step)

    def epoch_end(self, training: Training) -> None:
        """Write the latest value of everything in the history."""
        for name, values in training.history.items():
            self._writer.add_scalar(name, values[-1], training.epoch)
        self._writer.flush()

    def end(self, training: Training) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
