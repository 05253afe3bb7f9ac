"""Recorded functions as regions of machine code, with what is left to Python in between.

See `xpnn.compiler.regions`. If there are several lanes, a team does the longer regions. Needs products that machine
code can call, `xpnn.compiler.gemm`; without `xpnn.compiler.team` there is one lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import Compiled, gemm, loops, sequence, team
from xpnn.compiler.emit import Emitter, Memory, fill
from xpnn.compiler.exchange import Exchange
from xpnn.compiler.plan import Plan
from xpnn.compiler.planner import turned
from xpnn.compiler.recording import Call, Recording, Value
from xpnn.compiler.regions import Region, Work
from xpnn.compiler.schedule import schedule
from xpnn.compiler.sequence import Late, Sequence, Spread, cuts
from xpnn.compiler.streams import LINE
from xpnn.compiler.team import Team
from xpnn.compiler.trial import Trial

FEW = 8
"""Lines of a cache that a sum has up to which its parts are not streamed."""

GAIN = 0.05
"""The part of a step's time that others must save to be kept awake."""


def available() -> bool:
    """Whether a team does all that is long: else products would be left to one thread of NumPy's library."""
    return team.available() and gemm.available()


class RegionEmitter(Emitter):
    """Writes regions, each as one call of a `Sequence`, and what Python does between them.

    Parameters
    ----------
    plan : Plan
    memory : callable
        As `Emitter` takes it.
    team : Team, optional
        Whose threads are the lanes, if there are several.
    help : bool, optional
        Whether the others of the team do their parts; by default what takes less time is found out.
    alone : callable, optional
        The ``bind`` of a program that does the same, for when they do not.
    """

    def __init__(
        self,
        plan: Plan,
        memory: Memory,
        team: Team | None = None,
        *,
        help: bool | None = None,
        alone: Callable[..., Any] | None = None,
    ) -> None:
        self._team, self._help, self._alone = team, help, alone
        self._views: dict[Value, Call] = {}  # of what is there only when the function runs; written where needed
        self._sums: dict[Value, _Sum] = {}
        self._spread: dict[str, str] = {}
        self._copies: dict[Value, str] = {}
        self._given: dict[Value, int] = {}  # to the sequence that is being written
        self._partials = 0
        super().__init__(plan, memory)

    def _work(self) -> None:
        for call in self.plan.recording.calls:
            if call.kind == "number":
                self._number(call)
            elif call.kind == "view" and isinstance(call.result, Value) and call.result not in self.plan.constants:
                if self._early(call):
                    self._view(call)
                else:
                    self._views[call.result] = call
        start, shared = len(self._run), False
        for each in self.plan.order:
            if isinstance(each, Region):
                self._region(each)
                shared = shared or each.lanes > 1
            else:
                self._straight(each.calls[0])
        if shared:
            self._run[start:start] = self._begin()

    def _begin(self) -> list[str]:
        """The lines that come before regions of several lanes; one of those after them is written."""
        assert self._team is not None
        wake = self._global(self._team.wake)
        if self._help is not None:
            return [f"{wake}({self._help})"]
        trial = Trial(GAIN)
        begin, end = self._global(trial.begin), self._global(trial.end)
        self._run.append(f"{end}()")
        if self._alone is None:
            return [f"{wake}({begin}())"]
        self._bind.append(f"alone = {self._global(self._alone)}(state)")
        inputs = ", ".join(f"input_{i}" for i in range(len(self.plan.recording.inputs) - 1))
        return [
            f"if not {begin}():",
            f"    result = alone({inputs})",
            f"    {end}()",
            "    return result",
            f"{wake}(True)",
        ]

    def _name(self, value: Value) -> str:
        if value in self._views:
            self._view(self._views.pop(value))
        return super()._name(value)

    def _region(self, region: Region) -> None:
        """The lines that make a sequence, and the one that does it."""
        name, self._given = self._new("region"), {}
        write = {"kernel": self._chain, "loop": self._function, "product": self._product, "partial": self._partial,
                 "sum": self._sum, "total": self._total, "stream": self._stream}  # fmt: skip
        lines = []
        for work in region.works:
            for call in work.calls:
                if work.how != "total":
                    self._allocate(call)
            lines.append(f"{name}.{work.how}({', '.join(map(str, write[work.how](work, region.lanes)))})")
        members = self._global(self._team, "team") if region.lanes > 1 else "None"
        arguments = list(map(self._name, self._given))
        self._bind += [f"{name} = {self._global(Sequence)}({members}, {region.lanes}, {len(arguments)})", *lines]
        self._run.append(f"{name}({', '.join(arguments)})")

    # where each lane has its rows

    def _place(self, value: Value, name: tuple[str, int], shape: tuple[int, ...], nbytes: int) -> None:
        lanes, gap = self.plan.spread.get(name[1], (1, 0)) if name[0] == "slot" else (1, 0)
        nbytes += (lanes - 1) * gap
        super()._place(value, name, shape, nbytes)
        if lanes > 1 and value.name not in self._spread:
            memory, like = self.memory(name, nbytes), self._fixed[value]
            own = (memory[gap * lane :][: like.nbytes].view(like.dtype).reshape(shape) for lane in range(lanes))
            self._spread[value.name] = self._global(Spread(tuple(own)), "spread")

    def _view(self, call: Call) -> None:
        super()._view(call)
        assert isinstance(call.result, Value)
        spread = [self._spread[each.name] for each in call.reads if each.name in self._spread]
        if spread and call.result in self._fixed:
            (base,), (name,) = call.reads, spread
            arrays = self.names[name].of
            filled = (fill((call.arguments, call.options), {base: each}) for each in arrays)
            own = tuple(call.function(*arguments, **options) for arguments, options in filled)
            self._spread[call.result.name] = self._global(Spread(own), "spread")

    # what a sequence is told of each work

    def _chain(self, work: Work, lanes: int) -> list[Any]:
        assert work.chain is not None
        function, operands = self._compiled(work.chain)
        touched = [each for call in work.calls for each in (*call.reads, call.result) if isinstance(each, Value)]
        late = {each.name: each for each in touched if self.plan.late(each)}
        arrays = [self._array(late[each]) if each in late else self._spread.get(each, each) for each in operands]
        return [function, _tuple(arrays), work.pieces, work.chain.width]

    def _function(self, work: Work, lanes: int) -> list[Any]:
        (call,) = work.calls
        values = [each for each in (*call.arguments, call.result) if isinstance(each, Value)]
        shape, size = values[-1].array.shape, values[-1].array.size
        loop = loops.loop(call.function, *(each.array.dtype for each in values))
        n = shape[0] if shape else 1
        return [loop, _tuple(map(self._array, values)), n, size // n]

    def _product(self, work: Work, lanes: int) -> list[Any]:
        (call,) = work.calls
        assert isinstance(call.result, Value)
        if call.kind == "product":
            a, b = call.arguments
            return [self._factor(a, work.copies), self._copy(b, work.copies), self._array(call.result)]
        (x,) = call.reads  # summed up along its rows
        n, m = x.array.shape
        return [self._array(x), self._ones((m, 1), x), self._array(call.result, (n, 1))]

    def _partial(self, work: Work, lanes: int) -> list[Any]:
        (call,) = work.calls
        assert isinstance(call.result, Value)
        shape: tuple[int, ...] = call.result.array.shape
        if call.kind == "product":
            a, b = call.arguments
            n, factors = b.array.shape[0], (self._factor(a), self._array(b))
        elif call.kind == "inner":
            a, b = call.arguments
            n, shape = a.array.size, (1, 1)
            factors = self._array(a, (1, n)), self._array(b, (n, 1))
        else:  # summed up along its columns
            (x,) = call.reads
            n, shape = x.array.shape[0], (1, x.array.shape[1])
            factors = self._ones((1, n), x), self._array(x)
        streams = self.plan.streams and call.result.array.nbytes >= FEW * LINE
        parts, shown = self._in_parts(call, n, lanes, shape, streams=streams)
        return [*factors, parts, shown, work.pieces]

    def _sum(self, work: Work, lanes: int) -> list[Any]:
        (call,) = work.calls
        (x,) = call.reads
        assert isinstance(call.result, Value)
        n = x.array.shape[0] if x.array.ndim else 1
        parts, _ = self._in_parts(call, n, lanes, call.result.array.shape)
        return [self._array(x), parts, n, x.array.size // n]

    def _in_parts(
        self, call: Call, n: int, lanes: int, shape: tuple[int, ...], *, streams: bool = False
    ) -> tuple[str, str]:
        """Memory for what each lane's rows of n add to a sum, and for what it shows of it, if that is streamed.

        The first one's is that of the sum, if no other lane will write there what it adds up.
        """
        result = call.result
        assert isinstance(result, Value)
        count = len(cuts(n, lanes))
        streams = streams and count > 1
        parts = [self._part(result.array, shape) for _ in range(count if streams else count - 1)]
        shown = [self._part(result.array, shape) for _ in range(count if streams else 0)]
        self._sums[result] = _Sum(lanes, parts, shown)
        return _tuple(parts if streams else [self._array(result, shape), *parts]), _tuple(shown)

    def _part(self, like: NDArray[Any], shape: tuple[int, ...]) -> str:
        """Memory for a lane's part of a sum."""
        self._partials += 1
        memory = self.memory(("partial", self._partials), like.nbytes)[: like.nbytes]
        return self._global(memory.view(like.dtype).reshape(shape), "p")

    def _total(self, work: Work, lanes: int) -> list[Any]:
        (call,) = work.calls
        assert isinstance(call.result, Value)
        made, out = self._sums[call.result], self._array(call.result)
        parts = made.parts if made.shown else [out, *made.parts]
        return [out, _tuple(parts), _tuple(made.shown if lanes == made.lanes else ()), work.pieces]

    def _stream(self, work: Work, lanes: int) -> list[Any]:
        ((value, copy),) = work.copies.items()
        n = value.array.shape[0]
        self._copies[copy] = self._part(value.array, value.array.shape)
        return [self._array(value), self._copies[copy], n, value.array.size // n]

    # arrays

    def _copy(self, value: Value, copies: Mapping[Value, Value]) -> str:
        return self._copies[copies[value]] if value in copies else self._name(value)

    def _factor(self, value: Value, copies: Mapping[Value, Value] = MappingProxyType({})) -> str:
        """The left factor of a product."""
        if turned(value) and value.base is not None and value.base in copies:
            return f"{self._copy(value.base, copies)}.T"
        if turned(value) and value.base is not None and self.plan.late(value.base):
            return self._late(value.base, value.base.array, ", True")
        return self._array(value)

    def _array(self, value: Value, shape: tuple[int, ...] | None = None) -> str:
        """What a sequence is to know of an array, seen in that shape."""
        same = shape is None or shape == value.array.shape
        if self.plan.late(value):
            return self._late(value, value.array if shape is None else value.array.reshape(shape))
        name = self._name(value)
        name = self._spread.get(name, name)
        return name if same else f"{name}.reshape{shape}"

    def _late(self, value: Value, like: NDArray[Any], transposed: str = "") -> str:
        """The place of an array among the sequence's arguments."""
        argument = self._given.setdefault(value, len(self._given))
        return f"{self._global(Late)}({argument}, {self._global(like, 'like')}{transposed})"

    def _ones(self, shape: tuple[int, int], like: Value) -> str:
        return self._global(np.ones(shape, like.array.dtype), "ones")


@dataclass
class _Sum:
    """Where the parts of a sum are that lanes have made, but for one that is the result, and as they are shown."""

    lanes: int
    parts: list[str]
    shown: list[str]


def _tuple(items: Iterable[str]) -> str:
    return f"({''.join(f'{each}, ' for each in items)})"


class Together(Compiled):
    """`Compiled` in regions, for as many lanes as it is told to use: one, to begin with."""

    _team: Team | None = None
    _exchange: Exchange | None = None
    _way = True, False

    def use(self, lanes: int, *, tried: bool = True, exchanging: bool = True) -> None:
        """So many from now on, if there can be teams.

        Parameters
        ----------
        lanes : int
        tried : bool
            Whether it is found out time and again if they gain anything.
        exchanging : bool
            Whether they make something for each other, as training does and predictions do not.
        """
        if lanes != (1 if self._team is None else self._team.lanes) and available():
            team = Team(lanes) if lanes > 1 else None
            exchange = Exchange(team) if team is not None and exchanging else None  # which may take a moment
            self.programs.clear()
            self._latest, self._exchange, self._team = None, exchange, team
        way = tried, self._exchange is not None and self._exchange.streams()
        if way != self._way:
            self._way, self._latest = way, None

    @property
    def streams(self) -> bool:
        """Whether lanes exchange something, and what they do is streamed."""
        return self._way[1] and self._team is not None and self._team.helps

    def _emitter(self, recording: Recording, chained: bool) -> Emitter:
        if not (chained and gemm.available() and sequence.available()):
            return super()._emitter(recording, chained)
        schedule(recording, late=True)
        lanes = 1 if self._team is None else self._team.lanes
        tried, streams = self._way
        alone = None
        if tried and streams:
            plain = RegionEmitter(Plan(recording, lanes=lanes), self._bytes, self._team, help=False)
            alone, _ = plain.make()
        plan = Plan(recording, lanes=lanes, streams=streams)
        return RegionEmitter(plan, self._bytes, self._team, help=None if tried else True, alone=alone)
