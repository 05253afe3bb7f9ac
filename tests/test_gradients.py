"""Every backward against central differences in float64, and against automatic differentiation.

The directional check compares (f(θ + h v) - f(θ - h v)) / 2h with ⟨gradient, v⟩ for random directions v.
"""

from dataclasses import replace

import numpy as np
import pytest

import xpnn
from xpnn import activations, losses

from .cases import ACTIVATIONS, LAYERS, LOSSES, targets_for
from .test_layers import in_training

H = 1e-6
RELATIVE = 1e-7


def check(f, gradient, theta, rng, directions=5):
    """`gradient` is the gradient of the number f(θ) at the host array θ."""
    for _ in range(directions):
        v = rng.normal(size=theta.shape)
        v /= np.linalg.norm(v)
        measured = (f(theta + H * v) - f(theta - H * v)) / (2 * H)
        # a direction nearly at right angles to the gradient has no digits left to compare
        assert measured == pytest.approx(
            float((gradient * v).sum()), rel=RELATIVE, abs=RELATIVE * abs(gradient).max()
        )


def away_from_kinks(rng, shape):
    z = rng.normal(size=shape)
    return z + 0.1 * np.sign(z)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, lib, rng):
    f = ACTIVATIONS[name]
    z, dy = away_from_kinks(rng, (4, 3)), rng.normal(size=(4, 3))
    _, cache = f.forward(lib(z), xp=lib.xp)
    dz = lib.host(f.backward(cache, lib(dy), xp=lib.xp))
    check(lambda z: (lib.host(f.forward(lib(z), xp=lib.xp)[0]) * dy).sum(), dz, z, rng)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses(name, reduction, weighted, lib, rng):
    loss, kind = LOSSES[name]
    loss = replace(loss, reduction=reduction)
    prediction, y = targets_for(kind, 4, 3, rng)
    w = lib(rng.uniform(0.5, 2.0, 4)) if weighted else None
    _, gradient = loss.value_and_grad(lib(prediction), lib(y), w)
    check(lambda p: float(loss.value_and_grad(lib(p), lib(y), w)[0]), lib.host(gradient), prediction, rng)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, lib, rng):
    layer, shape = LAYERS[name]
    host = layer.init(shape, rng)
    x = rng.normal(size=(6, *shape))
    dy = rng.normal(size=(6, *layer.output_shape(shape)))
    ctx = in_training(layer, shape, lib)

    def output(params, x):
        y, cache = layer.forward({n: lib(p) for n, p in params.items()}, lib(x), ctx)
        return (lib.host(y) * dy).sum(), cache

    _, cache = output(host, x)
    dx, gradients = layer.backward({n: lib(p) for n, p in host.items()}, cache, lib(dy), ctx)
    check(lambda x: output(host, x)[0], lib.host(dx), x, rng)
    for n in host:
        check(lambda p, n=n: output(host | {n: p}, x)[0], lib.host(gradients[n]), host[n], rng)


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
