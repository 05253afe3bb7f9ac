"""What ``python -m tests.cuda_on_cpu`` stands on: CuPy with the CPU in the place of a GPU."""

import ctypes
import os

import numpy as np
import pytest

import xpnn

from .conftest import ANYWHERE, LIBRARIES

pytestmark = pytest.mark.skipif("CUDA_ON_CPU_COMPILER" not in os.environ, reason="not run by tests.cuda_on_cpu")


def cupy():
    """CuPy, which the tests of every library have found usable: they would not have run on it otherwise."""
    assert "cupy" in LIBRARIES
    import cupy

    return cupy


def test_sums_products_and_sorts_are_numpys(rng):
    cp, X = cupy(), rng.normal(size=(300, 70))
    X[3, 5] = np.nan
    on_gpu = cp.asarray(X)
    np.testing.assert_allclose(on_gpu.sum(axis=0).get(), X.sum(axis=0), rtol=1e-12)  # threads of a block wait
    np.testing.assert_allclose(cp.nanmax(on_gpu).get(), np.nanmax(X))
    np.testing.assert_allclose((on_gpu.T @ on_gpu).get(), X.T @ X, rtol=1e-10)
    np.testing.assert_allclose((on_gpu[4:] @ on_gpu[9]).get(), X[4:] @ X[9], rtol=1e-10)
    np.testing.assert_allclose((on_gpu[:, 1] @ on_gpu[:, 2]).get(), X[:, 1] @ X[:, 2], rtol=1e-10)
    np.testing.assert_array_equal(cp.sort(on_gpu, axis=0).get(), np.sort(X, axis=0))
    np.testing.assert_array_equal(cp.argsort(on_gpu, axis=1).get(), np.argsort(X, axis=1, kind="stable"))
    np.testing.assert_array_equal(cp.argwhere(on_gpu > 1).get(), np.argwhere(X > 1))
    np.testing.assert_array_equal(cp.unique(cp.asarray([3, 1, 3])).get(), [1, 3])
    np.testing.assert_allclose(cp.exp(on_gpu.astype(cp.float16)).get(), np.exp(X.astype(np.float16)), rtol=2e-3)


def test_memory_is_of_one_side_and_not_of_numbers_before_they_are_written():
    cp = cupy()
    host, device = np.zeros(4), cp.ones(1000) * 2
    del device
    device = cp.empty(1000)
    assert cp.isnan(device).all()
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
        cp.cuda.runtime.memcpy(host.ctypes.data, host.ctypes.data, host.nbytes, cp.cuda.runtime.memcpyDeviceToHost)
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed"):
        np.asarray(device)


USES = {
    "element-wise": lambda a: a + 1,
    "matrix by matrix": lambda a: a @ a,
    "matrix by vector": lambda a: a @ a[0],
    "vector by vector": lambda a: a[0] @ a[1],
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_one_device_cannot_compute_with_what_is_on_another(use):
    cp = cupy()
    if cp.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("there is one device: CUDA_ON_CPU_DEVICES=2 gives two")
    assert "cupy on cuda:1" in ANYWHERE
    with cp.cuda.Device(1):
        there = cp.eye(3)
        use(there)
    with pytest.raises((ValueError, RuntimeError), match="current device|EXECUTION_FAILED"):
        use(there)


TRAINING = {
    "plain": {"optimizer": xpnn.SGD(0.01)},
    "Adam, in the order of the rows": {"optimizer": "adam", "shuffle": False},
    "clipped": {"clip_norm": 1.0},
    "clipped by value, penalised": {"clip_value": 1.0, "penalty": xpnn.L2(1e-3)},
    "weighted": {"class_weight": "balanced"},
    "scored": {"validation_split": 0.2, "metrics": ["accuracy"]},
    "with a schedule": {"optimizer": xpnn.SGD(xpnn.Exponential(0.1, 0.9))},
}


@pytest.mark.parametrize("options", TRAINING.values(), ids=TRAINING)
def test_a_step_reads_nothing_from_the_device(options, rng):
    cp = cupy()
    X, y = cp.asarray(rng.normal(size=(960, 5))), cp.asarray(rng.integers(0, 3, 960))
    copies = ctypes.c_ulong.in_dll(ctypes.CDLL("libcuda.so.1"), "copies_to_host")

    def reads(batch_size, epochs):
        before = copies.value
        xpnn.fit(xpnn.mlp([5, 4, 3], output="softmax"), X, y, batch_size=batch_size, epochs=epochs, **options)
        return copies.value - before

    assert reads(24, 2) == reads(240, 2)
    epoch = reads(240, 3) - reads(240, 2)
    assert 0 < epoch <= 3, "the loss, and what is worked out of the samples held out"


def test_what_is_not_there_fails_and_says_so(capfd):
    cp = cupy()
    with pytest.raises(KeyError, match="801"):
        cp.random.random(3)
    assert "there is no curandCreateGenerator" in capfd.readouterr().err
    with pytest.raises(NotImplementedError, match="there is no cupy.random._generator_api"):
        cp.random.default_rng(0)
