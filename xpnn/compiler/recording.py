"""What a function of arrays does, written down: values, and the calls that make them."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class CannotRecord(Exception):  # noqa: N818
    """The function does something that depends on the numbers in its arrays, or returns something else."""


@dataclass(eq=False)
class Value:
    """An array of the recording: who owns its memory and a stand-in of its shape, dtype and strides.

    Attributes
    ----------
    array : ndarray
        The stand-in.
    base : Value, optional
        Of a view, what it was taken of.
    name : str
        Its name in the source.
    kind : type
        What it stands for: an array, or a kind of `Factor`.
    """

    array: NDArray[Any]
    base: Value | None = None
    name: str = ""
    kind: type = np.ndarray

    @property
    def owner(self) -> Value:
        """The value whose memory this one shows."""
        return self if self.base is None else self.base.owner

    @cached_property
    def start(self) -> int:
        """The bytes from where its owner's memory begins to its first element."""
        if self.base is None:
            return 0
        here, there = (each.__array_interface__["data"][0] for each in (self.array, self.owner.array))
        return here - there

    @property
    def whole(self) -> bool:
        """Whether it shows all of its owner's memory in the same order."""
        here, there = self.array, self.owner.array
        return here.size == there.size and here.flags.c_contiguous and there.flags.c_contiguous

    @property
    def aligned(self) -> bool:
        """Whether its row i lies in row i of its owner."""
        here, there = self.array, self.owner.array
        if self.base is None:
            return True
        if not here.ndim or not there.ndim or (here.shape[0], here.strides[0]) != (there.shape[0], there.strides[0]):
            return False
        return bool(0 <= self.start < max(1, there.strides[0]))


@dataclass(eq=False)
class Number:
    """A number that the function is given, or computes from such.

    Attributes
    ----------
    sample : int or float
        A number of its type.
    name : str
        Its name in the source.
    """

    sample: int | float
    name: str = ""


@dataclass(eq=False)
class Call:
    """One call: of what kind, of which function with which arguments, giving what.

    Kinds: ``elementwise``, ``reduce``, ``product``, ``join``, ``view``, ``number`` and ``other``.
    """

    kind: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: Value | Number
    in_place: bool = False
    reads: tuple[Value, ...] = ()  # the arrays among the arguments

    def __post_init__(self) -> None:
        self.reads = tuple(each for each in flat((self.arguments, self.options)) if isinstance(each, Value))


@dataclass
class Recording:
    """What a function does: its inputs, its calls in order, and what it returns, with values for arrays."""

    inputs: tuple[Any, ...]
    calls: list[Call] = field(default_factory=list)
    outputs: Any = None


_MAPPED = 1 << 18
"""Bytes from which on they are asked of the system."""


def zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Zeros that take up no memory until they are written to, which nothing does."""
    count, dtype = math.prod(shape), np.dtype(dtype)
    if count * dtype.itemsize < _MAPPED:
        return np.zeros(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, count * dtype.itemsize), dtype, count).reshape(shape)


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """The function of every leaf of nested tuples, lists and dicts."""
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(function, each) for each in tree)
    if isinstance(tree, dict):
        return {name: mapped(function, each) for name, each in tree.items()}
    return function(tree)


def flat(tree: Any) -> list[Any]:
    """The leaves."""
    if not isinstance(tree, _BRANCHES):
        return [tree]
    leaves = []
    for each in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(each, _BRANCHES):
            leaves += flat(each)
        else:
            leaves.append(each)
    return leaves


_BRANCHES = tuple, list, dict
