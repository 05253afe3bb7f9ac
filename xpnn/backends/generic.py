"""What xpnn asks of an array library beyond the standard's functions.

`Backend` answers for any library that follows the Array API standard, eagerly and with plain expressions: it
is the reference. The files beside this one override what their library does in a way of its own.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from xpnn import arrays
from xpnn.errors import BackendError, XpnnError
from xpnn.rules import Rule
from xpnn.typing import Array, HostArray, Namespace

Function = Callable[..., Any]

T = TypeVar("T")


class Backend:
    """One array library.

    Parameters
    ----------
    name : str
        The name of its package, as ``import name`` has it.
    """

    install: ClassVar[str] = ""
    """What to type to install the library."""

    views: ClassVar[bool] = False
    """Whether a slice of an array is a view of it, made in next to no time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def available(self) -> bool:
        """Whether the library is installed; does not import it."""
        return importlib.util.find_spec(self.name) is not None

    def version(self) -> str:
        """The library's version."""
        return str(getattr(importlib.import_module(self.name), "__version__", "unknown"))

    def namespace(self) -> Namespace:
        """The library's namespace, as `xpnn.arrays.namespace` gives it for one of its arrays."""
        return arrays.namespace(array=importlib.import_module(self.name).zeros(0))

    def _devices(self) -> dict[str, Any]:
        """The device objects by name."""
        info = cast(Any, self.namespace()).__array_namespace_info__()
        return {str(device): device for device in info.devices()}

    def device_names(self) -> list[str]:
        """The names of the devices to look at, best first; may raise if the library is broken."""
        return list(self._devices())

    def device(self, name: str | None) -> Any:
        """The library's own device object for a name; ``None`` is the library's default device."""
        if name is None:
            return None
        devices = self._devices()
        if name not in devices:
            raise BackendError(f"{self.name} has no device {name!r} here; it has: {', '.join(devices)}.")
        return devices[name]

    def probe(self, name: str | None) -> str | None:
        """Compute a small layer on a device and read the result: ``None``, or why it failed."""
        if not self.available():
            return f"not installed: {self.install}" if self.install else "not installed"
        x = np.asarray([[0.5, -1.0], [2.0, 0.25]], dtype=np.float32)
        try:
            xp = self.namespace()
            a = arrays.from_host(x, xp, device=self.device(name))
            with self.on(a):  # a product, an element-wise function and a sum: GPUs take each from elsewhere
                result = self.to_host(xp.sum(xp.tanh(a @ a), axis=0))
        except Exception as error:  # a library or driver may fail in any way; the reason is reported
            return first_line(error)
        right = np.allclose(result, np.tanh(x @ x).sum(axis=0), atol=1e-2)  # GPUs may multiply in TF32
        return None if right else "a small computation came out wrong"

    def detach(self, array: Array) -> Array:
        """The array without any record for automatic differentiation."""
        return array

    def to_host(self, array: Array) -> HostArray:
        """The array as a NumPy array."""
        return np.from_dlpack(cast(Any, array), device="cpu")

    def numbers(self, scalars: list[Array], xp: Namespace) -> NDArray[np.float64]:
        """Arrays of shape () as one vector of numbers on the host; waits for the device once."""
        return self.to_host(xp.stack(scalars)).astype(np.float64)

    def copy(self, array: Array, xp: Namespace) -> Array:
        """A copy that shares no memory with the array, on the same device."""
        return arrays.copy(array, xp)

    def refilled(self, array: Array, host: HostArray, xp: Namespace) -> Array:
        """The numbers of a host array in an array like this one, which may be written over."""
        return arrays.from_host(host, xp, dtype=array.dtype, device=arrays.device(array))

    def total(self, array: Array, xp: Namespace) -> float:
        """The sum of all elements, as a number on the host."""
        return float(xp.sum(array))

    def synchronize(self, array: Array) -> None:
        """Wait until the array's device has done what it was asked to."""

    def device_name(self, array: Array) -> str:
        """The name of an array's device, as `device` takes it."""
        return str(arrays.device(array))

    def on(self, array: Array) -> AbstractContextManager[Any]:
        """What to compute in with this array and its like: its device made current, overflow giving infinity.

        Training finds an infinite loss itself; a warning of the library's would only repeat it.
        """
        return contextlib.nullcontext()

    def sweep(self, rule: Rule, vectors: tuple[Array, ...], constants: tuple[float, ...]) -> tuple[Array, ...]:
        """Run an update rule over flat vectors: ``rule(*vectors, *constants)``."""
        return rule(*vectors, *constants)

    def compile(self, function: Function, xp: Namespace, *, asked: bool = False, work: int = 0) -> Function:
        """``function(xp, vectors, …)`` as a function of the rest, perhaps faster, with the same results.

        The caller gives up the arrays in `vectors`. Where compiling is not what is usually faster, it is done if
        `asked` for.
        """
        return functools.partial(function, xp)

    def forward(self, function: Function, xp: Namespace) -> Function:
        """``function(xp, state, X)``, a prediction, as a function of the rest, perhaps faster."""
        return functools.partial(function, xp)

    def compile_step(self, function: Function, xp: Namespace, *, work: int, asked: bool = False) -> Function:
        """As `compile`, of a step of training that takes so many floating-point operations per sample."""
        return self.compile(function, xp, asked=asked)

    def step(
        self,
        gradient: Function,
        rule: Rule,
        xp: Namespace,
        *,
        compile: bool | None = None,
        work: int = 0,
    ) -> Function:
        """The function ``step(vectors, x, y, w, constants, number) → (vectors, loss)``, one step of training.

        Parameters
        ----------
        gradient : callable
            ``gradient(xp, params, buffers, x, y, w, number) → (loss, gradient, buffers)``
        rule : callable
            The optimizer's.
        compile : bool, optional
            Whether to compile; by default as is usually faster.
        work : int
            The floating-point operations per sample.
        """

        def step(
            xp: Namespace,
            vectors: tuple[Any, ...],
            x: Array,
            y: Array,
            w: Array | None,
            constants: tuple[float, ...],
            number: int | Array,
        ) -> tuple[tuple[Any, ...], Array]:
            params, buffers, *moments = vectors
            loss, g, buffers = gradient(xp, params, buffers, x, y, w, number)
            params, *moments = self.sweep(rule, (params, g, *moments), constants)
            return (params, buffers, *moments), loss

        if compile is False:
            return functools.partial(step, xp)
        return self.compile_step(step, xp, work=work, asked=compile is True)

    def rest(self, step: Function) -> bool:
        """Let go of a training's arrays in what `step` gave; whether it is worth keeping for another like it."""
        return False

    def gather(self, xp: Namespace) -> Callable[[str, Array, Array], Array]:
        """``take(name, array, rows)``: rows of an array. It may write over what it gave under that name before."""
        return lambda name, array, rows: cast(Array, xp.take(array, rows, axis=0))

    def rows(self, array: Array, numbers: Array, xp: Namespace) -> Array:
        """The rows, (m, …), of these numbers, (m,), of an array (n, …)."""
        return xp.take(array, numbers, axis=0)

    def whole(self, vectors: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a step has returned, as flat vectors: a backend may keep them in another form from step to step."""
        return vectors

    def steps(self, function: Callable[[], T]) -> T:
        """Call a function that takes many steps, one after the other; what it returns."""
        return function()


def first_line(error: BaseException) -> str:
    """An error as one line: its class, unless it is one of xpnn's, and the first line of its message."""
    line = textwrap.shorten((str(error).strip().splitlines() or [""])[0], 200, placeholder=" …")
    if isinstance(error, XpnnError):
        return line
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
