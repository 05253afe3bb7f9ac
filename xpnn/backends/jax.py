"""JAX: XLA on CPU, GPU and TPU."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from xpnn import arrays
from xpnn.backends.generic import Backend, Function
from xpnn.errors import BackendError
from xpnn.rules import Rule
from xpnn.typing import Array, HostArray, Namespace


class Jax(Backend):
    """JAX arrays. Devices are ``cpu:0``, ``cuda:0``, …"""

    install = "pip install 'xpnn[jax]', with a GPU 'jax[cuda13]'"

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

    def compile(self, function: Function, xp: Namespace, *, asked: bool = False, work: int = 0) -> Function:
        """``jax.jit`` with the first argument's buffers donated."""
        import jax

        return cast(Function, jax.jit(functools.partial(function, xp), donate_argnums=0))

    def whole(self, vectors: tuple[Any, ...]) -> tuple[Any, ...]:
        """Parts put together."""
        return tuple(each.joined() if isinstance(each, Parts) else each for each in vectors)

    def forward(self, function: Function, xp: Namespace) -> Function:
        """Compiled by ``jax.jit`` once a number of rows comes again: it takes longer than many a prediction."""
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
        """As the generic backend; large vectors are handed over in parts."""
        if compile is not False and work >= LARGE:
            return _InParts(gradient, rule, self)
        return super().step(gradient, rule, xp, compile=compile, work=work)

    def rest(self, step: Function) -> bool:
        """Always: compiling takes longer than many a training, and it holds no arrays."""
        return True


def _name(device: Any) -> str:
    name = str(device)  # cuda:0; of a CPU, JAX before 0.8 gives TFRT_CPU_0
    return name if ":" in name or not hasattr(device, "platform") else f"{device.platform}:{device.id}"


LARGE = 6e5
"""Floating-point operations per sample from which on copying the vectors takes longer than handing over parts."""


class Parts:
    """A flat vector as the vectors that it is put together from: XLA would copy to join it and to take it apart.

    Operators and functions of each element are done part by part.
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = tuple(parts)
        self.sizes = tuple(part.shape[0] for part in self.parts)
        self.shape = (sum(self.sizes),)

    def joined(self) -> Any:
        """The vector."""
        import jax.numpy as jnp

        return jnp.concatenate(self.parts)

    __jax_array__ = joined  # what JAX takes for it

    @property
    def dtype(self) -> Any:
        """That of the parts."""
        return self.parts[0].dtype

    def __getitem__(self, key: Any) -> Any:
        """One of the parts, or what else is asked for."""
        stop = 0
        for part, size in zip(self.parts, self.sizes, strict=True):
            start, stop = stop, stop + size
            if key == slice(start, stop):
                return part
        return self.joined()[key]


def _part_by_part(function: Function, *operands: Any) -> Any:
    """The function of each element, of vectors in the same parts and of numbers."""
    sizes = next(each.sizes for each in operands if isinstance(each, Parts))
    columns = [_cut(each, sizes).parts if getattr(each, "shape", ()) else (each,) * len(sizes) for each in operands]
    return Parts([function(*row) for row in zip(*columns, strict=True)])


def _operators() -> None:
    """``a + b``, ``1 - a``, ``-a``, …; in place there is nothing in JAX."""
    for name in ("add", "sub", "mul", "truediv", "pow"):
        f = getattr(operator, name)
        setattr(Parts, f"__{name}__", lambda self, other, f=f: _part_by_part(f, self, other))
        setattr(Parts, f"__r{name}__", lambda self, other, f=f: _part_by_part(lambda a, b: f(b, a), self, other))
    for name in ("neg", "abs"):
        f = getattr(operator, name)
        setattr(Parts, f"__{name}__", lambda self, f=f: _part_by_part(f, self))


_operators()


def _cut(vector: Any, sizes: tuple[int, ...]) -> Parts:
    """The vector in parts of these sizes."""
    if isinstance(vector, Parts) and vector.sizes == sizes:
        return vector
    whole = vector.joined() if isinstance(vector, Parts) else vector
    stops = itertools.accumulate(sizes)
    return Parts([whole[stop - size : stop] for size, stop in zip(sizes, stops, strict=True)])


class _Joining:
    """The namespace, but a vector of so many elements is put together as `Parts`, and treated as such."""

    def __init__(self, xp: Namespace, size: int) -> None:
        self._xp, self._size = xp, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._xp, name)

    def maximum(self, a: Any, b: Any) -> Any:
        """As the library, of each part."""
        return self._each(self._xp.maximum, a, b)

    def minimum(self, a: Any, b: Any) -> Any:
        """As the library, of each part."""
        return self._each(self._xp.minimum, a, b)

    def sign(self, x: Any) -> Any:
        """As the library, of each part."""
        return self._each(self._xp.sign, x)

    def sum(self, x: Any, **options: Any) -> Any:
        """As the library; of parts the sum of their sums."""
        return sum(map(self._xp.sum, x.parts)) if isinstance(x, Parts) else self._xp.sum(x, **options)

    @staticmethod
    def _each(function: Function, *operands: Any) -> Any:
        parts = any(isinstance(each, Parts) for each in operands)
        return _part_by_part(function, *operands) if parts else function(*operands)

    def concat(self, arrays: Sequence[Any], *, axis: int | None = 0) -> Any:
        """As the library, but for the gradient."""
        if all(each.ndim == 1 for each in arrays) and sum(each.shape[0] for each in arrays) == self._size:
            return Parts(arrays)
        return self._xp.concat(arrays, axis=axis)


class _InParts:
    """A step that takes and returns vectors in the parts that the gradient is put together from."""

    def __init__(self, gradient: Function, rule: Rule, backend: Jax) -> None:
        self._gradient = gradient

        def step(
            xp: Namespace, vectors: Any, buffers: Any, x: Array, y: Array, w: Any, constants: Any, number: Any
        ) -> Any:
            params, *moments = map(Parts, vectors)
            loss, g, buffers = gradient(_Joining(xp, params.shape[0]), params, buffers, x, y, w, number)
            vectors = (params, _cut(g, params.sizes), *moments)
            new = [rule(*each, *constants) for each in zip(*(v.parts for v in vectors), strict=True)]
            return tuple(zip(*new, strict=True)), buffers, loss

        self._xp = backend.namespace()
        self._step = backend.compile(step, self._xp)

    def __call__(
        self, vectors: tuple[Any, ...], x: Array, y: Array, w: Any, constants: tuple[float, ...], number: int
    ) -> tuple[tuple[Any, ...], Any]:
        """One step."""
        params, buffers, *moments = vectors
        if not isinstance(params, Parts):
            sizes = self._sizes(params, buffers, x, y, w, number)
            params, *moments = (_cut(each, sizes) for each in (params, *moments))
        parts = tuple(each.parts for each in (params, *moments))
        (params, *moments), buffers, loss = self._step(parts, buffers, x, y, w, constants, number)
        return (Parts(params), buffers, *map(Parts, moments)), loss

    def _sizes(self, params: Any, *arguments: Any) -> tuple[int, ...]:
        """Those of what the gradient is put together from, found without computing it."""
        import jax

        sizes = params.shape

        def look(*arguments: Any) -> Any:
            nonlocal sizes
            loss, g, _ = self._gradient(_Joining(self._xp, params.shape[0]), *arguments)
            sizes = g.sizes if isinstance(g, Parts) else sizes
            return loss

        jax.eval_shape(look, params, *arguments)
        return sizes


BACKEND = Jax("jax")
