"""What each library's file does must equal the generic backend; probes must be real."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import xpnn
from xpnn import arrays, backends
from xpnn.backends.generic import Backend
from xpnn.errors import BackendError
from xpnn.training import resting
from xpnn.training.step import first_state, make_step

from .cases import OPTIMIZERS
from .conftest import LIBRARIES


def test_to_host_equals_the_generic_way(lib, dtype):
    array = lib([[1.5, -2.0]], dtype)
    host = backends.of(array).to_host(array)
    assert type(host) is np.ndarray
    assert host.dtype == dtype
    np.testing.assert_array_equal(host, Backend("generic").to_host(array))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_equals_the_generic_backend_s(name, lib, dtype, rng):
    """Compiled and swept in the library's way, or eagerly with plain expressions: the same state and loss."""
    check_step(name, lib, dtype, rng)


@pytest.fixture
def jax_in_parts(monkeypatch):
    """JAX's backend, handing over small vectors in parts as it does large ones."""
    pytest.importorskip("jax")
    from xpnn.backends import jax

    monkeypatch.setattr(jax, "LARGE", 0)
    monkeypatch.setattr(resting, "_functions", {})
    return jax


def test_numbers_of_the_host_in_an_array_that_is_there(lib, dtype, rng):
    host, old = rng.normal(size=7), arrays.copy(lib(np.zeros(7), dtype), lib.xp)
    for backend in (backends.of(old), Backend("generic")):
        new = backend.refilled(old, host, lib.xp)
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(lib.host(new), host.astype(dtype))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_of_jax_in_parts_equals_the_generic_backend_s(name, jax_in_parts, dtype, rng):
    check_step(name, LIBRARIES["jax"], dtype, rng)


def check_step(name, lib, dtype, rng):
    network, optimizer = xpnn.mlp([3, 4, 2], hidden="tanh", output="softmax"), OPTIMIZERS[name]
    X, y = lib(rng.normal(size=(6, 3)), dtype), lib(rng.integers(0, 2, 6))
    results = []
    for backend in (backends.of(X), Backend("generic")):
        step = make_step(network, xpnn.CategoricalCrossentropy(), optimizer, xp=lib.xp, backend=backend)
        state = first_state(network, optimizer, network.init(0, like=X), xp=lib.xp)
        for _ in range(3):
            state, loss = step(state, X, y, None)
        backend.synchronize(loss)
        state = step.whole(state)
        results.append((state, float(loss)))
    (ours, our_loss), (reference, reference_loss) = results
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    assert int(ours.step) == reference.step == 3
    assert our_loss == pytest.approx(reference_loss, rel=tolerance)
    for a, b in zip((ours.params, *ours.moments), (reference.params, *reference.moments), strict=True):
        lib.check(a, dtype)
        np.testing.assert_allclose(lib.host(a), lib.host(b), rtol=10 * tolerance, atol=tolerance)


def test_jax_hands_over_large_vectors_in_parts(jax_in_parts, rng, monkeypatch):
    lib, optimizer = LIBRARIES["jax"], xpnn.Adam()
    network = xpnn.mlp([3, 4, 2], hidden="tanh", output="softmax")
    X, y = lib(rng.normal(size=(6, 3)), "float64"), lib(rng.integers(0, 2, 6))
    step = make_step(network, xpnn.CategoricalCrossentropy(), optimizer, xp=lib.xp, backend=jax_in_parts.BACKEND)
    state, _ = step(first_state(network, optimizer, network.init(0, like=X), xp=lib.xp), X, y, None)
    assert isinstance(state.params, jax_in_parts.Parts)
    assert state.params.sizes == (12, 4, 8, 2)
    np.testing.assert_array_equal(state.params[2:9], step.whole(state).params[2:9])
    model = xpnn.fit(network, X, y, optimizer=optimizer, epochs=3)
    monkeypatch.setattr(jax_in_parts, "LARGE", 1e9)
    monkeypatch.setattr(resting, "_functions", {})
    plain = xpnn.fit(network, X, y, optimizer=optimizer, epochs=3)
    np.testing.assert_allclose(lib.host(model.params), lib.host(plain.params), rtol=1e-12)


def test_rows_are_gathered_as_the_generic_backend_does(lib, dtype, rng, monkeypatch):
    """Of changing numbers and shapes, in memory that is used again, on one thread and on several."""
    from xpnn.backends import numpy as ours

    host, labels = rng.normal(size=(50, 3)), rng.integers(0, 9, 50)
    X, y = lib(host, dtype), lib(labels)
    take = backends.of(X).gather(lib.xp)
    if lib.name == "numpy":
        X = np.asfortranarray(X)
    for much in (1 << 20, 1):
        monkeypatch.setattr(ours, "MUCH", much)
        for n in (7, 50, 7, 1):
            order = rng.permutation(50)[:n]
            for name, array, expected in (("X", X, host.astype(dtype)), ("y", y, labels), ("X", y, labels)):
                np.testing.assert_array_equal(lib.host(take(name, array, lib(order))), expected[order])


@pytest.mark.parametrize("kind", ["bool", "uint8", "uint16", "uint32", "int8", "int64", "float32"])
def test_rows_of_an_array_of_any_dtype(kind, lib):
    host = np.asarray([[0, 1], [255, 3], [7, 200]]).astype(kind)
    array, numbers = (arrays.from_host(x, lib.xp, device=lib.device) for x in (host, np.asarray([2, 0, 2])))
    rows = backends.of(array).rows(array, numbers, lib.xp)
    assert rows.dtype == array.dtype
    np.testing.assert_array_equal(lib.host(rows), host[[2, 0, 2]])


def test_devices_lists_every_known_library_and_tries_it():
    found = xpnn.devices()
    assert {d.library for d in found} >= set(backends.KNOWN)
    for device in found:
        assert device.usable == (device.reason == "")
        assert device.installed == (importlib.util.find_spec(device.library) is not None)
        if device.usable:
            assert device.version
            assert device.device
    assert any(d.library == "numpy" and d.usable and d.device == "cpu" for d in found)


def test_what_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(Backend, "available", lambda self: self.name == "numpy")
    with pytest.raises(BackendError, match=r"torch cannot be used here: not installed: pip install 'xpnn\[torch\]'"):
        backends.get("torch")
    with pytest.raises(BackendError, match=r"cupy cannot be used here: not installed: pip install 'xpnn\[cuda13\]'"):
        backends.get("cupy")
    reasons = {d.library: d.reason for d in xpnn.devices()}
    assert reasons["jax"].startswith("not installed: pip install 'xpnn[jax]'")


def test_cupy_without_a_gpu_says_why_and_numpy_works_on():
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.is_available():
        pytest.skip("there is a GPU")
    (device,) = (d for d in xpnn.devices() if d.library == "cupy")
    assert device.installed
    assert not device.usable
    assert device.reason.startswith("no NVIDIA GPU with a CUDA driver is found here")
    with pytest.raises(BackendError, match=r"cupy cannot be used here: no NVIDIA GPU .*CUDA.*'xpnn devices' lists"):
        backends.get("cupy")
    X = np.ones((3, 2))
    assert type(xpnn.fit(xpnn.mlp([2, 1]), X, X[:, :1], epochs=1).predict(X)) is np.ndarray


def test_an_unknown_backend_lists_the_known_ones():
    with pytest.raises(
        BackendError, match=r"unknown backend 'nunpy'. Did you mean 'numpy'\? Valid: numpy, cupy, torch"
    ):
        backends.get("nunpy")
    for device in ("cpu", "cuda", "cuda:0", "mps"):
        with pytest.raises(BackendError, match=f"{device!r} is a device: name its library as the backend, torch say"):
            backends.get(device)
    with pytest.raises(BackendError, match="unknown backend 'no such!'"):
        backends.get("no such!")


@pytest.mark.parametrize("name", [n for n in ("numpy", "cupy", "torch", "jax") if n in LIBRARIES])
def test_an_unknown_device_is_an_error(name):
    with pytest.raises(
        BackendError, match=f"{name} cannot be used here on device 'abacus:0': {name} has no device 'abac"
    ):
        backends.get(name, "abacus:0")
    with pytest.raises(BackendError, match=f"{name} has no device .* here; it has: "):  # names are asked for
        backends.get(name, arrays.device(LIBRARIES[name]([1.0])) if name != "numpy" else 0)


def test_a_broken_library_is_reported_not_raised(monkeypatch):
    class Broken(Backend):
        def version(self):
            raise RuntimeError("half installed\nand more")

    monkeypatch.setitem(backends._generic, "math", Broken("math"))
    (device,) = (d for d in xpnn.devices() if d.library == "math")
    assert (device.usable, device.reason) == (False, "RuntimeError: half installed")


def test_a_wrong_product_is_not_usable(monkeypatch):
    numpy = backends.get("numpy")
    monkeypatch.setattr(numpy, "to_host", lambda array: np.zeros(2))
    assert numpy.probe("cpu") == "a small computation came out wrong"


def test_torch_arrays_with_a_graph_do_not_leak_it():
    torch = pytest.importorskip("torch")
    X = torch.ones((4, 2), requires_grad=True)
    y = torch.ones((4, 1)) * X[:, :1]
    model = xpnn.fit(xpnn.mlp([2, 1]), X, y, epochs=2, validation_data=(X, y))
    assert not model.params.requires_grad
    assert not model.predict(X).requires_grad
    assert model.evaluate(X, y)["loss"] == pytest.approx(model.evaluate(X.detach(), y.detach())["loss"])
    assert X.grad is None


HEAVY = ("torch", "jax", "cupy", "sklearn", "matplotlib", "polars", "safetensors", "click", "rich", "scipy")


def test_importing_xpnn_loads_nothing_heavy():
    code = f"import sys, xpnn; print([m for m in {HEAVY} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_training_on_numpy_loads_no_other_array_library():
    code = (
        "import sys, numpy as np, xpnn; X = np.ones((4, 2)); xpnn.fit(xpnn.mlp([2, 1]), X, X[:, :1], epochs=2);"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
