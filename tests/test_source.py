"""The course text, step by step: sections 1, 2, 5, 6 and 7, on its own networks.

The expected numbers are worked out here with plain Python lists and loops, one scalar at a time, as the text derives
them; nothing of xpnn is used for them.
"""

import math

import numpy as np
import pytest

import xpnn
from xpnn import losses
from xpnn.layers import Context

ALPHA = 0.3


def sigma(z):
    return 1 / (1 + math.exp(-z))


def product(A, B):
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)] for row in A]


def transpose(A):
    return [list(column) for column in zip(*A, strict=True)]


def each(f, *matrices):
    """f over the entries of matrices of one shape: ⊗ is ``each(lambda a, b: a * b, A, B)``."""
    return [[f(*entries) for entries in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)]


def column_sums(A):
    return [sum(column) for column in zip(*A, strict=True)]


def numbers(rows, columns, start):
    """Made-up weights and data between -1 and 1, different everywhere."""
    return [[math.sin(start + 1.7 * i + 0.9 * j) for j in range(columns)] for i in range(rows)]


def by_hand(sizes, X, Y, W, b, *, mean):
    """Feedforward and backpropagation as the text prints them, for sigmoid everywhere and binary cross-entropy."""
    Z, A = [None], [X]
    for i in range(1, len(sizes)):
        linear = product(A[i - 1], W[i])
        Z.append([[z + b_j for z, b_j in zip(row, b[i], strict=True)] for row in linear])
        A.append(each(sigma, Z[i]))
    m, n = len(sizes) - 1, len(X)
    L = each(lambda y, p: -(y * math.log(p) + (1 - y) * math.log(1 - p)), Y, A[m])
    J = sum(map(sum, L)) / (n if mean else 1)
    delta = {m: each(lambda p, y: (p - y) / (n if mean else 1), A[m], Y)}
    for i in range(m - 1, 0, -1):
        dA = product(delta[i + 1], transpose(W[i + 1]))
        delta[i] = each(lambda d, a: d * a * (1 - a), dA, A[i])
    dW = {i: product(transpose(A[i - 1]), delta[i]) for i in delta}
    db = {i: column_sums(delta[i]) for i in delta}
    return Z, A, J, dW, db


@pytest.fixture(params=[(2, 3, 4, 1), (2, 4, 5, 1)], ids=["2-3-4-1", "2-4-5-1"])
def example(request):
    sizes = request.param
    X = numbers(5, 2, 0.4)
    Y = [[1.0], [0.0], [1.0], [1.0], [0.0]]
    W = [None] + [numbers(sizes[i - 1], sizes[i], i) for i in range(1, len(sizes))]
    b = [None] + [numbers(1, sizes[i], 10 + i)[0] for i in range(1, len(sizes))]
    network = xpnn.mlp(list(sizes), hidden="sigmoid", output="sigmoid")
    return sizes, X, Y, W, b, network


def parameters(lib, network, W, b):
    return network.flatten([{"W": lib(W[i]), "b": lib(b[i])} for i in range(1, len(W))])


def test_section_1_shapes_of_the_worked_network(lib):
    network = xpnn.mlp([2, 3, 4, 1], hidden="sigmoid", output="sigmoid")
    layers = network.unflatten(network.init(0, like=lib(np.zeros(1))))
    assert [tuple(p["W"].shape) for p in layers] == [(2, 3), (3, 4), (4, 1)]
    assert [tuple(p["b"].shape) for p in layers] == [(3,), (4,), (1,)]
    n, a = 7, lib(np.zeros((7, 2)))
    for layer, p, units in zip(network.layers, layers, (3, 4, 1), strict=True):
        a, _ = layer.forward(p, a, Context(lib.xp))
        assert tuple(a.shape) == (n, units)


def test_section_1_each_layer_its_own_activation():
    network = xpnn.mlp([2, 3, 4, 2, 1], hidden=["sigmoid", "relu", "tanh"], output="linear")
    assert [layer.activation for layer in network.layers] == [xpnn.Sigmoid(), xpnn.ReLU(), xpnn.Tanh(), xpnn.Linear()]


def test_section_2_feedforward(example, lib):
    _, X, _, W, b, network = example
    Z, A, *_ = by_hand(*example[:5], mean=True)
    params = parameters(lib, network, W, b)
    a = lib(X)
    for i, (layer, p) in enumerate(zip(network.layers, network.unflatten(params), strict=True), 1):
        linear = xpnn.Dense(layer.units, "linear")
        z, _ = linear.forward(p, a, Context(lib.xp))
        np.testing.assert_allclose(lib.host(z), Z[i], rtol=1e-13, atol=1e-15)
        a, _ = layer.forward(p, a, Context(lib.xp))
        np.testing.assert_allclose(lib.host(a), A[i], rtol=1e-13)
    np.testing.assert_array_equal(lib.host(network.forward(params, lib(X))), lib.host(a))


def test_section_5_loss_and_its_gradient_at_the_output(example, lib):
    _, X, Y, W, b, network = example
    _, A, J, *_ = by_hand(*example[:5], mean=True)
    y_hat = network.forward(parameters(lib, network, W, b), lib(X))
    value, gradient = xpnn.BinaryCrossentropy().value_and_grad(y_hat, lib(Y))
    assert float(value) == pytest.approx(J, rel=1e-13)
    expected = each(lambda p, y: (p - y) / (p * (1 - p)) / len(X), A[-1], Y)
    np.testing.assert_allclose(lib.host(gradient), expected, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_section_6_backpropagation(example, reduction, lib):
    _, X, Y, W, b, network = example
    *_, J, dW, db = by_hand(*example[:5], mean=reduction == "mean")
    f = xpnn.value_and_grad(network, xpnn.BinaryCrossentropy(reduction))
    loss, gradient = f(parameters(lib, network, W, b), lib(X), lib(Y))
    assert float(loss) == pytest.approx(J, rel=1e-13)
    for i, layer in enumerate(network.unflatten(gradient), 1):
        np.testing.assert_allclose(lib.host(layer["W"]), dW[i], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(lib.host(layer["b"]), db[i], rtol=1e-12, atol=1e-15)


def test_section_6_the_four_steps_of_the_general_chain(example, lib):
    """∂J/∂Ŷ, then ⊗ ∂A/∂Z, then the products, without the shortcut A - Y: the same gradients."""
    sizes, X, Y, W, b, network = example
    *_, dW, db = by_hand(*example[:5], mean=True)
    params, ctx = parameters(lib, network, W, b), Context(lib.xp, training=True)
    y_hat, caches, _ = network.forward_pass(params, lib(X), ctx)
    _, da = xpnn.BinaryCrossentropy().value_and_grad(y_hat, lib(Y))  # step 1
    layers = network.unflatten(params)
    for i in reversed(range(len(sizes) - 1)):  # steps 2, 3 and 4
        da, gradients = network.layers[i].backward(layers[i], caches[i], da, ctx)
        np.testing.assert_allclose(lib.host(gradients["W"]), dW[i + 1], rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(lib.host(gradients["b"]), db[i + 1], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("epochs", [1, 3])
def test_section_7_gradient_descent_as_printed(example, epochs, lib):
    """W ← W - α A(i-1)ᵀ δ(i) with δ = A - Y summed over the samples: the loss's reduction "sum"."""
    sizes, X, Y, W, b, network = example
    start = parameters(lib, network, W, b)
    losses_by_hand = []
    for _ in range(epochs):
        *_, J, dW, db = by_hand(sizes, X, Y, W, b, mean=False)
        losses_by_hand.append(J)
        W = [None] + [each(lambda w, d: w - ALPHA * d, W[i], dW[i]) for i in range(1, len(sizes))]
        b = [None] + [[v - ALPHA * d for v, d in zip(b[i], db[i], strict=True)] for i in range(1, len(sizes))]
    model = xpnn.fit(
        network,
        lib(X),
        lib(Y),
        loss=xpnn.BinaryCrossentropy("sum"),
        optimizer=xpnn.SGD(ALPHA),
        epochs=epochs,
        params=start,
    )
    np.testing.assert_allclose(model.history["loss"], losses_by_hand, rtol=1e-12)
    for i, layer in enumerate(network.unflatten(model.params), 1):
        np.testing.assert_allclose(lib.host(layer["W"]), W[i], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(lib.host(layer["b"]), b[i], rtol=1e-12, atol=1e-15)


def test_the_mean_takes_the_same_step_as_the_sum_with_a_rate_n_times_smaller(example, lib):
    _, X, Y, W, b, network = example
    start = parameters(lib, network, W, b)
    models = [
        xpnn.fit(
            network, lib(X), lib(Y), loss=xpnn.BinaryCrossentropy(r), optimizer=xpnn.SGD(rate), epochs=3, params=start
        )
        for r, rate in (("mean", ALPHA), ("sum", ALPHA / len(X)))
    ]
    np.testing.assert_allclose(lib.host(models[0].params), lib.host(models[1].params), rtol=1e-12)


def test_the_scalar_derivation_on_the_2_2_1_network(lib):
    """∂L/∂b = ŷ - y, ∂L/∂a = w (ŷ - y), ∂L/∂w = a (ŷ - y) at the output, for one sample."""
    network = xpnn.mlp([2, 2, 1], hidden="sigmoid", output="sigmoid")
    W, b = [None, numbers(2, 2, 1), numbers(2, 1, 2)], [None, [0.1, -0.2], [0.3]]
    x, y = [[0.5, -1.0]], 1.0
    _, A, _, _, _ = by_hand((2, 2, 1), x, [[y]], W, b, mean=False)
    _, gradient = xpnn.value_and_grad(network, "binary_crossentropy")(
        parameters(lib, network, W, b), lib(x), lib([[y]])
    )
    last, first = network.unflatten(gradient)[1], network.unflatten(gradient)[0]
    error = A[2][0][0] - y
    assert float(last["b"][0]) == pytest.approx(error, rel=1e-12)
    for j in range(2):
        assert float(last["W"][j, 0]) == pytest.approx(A[1][0][j] * error, rel=1e-12)
        below = W[2][j][0] * error * A[1][0][j] * (1 - A[1][0][j])
        assert float(first["b"][j]) == pytest.approx(below, rel=1e-12)


@pytest.mark.parametrize(
    ("output", "loss"),
    [
        ("sigmoid", xpnn.BinaryCrossentropy),
        ("softmax", xpnn.CategoricalCrossentropy),
        ("linear", xpnn.MeanSquaredError),
    ],
)
def test_section_4_each_task_has_its_output_and_loss(output, loss):
    assert isinstance(losses.usual(xpnn.mlp([2, 4, 3], output=output).output_activation), loss)
