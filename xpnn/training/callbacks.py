"""What runs after each epoch besides training itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real

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
