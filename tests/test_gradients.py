"""Every backward pass through networks against central differences in float64, and against automatic differentiation.

That of each part by itself is held to central differences by `xpnn.testing`, in tests/test_testing.py.
"""

from dataclasses import replace

import numpy as np
import pytest

import xpnn
from xpnn import activations, losses
from xpnn.testing.differences import disagreement


def check(f, gradient, theta, rng):
    """`gradient` is the gradient of the number f(θ) at the host array θ."""
    assert disagreement(f, gradient, theta, rng, elements=0) is None


# every activation hidden, and every kind of output with each loss that is defined for it
# softmax too: its Jacobian must be right inside a network
HIDDEN = [*activations.NAMES, xpnn.GELU("tanh")]
OUTPUTS = [
    ("linear", "mse"),
    ("tanh", "mse"),
    ("sigmoid", "mse"),
    ("softmax", "mse"),
    ("sigmoid", "binary_crossentropy"),
    ("softmax", "binary_crossentropy"),
    ("softmax", "categorical_crossentropy"),
    ("sigmoid", "categorical_crossentropy"),
    ("linear", "mae"),
    ("linear", "huber"),
    ("linear", "log_cosh"),
    ("linear", xpnn.Quantile(quantiles=(0.25,))),
    ("linear", xpnn.Quantile(quantiles=(0.25, 0.75))),
    ("softplus", "poisson"),
    ("linear", "hinge"),
    ("hard_sigmoid", xpnn.BinaryCrossentropy(label_smoothing=0.1)),
    ("sigmoid", xpnn.BinaryCrossentropy(label_smoothing=0.1)),
    ("softmax", xpnn.CategoricalCrossentropy(label_smoothing=0.1)),
    ("softmax", "kullback_leibler"),
    ("sigmoid", "kullback_leibler"),
]
NETWORKS = [(h, "sigmoid", "binary_crossentropy") for h in HIDDEN] + [("tanh", o, loss) for o, loss in OUTPUTS]


def problem(hidden, output, loss, rng, reduction="mean"):
    network = xpnn.mlp([3, 5, 4, 2], hidden=hidden, output=output)
    X = rng.normal(size=(6, 3))
    loss = replace(losses.get(loss), reduction=reduction)
    y = np.eye(2)[rng.integers(0, 2, 6)][:, : loss.columns(2)]
    params = network.init(1) + 0.1 * rng.normal(size=network.n_parameters)  # biases too, away from kinks
    return network, loss, params, X, y


@pytest.mark.parametrize(("hidden", "output", "loss"), NETWORKS)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_networks(hidden, output, loss, reduction, lib, rng):
    network, loss, params, X, y = problem(hidden, output, loss, rng, reduction)
    f = xpnn.value_and_grad(network, loss)
    _, gradient = f(lib(params), lib(X), lib(y))
    check(lambda p: float(f(lib(p), lib(X), lib(y))[0]), lib.host(gradient), params, rng)


@pytest.mark.parametrize(("hidden", "output", "loss"), NETWORKS)
def test_networks_against_torch_autograd(hidden, output, loss, rng):
    torch = pytest.importorskip("torch")
    network, loss, params, X, y = problem(hidden, output, loss, rng)
    params, X, y = map(torch.asarray, (params, X, y))
    ours, gradient = xpnn.value_and_grad(network, loss)(params, X, y)
    leaf = params.clone().requires_grad_()
    value = loss(network.forward(leaf, X), y)  # the same forward code, differentiated by torch
    value.backward()
    torch.testing.assert_close(ours, value.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, leaf.grad, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(("hidden", "output", "loss"), NETWORKS)
def test_networks_against_jax_grad(hidden, output, loss, rng):
    jax = pytest.importorskip("jax")
    network, loss, params, X, y = problem(hidden, output, loss, rng)
    params, X, y = map(jax.numpy.asarray, (params, X, y))
    ours, gradient = xpnn.value_and_grad(network, loss)(params, X, y)
    value, theirs = jax.value_and_grad(lambda p: loss(network.forward(p, X), y))(params)
    np.testing.assert_allclose(ours, value, rtol=1e-12)
    np.testing.assert_allclose(gradient, theirs, rtol=1e-9, atol=1e-13)
