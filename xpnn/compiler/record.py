"""Write down what a function of arrays does, call by call, without doing it.

The function is run on stand-ins: a `Recorded` has the shape, dtype and strides of an array, and writes every call
made with it into a `Recording`. Views are taken for real, so that which values share memory is known; nothing else
that is large is computed, and no memory of the caller's is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler.factor import Factor, multiply
from xpnn.compiler.recording import Call, CannotRecord, Number, Recording, Value, flat, mapped, zeros
from xpnn.compiler.stand_ins import Recorded, RecordedNumber
from xpnn.typing import Namespace


def record(function: Callable[..., Any], xp: Namespace, arguments: tuple[Any, ...]) -> Recording:
    """Record ``function(xp, *arguments)``.

    Raises
    ------
    CannotRecord
        If the function looks at the numbers in its arrays.
    """
    recorder = Recorder(xp)
    recording = Recording(mapped(_stand_in, arguments), recorder.calls)
    with np.errstate(all="ignore"):
        outputs = function(recorder, *mapped(recorder.show, recording.inputs))
    recording.outputs = mapped(recorder.hide, outputs)
    return recording


def _stand_in(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray):
        return Value(zeros(leaf.shape, leaf.dtype))
    if isinstance(leaf, Factor):
        return Value(np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), kind=type(leaf))
    if isinstance(leaf, int | float) and not isinstance(leaf, bool):
        return Number(type(leaf)(1))
    if leaf is None:
        return None
    raise CannotRecord(f"an argument is a {type(leaf).__name__}")


_ELEMENTWISE = {"sign": np.sign, "pow": np.power}
_REDUCTIONS = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


class Recorder:
    """A namespace whose functions are written down."""

    def __init__(self, xp: Namespace) -> None:
        self._xp = xp
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._xp, name)
        if isinstance(found, type) or not callable(found):
            return found
        made = self._maker(name, found)
        setattr(self, name, made)  # asked for again, it is found without this method
        return made

    def _maker(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(function, np.ufunc) and function.signature is None and function.nout == 1:
            return lambda *operands: self.elementwise(function, *operands)
        if name in _ELEMENTWISE:
            return lambda *operands: self.elementwise(_ELEMENTWISE[name], *operands)
        special: dict[str, Callable[..., Any]] = {
            "where": self._where,
            "astype": self._astype,
            "matmul": self.matmul,
            "vecdot": self._vecdot,
            "concat": self._concat,
            "matrix_transpose": lambda x: self.other(np.matrix_transpose, x),
        }
        if name in special:
            return special[name]
        if name in _REDUCTIONS:
            return lambda x, **options: self._reduce(name, function, x, **options)
        return lambda *arguments, **options: self.other(function, *arguments, **options)

    # values and what shows them

    def show(self, value: Any) -> Any:
        """The value as the recorded function sees it."""
        if isinstance(value, Value):
            return Recorded(value, self)
        return RecordedNumber(value, self) if isinstance(value, Number) else value

    def hide(self, shown: Any, *, factors: bool = False) -> Any:
        """The value behind what the function sees; plain arrays and numbers stand for themselves."""
        if isinstance(shown, Recorded) and shown.value.kind is not np.ndarray and not factors:
            raise CannotRecord(f"more than a product with a {shown.value.kind.__name__}")
        if isinstance(shown, Recorded | RecordedNumber):
            return shown.value
        if isinstance(shown, np.ndarray):
            return Value(shown)
        if shown is None or isinstance(shown, bool | int | float | str | np.dtype | type | slice | type(...)):
            return shown
        raise CannotRecord(f"a {type(shown).__name__} among the arguments")

    def _write(self, kind: str, function: Callable[..., Any], arguments: Any, array: Any, **options: Any) -> Any:
        value = Value(array)
        self.calls.append(Call(kind, function, arguments, options, value))
        return self.show(value)

    # the kinds of calls

    def elementwise(self, function: np.ufunc, *operands: Any) -> Any:
        """A function of each element."""
        operands = tuple(map(self.hide, operands))
        return self._write("elementwise", function, operands, _blank(function, operands))

    def in_place(self, function: np.ufunc, target: Recorded, other: Any) -> Any:
        """``target += other`` and its like."""
        operands = target.value, self.hide(other)
        blank = _blank(function, operands)
        array = target.value.array
        if blank.shape != array.shape or not np.can_cast(blank.dtype, array.dtype, "same_kind"):
            raise CannotRecord("an update in place that NumPy refuses")
        self.calls.append(Call("elementwise", function, operands, {}, target.value, in_place=True))
        return target

    def _where(self, condition: Any, x: Any, y: Any) -> Any:
        operands = tuple(map(self.hide, (condition, x, y)))
        return self._write("elementwise", where, operands, _blank(np.where, operands))

    def _astype(self, x: Any, dtype: Any, *, copy: bool = True) -> Any:
        value = self.hide(x)
        if not copy and value.array.dtype == dtype:
            return x
        return self._write("elementwise", cast, (value,), zeros(value.array.shape, dtype))

    def _reduce(self, name: str, function: Callable[..., Any], x: Any, **options: Any) -> Any:
        value = self.hide(x)
        axis = options.get("axis")
        if value.array.dtype.kind != "f" or options.get("dtype") is not None or isinstance(axis, tuple):
            return self.other(function, x, **options)
        keepdims = bool(options.get("keepdims", False))
        array = np.asarray(np.sum(value.array, axis=axis, keepdims=keepdims))
        return self._write("reduce", _REDUCTIONS[name], (value,), array, axis=axis, keepdims=keepdims)

    def matmul(self, a: Any, b: Any) -> Any:
        """The product of two matrices."""
        left, right = self.hide(a, factors=True), self.hide(b)
        if left.array.ndim != 2 or right.array.ndim != 2 or left.array.dtype != right.array.dtype:
            return self.other(np.matmul, a, b)
        (n, k), (rows, m) = left.array.shape, right.array.shape
        if k != rows:
            raise CannotRecord("matrices that do not fit")
        function = np.dot if left.kind is np.ndarray else multiply
        return self._write("product", function, (left, right), zeros((n, m), left.array.dtype))

    def _vecdot(self, a: Any, b: Any, **options: Any) -> Any:
        """Σ a b of two vectors."""
        left, right = self.hide(a), self.hide(b)
        vectors = left.array.ndim == right.array.ndim == 1 and left.array.shape == right.array.shape
        if options or not vectors or left.array.dtype != right.array.dtype or left.array.dtype.kind != "f":
            return self.other(self._xp.vecdot, a, b, **options)
        return self._write("inner", np.dot, (left, right), zeros((), left.array.dtype))

    def _concat(self, arrays: Any, *, axis: int | None = 0) -> Any:
        values = [self.hide(each) for each in arrays]
        if axis != 0 or len({(v.array.dtype, v.array.shape[1:]) for v in values}) > 1:
            return self.other(self._xp.concat, list(arrays), axis=axis)
        shape = (sum(v.array.shape[0] for v in values), *values[0].array.shape[1:])
        return self._write("join", np.concatenate, (values,), zeros(shape, values[0].array.dtype))

    def other(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Any other function, done for real on the stand-ins: a view, or something new."""
        hide = partial(self.hide, factors=function is np.matrix_transpose)
        hidden, named = mapped(hide, arguments), mapped(hide, options)
        if any(isinstance(each, Number) for each in flat((hidden, named))):
            raise CannotRecord("a number of the step where an array function wants a fixed one")
        result = function(*mapped(_array, hidden), **mapped(_array, named))
        if not isinstance(result, np.ndarray | np.generic):
            if any(isinstance(each, Value) for each in flat((hidden, named))):
                raise CannotRecord(f"{getattr(function, '__name__', function)} gives a {type(result).__name__}")
            return result
        array = np.asarray(result)
        value = Value(array)
        for each in flat((hidden, named)):
            if isinstance(each, Value) and array is each.array:
                return self.show(each)
            if isinstance(each, Value) and np.may_share_memory(array, each.array):
                value.base, value.kind = each, each.kind
        kind = "other" if value.base is None else "view"
        self.calls.append(Call(kind, function, hidden, named, value))
        return self.show(value)

    def number(self, function: Callable[..., Any], *operands: Any) -> Any:
        """Arithmetic of numbers."""
        hidden = tuple(map(self.hide, operands))
        value = Number(function(*(each.sample if isinstance(each, Number) else each for each in hidden)))
        self.calls.append(Call("number", function, hidden, {}, value))
        return self.show(value)


def where(condition: Any, x: Any, y: Any, out: NDArray[Any]) -> None:
    """``numpy.where`` into an array."""
    np.copyto(out, y)
    np.copyto(out, x, where=condition)


def cast(x: NDArray[Any], out: NDArray[Any]) -> None:
    """The array in another dtype."""
    np.copyto(out, x, casting="unsafe")


def _blank(function: Any, operands: tuple[Any, ...]) -> NDArray[Any]:
    """Zeros of the shape and dtype that an element-wise function gives."""
    arrays = [each.array for each in operands if isinstance(each, Value)]
    sample = [
        np.ones((1,) * each.array.ndim, each.array.dtype)
        if isinstance(each, Value)
        else each.sample if isinstance(each, Number) else each
        for each in operands
    ]  # fmt: skip
    return zeros(np.broadcast_shapes(*(a.shape for a in arrays)), np.asarray(function(*sample)).dtype)


def _array(leaf: Any) -> Any:
    return leaf.array if isinstance(leaf, Value) else leaf
