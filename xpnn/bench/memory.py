"""How much memory is free, and giving back what libraries keep for later."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def free(library: str, device: str) -> int | None:
    """Bytes free on a device of a library; None where that cannot be told."""
    kind, _, number = device.partition(":")
    if kind == "cpu" or library == "numpy":
        return min(_of_host(), default=None)
    if kind != "cuda":
        return None
    if library == "cupy":
        import cupy

        with cupy.cuda.Device(int(number or 0)):
            return int(cupy.cuda.runtime.memGetInfo()[0])
    if library == "torch":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    if library == "jax":
        import jax

        numbers = jax.devices("cuda")[int(number or 0)].memory_stats() or {}
        return int(numbers["bytes_limit"] - numbers["bytes_in_use"]) if "bytes_limit" in numbers else None
    return None


def total() -> int | None:
    """Bytes of memory of this machine; None where that cannot be told."""
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def release() -> None:
    """Give back what the libraries keep of arrays and compiled steps that are no longer used."""
    gc.collect()
    if "torch" in sys.modules:
        import torch

        if "torch._dynamo" in sys.modules:
            torch._dynamo.reset()  # or, after a few shapes, it gives up compiling
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if "cupy" in sys.modules:
        import cupy

        if cupy.cuda.is_available():
            cupy.get_default_memory_pool().free_all_blocks()


def _of_host() -> Iterator[int]:
    """Bytes that the system says are available, and those left to this process's control group."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        yield 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        group = Path("/sys/fs/cgroup")
        yield int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
