"""Sections 4 and 5 of the source: the losses, their reductions and weights, and the fused output pairs."""

import math

import numpy as np
import pytest

import xpnn
from xpnn import activations, losses
from xpnn.errors import InputError

from .cases import LOSSES, targets_for

TOLERANCE = {"float32": 3e-6, "float64": 1e-13}

# One loss of each kind, the numbers worked out by hand with logarithms
Y_HAT = [[0.9, 0.2], [0.4, 0.7]]
Y = [[1.0, 0.0], [0.0, 1.0]]
BCE = [[-math.log(0.9), -math.log(0.8)], [-math.log(0.6), -math.log(0.7)]]
MSE = [[0.01, 0.04], [0.16, 0.09]]
P = [[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]]
CCE = [-math.log(0.7), -math.log(0.3)]


def total(rows):
    return sum(map(sum, rows))


@pytest.mark.parametrize(
    ("cls", "prediction", "y", "mean", "sum_"),
    [
        (xpnn.MeanSquaredError, Y_HAT, Y, total(MSE) / 4, total(MSE)),
        (xpnn.BinaryCrossentropy, Y_HAT, Y, total(BCE) / 4, total(BCE)),
        (xpnn.CategoricalCrossentropy, P, [[1.0, 0, 0], [0, 1.0, 0]], sum(CCE) / 2, sum(CCE)),
    ],
)
def test_values_by_hand(cls, prediction, y, mean, sum_, lib, dtype):
    for reduction, expected in (("mean", mean), ("sum", sum_)):
        value, gradient = cls(reduction).value_and_grad(lib(prediction, dtype), lib(y, dtype))
        lib.check(value, dtype)
        lib.check(gradient, dtype)
        assert value.shape == ()
        assert float(value) == pytest.approx(expected, rel=TOLERANCE[dtype])


def test_gradient_of_binary_crossentropy_is_that_of_the_source(lib):
    _, gradient = xpnn.BinaryCrossentropy("sum").value_and_grad(lib(Y_HAT), lib(Y))
    expected = [
        [(p - y) / (p * (1 - p)) for p, y in zip(ps, ys, strict=True)] for ps, ys in zip(Y_HAT, Y, strict=True)
    ]
    np.testing.assert_allclose(lib.host(gradient), expected, rtol=1e-13)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "softmax + categorical_crossentropy"])
def test_integer_labels_equal_one_hot_rows(name, lib, dtype, rng):
    loss, kind = LOSSES[name]
    prediction, y = targets_for(kind, 6, 4, rng)
    labels = lib(y.argmax(axis=1))
    value, gradient = loss.value_and_grad(lib(prediction, dtype), labels)
    expected, expected_gradient = loss.value_and_grad(lib(prediction, dtype), lib(y, dtype))
    assert float(value) == float(expected)
    np.testing.assert_array_equal(lib.host(gradient), lib.host(expected_gradient))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_weight_of_two_equals_a_repeated_row(name, reduction, lib, rng):
    loss, kind = LOSSES[name]
    loss = type(loss)(reduction)
    prediction, y = targets_for(kind, 3, 2, rng)
    weighted, gradient = loss.value_and_grad(lib(prediction), lib(y), lib([1.0, 2.0, 0.0]))
    rows = [0, 1, 1]
    repeated, gradient_of_rows = loss.value_and_grad(lib(prediction[rows]), lib(y[rows]))
    assert float(weighted) == pytest.approx(float(repeated), rel=1e-12)
    by_row = lib.host(gradient_of_rows)
    expected = np.stack([by_row[0], by_row[1] + by_row[2], np.zeros(2)])
    np.testing.assert_allclose(lib.host(gradient), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_whose_weights_are_all_zero_weighs_nothing(name, lib, dtype, rng):
    loss, kind = LOSSES[name]
    prediction, y = targets_for(kind, 3, 2, rng)
    value, gradient = loss.value_and_grad(lib(prediction, dtype), lib(y, dtype), lib(np.zeros(3), dtype))
    assert float(value) == 0.0
    np.testing.assert_array_equal(lib.host(gradient), 0.0)


@pytest.mark.parametrize(
    ("activation", "name"),
    [("sigmoid", "binary_crossentropy"), ("softmax", "categorical_crossentropy"), ("linear", "mse")],
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fused_pair_equals_the_general_chain(activation, name, reduction, weighted, lib, rng):
    f, loss = activations.get(activation), type(losses.get(name))(reduction)
    kind = {"mse": "numbers", "binary_crossentropy": "logits of labels"}.get(name, "logits of classes")
    z, y = targets_for(kind, 5, 3, rng)
    w = lib(rng.uniform(0.5, 2.0, 5)) if weighted else None
    a, cache = f.forward(lib(z), xp=lib.xp)
    value, da = loss.value_and_grad(a, lib(y), w)
    dz = f.backward(cache, da, xp=lib.xp)
    fused = losses.fused(f, loss)
    assert fused is not None
    fused_value, fused_dz = fused.value_and_grad(lib(z), lib(y), w)
    assert float(fused_value) == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(lib.host(fused_dz), lib.host(dz), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_the_gradient_of_a_fused_pair_is_a_minus_y(activation, lib, rng):
    f = activations.get(activation)
    fused = losses.fused(f, losses.usual(f))
    z, y = targets_for("logits of classes", 4, 3, rng)
    _, dz = type(fused)("sum").value_and_grad(lib(z), lib(y))
    a, _ = f.forward(lib(z), xp=lib.xp)
    np.testing.assert_array_equal(lib.host(dz), lib.host(a) - y)


@pytest.mark.parametrize("name", ["sigmoid + binary_crossentropy", "softmax + categorical_crossentropy"])
def test_fused_pairs_at_extremes(name, lib, dtype):
    loss, _ = LOSSES[name]
    z = lib([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [0.0, 0.0]], dtype)
    y = lib([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype)
    value, gradient = type(loss)("sum").value_and_grad(z, y)
    # sigmoid: rows of 0, 2e4, 1e4 and 2 log 2; softmax: 0, 2e4, log 2 and log 2
    expected = 3e4 + 2 * math.log(2) if name.startswith("sigmoid") else 2e4 + 2 * math.log(2)
    assert float(value) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(lib.host(gradient)).all()


@pytest.mark.parametrize("cls", [xpnn.BinaryCrossentropy, xpnn.CategoricalCrossentropy])
def test_probabilities_of_exactly_zero_and_one_stay_finite(cls, lib, dtype):
    right = lib([[1.0, 0.0]], dtype)
    assert float(cls().value_and_grad(right, lib([[1.0, 0.0]], dtype))[0]) == pytest.approx(0.0, abs=1e-6)
    value, gradient = cls().value_and_grad(right, lib([[0.0, 1.0]], dtype))
    assert 80 < float(value) < 800
    assert np.isfinite(lib.host(gradient)).all()


@pytest.mark.parametrize(("name", "kind"), [("MSELoss", "numbers"), ("BCELoss", "probabilities"),
                                            ("BCEWithLogitsLoss", "logits of labels"),
                                            ("CrossEntropyLoss", "logits of classes")])  # fmt: skip
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_definitions_are_those_of_torch(name, kind, reduction, rng):
    torch = pytest.importorskip("torch")
    loss = next(type(loss)(reduction) for loss, k in LOSSES.values() if k == kind)
    prediction, y = map(torch.asarray, targets_for(kind, 7, 3, rng))
    prediction.requires_grad_()
    theirs = getattr(torch.nn, name)(reduction=reduction)(prediction, y)
    theirs.backward()
    value, gradient = loss.value_and_grad(prediction.detach(), y)
    torch.testing.assert_close(value, theirs.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, prediction.grad, rtol=1e-10, atol=1e-14)


def test_calling_a_loss_gives_its_value(lib):
    value = xpnn.MeanSquaredError()(lib([[1.0], [2.0]]), lib([[0.0], [4.0]]))
    assert float(value) == 2.5


@pytest.mark.parametrize("name", LOSSES)
def test_a_wrong_shape_is_an_error_and_never_broadcast(name, lib):
    loss, _ = LOSSES[name]
    with pytest.raises(InputError, match=r"y must .*shape \(4, 1\).* got .*\(4,\)"):
        loss.value_and_grad(lib(np.full((4, 1), 0.5)), lib(np.ones(4)))
    with pytest.raises(InputError, match=r"y must .*shape \(4, 1\)"):
        loss.value_and_grad(lib(np.full((4, 1), 0.5)), lib(np.ones((1, 4))))
    with pytest.raises(InputError, match=r"sample_weight must have shape \(4,\), got \(4, 1\)"):
        loss.value_and_grad(lib(np.full((4, 1), 0.5)), lib(np.ones((4, 1))), lib(np.ones((4, 1))))


def test_an_unknown_name_or_reduction_lists_the_valid_ones():
    with pytest.raises(InputError, match=r"unknown loss 'binary_crossentrop'. Did you mean 'binary_crossentropy'\?"):
        losses.get("binary_crossentrop")
    with pytest.raises(InputError, match=r"unknown loss 'binary'. Did you mean 'binary_crossentropy'\?"):
        losses.get("binary")
    with pytest.raises(InputError, match=r"unknown reduction 'avg'. Valid: mean, sum"):
        xpnn.MeanSquaredError("avg")


def test_a_loss_of_probabilities_refuses_other_outputs():
    network = xpnn.mlp([2, 3, 1])
    with pytest.raises(
        InputError, match=r"BinaryCrossentropy needs outputs from 0 to 1, .* Linear\(\) gives -inf to inf"
    ):
        xpnn.value_and_grad(network, "binary_crossentropy")


@pytest.mark.parametrize(
    ("activation", "cls"),
    [
        ("sigmoid", xpnn.BinaryCrossentropy),
        ("softmax", xpnn.CategoricalCrossentropy),
        ("linear", xpnn.MeanSquaredError),
        ("tanh", xpnn.MeanSquaredError),
    ],
)
def test_the_usual_loss_of_an_output(activation, cls):
    assert losses.usual(activations.get(activation)) == cls()


@pytest.mark.parametrize("name", LOSSES)
def test_targets_of_another_dtype_do_not_change_the_predictions_own(name, lib, rng):
    loss, kind = LOSSES[name]
    prediction, y = targets_for(kind, 4, 3, rng)
    expected, _ = loss.value_and_grad(lib(prediction, "float32"), lib(y, "float32"))
    for other in (lib(y, "float64"), *([lib(y.astype(int))] if kind != "numbers" else [])):
        value, gradient = loss.value_and_grad(lib(prediction, "float32"), other)
        lib.check(value, "float32")
        lib.check(gradient, "float32")
        assert float(value) == pytest.approx(float(expected), rel=1e-6)
