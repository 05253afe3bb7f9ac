"""Which of the usable array libraries trains a given network fastest here: found by trying."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from xpnn import arrays, backends
from xpnn.errors import BackendError
from xpnn.losses import Loss
from xpnn.network import Sequential
from xpnn.optimizers import Optimizer
from xpnn.training.step import first_state, make_step
from xpnn.typing import Array, HostArray

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
    network: Sequential,
    loss: Loss,
    optimizer: Optimizer,
    x: HostArray,
    y: HostArray,
    *,
    steps: int,
    device: str | None = None,
    trying: Callable[[str], object] | None = None,
) -> Choice:
    """The fastest usable library and device for that many steps on batches like x and y.

    NumPy is timed first. Only if training with it would take longer than loading other libraries does are they
    tried too, each on the device asked for or on its best one; `trying` is called with the name of each of these
    before that, as it takes seconds.

    Raises
    ------
    BackendError
        If no usable library has the device.
    """
    took: dict[tuple[str, str], float] = {}
    failed: list[str] = []
    for name in backends.installed():
        if any(seconds * steps < _WORTH_TRYING for seconds in took.values()):
            break
        if took and trying is not None:
            trying(name)
        try:
            where = backends.usable_device(name, device)
            took[name, where] = _seconds_per_step(backends.get(name, where), where, network, loss, optimizer, x, y)
        except Exception as error:  # a library that fails, in whatever way, is not the fastest one
            failed.append(f"{name}: {backends.first_line(error)}")
    if not took:
        if device:
            raise BackendError(f"no library here can train on device {device!r}: 'xpnn devices' lists what there is.")
        raise BackendError(f"no library can take a step of this training. {'; '.join(failed)}")
    ranking = sorted(took.items(), key=lambda item: item[1])
    (name, where), seconds = ranking[0]
    if len(took) > 1:
        reason = "ms per step: " + ", ".join(f"{n} {1e3 * s:.3g}" for (n, _), s in ranking)
    elif len(backends.installed()) == 1:
        reason = "the only library installed"
    elif seconds * steps < _WORTH_TRYING:
        reason = f"about {max(seconds * steps, 0.1):.1f} s of training, too short to try other libraries"
    else:
        reason = "the only one that can be used here"
    return Choice(name, where, reason)


def _seconds_per_step(
    backend: backends.Backend,
    device: str | None,
    network: Sequential,
    loss: Loss,
    optimizer: Optimizer,
    x: HostArray,
    y: HostArray,
) -> float:
    """Seconds per step of many steps in a row, as training runs them: the device is waited for at the end alone."""
    xp, where = backend.namespace(), backend.device(device)
    a, b = (arrays.from_host(host, xp, device=where) for host in (x, y))
    with backend.on(a):
        step = make_step(network, loss, optimizer, xp=xp, backend=backend)
        params = network.init(0, like=a)
        state = first_state(network, optimizer, params, xp=xp)

        def steps(count: int) -> Array:
            nonlocal state
            for _ in range(count):
                state, value = step(state, a, b, None)
            return value

        def seconds(count: int) -> float:
            start = time.perf_counter()
            backend.synchronize(backend.steps(partial(steps, count)))
            return time.perf_counter() - start

        seconds(2)  # compiles, allocates
        count = 1
        while (total := seconds(count)) < _TRIAL and count < 4096:
            count *= 2
        return total / count
