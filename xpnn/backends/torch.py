"""PyTorch: CPU, CUDA, Apple and other devices."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from operator import is_
from typing import Any, cast

import numpy as np

from xpnn import arrays
from xpnn.backends import numpy
from xpnn.backends.generic import Backend, Function, T, first_line
from xpnn.errors import BackendError
from xpnn.typing import Array, HostArray, Namespace


class Torch(Backend):
    """PyTorch tensors, without autograd. Devices are ``cpu``, ``cuda:0``, …, ``mps:0``."""

    install = "pip install 'xpnn[torch]'"
    views = True

    def namespace(self) -> Namespace:
        """array_api_compat's namespace for tensors."""
        import torch

        return arrays.namespace(array=torch.zeros(0, device="cpu"))

    def device_names(self) -> list[str]:
        """GPUs first, then ``cpu``."""
        import torch

        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            names.append("mps:0")
        return [*names, "cpu"]

    def device(self, name: str | None) -> Any:
        """The ``torch.device``."""
        import torch

        if name is None:
            return None
        known = self.device_names()
        wanted = {"cuda": "cuda:0", "gpu": "cuda:0", "mps": "mps:0"}.get(name, name)
        if wanted not in known:
            raise BackendError(f"torch has no device {name!r} here; it has: {', '.join(known)}.")
        return torch.device(wanted)

    def detach(self, array: Array) -> Array:
        """The tensor cut off from autograd's graph, sharing its memory."""
        detached: Array = array.detach()  # type: ignore[attr-defined]
        return detached

    def to_host(self, array: Array) -> HostArray:
        """In NumPy; shares memory on the CPU."""
        host: HostArray = array.detach().cpu().numpy()  # type: ignore[attr-defined]
        return host

    def compile_step(self, function: Function, xp: Namespace, *, work: int, asked: bool = False) -> Function:
        """On a CPU NumPy's, which sees the tensors' memory as its own arrays; ``torch.compile`` if asked for.

        Where that fails, a warning says why and the formulas run as they are.
        """
        plain = functools.partial(function, xp)
        if asked:
            return _Inductor(plain)
        here = numpy.BACKEND
        return _SharedMemory(here.compile_step(function, here.namespace(), work=work), plain)

    def forward(self, function: Function, xp: Namespace) -> Function:
        """On a CPU NumPy's, on the same memory."""
        here = numpy.BACKEND
        there, plain = here.forward(function, here.namespace()), functools.partial(function, xp)
        seen: dict[str, tuple[Any, ...]] = {"tensors": (), "arrays": ()}  # the latest state

        def forward(state: tuple[Any, ...], X: Any) -> Any:
            import torch

            if X.device.type != "cpu" or X.dtype not in (torch.float32, torch.float64):
                return plain(state, X)
            if not (len(state) == len(seen["tensors"]) and all(map(is_, state, seen["tensors"]))):
                seen.update(tensors=state, arrays=tuple(map(_as_numpy, state)))
            with np.errstate(over="ignore", invalid="ignore"):
                return torch.from_numpy(there(seen["arrays"], _as_numpy(X)))

        return forward

    def rest(self, step: Function) -> bool:
        """As NumPy's; what ``torch.compile`` has made always."""
        return isinstance(step, _Inductor) or (isinstance(step, _SharedMemory) and step.rest())

    def rows(self, array: Array, numbers: Array, xp: Namespace) -> Array:
        """Of unsigned integers of more than 8 bits as of signed ones: PyTorch stores them, and does little else."""
        import torch

        tensor: Any = array
        signed = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}.get(tensor.dtype)
        if signed is None:
            return super().rows(array, numbers, xp)
        found: Any = super().rows(tensor.view(signed), numbers, xp)
        return cast(Array, found.view(tensor.dtype))

    def total(self, array: Array, xp: Namespace) -> float:
        """On a CPU NumPy's: PyTorch would wake threads that then keep the processor from what follows."""
        if arrays.device(array).type != "cpu":
            return super().total(array, xp)
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.sum(self.to_host(array)))

    def steps(self, function: Callable[[], T]) -> T:
        """As NumPy's: it takes those on a CPU."""
        return numpy.BACKEND.steps(function)

    def synchronize(self, array: Array) -> None:
        """Wait for the tensor's device."""
        import torch

        device = arrays.device(array)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)


class _SharedMemory:
    """A step of tensors on the CPU, taken by NumPy on the same memory."""

    def __init__(self, step: Function, elsewhere: Function) -> None:
        self._step, self._elsewhere = step, elsewhere
        self._tensors: tuple[Any, ...] = ()
        self._arrays: tuple[Any, ...] = ()

    def __call__(
        self, vectors: tuple[Any, ...], x: Any, y: Any, w: Any, constants: tuple[float, ...], number: int
    ) -> tuple[tuple[Any, ...], Any]:
        import torch

        if x.device.type != "cpu":
            return self._elsewhere(vectors, x, y, w, constants, number)
        if not (len(vectors) == len(self._tensors) and all(map(is_, vectors, self._tensors))):
            self._tensors, self._arrays = vectors, tuple(map(_as_numpy, vectors))
        with np.errstate(over="ignore", invalid="ignore"):
            arrays, loss = self._step(self._arrays, x.numpy(), y.numpy(), _as_numpy(w), constants, number)
        if not all(map(is_, arrays, self._arrays)):
            self._arrays = arrays
            self._tensors = tuple(None if a is None else torch.from_numpy(a) for a in arrays)
        return self._tensors, torch.as_tensor(loss)

    def rest(self) -> bool:
        """As NumPy's."""
        self._tensors, self._arrays = (), ()
        return numpy.BACKEND.rest(self._step)


def _as_numpy(tensor: Any) -> Any:
    return None if tensor is None else tensor.detach().numpy()


class _Inductor:
    """A step compiled by ``torch.compile``; where that is not possible, the step as it is."""

    def __init__(self, step: Function) -> None:
        import torch

        self._plain = step
        self._compiled: Any = torch.compile(step)
        self._works = False

    def __call__(
        self, vectors: tuple[Any, ...], x: Any, y: Any, w: Any, constants: tuple[float, ...], number: int
    ) -> tuple[tuple[Any, ...], Any]:
        import torch

        if self._compiled is None:
            return self._plain(vectors, x, y, w, constants, number)
        # numbers that change from step to step as tensors: each new number would be compiled for anew
        boxed = tuple(torch.tensor(each, dtype=torch.float64) for each in constants)
        try:
            result = self._compiled(vectors, x, y, w, boxed, torch.tensor(number))
        except Exception as error:  # no C++ compiler, an operation it does not know, …: whatever it raises
            if self._works:
                raise
            warnings.warn(
                f"torch.compile failed, so the step runs eagerly, which is slower: {first_line(error)}",
                RuntimeWarning,
                stacklevel=2,
            )
            self._compiled = None
            return self._plain(vectors, x, y, w, constants, number)
        self._works = True
        return result


BACKEND = Torch("torch")
