"""What each layer does; what all of them must is in tests/test_testing.py."""

import numpy as np
import pytest

import xpnn
from xpnn import random
from xpnn.errors import InputError
from xpnn.layers import Context

from .conftest import LIBRARIES


def in_training(layer, shape, lib, dtype="float64"):
    """The context of a step of training."""
    buffers = {name: lib(array, dtype) for name, array in layer.init_buffers(shape).items()}
    return Context(lib.xp, training=True, seed=3, step=7, layer=2, buffers=buffers)


def test_dense_is_the_formula_of_the_source(lib):
    W, b = np.array([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0]]), np.array([0.1, -0.2, 0.3])
    x = np.array([[1.0, 2.0], [-1.0, 0.5], [0.0, 0.0], [2.0, -2.0]])
    dy = np.arange(12.0).reshape(4, 3)
    layer, ctx = xpnn.Dense(3), Context(lib.xp)
    params = {"W": lib(W), "b": lib(b)}
    y, cache = layer.forward(params, lib(x), ctx)
    dx, gradients = layer.backward(params, cache, lib(dy), ctx)
    np.testing.assert_allclose(lib.host(y), x @ W + b, rtol=1e-14)
    np.testing.assert_allclose(lib.host(gradients["W"]), x.T @ dy, rtol=1e-14)
    np.testing.assert_allclose(lib.host(gradients["b"]), dy.sum(axis=0), rtol=1e-14)
    np.testing.assert_allclose(lib.host(dx), dy @ W.T, rtol=1e-14)


@pytest.mark.parametrize("units", [0, -1, 2.0, "3", None, True])
def test_units_must_be_a_whole_number_of_at_least_one(units):
    with pytest.raises(InputError, match="Dense: units must be an integer >= 1"):
        xpnn.Dense(units)


def test_dense_takes_rows_only():
    with pytest.raises(InputError, match=r"Dense\(3\): each sample must be a row \(n_in,\), got shape \(4, 4\)"):
        xpnn.Sequential(xpnn.Dense(3), input_shape=(4, 4))


# dropout


def test_dropout_leaves_out_the_rate_and_keeps_the_mean(lib, dtype):
    layer = xpnn.Dropout(0.3)
    x = lib(np.ones((400, 250)), dtype)
    y, _ = layer.forward({}, x, in_training(layer, (250,), lib))
    host = lib.host(y)
    np.testing.assert_allclose(np.unique(host), [0.0, 1 / 0.7], rtol=1e-6)
    assert (host == 0).mean() == pytest.approx(0.3, abs=5e-3)
    assert (host == 0).mean(axis=0).std() == pytest.approx((0.3 * 0.7 / 400) ** 0.5, rel=0.15)
    assert (host == 0).mean(axis=1).std() == pytest.approx((0.3 * 0.7 / 250) ** 0.5, rel=0.15)
    assert layer.forward({}, x, Context(lib.xp))[0] is x


def masks(lib, shape=(64, 33), **where):
    where = {"seed": 1, "step": 2, "layer": 3} | where
    return lib.host(random.chances(shape, 0.5, **where, xp=lib.xp, device=lib.device))


def test_the_same_nodes_are_left_out_everywhere(lib):
    here, there = masks(lib), masks(LIBRARIES["numpy"])
    assert here.dtype == bool
    np.testing.assert_array_equal(here, there)
    assert here.sum() == 1037  # of 2,112; the hash is part of what a seed means


def test_another_seed_step_or_layer_leaves_out_others():
    numpy = LIBRARIES["numpy"]
    every = [masks(numpy, **{name: n}) for name in ("seed", "step", "layer") for n in range(10, 60)]
    every += [masks(numpy, step=2**31 - 1), masks(numpy, step=10**10)]
    agreeing = np.asarray([[(a == b).mean() for a in every] for b in every])
    others = agreeing[~np.eye(len(every), dtype=bool)]
    assert others.mean() == pytest.approx(0.5, abs=2e-3)
    assert others.max() < 0.6  # the same entries are no more often equal than by chance: 9 standard deviations


def test_training_with_dropout_is_the_same_on_every_library(lib, dtype, rng):
    X, y = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    network = xpnn.Sequential(
        xpnn.Dense(16, "relu"), xpnn.Dropout(0.5), xpnn.BatchNormalization(), xpnn.Dense(8, "tanh"),
        xpnn.LayerNormalization(), xpnn.Dense(3, "softmax"), input_shape=(6,),
    )  # fmt: skip
    results = []
    for each, way in ((lib, None), (LIBRARIES["numpy"], False)):
        model = xpnn.fit(
            network, each(X, dtype), each(y), optimizer="adam", epochs=8, batch_size=16, seed=5, compile=way
        )
        results.append([each.host(model.params), each.host(model.buffers), np.asarray(model.history["loss"])])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-3 if dtype == "float32" else 1e-9, atol=1e-5)


@pytest.mark.parametrize("rate", [-0.1, 1.0, "0.5", True, None])
def test_the_rate_of_dropout_is_checked(rate):
    with pytest.raises(InputError, match="Dropout: rate must be a number from 0 to below 1"):
        xpnn.Dropout(rate)


# normalisation


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["layer", "batch"])
def test_normalisation_is_torch_s(kind, training, rng):
    torch = pytest.importorskip("torch")
    layer = xpnn.LayerNormalization(1e-3) if kind == "layer" else xpnn.BatchNormalization(1e-3, momentum=0.3)
    peer = torch.nn.LayerNorm(4, 1e-3) if kind == "layer" else torch.nn.BatchNorm1d(4, 1e-3, 0.3)
    peer = peer.double().train(training)
    gamma, beta = (torch.asarray(rng.normal(size=4)) for _ in range(2))
    x, dy = (torch.asarray(rng.normal(2.0, 3.0, size=(9, 4))) for _ in range(2))
    with torch.no_grad():
        peer.weight[:], peer.bias[:] = gamma, beta
    lib = LIBRARIES["torch"]
    ctx = in_training(layer, (4,), lib)
    ctx.training, params = training, {"gamma": gamma, "beta": beta}
    for _ in range(3):  # the running means move
        leaf = x.clone().requires_grad_()
        theirs = peer(leaf)
        ours, cache = layer.forward(params, x, ctx)
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-10, atol=1e-12)
    if kind == "batch":
        torch.testing.assert_close(ctx.buffers["mean"], peer.running_mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(ctx.buffers["variance"], peer.running_var, rtol=1e-12, atol=0)
    if training:
        peer.zero_grad()
        theirs.backward(dy)
        dx, gradients = layer.backward(params, cache, dy, ctx)
        torch.testing.assert_close(dx, leaf.grad, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(gradients["gamma"], peer.weight.grad, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(gradients["beta"], peer.bias.grad, rtol=1e-10, atol=1e-12)


def test_a_batch_of_one_is_no_error(lib):
    layer = xpnn.BatchNormalization()
    ctx = in_training(layer, (2,), lib)
    y, _ = layer.forward({"gamma": lib([1.0, 1.0]), "beta": lib([0.5, 0.5])}, lib([[3.0, 4.0]]), ctx)
    np.testing.assert_allclose(lib.host(y), [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: xpnn.LayerNormalization(0), "LayerNormalization: epsilon must be a number > 0, got 0"),
        (lambda: xpnn.BatchNormalization(momentum=0), "BatchNormalization: momentum must be a number above 0"),
        (
            lambda: xpnn.Sequential(xpnn.LayerNormalization(), input_shape=(4, 4)),
            r"LayerNormalization: each sample must be a row \(d,\), got shape \(4, 4\)",
        ),
    ],
)
def test_normalisation_checks_what_it_is_given(make, message):
    with pytest.raises(InputError, match=message):
        make()
