"""Update rules: what one step does, on every library."""

import numpy as np
import pytest

import xpnn
from xpnn import optimizers
from xpnn.errors import InputError

from .cases import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rule_keeps_library_device_dtype_and_shape(name, lib, dtype):
    optimizer = OPTIMIZERS[name]
    if lib.name == "numpy-readonly":
        pytest.skip("a rule may write into what it is given: the state is training's own")
    theta, g = lib([1.0, -2.0, 3.0], dtype), lib([0.5, 0.25, -1.0], dtype)
    moments = optimizer.init(theta, xp=lib.xp)
    updated = optimizer.rule(theta, g, *moments, *optimizer.constants(0))
    assert len(updated) == 1 + len(moments)
    for vector in updated:
        lib.check(vector, dtype)
        assert tuple(vector.shape) == (3,)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_finds_the_bottom_of_a_parabola(name):
    optimizer = OPTIMIZERS[name]
    theta = np.array([4.0, -7.0])
    moments = optimizer.init(theta, xp=np)
    for step in range(2000):
        theta, *moments = optimizer.rule(theta, 2 * (theta - 3.0), *moments, *optimizer.constants(step))
    np.testing.assert_allclose(theta, 3.0, atol=1e-6)


def test_sgd_is_theta_minus_alpha_g():
    (theta,) = xpnn.SGD(0.1).rule(np.array([1.0, -2.0]), np.array([0.5, 0.25]), 0.1)
    np.testing.assert_allclose(theta, [0.95, -2.025], rtol=1e-15)


@pytest.mark.parametrize(
    "options",
    [{}, {"learning_rate": 0.05, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}, {"beta_1": 0.5, "beta_2": 0.5}],
)
def test_adam_follows_torch(options, dtype, rng):
    torch = pytest.importorskip("torch")
    optimizer = xpnn.Adam(**options)
    network = xpnn.mlp([5, 8, 3], hidden="tanh", output="softmax")
    X, y = torch.asarray(rng.normal(size=(40, 5)), dtype=getattr(torch, dtype)), torch.asarray(rng.integers(0, 3, 40))
    f = xpnn.value_and_grad(network, "categorical_crossentropy")
    ours = network.init(0, like=X)
    theirs = ours.clone().requires_grad_()
    peer = torch.optim.Adam(
        [theirs], lr=optimizer.learning_rate, betas=(optimizer.beta_1, optimizer.beta_2), eps=optimizer.epsilon
    )
    moments = optimizer.init(ours, xp=torch)
    for step in range(200):
        ours, *moments = optimizer.rule(ours, f(ours, X, y)[1], *moments, *optimizer.constants(step))
        theirs.grad = f(theirs.detach(), X, y)[1]
        peer.step()
    difference = (ours - theirs.detach()).norm() / theirs.detach().norm()
    assert float(difference) < (1e-6 if dtype == "float64" else 2e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0}, "Adam: learning_rate must be a number > 0, got 0"),
        ({"epsilon": -1.0}, "Adam: epsilon must be a number > 0"),
        ({"beta_1": 1.0}, "Adam: beta_1 must be a number from 0 to below 1, got 1.0"),
        ({"beta_2": "0.9"}, "Adam: beta_2 must be a number from 0 to below 1, got '0.9'"),
    ],
)
def test_adam_checks_its_hyperparameters(options, message):
    with pytest.raises(InputError, match=message):
        xpnn.Adam(**options)


@pytest.mark.parametrize("rate", [0, -0.1, float("nan"), float("inf"), "fast", None])
def test_the_learning_rate_must_be_above_zero(rate):
    with pytest.raises(InputError, match="SGD: learning_rate must be a number > 0"):
        xpnn.SGD(rate)


def test_names():
    assert optimizers.get("sgd") == xpnn.SGD()
    assert optimizers.get(xpnn.SGD(0.5)) == xpnn.SGD(0.5)
