"""A step of training on several threads at once.

NumPy's matrix products use several threads by themselves, but nothing else does, and while the threads of a product
wait for the next one they keep the processor's cores busy. So in large steps each product is kept on one thread, and
each thread, a *lane*, does its share of everything: see `xpnn.compiler.shares`. There are two points of a step where
lanes wait for each other: when all rows have gone forward and back, and when all parameters are updated.
"""

from __future__ import annotations

import itertools
from functools import partial

from xpnn.compiler.emit import Emitter, Memory
from xpnn.compiler.parallel import on_threads
from xpnn.compiler.plan import Group, Plan
from xpnn.compiler.recording import Call, Recording, Value
from xpnn.compiler.shares import Shares, share


class LaneEmitter(Emitter):
    """Writes a step as one function for each phase and lane.

    Parameters
    ----------
    recording : Recording
    memory : callable
        As `Emitter`'s.
    lanes : int

    Raises
    ------
    CannotShare
        If the step cannot be shared out.
    """

    def __init__(self, recording: Recording, memory: Memory, lanes: int, *, chained: bool = True) -> None:
        self.shares: Shares = share(recording)
        self.lanes = lanes
        super().__init__(Plan(recording, self.shares, chained=chained), memory)

    def _work(self) -> None:
        shares = self.shares
        late = {id(call) for call in (*shares.rows, *shares.sums, *shares.update)}
        for call in self.plan.recording.calls:
            if call.result in self.plan.constants or call is shares.join or call in shares.last:
                continue
            if call.kind == "number":
                self._number(call)
            elif call.kind == "view":
                self._view(call)
            elif id(call) in late:
                self._allocate(call)
            else:
                self._straight(call)
        phases = [[phase(k) for k in range(self.lanes)] for phase in (self._rows, self._sums_and_update)]
        for i, lanes in enumerate(phases):
            for k, lines in enumerate(lanes):
                self._run += [f"def lane_{i}_{k}():", *(f"    {line}" for line in lines or ["pass"])]
            names = ", ".join(f"lane_{i}_{k}" for k in range(self.lanes))
            self._run.append(f"{self._global(on_threads)}(({names},))")
        for call in shares.last:
            self._straight(call)

    def _cut(self, n: int, k: int) -> int:
        return n * k // self.lanes

    def _rows(self, k: int) -> list[str]:
        """What one lane does with its rows."""
        start, stop = (self._cut(self.shares.n, each) for each in (k, k + 1))
        names: dict[Value, str] = {}
        slices: list[str] = []

        def name(value: Value) -> str:
            if value not in self.shares.of_rows:
                return self._name(value)
            if value not in names:
                if value in self._fixed:
                    names[value] = self._global(self._fixed[value][start:stop], "r")
                else:
                    names[value] = self._new("r")
                    slices.append(f"{names[value]} = {self._name(value)}[{start}:{stop}]")
            return names[value]

        some = Group([], stop - start, stop - start)
        lines = []
        rows = {id(call) for call in self.shares.rows}
        for group in self.plan.groups:
            if id(group.calls[0]) in rows and group.chain is not None:
                lines += self._kernel(group, [(start, stop)])
            elif id(group.calls[0]) in rows:
                lines += [self._call(call, name, some) for call in group.calls]
        return [*slices, *lines]

    def _sums_and_update(self, k: int) -> list[str]:
        """One lane's rows of each gradient, and the update of the elements that they are."""
        lines: list[str] = []
        spans: list[tuple[int, int]] = []
        for call in self.shares.sums:
            assert isinstance(call.result, Value)
            start = self.plan.parts.get(call.result, (None, None))[1]
            if call.kind != "product":  # small: the last lane takes the sums that are gradients, the first the loss
                if k == (0 if start is None else self.lanes - 1):
                    lines.append(self._call(call, self._name))
                    mine = (0, call.result.array.size)
                else:
                    continue
            else:
                rows, width = call.result.array.shape
                first, last = self._cut(rows, k), self._cut(rows, k + 1)
                lines.append(self._call(call, partial(self._rows_of, call, first, last)))
                mine = (first * width, last * width)
            if start is not None:
                spans.append((start + mine[0], start + mine[1]))
        update = {id(call) for call in self.shares.update}
        for group in (each for each in self.plan.groups if id(each.calls[0]) in update):
            lines += (
                self._kernel(group, _joined(spans))
                if group.chain
                else self._loop(group, _blocks(spans, group.rows), k)
            )
        return lines

    def _rows_of(self, call: Call, first: int, last: int, value: Value) -> str:
        """Of a product: its result and its first factor cut to some rows."""
        if value is not call.result and value is not call.reads[0]:
            return self._name(value)
        if value in self._fixed:
            return self._global(self._fixed[value][first:last], "r")
        return f"{self._name(value)}[{first}:{last}]"


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans, joined where they meet."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        if stop > start:
            joined.append((start, stop))
    return joined


def _blocks(spans: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """The spans, joined where they meet, in blocks of about the same size and at most so large."""
    blocks = []
    for start, stop in _joined(spans):
        count = -(-(stop - start) // most)
        cuts = [start + (stop - start) * i // count for i in range(count + 1)]
        blocks += list(itertools.pairwise(cuts))
    return blocks
