"""Names for parts, and parts as JSON.

A part (activation, loss, metric, layer, optimizer, initializer) is a frozen dataclass of hyperparameters. Users may
name it (``"relu"``) or make it (``LeakyReLU(0.1)``); model files hold it as a JSON object. A part of the user's own
stands there with the place it is imported from, ``"my_parts:Snake"``, which is done for those alone that are trusted.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

from xpnn.errors import InputError, ModelFileError

T = TypeVar("T")

_classes: dict[str, type] = {}  # xpnn's own
_bases: list[type] = []


class Registry(Generic[T]):
    """The known parts of one kind, by name."""

    def __init__(self, kind: str, base: type[T]) -> None:
        self.kind = kind
        self.base = base
        self.classes: dict[str, type[T]] = {}
        _bases.append(base)

    def register(self, *names: str) -> Callable[[type[T]], type[T]]:
        """Class decorator: make a class known under these names, the first being the usual one."""

        def decorate(cls: type[T]) -> type[T]:
            for name in names:
                self.classes[name] = cls
            if built_in(cls):
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
        hint = ""
        if isinstance(spec, type) and issubclass(spec, self.base):
            hint = f": write {spec.__name__}()"
        elif callable(spec):
            hint = f": one of your own is an object of a class derived from {self.base.__name__}"
        raise InputError(f"{self.kind} must be a name or {self.base.__name__} object, got {spec!r}{hint}.")

    def name_of(self, part: T) -> str:
        """The usual name of a part's class; the class's own name if it is not registered."""
        return next((name for name, cls in self.classes.items() if cls is type(part)), type(part).__name__)


def unknown(kind: str, name: str, valid: Iterable[str], *, meant: str | None = None) -> str:
    """The message for a name that is not among the valid ones: the one that may be `meant`, then all.

    By default that is the nearest; ``""`` for none.
    """
    valid = list(valid)
    meant = nearest(name, valid) if meant is None else meant
    guess = f" Did you mean {meant!r}?" if meant else ""
    return f"unknown {kind} {name!r}.{guess} Valid: {', '.join(valid)}."


def nearest(name: str, valid: Sequence[str]) -> str:
    """That of the valid names which a name is likely to mean; ``""`` if there is none."""
    word = name.lower()
    near = (
        [known for known in valid if word and known.startswith(word)]
        or difflib.get_close_matches(word, valid, n=1, cutoff=0.55)
        or [known for known in valid if len(word) > 2 and _abbreviates(word, known)]
    )
    return near[0] if near else ""


def _abbreviates(word: str, known: str) -> bool:
    """Whether a name begins with the first letter of a word and has the others in their order."""
    rest = iter(known)
    return known[:1] == word[:1] and all(letter in rest for letter in word)


def built_in(cls: type) -> bool:
    """Whether a class is one of xpnn's own, not of a user's."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def is_part(value: object) -> bool:
    """Whether a value is a part: an object, not a class, of one of the kinds that xpnn knows."""
    return isinstance(value, tuple(_bases)) and dataclasses.is_dataclass(value)


def parts_in(value: Any) -> Iterator[Any]:
    """The parts in a value: itself if it is one, and those among its hyperparameters."""
    if is_part(value):
        yield value
        for field in dataclasses.fields(value):
            yield from parts_in(getattr(value, field.name, None))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from parts_in(each)


def describe(part: Any) -> dict[str, Any]:
    """A part as a JSON object: its class and its hyperparameters, parts inside it included.

    Raises
    ------
    ModelFileError
        If `build` could not make it again: its class cannot be imported, a hyperparameter is no JSON, or its
        constructor takes others than its fields.
    """
    cls: type = type(part)
    name = cls.__name__ if _classes.get(cls.__name__) is cls else import_path(cls)
    held = hyperparameters(part)
    if lost := [each for each in inspect.signature(cls).parameters if each not in held]:
        raise ModelFileError(
            f"{cls.__name__} cannot be saved in a model file: what its constructor takes, {', '.join(lost)}, is no "
            f"field of it. Write @dataclass(frozen=True) above its class, and a field for each, as in {lost[0]}: "
            "float = 1.0."
        )
    return {"class": name, **held}


def hyperparameters(part: Any) -> dict[str, Any]:
    """Those of a part as JSON: numbers, texts, parts, and tuples of such.

    Raises
    ------
    ModelFileError
        Naming the one that is something else.
    """

    def plain(name: str, value: Any) -> Any:
        if is_part(value):
            return describe(value)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, tuple | list):
            return [plain(name, each) for each in value]
        raise ModelFileError(
            f"{type(part).__name__}: {name} holds {value!r}, of type {type(value).__name__}, which a model file "
            "cannot hold: make it a number, a text, a part, or a tuple of these."
        )

    return {f.name: plain(f.name, getattr(part, f.name)) for f in dataclasses.fields(part) if f.init}


def import_path(cls: type) -> str:
    """Where a class is imported from, ``"package.module:Class"``.

    Raises
    ------
    ModelFileError
        If it cannot be imported again.
    """
    module, name = cls.__module__, cls.__qualname__
    if module == "__main__":
        why = "is defined in the program that is run"
    elif "<locals>" in name:
        why = "is defined in a function"
    elif _named(module, name) is not cls:
        why = f"is not what stands as {name} in the module {module}"
    else:
        return f"{module}:{name}"
    raise ModelFileError(
        f"{cls.__name__} cannot be saved in a model file: the class {why}, from where it cannot be imported again. "
        "Define it in a module, such as my_parts.py, and import it from there."
    )


def _named(module: str, name: str) -> Any:
    """What has that name in a module that has been imported; None if nothing has."""
    return functools.reduce(lambda place, part: getattr(place, part, None), name.split("."), sys.modules.get(module))


def build(description: Any, trusted: Sequence[str] = ()) -> Any:
    """What `describe` described; of a list of descriptions a tuple of parts.

    Parameters
    ----------
    description : dict or list
    trusted : sequence of str
        Modules, or classes as ``"module:Class"``, that may be imported for parts that are not xpnn's own.

    Raises
    ------
    ModelFileError
        If a class is unknown or not trusted, cannot be imported, is no part, or does not take these hyperparameters.
    """
    check_trusted(description, trusted)
    if isinstance(description, list):
        return tuple(_value(each) if isinstance(each, list) else _build(each) for each in description)
    return _build(description)


def check_trusted(description: Any, trusted: Sequence[str]) -> None:
    """Find out, before anything is imported, whether all parts in a description may be.

    Raises
    ------
    ModelFileError
        Naming those that may not, and what to write so that they may.
    """
    if isinstance(trusted, str) or not all(isinstance(each, str) for each in trusted):
        raise InputError(f"trusted must be a list of modules such as ['my_parts'], got {trusted!r}.")
    foreign = [path for path in dict.fromkeys(_paths(description)) if not {path, path.partition(":")[0]} & {*trusted}]
    if foreign:
        modules = list(dict.fromkeys(path.partition(":")[0] for path in foreign))
        option = " ".join(f"--trust {module}" for module in modules)
        raise ModelFileError(
            f"the model has parts that are not xpnn's own: {', '.join(foreign)}. Importing them runs the code of "
            f"their modules; if you trust it, pass trusted={[*trusted, *modules]!r}, on the command line {option}."
        )


def _paths(description: Any) -> Iterator[str]:
    """The import paths in a description."""
    if isinstance(description, dict):
        name = description.get("class")
        if isinstance(name, str) and ":" in name:
            yield name
        description = list(description.values())
    if isinstance(description, list):
        for each in description:
            yield from _paths(each)


def _build(description: Any) -> Any:
    try:
        fields = dict(description)
        name = fields.pop("class")
        cls = _imported(name) if ":" in name else _classes.get(name)
        if cls is None:
            raise ModelFileError(f"the model uses a part {name!r} that this xpnn does not have.")
        return cast(Any, cls)(**{k: _value(v) for k, v in fields.items()})
    except ModelFileError:
        raise
    except Exception as error:  # whatever a class of the user's own raises
        raise ModelFileError(f"cannot rebuild a part of the model from {description!r}: {error}.") from error


def _value(value: Any) -> Any:
    if isinstance(value, list):  # JSON has no tuples, parts have no lists
        return tuple(map(_value, value))
    return _build(value) if isinstance(value, dict) else value


def _imported(path: str) -> type:
    """The class of a part, from a module that is trusted."""
    module, _, name = path.partition(":")
    try:
        importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the module does
        reason = f"{type(error).__name__}: {error}".rstrip(".: ")
        raise ModelFileError(
            f"the model's part {path} cannot be imported ({reason}): install the module {module}, or run where "
            "it lies."
        ) from error
    found = _named(module, name)
    if not (isinstance(found, type) and issubclass(found, tuple(_bases)) and dataclasses.is_dataclass(found)):
        is_ = "nothing" if found is None else f"{found!r}"
        raise ModelFileError(
            f"the model's part {path} is no part: under that name there is {is_}, not a frozen dataclass derived "
            f"from {', '.join(base.__name__ for base in _bases)}."
        )
    return found
