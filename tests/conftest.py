"""The array libraries that every contract is tested on: all that are installed and usable here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xpnn import arrays, backends

if importlib.util.find_spec("jax"):
    import jax

    jax.config.update("jax_enable_x64", True)  # float64 for gradient checks; float32 arrays stay float32


@dataclass(frozen=True)
class Library:
    """One way of holding arrays: a library, on a device, perhaps read-only."""

    name: str
    xp: Any
    device: Any = None
    after: Callable[[Any], Any] = lambda array: array

    def __call__(self, host, dtype=None):
        """The host array there; floating arrays in the named dtype."""
        host = np.asarray(host)
        wanted = getattr(self.xp, dtype) if dtype and host.dtype.kind == "f" else None
        return self.after(arrays.from_host(host, self.xp, dtype=wanted, device=self.device))

    def host(self, array) -> np.ndarray:
        """The array on the host, found to be of this library and on this device."""
        self.check(array)
        return backends.of(array).to_host(array)

    def check(self, array, dtype=None) -> None:
        """Assert that an array is of this library, on this device and of this dtype."""
        assert arrays.namespace(array=array) is self.xp
        if self.device is not None:
            assert arrays.device(array) == self.device
        if dtype is not None:
            assert array.dtype == getattr(self.xp, dtype)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _libraries() -> dict[str, Library]:
    found = {}
    numpy = backends.get("numpy").namespace()
    found["numpy"] = Library("numpy", numpy)
    found["numpy-readonly"] = Library("numpy-readonly", numpy, after=_read_only)
    if importlib.util.find_spec("array_api_strict"):
        strict = importlib.import_module("array_api_strict")
        found["strict"] = Library("strict", backends.get("array_api_strict").namespace(), strict.Device("device1"))
    for name in ("torch", "jax", "cupy"):
        backend = backends._backend(name)
        if backend.probe(None) is None:
            device = backend.device(backend.device_names()[0])
            found[name] = Library(name, backend.namespace(), device)
    return found


LIBRARIES = _libraries()


def pytest_report_header() -> str:
    """Say which libraries the tests run on."""
    return f"array libraries: {', '.join(LIBRARIES)}"


@pytest.fixture(params=LIBRARIES)
def lib(request) -> Library:
    """Each array library in turn."""
    return LIBRARIES[request.param]


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> str:
    """Both dtypes in turn."""
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """Numbers for test data."""
    return np.random.default_rng(12345)
