"""What xpnn raises: each error says what was wrong, where, what was expected, and the fix."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpnn.model import Model
    from xpnn.tuning.result import Tuning


class XpnnError(Exception):
    """Base of every error that xpnn raises about what it was given."""


class InputError(XpnnError, ValueError):
    """A value that cannot be used: a shape, a label, a name, a hyperparameter, a column."""


class ArrayError(XpnnError, TypeError):
    """Not an array, or arrays of two libraries or devices in one call."""


class BackendError(XpnnError, RuntimeError):
    """An array library or device that was asked for and cannot be used here."""


class ModelFileError(XpnnError, ValueError):
    """A model file that is missing, broken, foreign, or cannot be written."""


def missing(part: object, method: str) -> NotImplementedError:
    """What a base class raises in the place of a method that its subclass must define."""
    cls = type(part)
    kind = next((each.__name__ for each in cls.__mro__[1:] if each.__module__.startswith("xpnn")), cls.__name__)
    return NotImplementedError(
        f"{cls.__name__} must define {method}: help(xpnn.{kind}.{method}) says what it takes and gives."
    )


class TrainingDiverged(XpnnError, ArithmeticError):  # noqa: N818  (what happened, not what kind of class it is)
    """The loss became NaN or infinite.

    Attributes
    ----------
    model : Model
        The model with the last parameters whose loss was finite.
    epoch : int
        The epoch in which the loss stopped being finite, counted from 1.
    """

    def __init__(self, message: str, *, model: Model, epoch: int) -> None:
        super().__init__(message)
        self.model = model
        self.epoch = epoch


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; nothing is lost.

    Attributes
    ----------
    model : Model
        The model as of the last finished epoch.
    epoch : int
        That epoch's number, counted from 1; 0 if none was finished.
    """

    def __init__(self, message: str, *, model: Model, epoch: int) -> None:
        super().__init__(message)
        self.model = model
        self.epoch = epoch


class TuningInterrupted(KeyboardInterrupt):
    """Ctrl-C during a search; what it has found is not lost.

    Attributes
    ----------
    tuning : Tuning or None
        The trials that were over, and the best one's model; None if none was.
    """

    def __init__(self, message: str, *, tuning: Tuning | None) -> None:
        super().__init__(message)
        self.tuning = tuning
