"""What to search: per hyperparameter a fixed value, an interval, or choices."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Protocol, cast

from xpnn import activations, optimizers, penalties
from xpnn.activations import Activation
from xpnn.errors import InputError
from xpnn.layers import Dense, Dropout, Layer
from xpnn.layout import Shape
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.penalties import L2, Penalty

Whole = int | tuple[int, int] | list[int]
Number = float | tuple[float, float] | list[float]


class Suggests(Protocol):
    """What picks a value: a trial of Optuna's, running or over."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...  # noqa: D102
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...  # noqa: D102
    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class _Numbers:
    """The numbers that a field may hold."""

    least: float
    whole: bool = False
    above: bool = False  # whether the least itself is left out
    below: float = math.inf
    log: bool = True  # whether an interval is searched by orders of magnitude
    none: bool = False

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        end = "" if self.below == math.inf else f" and < {self.below:g}"
        return f"{kind} {'>' if self.above else '>='} {self.least:g}{end}" + (" or None" if self.none else "")

    def __contains__(self, value: object) -> bool:
        if value is None:
            return self.none
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        number = float(cast(float, value))
        return (number > self.least if self.above else number >= self.least) and number < self.below

    def plain(self, value: Any) -> Any:
        return None if value is None else int(value) if self.whole else float(value)


_NUMBERS = {
    "depth": _Numbers(0, whole=True, log=False),
    "width": _Numbers(1, whole=True),
    "learning_rate": _Numbers(0, above=True),
    "dropout": _Numbers(0, below=1, log=False),
    "weight_decay": _Numbers(0),
    "l2": _Numbers(0),
    "batch_size": _Numbers(1, whole=True, none=True),
}
_NAMES = {"activation": activations.get, "optimizer": optimizers.get}


@dataclass(frozen=True)
class SearchSpace:
    """The networks and trainings that `tune` chooses among.

    Each field is a fixed value, a list of choices, or, for numbers, an interval ``(low, high)``, both ends included.
    Intervals of `width`, `learning_rate`, `weight_decay`, `l2` and `batch_size` are searched by orders of magnitude
    unless they begin at 0.

    Parameters
    ----------
    depth : int, interval or list of int
        The number of hidden layers, ≥ 0.
    width : int, interval or list of int
        The nodes of a hidden layer, ≥ 1: chosen for each layer by itself.
    activation : str, Activation, or list of them
        That of the hidden layers.
    optimizer : str, Optimizer, or list of them
        `learning_rate` and `weight_decay` take the place of its own.
    learning_rate : float, interval or list of float
        α > 0.
    dropout : float, interval or list of float
        The share of nodes that is left out after each hidden layer, 0 ≤ dropout < 1.
    weight_decay : float, interval or list of float
        The optimizer's λ ≥ 0.
    l2 : float, interval or list of float
        The strength λ ≥ 0 of the penalty `L2`, besides that.
    batch_size : int or None, interval or list of them
        Samples per step; None: all of them.

    Raises
    ------
    InputError
        If a field holds something else, or an interval's low is above its high.

    Examples
    --------
    >>> space = SearchSpace(depth=1, width=[16, 32, 64], activation="relu", learning_rate=(0.001, 0.1))
    >>> space.searched
    ('width', 'optimizer', 'learning_rate', 'dropout', 'weight_decay')
    """

    depth: Whole = (1, 3)
    width: Whole = (8, 128)
    activation: str | Activation | Sequence[str | Activation] = ("relu", "tanh", "sigmoid")
    optimizer: str | Optimizer | Sequence[str | Optimizer] = ("adam", "sgd")
    learning_rate: Number = (1e-4, 1e-1)
    dropout: Number = (0.0, 0.5)
    weight_decay: Number = (1e-6, 1e-2)
    l2: Number = 0.0
    batch_size: int | tuple[int, int] | list[int | None] | None = 32

    def __post_init__(self) -> None:
        for name, numbers in _NUMBERS.items():
            object.__setattr__(self, name, _numbers(name, numbers, getattr(self, name)))
        for name, get in _NAMES.items():
            value = getattr(self, name)
            choices = tuple(value) if isinstance(value, list | tuple) else (value,)
            _check_choices(name, choices)
            if isinstance(value, list):
                object.__setattr__(self, name, choices)
            for each in choices:
                try:
                    part = get(each)
                except InputError as error:
                    raise InputError(f"SearchSpace: {error}") from None
                if name == "optimizer" and not hasattr(part, "weight_decay"):
                    raise InputError(f"SearchSpace: optimizer {each!r} has no weight_decay: choose another.")

    @property
    def searched(self) -> tuple[str, ...]:
        """The names of the fields that are not fixed."""
        return tuple(f.name for f in fields(self) if isinstance(getattr(self, f.name), list | tuple))

    def suggest(self, trial: Suggests) -> dict[str, Any]:
        """A value for each field, as a trial suggests them; for `width` a tuple with one for each hidden layer."""
        chosen = {f.name: self._value(f.name, f.name, trial) for f in fields(self) if f.name != "width"}
        widths = (self._value("width", f"width_{i}", trial) for i in range(1, chosen["depth"] + 1))
        return {"depth": chosen.pop("depth"), "width": tuple(widths), **chosen}

    def _value(self, field: str, name: str, trial: Suggests) -> Any:
        value = getattr(self, field)
        if isinstance(value, tuple) and field in _NUMBERS:
            low, high = value
            suggest: Any = trial.suggest_int if _NUMBERS[field].whole else trial.suggest_float
            return suggest(name, low, high, log=_NUMBERS[field].log and low > 0)
        if isinstance(value, list | tuple):
            choices = {_label(each): each for each in value}
            return choices[trial.suggest_categorical(name, list(choices))]
        return value


def network(parameters: Mapping[str, Any], input_shape: Shape, output: Activation, outputs: int) -> Sequential:
    """The network of suggested parameters."""
    layers: list[Layer] = []
    for units in parameters["width"]:
        layers.append(Dense(units, parameters["activation"]))
        if parameters["dropout"]:
            layers.append(Dropout(parameters["dropout"]))
    return Sequential(*layers, Dense(outputs, output), input_shape=input_shape)


def optimizer(parameters: Mapping[str, Any]) -> Optimizer:
    """The optimizer of suggested parameters."""
    numbers = {name: parameters[name] for name in ("learning_rate", "weight_decay")}
    return cast(Optimizer, dataclasses.replace(cast(Any, optimizers.get(parameters["optimizer"])), **numbers))


def penalty(parameters: Mapping[str, Any], given: Penalty | Sequence[Penalty] = ()) -> tuple[Penalty, ...]:
    """The penalties given, and that of suggested parameters."""
    return penalties.several(given) + ((L2(parameters["l2"]),) if parameters["l2"] else ())


def _numbers(name: str, numbers: _Numbers, value: Any) -> Any:
    """The field's value in plain numbers, once it is found to be right."""
    if isinstance(value, tuple):
        if len(value) != 2:
            raise InputError(
                f"SearchSpace: {name} as a tuple is an interval (low, high), got {value!r}: write choices as a list."
            )
        if any(end is None or end not in numbers for end in value):
            raise InputError(f"SearchSpace: each end of the interval {name} must be {numbers}, got {value!r}.")
        low, high = map(numbers.plain, value)
        if low > high:
            raise InputError(f"SearchSpace: {name} must be an interval (low, high) with low <= high, got {value!r}.")
        return low, high
    choices = value if isinstance(value, list) else [value]
    if any(each not in numbers for each in choices):
        raise InputError(
            f"SearchSpace: {name} must be {numbers}, an interval (low, high), or a list of choices, got {value!r}."
        )
    _check_choices(name, choices)
    return list(map(numbers.plain, choices)) if isinstance(value, list) else numbers.plain(value)


def _check_choices(name: str, choices: Sequence[Any]) -> None:
    if not choices:
        raise InputError(f"SearchSpace: {name} has no choice: give at least one.")
    labels = list(map(_label, choices))
    if len(set(labels)) < len(labels):
        raise InputError(f"SearchSpace: {name} has the same choice twice: {list(choices)!r}.")


def _label(choice: Any) -> Any:
    """A choice as a study remembers it."""
    return choice if choice is None or isinstance(choice, str | int | float) else repr(choice)
