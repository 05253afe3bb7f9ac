"""Which element-wise calls machine code can do one after the other for each element: see `xpnn.compiler.kernels`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from xpnn.compiler.record import cast, where
from xpnn.compiler.recording import Call, Number, Value

NARROW = 32
"""Up to so many columns a row is summed up by itself; of longer ones NumPy's products do it faster."""

TYPES = {np.dtype(np.float32): "float", np.dtype(np.float64): "double", np.dtype(np.int32): "i32",
         np.dtype(np.int64): "i64", np.dtype(np.bool): "i1"}  # fmt: skip
"""The dtypes, in the order of bytes that is the processor's, and what LLVM calls them."""

FLOAT = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "divide": "fdiv"}
INTEGER = {"add": "add", "subtract": "sub", "multiply": "mul", "bitwise_and": "and", "bitwise_or": "or",
           "bitwise_xor": "xor", "left_shift": "shl", "right_shift": "ashr"}  # fmt: skip
BOOLEAN = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
FUNCTIONS = {"absolute": "fabs", "sqrt": "sqrt", "maximum": "maximum", "minimum": "minimum"}
COMPARE = {"greater": ("ogt", "sgt"), "greater_equal": ("oge", "sge"), "less": ("olt", "slt"),
           "less_equal": ("ole", "sle"), "equal": ("oeq", "eq"), "not_equal": ("une", "ne")}  # fmt: skip
"""NumPy's functions, and LLVM's instructions for them: of floats, of integers, of booleans, LLVM's own functions of
floats, and comparisons of floats and of integers."""


@dataclass
class Chain:
    """Calls that one kernel can do: over the same rows, on memory that is seen in one way if it is written to.

    Parameters
    ----------
    reachable : callable
        Whether the memory of a value is known before the calls are done.
    home : callable
        Whose memory a value lies in.
    """

    reachable: Callable[[Value], bool]
    home: Callable[[Value], Value] = attrgetter("owner")
    calls: list[Call] = field(default_factory=list)
    n: int = 0
    width: int = 1
    ndim: int = 0
    _seen: dict[Value, set[Value]] = field(default_factory=dict)  # by home: the values that are read or written
    _made: set[Value] = field(default_factory=set)

    def add(self, call: Call) -> bool:
        """Take the call in if possible."""
        result = call.result
        if not isinstance(result, Value) or not _translates(call):
            return False
        shape = result.array.shape
        n = shape[0] if shape else 1  # one number: a row of one
        if n < 1 or (self.calls and (n, len(shape)) != (self.n, self.ndim)):
            return False
        touched = (*call.reads, result)
        if any(each.array.size == 0 for each in touched):
            return False
        wide = {self.width, *(_width(each, shape) for each in touched)} - {1}
        summed = any(each.kind == "reduce" for each in (*self.calls, call))
        if len(wide) > 1 or (summed and wide and max(wide) > NARROW):
            return False
        width = max(wide, default=1)
        if not all(self._placed(each, shape, width) for each in touched) or not self._apart(touched, result):
            return False
        self.n, self.width, self.ndim = n, width, len(shape)
        self.calls.append(call)
        self._made.add(result)
        for each in touched:
            self._seen.setdefault(self.home(each), set()).add(each)
        return True

    def _placed(self, value: Value, shape: tuple[int, ...], width: int) -> bool:
        """Whether element (i, j) of the kernel is at i · width + j, i, j or 0 of the value's memory."""
        array = value.array
        if array.dtype not in TYPES or not array.flags.c_contiguous:
            return False
        if value not in self._made and not self.reachable(value):
            return False
        if array.size == 1:
            return True
        if array.ndim == len(shape) and array.shape[0] == shape[0]:
            return array.shape == shape or (array.ndim == 2 and math.prod(array.shape[1:]) in (1, width))
        return array.shape in ((width,), (1, width)) and len(shape) == 2

    def _apart(self, touched: tuple[Value, ...], result: Value) -> bool:
        """Whether memory that is written to is seen as one value only."""
        written = {self.home(each) for each in (*self._made, result)}
        for home in {self.home(each) for each in touched} & written:
            if len(self._seen.get(home, set()) | {each for each in touched if self.home(each) is home}) > 1:
                return False
        return True


def _width(value: Value, shape: tuple[int, ...]) -> int:
    """The elements that the value has for each row of a result of this shape."""
    array = value.array
    return math.prod(array.shape[1:]) if array.shape[:1] == shape[:1] and array.ndim == len(shape) else array.size


def _translates(call: Call) -> bool:
    """Whether there is an instruction for the call and its dtypes."""
    assert isinstance(call.result, Value)
    out = call.result.array.dtype
    if call.kind not in ("elementwise", "reduce") or any(
        each.array.dtype not in TYPES for each in (*call.reads, call.result)
    ):
        return False
    name = call.function.__name__
    if call.kind == "reduce":
        (x,) = call.reads
        along = (
            x.array.ndim == 2 and x.array.size > 1 and call.options["axis"] in (1, -1) and call.options["keepdims"]
        )
        return bool(along) and name in ("add", "maximum", "minimum") and out.kind == "f"
    if call.function is cast:
        return out.kind in "fi"
    operands = call.arguments[1:] if call.function is where else call.arguments
    if call.function is where and not (isinstance(call.arguments[0], Value) and _kind(call.arguments[0]) == "b"):
        return False
    arrays = [each.array.dtype for each in operands if isinstance(each, Value)]
    if not arrays:
        return call.function is where and all(isinstance(each, int | float) for each in operands)
    common = arrays[0]
    samples = [each.sample if isinstance(each, Number) else each for each in operands if not isinstance(each, Value)]
    if any(each != common for each in arrays) or any(np.result_type(common, each) != common for each in samples):
        return False
    if common.kind == "i" and not all(np.iinfo(common).min <= each <= np.iinfo(common).max for each in samples):
        return False
    if call.function is where:
        return out == common
    if name in COMPARE:
        return common.kind in "fi"
    if out != common:
        return False
    if common.kind == "f":
        return name in FLOAT or name in FUNCTIONS or name in ("negative", "square")
    if name in ("left_shift", "right_shift"):  # by more than there are bits NumPy and the processor differ
        by = operands[1]
        return common.kind == "i" and isinstance(by, int) and 0 <= by < 8 * common.itemsize
    return name in (INTEGER if common.kind == "i" else (*BOOLEAN, "invert", "logical_not"))


def _kind(value: Value) -> str:
    return value.array.dtype.kind
