"""The callbacks of a training, told together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from xpnn.errors import InputError
from xpnn.training.callbacks.base import Callback, Training, name_of

if TYPE_CHECKING:
    from xpnn.model import Model

T = TypeVar("T")


class Audience:
    """Those who are told of a training. What one of them raises gets the model as it is then.

    Parameters
    ----------
    callbacks : sequence of Callback
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = callbacks
        self._started: list[Callback] = []
        self._adding = [callback for callback in callbacks if callback.adds]

    def adds(self, taken: Iterable[str]) -> list[str]:
        """The names that they add to those of the history.

        Raises
        ------
        InputError
            If one adds something else than names, or one that is there already.
        """
        names: list[str] = []
        for callback in self._callbacks:
            if isinstance(callback.adds, str) or not all(isinstance(name, str) for name in callback.adds):
                raise InputError(f"{name_of(callback)}: adds must be a tuple of names, got {callback.adds!r}.")
            for name in callback.adds:
                if name in (*taken, *names):
                    raise InputError(
                        f"{name_of(callback)} adds {name!r} to the history, which has it already: use another name, "
                        "or one such callback alone."
                    )
                names.append(name)
            rising = callback.larger_is_better
            if isinstance(rising, str) or not set(rising) <= set(callback.adds):
                raise InputError(
                    f"{name_of(callback)}: larger_is_better must be a tuple of names that it adds, got {rising!r}."
                )
        return names

    @property
    def rising(self) -> set[str]:
        """The names of those of which larger values are better."""
        return {name for callback in self._callbacks for name in callback.larger_is_better}

    def start(self, told: Training) -> None:
        """Before the first step; there is nothing to lose yet."""
        for callback in self._callbacks:
            self._started.append(callback)
            callback.start(told)

    def batch_end(self, told: Training, model: Callable[[], Model]) -> bool:
        """After a batch, those who want to know of it; whether one asks for a stop."""
        due = [callback for callback in self._callbacks if callback.every and told.batch % callback.every == 0]
        answers = [_guarded(callback, callback.batch_end, told, model, _as_answer) for callback in due]
        return any(answers)

    def figures(self, told: Training, model: Callable[[], Model]) -> dict[str, float]:
        """What they add to the history after an epoch."""
        found: dict[str, float] = {}
        for callback in self._adding:
            found |= _guarded(callback, callback.figures, told, model, partial(_as_figures, callback))
        return found

    def epoch_end(self, told: Training, model: Callable[[], Model]) -> bool:
        """After an epoch; whether one asks for a stop."""
        answers = [_guarded(callback, callback.epoch_end, told, model, _as_answer) for callback in self._callbacks]
        return any(answers)

    def end(self, told: Training, error: BaseException | None = None) -> None:
        """Tell all who have heard of the start, whatever the others raise.

        The first error is raised at the end; if the training itself has ended by an error, they are notes of that.
        """
        first: BaseException | None = None
        for callback in self._started:
            try:
                callback.end(told)
            except BaseException as another:
                if error is None and first is None:
                    first = another
                    another.add_note(f"raised by the callback {name_of(callback)} at the end; see its .model")
                else:
                    (error or first or another).add_note(f"{name_of(callback)}.end raised as well: {another!r}")
        if first is not None:
            raise first


def give_model(error: BaseException, model: Model) -> None:
    """Have an error carry a model, if it can carry anything."""
    with contextlib.suppress(AttributeError):
        error.model = model  # type: ignore[attr-defined]


def _guarded(
    callback: Callback,
    hook: Callable[[Training], Any],
    told: Training,
    model: Callable[[], Model],
    taken_as: Callable[[Any], T],
) -> T:
    """What a hook answers, taken as what it is to be."""
    try:
        return taken_as(hook(told))
    except Exception as error:
        give_model(error, model())
        name = name_of(callback)
        error.add_note(f"raised by the callback {name} in epoch {told.epoch}; its .model is the model then")
        raise


def _as_answer(answer: Any) -> bool:
    try:
        return bool(answer)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"a callback answers with True to end the training, or with nothing; got a {type(answer).__name__}."
        ) from error


def _as_figures(callback: Callback, found: Mapping[str, Any]) -> dict[str, float]:
    try:
        return {name: float(found[name]) for name in callback.adds}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{name_of(callback)}.figures must give a number for each of {', '.join(callback.adds)}, got {found!r}."
        ) from error
