"""Callbacks that end a training."""

from __future__ import annotations

import difflib
import math
import time
import warnings
from collections.abc import Collection
from dataclasses import dataclass, field
from numbers import Integral, Real

from xpnn import metrics
from xpnn.errors import InputError
from xpnn.training.callbacks.base import Callback, Training


@dataclass(eq=False)
class EarlyStopping(Callback):
    """Ends the training when what is watched has not become better for a while.

    Smaller is better, but for metrics of which larger is, and for figures of which a callback says so
    (`Callback.larger_is_better`). NaN is never better.

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
    best : Training or None
        The training as it was after the best epoch so far: ``best.epoch``, ``best.params``.

    Raises
    ------
    InputError
        If `monitor` is no name or a number is outside its interval; at the start of a training that does not record
        what is watched.
    """

    monitor: str = "validation_loss"
    patience: int = 10
    minimum_change: float = 0.0
    restore: bool = True
    best: Training | None = field(default=None, init=False)
    _reached: float = field(default=math.nan, init=False, repr=False)
    _warned: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.monitor, str):
            meant = isinstance(self.monitor, Integral) and not isinstance(self.monitor, bool)
            guess = f" Did you mean patience={self.monitor!r}?" if meant else ""
            raise InputError(
                f"EarlyStopping: monitor must be a name in the history such as 'validation_loss', got "
                f"{self.monitor!r}.{guess}"
            )
        if isinstance(self.patience, bool) or not isinstance(self.patience, Integral) or self.patience < 0:
            raise InputError(f"EarlyStopping: patience must be a whole number >= 0, got {self.patience!r}.")
        change = self.minimum_change
        if isinstance(change, bool) or not isinstance(change, Real) or not 0 <= change < math.inf:
            raise InputError(f"EarlyStopping: minimum_change must be a number >= 0, got {change!r}.")

    def start(self, training: Training) -> None:
        """Forget the training before; find out whether what is watched will be there."""
        self.best, self._reached, self._warned = None, math.nan, False
        if self.monitor not in training.history:
            raise InputError(self._not_recorded(training.history))

    def epoch_end(self, training: Training) -> bool:
        """Take note of an epoch; true if there have been too many since the best."""
        value = training.history[self.monitor][-1]
        sign = -1.0 if self.monitor in training.larger_is_better else 1.0
        if math.isnan(value):
            self._warn(training)
        elif self.best is None or sign * value < sign * self._reached - self.minimum_change:
            self.best, self._reached = training, value
        return self.best is not None and training.epoch - self.best.epoch > self.patience

    def _warn(self, training: Training) -> None:
        if self.best is None and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.monitor} is nan after epoch {training.epoch}: until it is a number, EarlyStopping neither "
                "ends the training nor keeps an epoch's parameters. Some metrics need rows of every class.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _not_recorded(self, history: Collection[str]) -> str:
        """That what is watched is not in the history, what may be meant, and how it comes to be there."""
        known = [*history, "validation_loss", "validation_score", *(f"validation_{name}" for name in metrics.NAMES)]
        nearest = difflib.get_close_matches(self.monitor, known, n=1, cutoff=0.6)
        exact = (name for name in (self.monitor, f"validation_{self.monitor}") if name in known)
        watched = next(exact, "".join(nearest))
        said = (
            f"EarlyStopping watches {self.monitor!r}, but this training records {', '.join(map(repr, history))} only."
        )
        if watched and watched != self.monitor:
            said += f" Did you mean {watched!r}?"
        if watched in history:
            return said
        said += " Pass validation data"
        metric = watched.removeprefix("validation_")
        if metric in metrics.NAMES:
            said += f" and metrics=[{metric!r}]"
        if watched:
            said += f" (to an estimator: monitor={watched!r}, and validation_data or early_stopping=True)"
        return f"{said}, or watch another."

    @property
    def restored(self) -> Training | None:
        """The best epoch, if it is to be restored."""
        return self.best if self.restore else None


@dataclass(eq=False)
class TimeLimit(Callback):
    """Ends the training when the time is over: after the epoch in which it is, or sooner.

    Parameters
    ----------
    seconds : float
        > 0, counted from before the first step.
    every : int
        Look at the clock after every so many batches as well; 0: after epochs only. A GPU may be many batches behind
        the clock.

    Raises
    ------
    InputError
        If the number is not above 0.
    """

    seconds: float
    every: int = 0
    _start: float = field(default=math.nan, init=False, repr=False)

    def __post_init__(self) -> None:
        seconds = self.seconds
        if isinstance(seconds, bool) or not isinstance(seconds, Real) or not 0 < float(seconds) < math.inf:
            raise InputError(f"TimeLimit: seconds must be a number > 0, got {seconds!r}.")

    def start(self, training: Training) -> None:
        """Look at the clock."""
        self._start = time.monotonic()

    def batch_end(self, training: Training) -> bool:
        """True once the time is over."""
        return time.monotonic() - self._start >= self.seconds

    epoch_end = batch_end


@dataclass(eq=False)
class StopOnNaN(Callback):
    """Ends a training whose loss becomes NaN or infinite with a model instead of `TrainingDiverged`.

    The model has the last parameters whose loss was finite, and ``model.stopped`` is ``"diverged"``.

    Parameters
    ----------
    every : int
        Look at the loss after every so many batches as well, which waits for the device; 0: after epochs only.
    """

    every: int = 0

    def batch_end(self, training: Training) -> bool:
        """True if the loss is not finite."""
        return not math.isfinite(training.loss)
