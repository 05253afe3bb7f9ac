"""What a recorded function sees in place of its arrays and numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.compiler.recording import CannotRecord

if TYPE_CHECKING:
    from xpnn.compiler.record import Recorder

_POWERS = {0.5: np.sqrt, 2: np.square}  # what NumPy's ** makes of them


def _unknown(*_: Any) -> Any:
    raise CannotRecord("a decision that depends on the numbers in an array")


class _Shown:
    """What the recorded function sees of a value."""

    __slots__ = ("recorder", "value")
    __array_ufunc__ = None  # NumPy leaves operators to this class
    __hash__ = object.__hash__
    __bool__ = __float__ = __int__ = __index__ = __complex__ = __array__ = __iter__ = __len__ = _unknown

    def __init__(self, value: Any, recorder: Recorder) -> None:
        self.value, self.recorder = value, recorder


class RecordedNumber(_Shown):
    """Stands for a number."""

    __slots__ = ()


class Recorded(_Shown):
    """Stands for an array."""

    __slots__ = ()
    device = "cpu"

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return self.recorder

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's."""
        return self.value.array.shape

    @property
    def ndim(self) -> int:
        """The array's."""
        return self.value.array.ndim

    @property
    def size(self) -> int:
        """The array's."""
        return self.value.array.size

    @property
    def dtype(self) -> Any:
        """The array's."""
        return self.value.array.dtype

    @property
    def T(self) -> Any:  # noqa: N802
        """The transposed array."""
        return self.recorder.other(np.transpose, self)

    @property
    def mT(self) -> Any:  # noqa: N802
        """The transposed matrix."""
        return self.recorder.other(np.matrix_transpose, self)

    def __getitem__(self, key: Any) -> Any:
        return self.recorder.other(operator.getitem, self, key)

    def __matmul__(self, other: Any) -> Any:
        return self.recorder.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self.recorder.matmul(other, self)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, int | float) and other in _POWERS:
            return self.recorder.elementwise(_POWERS[other], self)
        return self.recorder.elementwise(np.power, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self.recorder.elementwise(np.power, other, self)


def _operators() -> None:
    """Give both kinds their operators: ``a + b``, ``1 - a``, ``a += b``, ``-a``, ``a > b``, …"""
    two: dict[str, np.ufunc] = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
        "mod": np.remainder, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
        "lshift": np.left_shift, "rshift": np.right_shift,
    }  # fmt: skip
    comparing: dict[str, np.ufunc] = {
        "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
        "ne": np.not_equal,
    }  # fmt: skip
    one: dict[str, np.ufunc] = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}

    def arrays(name: str, method: Callable[..., Any]) -> None:
        setattr(Recorded, f"__{name}__", method)

    def numbers(name: str, method: Callable[..., Any]) -> None:
        def checked(self: Any, *others: Any) -> Any:  # an array on the other side answers itself
            return NotImplemented if any(isinstance(each, Recorded) for each in others) else method(self, *others)

        setattr(RecordedNumber, f"__{name}__", checked)

    for name, f in (two | comparing).items():
        arrays(name, lambda self, other, f=f: self.recorder.elementwise(f, self, other))
    for name, f in two.items():
        arrays("r" + name, lambda self, other, f=f: self.recorder.elementwise(f, other, self))
        arrays("i" + name, lambda self, other, f=f: self.recorder.in_place(f, self, other))
    for name, f in one.items():
        arrays(name, lambda self, f=f: self.recorder.elementwise(f, self))
    for name in [*two, "pow"]:
        g = getattr(operator, f"__{name}__")
        numbers(name, lambda self, other, g=g: self.recorder.number(g, self, other))
        numbers("r" + name, lambda self, other, g=g: self.recorder.number(g, other, self))
    for name in one:
        g = getattr(operator, f"__{name}__")
        numbers(name, lambda self, g=g: self.recorder.number(g, self))


_operators()
