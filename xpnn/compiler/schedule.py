"""Put the calls of a recording into an order in which more of those that machine code can do stand together."""

from __future__ import annotations

from collections import defaultdict

from xpnn.compiler.chains import Chain
from xpnn.compiler.record import Call, Recording, Value, _flat


def schedule(recording: Recording) -> None:
    """Do every other call as early as possible, so that chains are broken only where they have to wait for one.

    The calls of chains keep their order: one done early would keep its result in memory for longer.
    """
    inputs = {each for each in _flat(recording.inputs[1:]) if isinstance(each, Value)}
    returned = {each.owner for each in _flat(recording.outputs) if isinstance(each, Value)}
    before = _before(recording.calls)
    done: set[int] = set()
    order: list[Call] = []
    waiting = list(range(len(recording.calls)))
    chained = [_chains(call, inputs, returned) for call in recording.calls]
    while waiting:
        ready = [i for i in waiting if before[i] <= done]
        # the first that is ready is, if need be, the first of all: there is always one
        chosen = next((i for i in ready if not chained[i]), waiting[0])
        order.append(recording.calls[chosen])
        waiting.remove(chosen)
        done.add(chosen)
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
        leaves = list(_flat((call.arguments, call.options)))
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
