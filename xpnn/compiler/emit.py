"""Write a plan as the source of a Python function, and make the function of it."""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler.chains import Chain
from xpnn.compiler.kernels import Kernel, table
from xpnn.compiler.plan import Group, Plan
from xpnn.compiler.recording import Call, Number, Value, flat

Memory = Callable[[tuple[str, int], int], NDArray[np.uint8]]

_MARKS = {operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
          operator.mod: "%", operator.pow: "**", operator.and_: "&", operator.or_: "|", operator.xor: "^",
          operator.lshift: "<<", operator.rshift: ">>", operator.neg: "-", operator.pos: "+",
          operator.abs: "abs", operator.invert: "~"}  # fmt: skip


_TAKEN = {*keyword.kwlist, *keyword.softkwlist, "bind", "fits", "run", "keep", "state", "row", "end", "type", "tuple",
          "int", "float", "alone", "result"}  # fmt: skip


class Emitter:
    """Writes ``bind(state)``, which makes the views of the state and returns ``run(*inputs)``.

    Parameters
    ----------
    plan : Plan
    memory : callable
        ``memory(name, nbytes)`` gives at least so many bytes, the same ones for the same name.

    Attributes
    ----------
    source : str
    names : dict
        The arrays and functions that the source uses by name.
    """

    def __init__(self, plan: Plan, memory: Memory) -> None:
        self.plan = plan
        self.memory = memory
        self.names: dict[str, Any] = {"empty": np.empty}
        self._fixed: dict[Value, NDArray[Any]] = {}  # what has its place before the function is bound
        self._places: dict[Any, tuple[NDArray[Any], str]] = {}
        self._numbers: dict[tuple[Any, Any], str] = {}
        self._bound: set[Value] = set()
        self._kernels: dict[int, tuple[str, list[str]]] = {}
        self._bind: list[str] = []
        self._run: list[str] = []
        self._count = 0
        for value, array in plan.constants.items():
            self._hold(value, array)
        for value, slot in plan.slots.items():
            self._place(value, ("slot", slot), value.array.shape, plan.sizes[slot])
        for value, (whole, start) in plan.parts.items():
            part = self._fixed[whole].reshape(-1)[start : start + value.array.size]
            self._hold(value, part.reshape(value.array.shape))
        self.source = self._write()

    def make(self) -> tuple[Callable[..., Any], Callable[..., bool]]:
        """The functions ``bind``, and ``fits``, which says whether inputs are of the kinds that `run` is for."""
        names = dict(self.names)
        exec(compile(self.source, "<recorded by xpnn>", "exec"), names)
        return names.pop("bind"), names.pop("fits")  # not among their own names: no cycle keeps the memory alive

    # the source

    def _write(self) -> str:
        state, *inputs = self.plan.recording.inputs
        head = self._parameters(state, "state")
        self._bound = {each for each in flat(state) if isinstance(each, Value)}
        parameters = [f"input_{i}" for i in range(len(inputs))]
        for name, each in zip(parameters, inputs, strict=True):
            self._run.append(f"{self._parameters(each, name)} = {name}")
        self._work()
        self._run.append(f"return {self._tree(self.plan.recording.outputs)}")
        body = [f"        {line}" for line in self._run]
        return "\n".join(
            [
                "def bind(state):",
                *(f"    {line}" for line in [f"{head} = state", "keep = []", *self._bind]),
                f"    def run({', '.join(parameters)}):",
                *body,
                "    run.keep = keep",
                "    return run",
                "",
                f"def fits({', '.join(parameters)}):",
                f"    return {' and '.join(map(self._kind, parameters, inputs)) or True}",
                "",
            ]
        )

    def _work(self) -> None:
        """The lines that do the work."""
        first = {id(group.calls[0]): group for group in self.plan.groups}
        last = {id(group.calls[-1]): group for group in self.plan.groups}
        together = {id(call) for group in self.plan.groups if group.rows or group.chain for call in group.calls}
        working = {id(call) for group in self.plan.groups for call in group.calls}
        for call in self.plan.recording.calls:
            if call.result in self.plan.constants:
                continue
            if call.kind == "number":
                self._number(call)
            elif call.kind == "view":
                self._view(call)
            elif id(call) in together:
                if id(call) in first:
                    for each in first[id(call)].calls:
                        self._allocate(each)
                if id(call) in last:
                    self._run += self._all(last[id(call)])
            elif id(call) in working:
                self._straight(call)

    def _parameters(self, tree: Any, name: str) -> str:
        """A target to unpack an argument into; gives the values in it their names."""
        if isinstance(tree, tuple):
            return "(" + "".join(self._parameters(each, name) + ", " for each in tree) + ")" if tree else "()"
        self._count += 1
        if isinstance(tree, Value | Number):
            tree.name = f"{'x' if isinstance(tree, Value) else 'n'}{self._count}"
            return tree.name
        return f"none{self._count}"

    def _kind(self, name: str, tree: Any) -> str:
        """A condition that holds only for inputs of the recorded kind."""
        if isinstance(tree, Value):
            dtype = self._global(tree.array.dtype, "dtype")
            ours = f"type({name}) is {self._global(tree.kind)}"
            return f"{ours} and {name}.shape == {tree.array.shape} and {name}.dtype is {dtype}"
        if isinstance(tree, Number):
            return f"type({name}) is {type(tree.sample).__name__}"
        return f"{name} is None" if tree is None else f"type({name}) is {type(tree).__name__}"

    def _number(self, call: Call) -> None:
        mark = _MARKS[call.function]
        operands = [each.name if isinstance(each, Number) else repr(each) for each in call.arguments]
        call.result.name = self._new("n")
        right = f"{operands[0]} {mark} {operands[1]}" if len(operands) == 2 else f"{mark}({operands[0]})"
        self._run.append(f"{call.result.name} = {right}")

    def _view(self, call: Call) -> None:
        value = call.result
        assert isinstance(value, Value)
        if all(each in self._fixed for each in call.reads):
            arguments = fill((call.arguments, call.options), self._fixed)
            self._hold(value, call.function(*arguments[0], **arguments[1]))
            return
        early = self._early(call)
        value.name = self._new("b" if early else "v")
        if early:
            self._bound.add(value)
        (self._bind if early else self._run).append(f"{value.name} = {self._plain(call)}")

    def _early(self, call: Call) -> bool:
        """Whether what a view shows is there before the function runs."""
        return all(each in self._fixed or each in self._bound for each in call.reads)

    def _straight(self, call: Call) -> None:
        """One call over whole arrays."""
        value = call.result
        assert isinstance(value, Value)
        if call.kind == "other":
            value.name = self._new("v")
            self._run.append(f"{value.name} = {self._plain(call)}")
            return
        self._allocate(call)
        self._run.append(self._call(call, self._name))

    def _allocate(self, call: Call) -> None:
        """A new array for what is returned."""
        value = call.result
        assert isinstance(value, Value)
        if value in self.plan.escaping and not call.in_place:
            value.name = self._new("v")
            self._run.append(f"{value.name} = empty({value.array.shape}, {self._global(value.array.dtype, 'dtype')})")

    def _all(self, group: Group) -> list[str]:
        """The calls of a group, by machine code or block after block."""
        if group.chain is not None:
            return self._kernel(group, [(0, group.chain.n)])
        edges = range(0, group.n, group.rows)
        return self._loop(group, [(row, min(row + group.rows, group.n)) for row in edges])

    def _kernel(self, group: Group, spans: list[tuple[int, int]]) -> list[str]:
        """The lines that do a chain for these rows."""
        assert group.chain is not None
        function, operands = self._compiled(group.chain)
        arrays = "".join(f"{each}, " for each in operands)
        lines = []
        for first, stop in spans:
            name = self._new("rows")
            self._bind.append(
                f"{name} = {self._global(table)}(keep, ({arrays}), {first}, {stop}, {group.chain.width})"
            )
            lines.append(f"{function}({name})")
        return lines

    def _compiled(self, chain: Chain) -> tuple[str, list[str]]:
        """The name of a chain's machine code, and what its table points to."""
        if id(chain) not in self._kernels:
            kernel = Kernel(chain, self._stored, self._name, self._scalar, self._streamed)
            self._kernels[id(chain)] = self._global(kernel.function, "kernel"), kernel.operands
        return self._kernels[id(chain)]

    def _stored(self, value: Value) -> bool:
        return value not in self.plan.registers

    def _streamed(self, value: Value) -> bool:
        return self.plan.home(value) in self.plan.streamed

    def _loop(self, group: Group, blocks: list[tuple[int, int]], lane: int = 0) -> list[str]:
        """The lines of a group for these blocks, with scratch memory for this lane."""
        for call in group.calls:
            if isinstance(call.result, Value) and call.result in self.plan.scratch:
                shape = (group.rows, *call.result.array.shape[1:])
                nbytes = math.prod(shape) * call.result.array.itemsize
                self._place(call.result, ("scratch", 64 * lane + self.plan.scratch[call.result]), shape, nbytes)
        names: dict[tuple[str, bool], str] = {}
        slices: list[str] = []
        uneven = any(stop - start != group.rows for start, stop in blocks)

        def sliced(call: Call, value: Value) -> str:
            assert isinstance(call.result, Value)
            aligned = value.array.ndim == call.result.array.ndim or call.kind == "reduce"
            key = self._name(value), aligned and value.array.shape[0] == group.n
            if not key[1] or (value in self.plan.scratch and not uneven):
                return key[0]
            if key not in names:
                names[key] = self._new("t")
                rows = "[: end - row]" if value in self.plan.scratch else "[row:end]"
                slices.append(f"{names[key]} = {key[0]}{rows}")
            return names[key]

        calls = [self._call(call, partial(sliced, call), group, uneven) for call in group.calls]
        return [
            f"for row, end in {self._global(tuple(blocks), 'blocks')}:",
            *(f"    {line}" for line in [*slices, *calls]),
        ]

    def _place(self, value: Value, name: tuple[str, int], shape: tuple[int, ...], nbytes: int) -> None:
        """Give the value its bytes; values in the same place have the same name."""
        key = name, shape, value.array.dtype
        if key not in self._places:
            used = math.prod(shape) * value.array.itemsize
            array = self.memory(name, nbytes)[:used].view(value.array.dtype).reshape(shape)
            self._places[key] = array, self._global(array, "a" if name[0] == "slot" else "s")
        self._fixed[value], value.name = self._places[key]

    # one call

    def _call(
        self, call: Call, name: Callable[[Value], str], group: Group | None = None, uneven: bool = False
    ) -> str:
        value = call.result
        assert isinstance(value, Value)
        out = name(value)
        if call.kind == "elementwise":
            dtype = _common(call)
            whole = call.function in _WHOLE
            operands = [
                name(each)
                if isinstance(each, Value)
                else self._filled(each, call, group, uneven)
                if whole and isinstance(each, int | float)
                else self._scalar(each, dtype)
                for each in call.arguments
            ]
            return f"{self._global(call.function)}({', '.join(operands)}, out={out})"
        operands = [name(each) for each in call.reads]
        if call.kind == "product":
            return f"{self._global(call.function)}({', '.join(operands)}, {out})"
        if call.kind == "inner":
            return f"{self._global(np.dot)}({', '.join(operands)}, {out})"
        if call.kind == "join":
            return f"{self._global(np.concatenate)}(({', '.join(operands)},), 0, {out})"
        (x,) = call.reads
        axis, keep = call.options["axis"], call.options["keepdims"]
        if call.function is np.add and x.array.ndim == 2 and axis in (0, 1, -1):  # as a product with ones: faster
            n, m = x.array.shape
            shape = {(0, True): (1, n), (0, False): (n,), (1, True): (m, 1), (1, False): (m,)}[axis % 2, keep]
            ones = self._global(np.ones(shape, x.array.dtype), "ones")
            pair = f"{ones}, {operands[0]}" if axis == 0 else f"{operands[0]}, {ones}"
            return f"{self._global(np.dot)}({pair}, {out})"
        reduce: Any = call.function
        function = self._global(reduce.reduce, f"{reduce.__name__}_reduce")
        if x.array.ndim == 2 and axis in (1, -1) and keep and x.array.shape[1] <= NARROW:
            columns = np.empty(x.array.shape[::-1], x.array.dtype)
            return f"{self._global(of_few_columns)}({function}, {operands[0]}, {self._global(columns, 's')}, {out})"
        return f"{function}({operands[0]}, {axis}, None, {out}, {keep})"

    def _plain(self, call: Call) -> str:
        """A call as it was recorded."""
        if call.function is np.matrix_transpose and call.arguments[0].array.ndim == 2:
            return f"{self._name(call.arguments[0])}.T"
        arguments = [self._tree(each) for each in call.arguments]
        arguments += [f"{name}={self._tree(each)}" for name, each in call.options.items()]
        return f"{self._global(call.function)}({', '.join(arguments)})"

    def _tree(self, tree: Any) -> str:
        if isinstance(tree, tuple):
            return f"({''.join(self._tree(each) + ', ' for each in tree)})"
        if isinstance(tree, list):
            return f"[{', '.join(map(self._tree, tree))}]"
        if isinstance(tree, Value):
            return self._name(tree)
        if isinstance(tree, Number):
            return tree.name
        if tree is ...:
            return "..."
        if isinstance(tree, str | int | float | slice | None):
            return repr(tree)
        return self._global(tree)

    # names

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _name(self, value: Value) -> str:
        if not value.name:
            raise AssertionError("a value is used before it is made")
        return value.name

    def _hold(self, value: Value, array: NDArray[Any]) -> None:
        self._fixed[value] = array
        value.name = self._global(array, "c" if value in self.plan.constants else "a")

    def _global(self, thing: Any, prefix: str = "") -> str:
        """The name of a function or array among those the source may use."""
        name = prefix or getattr(thing, "__name__", type(thing).__name__)
        if not name.isidentifier() or name in _TAKEN:
            name = self._new("f")
        if isinstance(thing, np.ndarray | tuple) or self.names.get(name, thing) is not thing:
            name = self._new(name)
        self.names[name] = thing
        return name

    def _filled(self, number: float, call: Call, group: Group | None, uneven: bool) -> str:
        """An array full of a number, of the shape of the call's result or of a block of it."""
        assert isinstance(call.result, Value)
        like = call.result.array
        shape = (group.rows, *like.shape[1:]) if group else like.shape
        key = (type(number), number, shape), like.dtype
        if key not in self._numbers:
            self._numbers[key] = self._global(np.full(shape, number, like.dtype), "full")
        return self._numbers[key] + ("[: end - row]" if uneven else "")

    def _scalar(self, number: Any, dtype: Any) -> str:
        """A number as an array without axes: NumPy takes it faster than a Python number."""
        if isinstance(number, str | type(None)):
            return repr(number)
        sample = number.sample if isinstance(number, Number) else number
        wanted = np.result_type(dtype, sample)
        key = (id(number) if isinstance(number, Number) else (type(number), number), wanted)
        if key not in self._numbers:
            box = np.asarray(sample, wanted)
            self._numbers[key] = self._global(box, "k")
            if isinstance(number, Number):
                self._run.append(f"{self._numbers[key]}[()] = {number.name}")
        return self._numbers[key]


NARROW = 32
"""Up to so many columns NumPy reduces the transposed matrix faster."""


def of_few_columns(reduce: Callable[..., Any], x: NDArray[Any], columns: NDArray[Any], out: NDArray[Any]) -> None:
    """``reduce(x, axis=1, keepdims=True, out=out)``, column after column, each in one piece."""
    columns = columns[:, : len(x)]
    np.copyto(columns, x.T)
    reduce(columns, 0, None, out.reshape(-1))


_WHOLE = (np.maximum, np.minimum)
"""Functions that NumPy runs about three times faster with an array of one number than with the number."""


def _common(call: Call) -> Any:
    """The dtype that numbers among the arguments take on."""
    dtypes = [each.array.dtype for each in call.reads]
    return np.result_type(*dtypes) if dtypes else np.dtype(bool)


def fill(tree: Any, arrays: Mapping[Value, NDArray[Any]]) -> Any:
    """A tree of arguments with the arrays for its values."""
    if isinstance(tree, tuple | list):
        return type(tree)(fill(each, arrays) for each in tree)
    if isinstance(tree, dict):
        return {name: fill(each, arrays) for name, each in tree.items()}
    return arrays[tree] if isinstance(tree, Value) else tree
