"""Contracts of every layer: shapes, arrays kept where they are, and what backward gives."""

import numpy as np
import pytest

import xpnn
from xpnn.errors import InputError
from xpnn.layers import Context

from .cases import LAYERS


def start(layer, shape, lib, dtype):
    host = layer.init(shape, np.random.default_rng(0))
    return {name: lib(array, dtype) for name, array in host.items()}


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_library_device_and_dtype_are_kept(name, lib, dtype, rng):
    layer, shape = LAYERS[name]
    params = start(layer, shape, lib, dtype)
    assert {n: tuple(p.shape) for n, p in params.items()} == layer.parameter_shapes(shape)
    x = lib(rng.normal(size=(5, *shape)), dtype)
    ctx = Context(lib.xp, training=True)
    y, cache = layer.forward(params, x, ctx)
    assert tuple(y.shape) == (5, *layer.output_shape(shape))
    dx, gradients = layer.backward(params, cache, lib(rng.normal(size=y.shape), dtype), ctx)
    assert tuple(dx.shape) == tuple(x.shape)
    assert {n: tuple(g.shape) for n, g in gradients.items()} == layer.parameter_shapes(shape)
    for array in (y, dx, *gradients.values()):
        lib.check(array, dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_at_the_input_is_not_computed_unless_asked_for(name, lib, rng):
    layer, shape = LAYERS[name]
    params = start(layer, shape, lib, "float64")
    ctx = Context(lib.xp, training=True)
    y, cache = layer.forward(params, lib(rng.normal(size=(5, *shape))), ctx)
    dy = lib(rng.normal(size=y.shape))
    dx, gradients = layer.backward(params, cache, dy, ctx, input_gradient=False)
    _, same = layer.backward(params, cache, dy, ctx)
    assert dx is None
    for n in gradients:
        np.testing.assert_array_equal(lib.host(gradients[n]), lib.host(same[n]))


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
