"""What a search has found."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from xpnn import text
from xpnn.errors import InputError
from xpnn.files import atomic
from xpnn.model import Model
from xpnn.tuning.space import SearchSpace

STATES = ("finished", "pruned", "failed")


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes
    ----------
    number : int
        Counted from 1.
    parameters : mapping of str to anything
        What was tried, by the names in `SearchSpace`; ``"width"`` is a tuple with the nodes of each hidden layer.
    score : float or None
        The best value of what the search monitors, of all its epochs; None if it failed.
    epochs : int
        How many there were.
    seconds : float
        How long they took.
    state : str
        ``"finished"``; ``"pruned"``: ended early, being worse than half of those before it; ``"failed"``.
    reason : str
        Why it failed.
    """

    number: int
    parameters: Mapping[str, Any]
    score: float | None
    epochs: int
    seconds: float
    state: str
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Tuning:
    """The trials of a search and the model of the best one; printed as a table, best first.

    Attributes
    ----------
    best : Model
        That of the best trial, with the parameters of its best epoch.
    trials : tuple of Trial
        In the order in which they were run.
    space : SearchSpace
        What was searched.
    monitor : str
        What was compared, a name in the history of each training.
    larger_is_better : bool
        Whether a larger score is a better one.
    """

    best: Model
    trials: tuple[Trial, ...]
    space: SearchSpace
    monitor: str
    larger_is_better: bool

    @property
    def ranking(self) -> list[Trial]:
        """The trials, best first: those that finished, those that were pruned, those that failed."""
        return ranked(self.trials, larger_is_better=self.larger_is_better)

    @property
    def best_trial(self) -> Trial:
        """The trial whose model is `best`."""
        return self.ranking[0]

    @property
    def best_parameters(self) -> Mapping[str, Any]:
        """What the best trial has tried."""
        return self.best_trial.parameters

    def __repr__(self) -> str:
        best = self.best_trial
        return f"Tuning({text.count(len(self.trials), 'trial')}, {self.monitor} {best.score:.6g}, best {self.best!r})"

    def __str__(self) -> str:
        return self.table()

    def table(self, most: int | None = None) -> str:
        """The trials as lines of text, best first.

        Parameters
        ----------
        most : int, optional
            How many at most; all if not given.
        """
        chosen = _columns(self.space)
        rows = [("trial", self.monitor, "epochs", "seconds", *chosen, "state")]
        for trial in self.ranking[:most]:
            rows.append(
                (
                    str(trial.number),
                    "-" if trial.score is None else f"{trial.score:.6g}",
                    str(trial.epochs),
                    f"{trial.seconds:.1f}",
                    *(_shown(trial.parameters[name]) for name in chosen),
                    _state(trial),
                )
            )
        lines = text.columns(rows, right={0, 2, 3})
        left = len(self.trials) - len(rows) + 1
        return lines + (f"\nand {left:,} more" if left > 0 else "")

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the trials to a CSV file, in the order in which they were run: whole, or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        names = [f.name for f in fields(SearchSpace)]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", self.monitor, "epochs", "seconds", *names, "state", "reason"])
        for t in self.trials:
            values = (_cell(t.parameters[name]) for name in names)
            writer.writerow([t.number, t.score, t.epochs, f"{t.seconds:.3f}", *values, t.state, t.reason])
        try:
            atomic.write(path, file.getvalue().encode())
        except OSError as error:
            raise InputError(f"cannot write {os.fspath(path)}: {error.strerror or error}.") from error


def ranked(trials: Sequence[Trial], *, larger_is_better: bool) -> list[Trial]:
    """The trials, best first; of equal ones the earlier."""

    def place(trial: Trial) -> tuple[int, float, int]:
        score = math.inf if trial.score is None else -trial.score if larger_is_better else trial.score
        return STATES.index(trial.state), score, trial.number

    return sorted(trials, key=place)


def line(trial: Trial, of: int, space: SearchSpace, monitor: str) -> str:
    """A trial of so many in a line of text."""
    score = "" if trial.score is None else f"  {monitor} {trial.score:.6g}"
    chosen = "".join(f"  {name} {_shown(trial.parameters[name])}" for name in _columns(space))
    return f"trial {trial.number}/{of}{score}{chosen}" + ("" if trial.state == "finished" else f"  ({_state(trial)})")


def _columns(space: SearchSpace) -> list[str]:
    """What to show of a trial: what was searched; widths show the depth."""
    return [name for name in space.searched if name != "depth" or "width" not in space.searched]


def _state(trial: Trial) -> str:
    return trial.state + (f": {trial.reason}" if trial.reason else "")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def _cell(value: Any) -> str:
    return (",".join(map(str, value)) or "-") if isinstance(value, tuple) else str(value)
