"""The array libraries that every contract is tested on: all that are installed and usable here."""

from __future__ import annotations

import atexit
import importlib.util
import os
import tempfile
from dataclasses import dataclass

import numpy as np
import pytest

from xpnn import arrays, backends
from xpnn.testing import libraries

_kept = tempfile.TemporaryDirectory(prefix="xpnn-")
os.environ["XPNN_CACHE_DIR"] = _kept.name  # not those of whoever runs the tests
atexit.register(_kept.cleanup)

if importlib.util.find_spec("jax"):
    import jax

    jax.config.update("jax_enable_x64", True)  # float64 for gradient checks; float32 arrays stay float32

if "CUDA_ON_CPU_COMPILER" in os.environ:  # run by tests.cuda_on_cpu
    import cupy

    cupy.cuda.set_allocator(None)  # memory is filled with NaN when it is taken: take it anew for each array


@dataclass(frozen=True)
class Library(libraries.Library):
    """One way of holding arrays, with assertions."""

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


LIBRARIES = {
    name: Library(name, each.xp, each.device, each.read_only)
    for each in libraries.libraries()
    for name in ["strict" if each.name == libraries.STRICT else each.name]
}


def _elsewhere() -> dict[str, Library]:
    """The other devices of a library that has several: not the one that it computes on unless told."""
    found = {}
    for each in backends.devices():
        first = LIBRARIES.get(each.library)
        if first and each.usable and each.device != backends.usable_device(each.library):
            device = backends.get(each.library).device(each.device)
            found[f"{each.library} on {each.device}"] = Library(each.library, first.xp, device)
    return found


ANYWHERE = LIBRARIES | _elsewhere()


def pytest_report_header() -> str:
    """Say which libraries the tests run on."""
    cuda = " (CUDA on the CPU)" if "CUDA_ON_CPU_COMPILER" in os.environ else ""
    return f"array libraries: {', '.join(ANYWHERE)}{cuda}"


@pytest.fixture(params=LIBRARIES)
def lib(request) -> Library:
    """Each array library in turn."""
    return LIBRARIES[request.param]


@pytest.fixture(params=ANYWHERE)
def anywhere(request) -> Library:
    """Each array library on each of its devices in turn: where a model, or training, says what to compute on."""
    return ANYWHERE[request.param]


@pytest.fixture(params=["float32", "float64"])
def dtype(request) -> str:
    """Both dtypes in turn."""
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """Numbers for test data."""
    return np.random.default_rng(12345)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    """What JAX has compiled for the tests of a file goes with it: thousands of programs take gigabytes."""
    yield
    if importlib.util.find_spec("jax"):
        jax.clear_caches()
