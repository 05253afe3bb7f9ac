"""PyTorch: CPU, CUDA, Apple and other devices."""

from __future__ import annotations

from typing import Any

from xpnn import arrays
from xpnn.backends.generic import Backend
from xpnn.errors import BackendError
from xpnn.typing import Array, HostArray, Namespace


class Torch(Backend):
    """PyTorch tensors, without autograd. Devices are ``cpu``, ``cuda:0``, …, ``mps:0``."""

    install = "pip install 'xpnn[torch]'"

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

    def synchronize(self, array: Array) -> None:
        """Wait for the tensor's device."""
        import torch

        device = arrays.device(array)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)


BACKEND = Torch("torch")
