"""Put the calls of a recording into an order in which more of those that machine code can do stand together."""

from __future__ import annotations

from collections import defaultdict, deque
from heapq import heappop, heappush

from xpnn.compiler.chains import Chain
from xpnn.compiler.recording import Call, Recording, Value, flat


def schedule(recording: Recording, *, late: bool = False) -> None:
    """Do every other call as early as possible, so that chains are broken only where they have to wait for one.

    The calls of chains keep their order: one done early would keep its result in memory for longer. Chains may have
    to do with what is another array each time if `late`.
    """
    inputs = {each for each in flat(recording.inputs[1:]) if isinstance(each, Value)}
    returned = {each.owner for each in flat(recording.outputs) if isinstance(each, Value)}
    before = _before(recording.calls)
    after: defaultdict[int, list[int]] = defaultdict(list)
    for i, mine in enumerate(before):
        for j in mine:
            after[j].append(i)
    open_ = [len(mine) for mine in before]
    if late:
        inputs, returned = set(), set()
    chained = [_chains(call, inputs, returned) for call in recording.calls]
    ready = [i for i, count in enumerate(open_) if not count and not chained[i]]
    waiting = deque(i for i, chains in enumerate(chained) if chains)  # they keep their order
    order: list[Call] = []
    while ready or waiting:
        # if no other is ready, the first of those waiting is: what it waits for came before it
        chosen = heappop(ready) if ready else waiting.popleft()
        order.append(recording.calls[chosen])
        for i in after[chosen]:
            open_[i] -= 1
            if not open_[i] and not chained[i]:
                heappush(ready, i)
    recording.calls[:] = order


def _chains(call: Call, inputs: set[Value], returned: set[Value]) -> bool:
    """Whether a chain can take the call at all."""
    if any(each.owner in inputs for each in call.reads):
        return False
    if isinstance(call.result, Value) and call.result.owner in returned and not call.in_place:
        return False
    return Chain(lambda value: True).add(call)


def _before(calls: list[Call]) -> list[set[int]]:
    """For each call the numbers of those that it has to come after: whose results it takes or writes over."""
    before: list[set[int]] = []
    made: dict[object, int] = {}
    wrote: defaultdict[Value, set[int]] = defaultdict(set)
    read: defaultdict[Value, set[int]] = defaultdict(set)
    for i, call in enumerate(calls):
        leaves = list(flat((call.arguments, call.options)))
        mine = {made[id(each)] for each in leaves if id(each) in made}
        for each in call.reads:
            mine |= wrote[each.owner]
            read[each.owner].add(i)
        if isinstance(call.result, Value) and call.kind != "view":
            if call.in_place:
                mine |= wrote[call.result.owner] | read[call.result.owner]
            wrote[call.result.owner].add(i)
        made.setdefault(id(call.result), i)
        before.append(mine - {i})
    return before
