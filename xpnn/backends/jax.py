"""JAX: XLA on CPU, GPU and TPU."""

from __future__ import annotations

import functools
from typing import Any, cast

import numpy as np

from xpnn import arrays
from xpnn.backends.generic import Backend, Function
from xpnn.errors import BackendError
from xpnn.optimizers import Rule
from xpnn.typing import Array, HostArray, Namespace


class Jax(Backend):
    """JAX arrays. Devices are ``cpu:0``, ``cuda:0``, …"""

    install = "pip install 'xpnn[jax]', with a GPU 'jax[cuda13]'"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._steps: dict[Any, Function] = {}

    def namespace(self) -> Namespace:
        """``jax.numpy``, which follows the standard."""
        import jax.numpy as jnp

        return arrays.namespace(array=jnp.zeros(0))

    def _devices(self) -> dict[str, Any]:
        """The default platform's devices, then the CPU's."""
        import jax

        return {_name(device): device for device in [*jax.devices(), *jax.devices("cpu")]}

    def device(self, name: str | None) -> Any:
        """The ``jax.Device``; ``cpu`` or ``gpu`` is the first of its kind."""
        if name is None:
            return None
        devices = self._devices()
        for known, device in devices.items():
            if name in (known, known.split(":")[0], device.platform):
                return device
        raise BackendError(f"jax has no device {name!r} here; it has: {', '.join(devices)}.")

    def device_name(self, array: Array) -> str:
        """``cpu:0``, ``cuda:0``, …"""
        return _name(arrays.device(array))

    def to_host(self, array: Array) -> HostArray:
        """A view or copy in NumPy."""
        return np.asarray(array)

    def synchronize(self, array: Array) -> None:
        """Wait until the array has been computed."""
        cast(Any, array).block_until_ready()

    def compile(self, function: Function, xp: Namespace, *, asked: bool = False) -> Function:
        """``jax.jit`` with the first argument's buffers donated."""
        import jax

        return cast(Function, jax.jit(functools.partial(function, xp), donate_argnums=0))

    def forward(self, function: Function, xp: Namespace) -> Function:
        """Compiled by ``jax.jit`` for a number of rows that comes again: compiling takes longer than predicting."""
        import jax

        plain, compiled = functools.partial(function, xp), jax.jit(functools.partial(function, xp))
        met: set[tuple[int, ...]] = set()

        def forward(state: tuple[Any, ...], X: Array) -> Array:
            known = X.shape in met
            met.add(X.shape)
            return (compiled if known else plain)(state, X)

        return forward

    def step(
        self,
        gradient: Function,
        rule: Rule,
        xp: Namespace,
        *,
        compile: bool | None = None,
        work: int = 0,
    ) -> Function:
        """As the generic backend; kept, because compiling takes longer than many a training."""
        key = gradient, rule, xp, compile
        if key not in self._steps:
            self._steps[key] = super().step(gradient, rule, xp, compile=compile, work=work)
            if len(self._steps) > 16:
                del self._steps[next(iter(self._steps))]
        return self._steps[key]


def _name(device: Any) -> str:
    name = str(device)  # cuda:0; of a CPU, JAX before 0.8 gives TFRT_CPU_0
    return name if ":" in name or not hasattr(device, "platform") else f"{device.platform}:{device.id}"


BACKEND = Jax("jax")
