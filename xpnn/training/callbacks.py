"""What runs after each epoch besides training itself."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path

from xpnn.errors import InputError
from xpnn.typing import Array


@dataclass(frozen=True, eq=False)
class Epoch:
    """What a callback is told after an epoch; to be read, not written to.

    Attributes
    ----------
    number : int
        The epoch just finished, counted from 1.
    of : int
        How many there are at most.
    history : mapping of str to sequence of float
        One value per epoch so far: ``"loss"``, and ``"validation_loss"`` if there is validation data.
    params : array, shape (P,)
        A copy of the parameters after this epoch, on their device.
    buffers : array, shape (B,), or None
        Likewise what the layers remember without learning it.
    larger_is_better : frozenset of str
        The names in the history of which larger values are better.
    """

    number: int
    of: int
    history: Mapping[str, Sequence[float]] = field(repr=False)
    params: Array = field(repr=False)
    buffers: Array | None = field(default=None, repr=False)
    larger_is_better: frozenset[str] = frozenset()


Callback = Callable[[Epoch], bool | None]
"""Called after each epoch; a true answer ends the training."""


@dataclass(eq=False)
class EarlyStopping:
    """A callback that ends the training when what is watched has not become better for a while.

    Parameters
    ----------
    monitor : str
        What is watched, a name in the history: ``"validation_loss"``, ``"validation_accuracy"``, ``"loss"``, …
    patience : int
        The epochs without an improvement that are let pass, ≥ 0.
    minimum_change : float
        By how much a value must be better than the best so far to count, ≥ 0.
    restore : bool
        Whether the model is to have the parameters of the best epoch instead of the last one's.

    Attributes
    ----------
    best : Epoch or None
        The best epoch so far.

    Raises
    ------
    InputError
        If a number is outside its interval.
    """

    monitor: str = "validation_loss"
    patience: int = 10
    minimum_change: float = 0.0
    restore: bool = True
    best: Epoch | None = field(default=None, init=False, repr=False)
    _reached: float = field(default=math.nan, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.patience, bool) or not isinstance(self.patience, Integral) or self.patience < 0:
            raise InputError(f"EarlyStopping: patience must be a whole number >= 0, got {self.patience!r}.")
        change = self.minimum_change
        if isinstance(change, bool) or not isinstance(change, Real) or not 0 <= change < math.inf:
            raise InputError(f"EarlyStopping: minimum_change must be a number >= 0, got {change!r}.")

    def __call__(self, epoch: Epoch) -> bool:
        """Take note of an epoch; true if there have been too many since the best."""
        values = epoch.history[self.monitor]
        sign = -1.0 if self.monitor in epoch.larger_is_better else 1.0
        if epoch.number == 1 or self.best is None or sign * values[-1] < sign * self._reached - self.minimum_change:
            self.best, self._reached = epoch, values[-1]
        return epoch.number - self.best.number > self.patience


@dataclass(eq=False)
class TimeLimit:
    """A callback that ends the training after the first epoch that is over when the time is.

    Parameters
    ----------
    seconds : float
        Counted from the end of the first epoch on, > 0.

    Raises
    ------
    InputError
        If the number is not above 0.
    """

    seconds: float
    _start: float = field(default=math.nan, init=False, repr=False)

    def __post_init__(self) -> None:
        if (
            isinstance(self.seconds, bool)
            or not isinstance(self.seconds, Real)
            or not 0 < float(self.seconds) < math.inf
        ):
            raise InputError(f"TimeLimit: seconds must be a number > 0, got {self.seconds!r}.")

    def __call__(self, epoch: Epoch) -> bool:
        """True once the time is over."""
        if epoch.number == 1:
            self._start = time.monotonic()
        return time.monotonic() - self._start >= self.seconds


@dataclass(eq=False)
class HistoryFile:
    """A callback that writes a line for each epoch to a file, at once: a training that is cut off leaves them.

    Parameters
    ----------
    path : str or path
        Ends in ``.csv`` for a table with a header, or in ``.jsonl`` for a JSON object a line. Each line holds the
        epoch and the latest value of everything in the history.
    overwrite : bool
        Whether a file that is there already may be replaced, when the first epoch is over.

    Raises
    ------
    InputError
        If the ending is another, the folder is not there, or the file is and may not be replaced.
    """

    path: str | os.PathLike[str]
    overwrite: bool = False

    def __post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        path = Path(self.path)
        if path.suffix not in (".csv", ".jsonl"):
            raise InputError(f"HistoryFile: the file's name must end in .csv or .jsonl, got {str(path)!r}.")
        if not path.parent.is_dir():
            raise InputError(f"HistoryFile: there is no folder {str(path.parent)!r} to write {path.name!r} into.")
        if path.exists() and not self.overwrite:
            raise InputError(f"HistoryFile: {str(path)!r} is there already: choose another, or say overwrite=True.")

    def __call__(self, epoch: Epoch) -> None:
        """Write the line of this epoch."""
        path, row = Path(self.path), {"epoch": epoch.number, **{name: of[-1] for name, of in epoch.history.items()}}
        if epoch.number == 1:
            self._check()  # another training may have written it meanwhile
        with path.open("w" if epoch.number == 1 else "a", encoding="utf-8", newline="") as file:
            if path.suffix == ".jsonl":
                file.write(json.dumps(row) + "\n")
                return
            writer = csv.DictWriter(file, list(row))
            if epoch.number == 1:
                writer.writeheader()
            writer.writerow(row)
