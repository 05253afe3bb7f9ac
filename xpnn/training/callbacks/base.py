"""What a callback is, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from xpnn.errors import InputError

if TYPE_CHECKING:
    from xpnn.network import Sequential
    from xpnn.typing import Array


@dataclass(frozen=True, eq=False)
class Training:
    """A training at one moment, as callbacks see it; to be read, not written to.

    Attributes
    ----------
    network : Sequential
    epoch : int
        After an epoch the number of those finished; after a batch that of the epoch it is from, counted from 1; 0 at
        the start.
    epochs : int
        How many there are at most.
    batch : int
        The number of the batch just done in its epoch, counted from 1.
    batches : int
        How many an epoch has.
    step : int
        The number of steps done since the start.
    history : mapping of str to sequence of float
        One value per finished epoch: ``"loss"``; ``"validation_loss"`` and ``"validation_accuracy"``, …, if there is
        validation data and such metrics are asked for; and what callbacks add.
    learning_rate : float
        α of the last step; that of the first at the start; NaN for an optimizer that has none.
    larger_is_better : frozenset of str
        The names in the history of which larger values are better.
    stopped : str
        At the end, why: ``"epochs"``, ``"tol"``, …, as `Model.stopped`; ``""`` before.
    loss : float
        J of the batch just done, or over the epoch just finished; reading that of a batch waits for the device.
    params : array, shape (P,)
        A copy of the parameters at this moment, on their device; made when it is asked for, so ask in time.
    buffers : array, shape (B,), or None
        Likewise what the layers remember without learning it.
    """

    network: Sequential = field(repr=False)
    epoch: int
    epochs: int
    batch: int
    batches: int
    step: int
    history: Mapping[str, Sequence[float]] = field(repr=False)
    learning_rate: float
    larger_is_better: frozenset[str] = field(default=frozenset(), repr=False)
    stopped: str = ""
    _loss: Any = field(default=float("nan"), repr=False)
    _state: Callable[[], tuple[Array, Array | None]] | None = field(default=None, repr=False)

    @cached_property
    def loss(self) -> float:
        """J of the batch just done, or over the epoch just finished."""
        return float(self._loss)

    @property
    def params(self) -> Array:
        """A copy of the parameters at this moment."""
        return self._arrays[0]

    @property
    def buffers(self) -> Array | None:
        """A copy of what the layers remember."""
        return self._arrays[1]

    @cached_property
    def _arrays(self) -> tuple[Array, Array | None]:
        assert self._state is not None
        return self._state()


class Callback:
    """Something that happens while a training runs; subclasses say what at which point.

    If it raises, the training stops with its error, which then has the ``model`` as it was.

    Attributes
    ----------
    every : int
        `batch_end` is called after every so many batches; 0: never.
    adds : tuple of str
        The names of what `figures` adds to the history.
    """

    every: int = 0
    adds: ClassVar[tuple[str, ...]] = ()

    def start(self, training: Training) -> None:
        """Before the first step: the place to find that something does not fit, and to forget the last training."""

    def batch_end(self, training: Training) -> bool | None:
        """After every so many batches; a true answer ends this epoch here, and the training with it."""

    def figures(self, training: Training) -> Mapping[str, float]:
        """After an epoch: a value for each name in `adds`."""
        return {}

    def epoch_end(self, training: Training) -> bool | None:
        """After an epoch, its values being in the history; a true answer ends the training."""

    def end(self, training: Training) -> None:
        """After the last epoch, and also if training ends by an error or Ctrl-C: the place to close a file."""

    @property
    def restored(self) -> Training | None:
        """The moment whose parameters the model is to have instead of the last one's; usually None."""
        return None


Function = Callable[[Training], bool | None]
"""In the place of a callback: called after each epoch; a true answer ends the training."""


class _Plain(Callback):
    def __init__(self, function: Function) -> None:
        self.function = function

    def epoch_end(self, training: Training) -> bool | None:
        """Call it."""
        return self.function(training)


def as_callbacks(given: Sequence[Callback | Function]) -> list[Callback]:
    """Callbacks, functions among them as such.

    Raises
    ------
    InputError
        If something is neither.
    """
    if isinstance(given, Callback) or callable(given) or isinstance(given, str) or not hasattr(given, "__iter__"):
        raise InputError(f"callbacks must be a list of callbacks or functions such as [stop_early], got {given!r}.")
    for each in given:
        if isinstance(each, type) and issubclass(each, Callback):
            raise InputError(f"callbacks: write {each.__name__}(...), an object, instead of the class.")
        if not isinstance(each, Callback) and not callable(each):
            raise InputError(f"callbacks must be a list of callbacks or functions, got {each!r} among them.")
        if isinstance(each, Callback) and (
            isinstance(each.every, bool) or not isinstance(each.every, int) or each.every < 0
        ):
            raise InputError(f"{name_of(each)}: every must be a whole number of batches >= 0, got {each.every!r}.")
    return [each if isinstance(each, Callback) else _Plain(each) for each in given]


def name_of(callback: Callback) -> str:
    """What to call it in a message."""
    if isinstance(callback, _Plain):
        return str(getattr(callback.function, "__name__", type(callback.function).__name__))
    return type(callback).__name__
