"""Which of the usable array libraries trains a given network fastest here: found by trying."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from xpnn import arrays, backends
from xpnn.losses import Loss
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.training.step import State, make_step
from xpnn.typing import HostArray

_WORTH_TRYING = 10.0  # seconds of training; below it, loading other libraries takes longer than they could save
_TRIAL = 0.2  # seconds of steps to time


@dataclass(frozen=True)
class Choice:
    """A library and device, and why.

    Attributes
    ----------
    backend, device : str
    reason : str
        What was measured, for people.
    """

    backend: str
    device: str
    reason: str


def choose(
    network: Sequential, loss: Loss, optimizer: Optimizer, x: HostArray, y: HostArray, *, steps: int
) -> Choice:
    """The fastest usable library and device for that many steps on batches like x and y.

    NumPy is timed first. Only if training with it would take longer than loading other libraries does are they
    tried too, each on its best device.
    """
    first = backends.get("numpy")
    took = {("numpy", "cpu"): _seconds_per_step(first, None, network, loss, optimizer, x, y)}
    total = took["numpy", "cpu"] * steps
    if total < _WORTH_TRYING:
        return Choice("numpy", "cpu", f"about {max(total, 0.1):.1f} s of training, too short to load another library")
    for name in backends.KNOWN:
        if name == "numpy" or not (backend := backends.get_if_usable(name)):
            continue
        device = backend.device_names()[0]
        try:
            took[name, device] = _seconds_per_step(backend, device, network, loss, optimizer, x, y)
        except Exception:  # a library that fails is not the fastest one
            continue
    (name, device), _ = min(took.items(), key=lambda item: item[1])
    times = ", ".join(
        f"{n} {1e3 * seconds:.3g}" for (n, _), seconds in sorted(took.items(), key=lambda item: item[1])
    )
    return Choice(name, device, f"the fastest here, ms per step: {times}")


def _seconds_per_step(
    backend: backends.Backend,
    device: str | None,
    network: Sequential,
    loss: Loss,
    optimizer: Optimizer,
    x: HostArray,
    y: HostArray,
) -> float:
    xp, where = backend.namespace(), backend.device(device)
    a, b = (arrays.from_host(host, xp, device=where) for host in (x, y))
    step = make_step(network, loss, optimizer, xp=xp, backend=backend)
    params = network.init(0, like=a)
    state = State(params, optimizer.init(params, xp=xp), 0)
    state = _run(step, state, a, b, backend)  # warms up: compiles, allocates
    start, count = time.perf_counter(), 0
    while count < 3 or (time.perf_counter() - start < _TRIAL and count < 1000):
        state = _run(step, state, a, b, backend)
        count += 1
    return (time.perf_counter() - start) / count


def _run(step: Any, state: State, x: Any, y: Any, backend: backends.Backend) -> State:
    new, loss = step(state, x, y, None)
    backend.synchronize(loss)
    return new
