"""What a callback is, and what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


class Figures(Sequence[float]):
    """A list of numbers that grows, to be read alone."""

    __slots__ = ("_values",)

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._values)


class Callback:
    """Something that happens while a training runs; subclasses say what at which point.

    If it raises, the training stops with its error, which then has the ``model`` as it was.

    Attributes
    ----------
    every : int
        `batch_end` is called after every so many batches; 0: never. L-BFGS has no batches.
    adds : tuple of str
        The names of what `figures` adds to the history.
    larger_is_better : tuple of str
        Those of them of which larger values are better; of the others smaller ones are.
    """

    every: int = 0
    adds: ClassVar[tuple[str, ...]] = ()
    larger_is_better: ClassVar[tuple[str, ...]] = ()

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
        if isinstance(each, Callback):
            _check(each)
        if isinstance(each, type) and issubclass(each, Callback):
            raise InputError(f"callbacks: write {each.__name__}(...), an object, instead of the class.")
        if not isinstance(each, Callback) and not callable(each):
            raise InputError(f"callbacks must be a list of callbacks or functions, got {each!r} among them.")
    return [each if isinstance(each, Callback) else _Plain(each) for each in given]


def _check(callback: Callback) -> None:
    """Raise `InputError` if something of it would never be called."""
    name, every, cls = name_of(callback), callback.every, type(callback)
    if isinstance(every, bool) or not isinstance(every, int) or every < 0:
        raise InputError(f"{name}: every must be a whole number of batches >= 0, got {every!r}.")
    strange = [each for each in dir(cls) if each.startswith("on_") and callable(getattr(cls, each))]
    if strange:
        raise InputError(
            f"{name} has {strange[0]}, which is never called: a callback's methods are start, batch_end, epoch_end "
            "and end, and figures for what it adds to the history."
        )
    if cls.figures is not Callback.figures and not callback.adds:
        raise InputError(f"{name} has figures, but adds no names: say adds = ('name', …) for what is to be kept.")
    unsaid = "every" not in {*vars(callback), *_defined(cls)}
    if cls.batch_end is not Callback.batch_end and unsaid:
        raise InputError(
            f"{name} has batch_end: say after how many batches it is called, every = 10, or 0 for never."
        )


def _defined(cls: type) -> set[str]:
    """The names that the classes between one and `Callback` define."""
    return {name for each in cls.__mro__[: cls.__mro__.index(Callback)] for name in vars(each)}


def name_of(callback: Callback) -> str:
    """What to call it in a message."""
    if isinstance(callback, _Plain):
        return str(getattr(callback.function, "__name__", type(callback.function).__name__))
    return type(callback).__name__
