"""CuPy: CUDA GPUs."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

from xpnn import arrays
from xpnn.backends.generic import Backend
from xpnn.errors import BackendError
from xpnn.typing import Array, HostArray


class CuPy(Backend):
    """CuPy arrays. Devices are ``cuda:0``, ``cuda:1``, …"""

    install = "pip install 'xpnn[cuda13]' (CUDA 13 driver) or 'xpnn[cuda12]' (CUDA 12 driver)"
    views = True

    def device_names(self) -> list[str]:
        """``cuda:0``, …; just ``cuda:0`` where no GPU is found, so that the probe can say why."""
        import cupy

        count = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 1
        return [f"cuda:{i}" for i in range(count)]

    def device(self, name: str | None) -> Any:
        """The ``cupy.cuda.Device``."""
        import cupy

        if name is None:
            return None
        known = self.device_names()
        wanted = "cuda:0" if name in ("cuda", "gpu") else name
        if wanted not in known:
            raise BackendError(f"cupy has no device {name!r} here; it has: {', '.join(known)}.")
        return cupy.cuda.Device(known.index(wanted))

    def probe(self, name: str | None) -> str | None:
        """As the generic probe; says so if there is no GPU, without an import's warnings about it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reason = super().probe(name)
        if reason and self.available() and not self._sees_a_gpu():
            return f"no NVIDIA GPU with a CUDA driver is found here ({reason})"
        return reason

    def _sees_a_gpu(self) -> bool:
        try:
            import cupy

            return bool(cupy.cuda.is_available())
        except ImportError:  # broken: the reason says how
            return True

    def device_name(self, array: Array) -> str:
        """``cuda:`` and the device's number."""
        return f"cuda:{arrays.device(array).id}"

    def on(self, array: Array) -> AbstractContextManager[Any]:
        """The array's device made current: CuPy computes on that one, wherever the arrays are."""
        device: AbstractContextManager[Any] = arrays.device(array)
        return device

    def to_host(self, array: Array) -> HostArray:
        """A copy in NumPy."""
        import cupy

        host: HostArray = cupy.asnumpy(array)
        return host

    def synchronize(self, array: Array) -> None:
        """Wait for the current stream of the array's device."""
        import cupy

        with self.on(array):
            cupy.cuda.get_current_stream().synchronize()


BACKEND = CuPy("cupy")
