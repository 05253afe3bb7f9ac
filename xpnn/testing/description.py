"""What every part is: a frozen dataclass of hyperparameters, equal to another with the same ones."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

from xpnn import registry
from xpnn.errors import ModelFileError
from xpnn.testing.findings import Problem


def is_part_of(base: type, part: object) -> None:
    """Raise `Problem` unless it is a part of that kind."""
    if isinstance(part, base):
        return
    if isinstance(part, type) and issubclass(part, base):
        raise Problem(f"{part.__name__} is a class, the check takes an object: write {part.__name__}()")
    raise Problem(
        f"{type(part).__name__} is not derived from xpnn.{base.__name__}, whose methods are what xpnn calls"
    )


def check(part: Any) -> None:
    """Raise `Problem` unless a part is a frozen dataclass that compares, hashes, prints, pickles and can be saved."""
    cls = type(part)
    name = cls.__name__
    if "__dataclass_params__" not in vars(cls):  # that of the base class would be frozen, but not this one's own
        raise Problem(f"{name} is not a frozen dataclass: write @dataclass(frozen=True) above its class")
    if not cls.__dataclass_params__.eq:  # compiled steps are kept by what they are made of
        raise Problem(f"{name} is not compared by all its fields: leave out eq=False")
    unseen = ((each, f) for each in registry.parts_in(part) for f in dataclasses.fields(each) if not f.compare)
    for each, f in unseen:
        raise Problem(
            f"two {type(each).__name__} that differ in {f.name} alone are equal, and a compiled step of one would be "
            "used for the other: leave out compare=False"
        )
    try:
        again = dataclasses.replace(part)
    except Exception as error:
        raise Problem(f"{name} cannot be made again from its fields ({error}): take each by its name") from error
    try:
        hashes = hash(part), hash(again)
    except TypeError as error:
        holding = [f.name for f in dataclasses.fields(part) if not _hashable(getattr(part, f.name))]
        fields = f"make its field {holding[0]} a tuple, say" if holding else "leave __eq__ to the dataclass"
        raise Problem(f"{name} cannot be hashed ({error}): {fields}") from error
    if part != again:
        raise Problem(f"two {name} with the same hyperparameters are not equal: leave __eq__ to the dataclass")
    if hashes[0] != hashes[1]:
        raise Problem(f"two equal {name} hash differently: leave __hash__ to the dataclass")
    if repr(part) != repr(again):
        raise Problem(f"two equal {name} print differently: leave __repr__ to the dataclass")
    registry.hyperparameters(part)
    try:
        registry.import_path(cls)
    except ModelFileError:  # as long as it is not in a module, there is no pickle and no file of it
        return
    if pickle.loads(pickle.dumps(part)) != part:
        raise Problem(f"{name} comes back from pickle as another")
    description = registry.describe(part)
    if registry.build(description, _modules(part)) != part:
        raise Problem(f"{name} comes back from a model file as another: its fields do not say all of it")


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _modules(part: Any) -> list[str]:
    return [type(each).__module__ for each in registry.parts_in(part)]
