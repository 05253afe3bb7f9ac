"""Element-wise calls that follow each other as one loop of machine code.

NumPy reads and writes whole arrays at every call. A *kernel* does the calls of a whole chain for one element before
it goes to the next: what lives within the chain never reaches memory. It is the recorded calls once more, rounded
alike, so it gives the same bits, but that sums along short rows are added up in another order, that of 0 and -0 the
maximum is 0, that on x86 subnormal numbers are 0, and that nothing warns. Without LLVM NumPy does the calls, see
`xpnn.compiler.llvm`.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler.chains import BOOLEAN, COMPARE, FLOAT, FUNCTIONS, INTEGER, TYPES, Chain
from xpnn.compiler.llvm import compiled, flushing
from xpnn.compiler.record import cast, where
from xpnn.compiler.recording import Call, Number, Value
from xpnn.compiler.streams import LINE, SETTLED, STREAM


@dataclass(eq=False)
class _Node:
    """A number on its way: one for each element, each row, along each row, or for all (`role`); ready at a `stage`.

    Each stage is a loop over a row: what needs the sum of a row waits for the next. A node is the result of an
    instruction, is loaded from where `pointer` points, or is the sum of a row (`start` is what it begins with).
    """

    role: str  # "element", "row", "along", "one"
    dtype: Any
    stage: int = 0
    arguments: tuple[_Node, ...] = ()
    instruction: str = ""  # with {0}, {1}, … for the arguments
    pointer: str = ""
    start: str = ""
    name: str = ""

    @property
    def loop(self) -> int:
        """The number of the loop over a row that makes it."""
        return self.stage - 1 if self.start else self.stage


class Kernel:
    """A chain as the text of an LLVM function, ``kernel(table)``.

    The table holds the addresses of `operands` and then the first row, the row to stop before, and the chain's width.
    The width is part of the code only where numbers of a row are kept from one loop to the next: else the same code
    does for networks of any size, and is compiled once.

    Parameters
    ----------
    chain : Chain
    stored : callable
        Whether a value that the chain makes is needed afterwards.
    place : callable
        ``place(value)``: what names the memory of a value; values of the same memory have the same name.
    number : callable
        ``number(number, dtype)``: the name of the memory of a number, one that changes from step to step or one of
        those that may be other ones in other networks or for other numbers of rows: those are not in the code either.
    streamed : callable
        Whether a value is written past the caches, where one loop does all elements.

    Attributes
    ----------
    operands : list of str
        What the places are called whose addresses the table holds.
    text : str
    """

    def __init__(
        self,
        chain: Chain,
        stored: Callable[[Value], bool],
        place: Callable[[Value], str],
        number: Callable[[Number | float, Any], str],
        streamed: Callable[[Value], bool] = lambda value: False,
    ) -> None:
        self.operands: list[str] = []
        self._chain, self._place, self._number_of = chain, place, number
        self._nodes: list[_Node] = []
        self._held: dict[Value, _Node] = {}
        self._loaded: dict[tuple[str, str], _Node] = {}
        self._functions: set[str] = set()
        kept: dict[Value, _Node] = {}
        for call in chain.calls:
            assert isinstance(call.result, Value)
            node = self._held[call.result] = self._translate(call)
            if stored(call.result):
                kept[call.result] = node
        self._stores = [(node, self._pointer(place(value))) for value, node in kept.items()]
        self._flat = all(node.role in ("element", "one") for node in self._nodes)
        fit = (self._flat and streamed(value) and not node.dtype.itemsize % 4 for value, node in kept.items())
        self._streams = [i for i, streams in enumerate(fit) if streams]
        self.text = self._write()

    @property
    def function(self) -> Callable[[int], None]:
        """The compiled function, which takes the table's address."""
        return compiled(self.text, ctypes.c_void_p)

    # calls to nodes

    def _node(self, *arguments: Any, **named: Any) -> _Node:
        node = _Node(*arguments, **named)
        node.name = node.name or f"%v{len(self._nodes)}"
        self._nodes.append(node)
        return node

    def _translate(self, call: Call) -> _Node:
        assert isinstance(call.result, Value)
        dtype = call.result.array.dtype
        name = call.function.__name__
        if call.kind == "reduce":
            x = self._of(call.reads[0])
            if x.role == "element" and self._chain.width > 1:
                start = _literal({"add": 0.0, "maximum": -math.inf, "minimum": math.inf}[name], dtype)
                instruction = self._instruction(call.function, dtype, dtype)
                return self._node("row", dtype, x.stage + 1, (x,), instruction, start=start)
            return x  # rows of one
        own = call.arguments[1:] if call.function is where else call.arguments
        given = [each.array.dtype for each in own if isinstance(each, Value)]
        common = given[0] if given else dtype
        operands = [self._of(each, common) for each in own]
        if call.function is where:
            operands.insert(0, self._of(call.arguments[0]))
        shape = call.result.array.shape
        role = "element" if math.prod(shape[1:]) == self._chain.width else "row"
        stage = max(each.stage for each in operands)
        return self._node(role, dtype, stage, tuple(operands), self._instruction(call.function, common, dtype))

    def _of(self, operand: Any, dtype: Any = None) -> _Node:
        """The node of an argument: made before in the kernel, loaded, or a number."""
        if isinstance(operand, Value):
            return self._held[operand] if operand in self._held else self._load(operand)
        if isinstance(operand, Number) or (dtype.kind == "f" and 2 * operand not in _COMMON):
            return self._load_from(self._number_of(operand, dtype), dtype, "one")
        return _Node("one", dtype, name=_literal(operand, dtype))

    def _load(self, value: Value) -> _Node:
        array = value.array
        if array.size == 1:
            role = "one"
        elif array.shape[0] == self._chain.n and array.ndim == self._chain.ndim:
            role = "element" if math.prod(array.shape[1:]) == self._chain.width else "row"
        else:
            role = "along"
        return self._load_from(self._place(value), array.dtype, role)

    def _load_from(self, place: str, dtype: Any, role: str) -> _Node:
        if (place, role) not in self._loaded:
            self._loaded[place, role] = self._node(role, dtype, pointer=self._pointer(place))
        return self._loaded[place, role]

    def _pointer(self, place: str) -> str:
        if place not in self.operands:
            self.operands.append(place)
        return f"%p{self.operands.index(place)}"

    def _instruction(self, function: Any, common: Any, dtype: Any) -> str:
        """The instruction of a call on arguments of a common dtype."""
        kind, name = TYPES[common], function.__name__
        if function is where:
            return f"select i1 {{0}}, {kind} {{1}}, {kind} {{2}}"
        if function is cast:
            return f"{_conversion(common, dtype)} {kind} {{0}} to {TYPES[dtype]}"
        if name in COMPARE:
            f, i = COMPARE[name]
            return f"{f'fcmp {f}' if common.kind == 'f' else f'icmp {i}'} {kind} {{0}}, {{1}}"
        if common.kind == "f" and name in FUNCTIONS:
            kinds = [kind] * (2 if name in ("maximum", "minimum") else 1)
            symbol = f"@llvm.{FUNCTIONS[name]}.f{8 * common.itemsize}"
            self._functions.add(f"declare {kind} {symbol}({', '.join(kinds)})")
            return f"call {kind} {symbol}({', '.join(f'{kind} {{{i}}}' for i in range(len(kinds)))})"
        if name == "negative":
            return f"fneg {kind} {{0}}"
        if name == "square":
            return f"fmul {kind} {{0}}, {{0}}"
        if name in ("invert", "logical_not"):
            return "xor i1 {0}, true"
        return f"{ {'f': FLOAT, 'i': INTEGER, 'b': BOOLEAN}[common.kind][name] } {kind} {{0}}, {{1}}"

    # nodes to text

    def _write(self) -> str:
        entry: list[str] = []
        for node in self._nodes:
            if node.role == "one":
                entry += _made(node, {"one": "0"}, {})
        body = self._one_loop() if self._flat else self._loops()
        pointers = [f"%p{i}" for i in range(len(self.operands))]
        bounds = ["%lo", "%hi", "%width"]
        fetch = []
        for i, each in enumerate([*pointers, *bounds]):
            kind = "i64" if each in bounds else "ptr"
            fetch += [f"%a{i} = getelementptr i64, ptr %table, i64 {i}", f"{each} = load {kind}, ptr %a{i}"]
        taken = ", ".join([*(f"ptr noalias {each}" for each in pointers), *(f"i64 {each}" for each in bounds)])
        work = [f"call void @work({taken.replace('noalias ', '')})"]
        declared, call = flushing([*work, SETTLED] if self._streams else work)
        head = [*declared, *sorted(self._functions), f"define internal void @work({taken}) noinline {{", "entry:"]
        tail = ["end:", "ret void", "}", "define void @kernel(ptr %table) {", *fetch]
        return "\n".join([*head, *entry, *body, *tail, *call, "ret void", "}", STREAM if self._streams else ""])

    def _one_loop(self) -> list[str]:
        """One loop over all elements of the rows, block by block; before each, the next one is claimed.

        What is streamed is a block of its own first.
        """
        at = {"element": "%e"}
        kinds = {i: _memory(self._stores[i][0].dtype) for i in self._streams}
        lines = [f"%block{i} = alloca [{_BLOCK} x {kind}], align {LINE}" for i, kind in kinds.items()]
        lines += ["%first = mul i64 %lo, %width", "%last = mul i64 %hi, %width"]
        lines += ["%any = icmp slt i64 %first, %last", "br i1 %any, label %block, label %end", "block:"]
        lines += ["%begin = phi i64 [%first, %entry], [%stop, %done]"]
        lines += [*_before("%stop", "%begin"), *_before("%ahead", "%stop"), *self._claims()]
        lines += ["loop:", "%e = phi i64 [%begin, %block], [%begin, %claim], [%next, %loop]"]
        for node in self._nodes:
            if node.role == "element":
                lines += _made(node, at, {})
        lines.append("%inside = sub nuw nsw i64 %e, %begin")
        for i, (node, pointer) in enumerate(self._stores):
            where = (f"%block{i}", "%inside") if i in self._streams else (pointer, "%e")
            lines += _stored(node, f"%w{i}", *where)
        lines += ["%next = add nuw nsw i64 %e, 1", "%more = icmp slt i64 %next, %stop"]
        lines += ["br i1 %more, label %loop, label %done", "done:", "%count = sub nuw nsw i64 %stop, %begin"]
        for i, kind in kinds.items():
            node, pointer = self._stores[i]
            lines.append(f"%s{i} = getelementptr inbounds {kind}, ptr {pointer}, i64 %begin")
            lines.append(f"%s{i}.bytes = mul nuw nsw i64 %count, {node.dtype.itemsize}")
            lines.append(f"call void @stream(ptr %s{i}, ptr %block{i}, i64 %s{i}.bytes)")
        return [*lines, "%again = icmp slt i64 %stop, %last", "br i1 %again, label %block, label %end"]

    def _claims(self) -> list[str]:
        """A loop that claims for this core what is to be stored from the end of a block to `ahead`.

        What another core has read is not this one's to write until that one has let go of it.
        """
        self._functions.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        lines = ["%some = icmp slt i64 %stop, %ahead", "br i1 %some, label %claim, label %loop", "claim:"]
        lines += ["%c = phi i64 [%stop, %block], [%c.next, %claim]"]
        sizes = [1]
        for i, (node, pointer) in enumerate(self._stores):
            if i in self._streams:
                continue
            lines.append(f"%c{i} = getelementptr inbounds {_memory(node.dtype)}, ptr {pointer}, i64 %c")
            lines.append(f"call void @llvm.prefetch.p0(ptr %c{i}, i32 1, i32 3, i32 1)")
            sizes.append(node.dtype.itemsize)
        lines += [f"%c.next = add nuw nsw i64 %c, {LINE // max(sizes)}", "%c.more = icmp slt i64 %c.next, %ahead"]
        return [*lines, "br i1 %c.more, label %claim, label %loop"]

    def _loops(self) -> list[str]:
        """A loop over the rows, and in it one over each row for every stage."""
        last = max(node.stage for node in self._nodes)
        carried = self._carried()
        width = str(self._chain.width) if carried else "%width"
        lines = [f"{each} = alloca [{width} x {_memory(node.dtype)}], align 64" for node, each in carried.items()]
        lines += ["%any = icmp slt i64 %lo, %hi", "br i1 %any, label %rows, label %end", "rows:"]
        lines += [f"%i = phi i64 [%lo, %entry], [%next, %after{last}]", f"%base = mul i64 %i, {width}"]
        for stage in range(last + 1):
            for node in self._nodes:
                if node.role == "row" and node.stage == stage:
                    lines += _made(node, {"row": "%i"}, {})
            for i, (node, pointer) in enumerate(self._stores):
                if node.role == "row" and node.stage == stage:
                    lines += _stored(node, f"%w{i}", pointer, "%i")
            lines += [f"br label %before{stage}", f"before{stage}:"]
            lines += [*self._loop(stage, carried, width), f"after{stage}:"]
        lines += ["%next = add nuw nsw i64 %i, 1", "%more = icmp slt i64 %next, %hi"]
        return [*lines, "br i1 %more, label %rows, label %end"]

    def _loop(self, stage: int, carried: dict[_Node, str], width: str) -> list[str]:
        """The loop of one stage over a row."""
        elements = [n for n in self._nodes if n.stage == stage and n.role in ("element", "along")]
        sums = [n for n in self._nodes if n.start and n.loop == stage]
        if not elements and not sums:
            return [f"br label %after{stage}"]
        j, e, label = f"%j{stage}", f"%e{stage}", f"%loop{stage}"
        lines = [f"br label {label}", f"{label[1:]}:", f"{j} = phi i64 [0, %before{stage}], [{j}.next, {label}]"]
        for node in sums:
            kind = TYPES[node.dtype]
            lines += [f"{node.name}.far = phi {kind} [{node.start}, %before{stage}], [{node.name}, {label}]"]
        lines += [f"{e} = add nuw nsw i64 %base, {j}"]
        names: dict[_Node, str] = {}
        for node, pointer in carried.items():
            if node.stage < stage:
                names[node] = f"{node.name}.{stage}"
                lines += _loaded(names[node], node.dtype, pointer, j)
        for node in elements:
            lines += _made(node, {"element": e, "along": j}, names)
        for i, (node, pointer) in enumerate(self._stores):
            if node in elements:
                lines += _stored(node, f"%w{i}", pointer, e)
        for node, pointer in carried.items():
            if node.stage == stage:
                lines += _stored(node, f"{node.name}.kept", pointer, j)
        for node in sums:
            x = names.get(node.arguments[0], node.arguments[0].name)
            lines += [f"{node.name} = {node.instruction.format(f'{node.name}.far', x)}"]
        lines += [f"{j}.next = add nuw nsw i64 {j}, 1", f"{j}.more = icmp slt i64 {j}.next, {width}"]
        return [*lines, f"br i1 {j}.more, label {label}, label %after{stage}"]

    def _carried(self) -> dict[_Node, str]:
        """What is made in one loop over a row and used in a later one, and the memory that it is kept in."""
        found: dict[_Node, str] = {}
        for node in self._nodes:
            for each in node.arguments:
                if each.role in ("element", "along") and each.stage < node.loop:
                    found.setdefault(each, f"%kept{len(found)}")
        return found


_BLOCK = 512
"""Elements of a block."""


def _before(name: str, start: str) -> list[str]:
    """The end of the block that begins at `start`."""
    lines = [f"{name}.full = add nuw nsw i64 {start}, {_BLOCK}", f"{name}.fits = icmp slt i64 {name}.full, %last"]
    return [*lines, f"{name} = select i1 {name}.fits, i64 {name}.full, i64 %last"]


_COMMON = range(-16, 17)
"""Of formulas, not of data: twice a number that is part of the code."""


def _memory(dtype: Any) -> str:
    return "i8" if dtype.kind == "b" else TYPES[dtype]


def _made(node: _Node, at: dict[str, str], names: dict[_Node, str]) -> list[str]:
    """The lines that make a node; `at` holds the index for each role, `names` what nodes are called here."""
    if node.pointer:
        return _loaded(node.name, node.dtype, node.pointer, at[node.role])
    if node.start:
        return []
    return [f"{node.name} = {node.instruction.format(*(names.get(n, n.name) for n in node.arguments))}"]


def _loaded(name: str, dtype: Any, pointer: str, index: str) -> list[str]:
    kind = _memory(dtype)
    lines = [f"{name}.at = getelementptr inbounds {kind}, ptr {pointer}, i64 {index}"]
    if dtype.kind == "b":
        return [*lines, f"{name}.byte = load i8, ptr {name}.at", f"{name} = icmp ne i8 {name}.byte, 0"]
    return [*lines, f"{name} = load {kind}, ptr {name}.at"]


def _stored(node: _Node, name: str, pointer: str, index: str) -> list[str]:
    kind, value = _memory(node.dtype), node.name
    lines = [f"{name}.to = getelementptr inbounds {kind}, ptr {pointer}, i64 {index}"]
    if node.dtype.kind == "b":
        value = f"{name}.bits"
        lines += [f"{value} = zext i1 {node.name} to i8"]
    return [*lines, f"store {kind} {value}, ptr {name}.to"]


def _literal(number: float, dtype: Any) -> str:
    """A number as LLVM writes it."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            exact = float(np.asarray(number, dtype))
        return f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
    return str(int(number))


def _conversion(one: Any, other: Any) -> str:
    """The instruction that makes a number of the other dtype of one."""
    wider = other.itemsize > one.itemsize
    if one == other:
        return "bitcast"
    if other.kind == "f":
        return {"f": "fpext" if wider else "fptrunc", "i": "sitofp", "b": "uitofp"}[one.kind]
    if one.kind == "f":
        return "fptosi"
    return "zext" if one.kind == "b" else "sext" if wider else "trunc"


def table(keep: list[Any], arrays: tuple[NDArray[Any], ...], first: int, stop: int, width: int) -> int:
    """The address of a kernel's table, which lives as long as `keep`."""
    assert all(each.flags.c_contiguous for each in arrays)
    entries = (ctypes.c_int64 * (len(arrays) + 3))(*(each.ctypes.data for each in arrays), first, stop, width)
    keep.append((entries, arrays))
    return ctypes.addressof(entries)
