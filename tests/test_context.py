"""What a layer is told besides parameters and data, and what it may remember: buffers and the source of noise.

The layers here are the smallest that use each; they stand for batch normalisation and dropout.
"""

from dataclasses import dataclass

import numpy as np
import pytest

import xpnn
from xpnn import registry
from xpnn.errors import InputError
from xpnn.layers import Context

from .test_gradients import check


class WithoutParameters(xpnn.Layer):
    """A layer that learns nothing and keeps the shape."""

    def parameter_shapes(self, input_shape):
        return {}

    def output_shape(self, input_shape):
        return input_shape

    def init(self, input_shape, rng):
        return {}


@dataclass(frozen=True)
class Centre(WithoutParameters):
    """In training y = x - mean(x) over the batch, remembering a running mean; otherwise y = x - that mean."""

    def init_buffers(self, input_shape):
        return {"mean": np.zeros(input_shape)}

    def forward(self, params, x, ctx):
        if not ctx.training:
            return x - ctx.buffers["mean"], None
        mean = ctx.xp.mean(x, axis=0)
        ctx.buffers["mean"] = 0.5 * ctx.buffers["mean"] + 0.5 * mean
        return x - mean, None

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        return dy - ctx.xp.mean(dy, axis=0), {}


@dataclass(frozen=True)
class Shift(WithoutParameters):
    """In training y = x + a number made of seed, step and layer."""

    def forward(self, params, x, ctx):
        return (x + (100.0 * ctx.seed + 10.0 * ctx.layer + ctx.step) if ctx.training else x), None

    def backward(self, params, cache, dy, ctx, *, input_gradient=True):
        return dy, {}


NETWORK = xpnn.Sequential(xpnn.Dense(3, "tanh"), Centre(), xpnn.Dense(1), input_shape=(2,))


def data(lib, rng, dtype="float64", n=12):
    X = rng.normal(size=(n, 2)) + 1.0
    return lib(X, dtype), lib(X[:, :1] * 2, dtype)


def test_buffers_are_updated_in_training_and_used_in_prediction(lib, rng):
    """By hand: the running mean of the first layer's output over the batches of two epochs."""
    X, y = data(lib, rng)
    seen = []

    def keep(epoch):
        seen.append((lib.host(epoch.params), lib.host(epoch.buffers)))

    model = xpnn.fit(NETWORK, X, y, epochs=2, batch_size=5, shuffle=False, optimizer=xpnn.SGD(0.1), callbacks=[keep])
    params, mean, x, t = NETWORK.init(0), np.zeros(3), lib.host(X), lib.host(y)
    f = xpnn.value_and_grad(NETWORK, "mse")
    for epoch in range(2):
        for part in (slice(0, 5), slice(5, 10), slice(10, 12)):
            first = NETWORK.unflatten(params)[0]
            mean = 0.5 * mean + 0.5 * np.tanh(x[part] @ first["W"] + first["b"]).mean(axis=0)
            params = params - 0.1 * f(params, x[part], t[part])[1]
        np.testing.assert_allclose(seen[epoch][1], mean, rtol=1e-10)
        np.testing.assert_allclose(seen[epoch][0], params, rtol=1e-10)
    lib.check(model.buffers, "float64")
    np.testing.assert_allclose(lib.host(model.buffers), mean, rtol=1e-10)
    first, _, last = NETWORK.unflatten(params)
    expected = (np.tanh(x @ first["W"] + first["b"]) - mean) @ last["W"] + last["b"]
    np.testing.assert_allclose(lib.host(model.predict(X)), expected, rtol=1e-10)
    assert model.evaluate(X, y)["loss"] == pytest.approx(((expected - t) ** 2).mean())


def test_validation_uses_the_buffers_too(lib, rng):
    X, y = data(lib, rng)
    model = xpnn.fit(NETWORK, X, y, epochs=3, validation_data=(X, y))
    assert model.history["validation_loss"][-1] == pytest.approx(model.evaluate(X, y)["loss"])


def test_the_gradient_through_a_layer_without_parameters(lib, rng):
    X, y = data(lib, rng)
    params = NETWORK.init(1)
    f = xpnn.value_and_grad(NETWORK, "mse")
    _, gradient = f(lib(params), X, y)
    check(lambda p: float(f(lib(p), X, y)[0]), lib.host(gradient), params, rng)


def test_buffers_are_saved_loaded_and_moved(lib, rng, tmp_path, monkeypatch):
    monkeypatch.setitem(registry._classes, "Centre", Centre)
    X, y = data(lib, rng, "float32")
    model = xpnn.fit(NETWORK, X, y, epochs=2)
    model.save(tmp_path / "m")
    again = xpnn.load(tmp_path / "m", like=X)
    lib.check(again.buffers, "float32")
    assert lib.host(again.buffers).tobytes() == lib.host(model.buffers).tobytes()
    np.testing.assert_array_equal(lib.host(again.predict(X)), lib.host(model.predict(X)))
    moved = model.to("numpy")
    assert type(moved.buffers) is np.ndarray
    assert moved.buffers.tobytes() == lib.host(model.buffers).tobytes()


def test_a_network_with_buffers_says_so_when_they_are_missing(lib):
    params = NETWORK.init(0, like=lib(np.zeros(1)))
    with pytest.raises(InputError, match="this network has buffers: pass those of its model"):
        NETWORK.forward(params, lib(np.zeros((2, 2))))
    buffers = NETWORK.init_buffers(like=params)
    assert tuple(NETWORK.forward(params, lib(np.zeros((2, 2))), buffers).shape) == (2, 1)
    with pytest.raises(InputError, match=r"buffers must have shape \(3,\) for this network, got \(30,\)"):
        NETWORK.forward(params, lib(np.zeros((2, 2))), lib(np.zeros(30)))


def test_a_network_without_buffers_has_none(lib):
    network = xpnn.mlp([2, 1])
    assert network.init_buffers() is None
    assert xpnn.fit(network, lib(np.ones((2, 2))), lib(np.ones(2)), epochs=1).buffers is None


def test_noise_is_a_function_of_seed_step_and_layer(lib):
    """y = 0 · x + b + shift, so the loss of step t is (shift of t)² while b stays 0; steps go on over epochs."""
    network = xpnn.Sequential(xpnn.Dense(1, "linear", "zeros"), Shift(), xpnn.Dense(1, "linear", "zeros"), Shift(),
                              input_shape=(1,))  # fmt: skip
    X, y = lib(np.ones((4, 1))), lib(np.zeros((4, 1)))
    model = xpnn.fit(network, X, y, optimizer=xpnn.SGD(1e-300), epochs=3, seed=7)
    expected = [(100.0 * 7 + 10.0 * 3 + step) ** 2 for step in range(3)]
    np.testing.assert_allclose(model.history["loss"], expected, rtol=1e-12)
    np.testing.assert_allclose(lib.host(model.predict(X)), 0.0, atol=1e-200)  # no noise: nothing was learned


def test_a_last_layer_without_an_activation_counts_as_linear(lib, rng):
    network = xpnn.Sequential(xpnn.Dense(1), Shift(), input_shape=(2,))
    X, y = data(lib, rng)
    assert xpnn.fit(network, X, y, epochs=2, optimizer=xpnn.SGD(1e-6)).loss == xpnn.MeanSquaredError()


def test_the_summary_shows_layers_without_parameters(capsys):
    NETWORK.summary()
    line = capsys.readouterr().out.splitlines()[3]
    assert line.split() == ["2", "Centre", "-", "-", "(n,", "3)", "0"]


def test_a_context_is_not_training_unless_told():
    assert Context(np).training is False


@dataclass(frozen=True)
class Replacing(Centre):
    """The same layer, which replaces the whole dict of buffers."""

    def forward(self, params, x, ctx):
        y, cache = super().forward(params, x, ctx)
        ctx.buffers = dict(ctx.buffers)
        return y, cache


def test_an_update_counts_however_it_is_put_into_the_context(lib, rng):
    X, y = data(lib, rng)
    networks = [
        xpnn.Sequential(xpnn.Dense(3), layer, xpnn.Dense(1), input_shape=(2,)) for layer in (Centre(), Replacing())
    ]
    first, second = (lib.host(xpnn.fit(network, X, y, epochs=2).buffers) for network in networks)
    np.testing.assert_array_equal(first, second)
    assert (first != 0).all()


def test_a_network_with_nothing_to_train_says_so():
    with pytest.raises(InputError, match=r"Shift\(\).* has no parameters: there is nothing to train"):
        xpnn.Sequential(Shift(), input_shape=(2,)).init()
