"""Recorded functions of which several threads do the long calls together, each a part of the rows.

Between these calls one thread is enough: what others would do there takes less time than telling them. Matrix
products are those of `xpnn.compiler.gemm`. Without `xpnn.compiler.team` there is one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnn.compiler import Compiled, gemm, team
from xpnn.compiler.emit import Emitter, Memory
from xpnn.compiler.kernels import table
from xpnn.compiler.plan import Group, Plan
from xpnn.compiler.recording import Call, Recording, Value
from xpnn.compiler.team import Team
from xpnn.compiler.trial import Trial

CHAIN = 1 << 17
"""Elements of a chain times calls times bytes of a number that a thread should have to do: some two microseconds."""

GAIN = 0.05
"""The part of a step's time that others must save to be kept awake."""


def available() -> bool:
    """Whether a team does all that is long: else products would be left to one thread of NumPy's library."""
    return team.available() and gemm.available()


class TeamEmitter(Emitter):
    """Writes what one thread does, with a team for the long calls if there is one."""

    def __init__(self, plan: Plan, memory: Memory, team: Team | None = None) -> None:
        self._team, self._lanes = team, team.lanes if team else 1
        self._forks = False
        super().__init__(plan, memory)

    def _work(self) -> None:
        start = len(self._run)
        super()._work()
        if self._forks:
            assert self._team is not None
            trial = Trial(GAIN)
            self._run.insert(start, f"{self._global(self._team.wake)}({self._global(trial.begin)}())")
            self._run.append(f"{self._global(trial.end)}()")

    def _multiply(self, call: Call) -> str:
        assert isinstance(call.result, Value)
        out, k = call.result.array, call.reads[0].array.shape[1]
        parts = gemm.parts(out.shape, k, out.dtype, self._lanes) if call.function is np.dot else 0
        if not parts:
            return super()._multiply(call)
        self._forks = self._forks or parts > 1
        arguments = f"{self._global(self._team, 'team')}, {parts}" if parts > 1 else ""
        name = self._new("product")
        # made in `bind`: it gets to know the state's arrays, and is to go when they go
        self._bind.append(f"{name} = {self._global(gemm.Product)}({arguments})")
        return name

    def _kernel(self, group: Group, spans: list[tuple[int, int]]) -> list[str]:
        chain = group.chain
        assert chain is not None
        size = max(each.array.itemsize for call in chain.calls for each in call.reads)
        parts = min(self._lanes, chain.n * chain.width * len(chain.calls) * size // CHAIN)
        if parts < 2:
            return super()._kernel(group, spans)
        self._forks = True
        ((first, stop),) = spans
        cuts = tuple(first + (stop - first) * i // parts for i in range(parts + 1))
        function, arrays = self._compiled(group)
        name, members = self._new("rows"), self._global(self._team, "team")
        self._bind.append(
            f"{name} = {self._global(_parted)}(keep, {members}, {function}, ({arrays}), {cuts}, {chain.width})"
        )
        return [f"{members}.fork({name})"]


def _parted(
    keep: list[Any],
    team: Team,
    kernel: Callable[[int], None],
    arrays: tuple[NDArray[Any], ...],
    cuts: tuple[int, ...],
    width: int,
) -> int:
    """The table of a kernel's parts."""
    return team.table(keep, kernel, [table(keep, arrays, first, stop, width) for first, stop in pairwise(cuts)])


class Together(Compiled):
    """`Compiled` for as many threads as it is told to use: one, to begin with."""

    _team: Team | None = None

    def use(self, lanes: int) -> None:
        """So many from now on, if there can be teams."""
        if lanes != (1 if self._team is None else self._team.lanes) and available():
            self._team = Team(lanes) if lanes > 1 else None
            self.programs.clear()
            self._latest = None

    def _emitter(self, recording: Recording, chained: bool) -> Emitter:
        return TeamEmitter(Plan(recording, chained=chained), self._bytes, self._team)
