"""Same seed, same model: on every library."""

import numpy as np
import pytest

import xpnn

from .conftest import LIBRARIES

OTHERS = [name for name in LIBRARIES if name != "numpy"]
REFERENCE = LIBRARIES["numpy"]


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
def test_initial_weights_are_bit_identical(name, hidden, dtype):
    network = xpnn.mlp([7, 16, 9, 3], hidden=hidden, output="softmax")
    lib = LIBRARIES[name]
    ours = lib.host(network.init(11, like=lib(np.zeros(1), dtype)))
    reference = network.init(11, like=REFERENCE(np.zeros(1), dtype))
    assert ours.tobytes() == reference.tobytes()


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("batch_size", [None, 16])
@pytest.mark.parametrize(
    ("hidden", "output"), [("tanh", "softmax"), ("relu", "sigmoid"), ("swish", "linear"), ("elu", "softmax")]
)
def test_losses_agree_after_100_epochs_in_float32(name, batch_size, hidden, output, rng):
    X = rng.normal(size=(60, 4)).astype(np.float32)
    y = np.eye(3, dtype=np.float32)[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]
    network = xpnn.mlp([4, 8, 3], hidden=hidden, output=output)
    histories = []
    for lib in (REFERENCE, LIBRARIES[name]):
        model = xpnn.fit(network, lib(X), lib(y), optimizer=xpnn.SGD(0.1), epochs=100, batch_size=batch_size, seed=3)
        histories.append(model.history["loss"])
    assert histories[0][-1] < 0.8 * histories[0][0]  # it did learn something
    np.testing.assert_allclose(histories[1], histories[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_same_run_twice_is_the_same_to_the_bit(name, rng):
    lib = LIBRARIES[name]
    X, y = lib(rng.normal(size=(30, 4)), "float32"), lib(rng.normal(size=(30, 2)), "float32")
    network = xpnn.mlp([4, 8, 2])
    first, second = (xpnn.fit(network, X, y, epochs=5, batch_size=7, seed=2) for _ in range(2))
    assert first.history == second.history
    assert lib.host(first.params).tobytes() == lib.host(second.params).tobytes()
