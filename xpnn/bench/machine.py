"""On what it was measured: the machine, the versions, the threads, the settings. Nothing that names its owner."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from xpnn.backends import first_line
from xpnn.bench import memory

_PACKAGES = (
    "numpy",
    "torch",
    "jax",
    "jaxlib",
    "optax",
    "scikit-learn",
    "llvmlite",
    "mkl",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "cupy",
)
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUPY_TF32",
    "NVIDIA_TF32_OVERRIDE",
    "XLA_FLAGS",
    "XLA_PYTHON_CLIENT_PREALLOCATE",
)


def describe() -> dict[str, Any]:
    """The machine and its libraries as a JSON object; of heavy libraries those that are loaded already."""
    return {
        "cpu": cpu(),
        "cores": _cores(),
        "memory_bytes": memory.total(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": _versions(),
        "blas": _blas(),
        "gpus": gpus(),
        "threads": _threads(),
        "settings": _settings(),
        "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def cpu() -> str:
    """The processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpus() -> list[dict[str, Any]]:
    """The NVIDIA GPUs, as the first of the loaded libraries that sees any names them."""
    for library in (_gpus_of_torch, _gpus_of_cupy, _gpus_of_jax):
        with suppress(Exception):  # no driver, say: then it sees none
            if found := library():
                return found
    return []


def _gpus_of_torch() -> list[dict[str, Any]]:
    torch = sys.modules["torch"]
    every = (torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count()))
    return [{"name": each.name, "memory_bytes": each.total_memory, "cuda": torch.version.cuda} for each in every]


def _gpus_of_cupy() -> list[dict[str, Any]]:
    runtime = sys.modules["cupy"].cuda.runtime
    driver = runtime.driverGetVersion()
    every = (runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount()))
    return [
        {"name": each["name"].decode(), "memory_bytes": each["totalGlobalMem"], "cuda_driver": driver}
        for each in every
    ]


def _gpus_of_jax() -> list[dict[str, Any]]:
    return [{"name": device.device_kind} for device in sys.modules["jax"].devices("cuda")]


def _cores() -> int | None:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _blas() -> str:
    """What NumPy multiplies with."""
    try:
        config: Any = np.show_config(mode="dicts")
        blas = config["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}"
    except (KeyError, TypeError) as error:
        return first_line(error)


def _threads() -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_num_threads()
    for pool in threadpoolctl.threadpool_info():  # without the paths it gives
        found[f"{pool['prefix']} ({pool['internal_api']} {pool.get('version') or ''})"] = pool["num_threads"]
    return found


def _settings() -> dict[str, Any]:
    """What decides how numbers are multiplied; NVIDIA's TF32 rounds the factors of float32 products to 10 bits."""
    found: dict[str, Any] = {"cupy_tf32": os.environ.get("CUPY_TF32", "0")}
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        found["torch_float32_matmul_precision"] = torch.get_float32_matmul_precision()
        found["torch_cuda_allow_tf32"] = torch.backends.cuda.matmul.allow_tf32
    if "jax" in sys.modules:
        config = sys.modules["jax"].config
        found["jax_default_matmul_precision"] = str(config.jax_default_matmul_precision)
        found["jax_enable_x64"] = bool(config.jax_enable_x64)
    return found
