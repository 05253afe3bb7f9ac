"""Names for parts, and parts as JSON.

A part (activation, loss, metric, layer, optimizer, initializer) is a frozen dataclass of hyperparameters. Users may
name it (``"relu"``) or make it (``LeakyReLU(0.1)``); model files hold it as a JSON object.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, cast

from xpnn.errors import InputError, ModelFileError

T = TypeVar("T")

_classes: dict[str, type] = {}


class Registry(Generic[T]):
    """The known parts of one kind, by name."""

    def __init__(self, kind: str, base: type[T]) -> None:
        self.kind = kind
        self.base = base
        self.classes: dict[str, type[T]] = {}

    def register(self, *names: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: make a class known under these names, the first being the usual one."""

        def decorate(cls: type[T]) -> type[T]:
            for name in names:
                self.classes[name] = cls
            _classes[cls.__name__] = cls
            return cls

        return decorate

    def get(self, spec: str | T) -> T:
        """The part itself, from itself or from its name.

        Raises
        ------
        InputError
            If the name is unknown (with the valid ones, nearest first) or `spec` is something else.
        """
        if isinstance(spec, str):
            if spec in self.classes:
                return self.classes[spec]()
            raise InputError(unknown(self.kind, spec, self.classes))
        if isinstance(spec, self.base):
            return spec
        hint = f": write {spec.__name__}()" if isinstance(spec, type) else ""
        raise InputError(f"{self.kind} must be a name or {self.base.__name__} object, got {spec!r}{hint}.")

    def name_of(self, part: T) -> str:
        """The usual name of a part's class; the class's own name if it is not registered."""
        return next((name for name, cls in self.classes.items() if cls is type(part)), type(part).__name__)


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """The message for a name that is not among the valid ones: the nearest first, then all."""
    valid = list(valid)
    begins = [known for known in valid if name and known.startswith(name.lower())]
    nearest = begins or difflib.get_close_matches(name.lower(), valid, n=1, cutoff=0.5)
    guess = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {name!r}.{guess} Valid: {', '.join(valid)}."


def describe(part: Any) -> dict[str, Any]:
    """A part as a JSON object: its class name and its hyperparameters, parts inside it included.

    Raises
    ------
    ModelFileError
        If its class is not one that `build` knows: a file with it could not be read again.
    """
    cls: type = type(part)
    name = cls.__name__
    if _classes.get(name) is not cls:
        raise ModelFileError(f"{part!r} cannot be saved: {cls.__module__}.{name} is not a part of xpnn's own.")
    fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return {
        "class": name,
        **{k: describe(v) if dataclasses.is_dataclass(v) else v for k, v in fields.items()},
    }


def build(description: Any) -> Any:
    """The part that `describe` described.

    Raises
    ------
    ModelFileError
        If the class is unknown or does not take these hyperparameters.
    """
    try:
        fields = dict(description)
        name = fields.pop("class")
        if name not in _classes:
            raise ModelFileError(f"the model uses a part {name!r} that this xpnn does not have.")
        cls = _classes[name]
        return cast(Any, cls)(**{k: build(v) if isinstance(v, dict) else v for k, v in fields.items()})
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"cannot rebuild a part of the model from {description!r}: {error}.") from error
