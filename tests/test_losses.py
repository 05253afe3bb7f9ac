"""Sections 4 and 5 of the source: the losses, their reductions and weights, and the fused output pairs."""

import math
from dataclasses import replace

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
Q = [[0.6, 0.3, 0.1], [0.0, 0.5, 0.5]]
KL = [
    0.6 * math.log(0.6 / 0.7) + 0.3 * math.log(0.3 / 0.2) + 0.1 * math.log(0.1 / 0.1),
    0.5 * math.log(0.5 / 0.3) + 0.5 * math.log(0.5 / 0.6),  # a share of 0 adds nothing
]
Z, T = [[1.5, -0.25], [-3.0, 0.5]], [[1.0, 0.0], [0.0, 0.0]]  # numbers and their targets: errors 0.5, -0.25, -3, 0.5
HUBER = [[0.125, 0.03125], [1.0 * (3.0 - 0.5), 0.125]]
LOG_COSH = [
    [math.log(math.cosh(0.5)), math.log(math.cosh(0.25))],
    [math.log(math.cosh(3.0)), math.log(math.cosh(0.5))],
]
HINGE = [[0.0, 0.75], [0.0, 1.5]]
COUNTS = [[2.0, 0.5], [1.0, 4.0]], [[3.0, 0.0], [1.0, 2.0]]
POISSON = [[2.0 - 3.0 * math.log(2.0), 0.5], [1.0, 4.0 - 2.0 * math.log(4.0)]]
# two quantiles of two targets: the first two columns are of the first target
INTERVALS = [[0.0, 2.0, 3.0, 4.0], [1.0, 1.5, 0.0, 0.5]], [[1.0, 5.0], [1.0, 0.25]]
PINBALL = [[0.1 * 1.0, 0.2 * 1.0, 0.1 * 2.0, 0.8 * 1.0], [0.0, 0.2 * 0.5, 0.1 * 0.25, 0.2 * 0.25]]


def total(rows):
    return sum(map(sum, rows))


@pytest.mark.parametrize(
    ("loss", "prediction", "y", "mean", "sum_"),
    [
        (xpnn.MeanSquaredError(), Y_HAT, Y, total(MSE) / 4, total(MSE)),
        (xpnn.MeanAbsoluteError(), Z, T, 4.25 / 4, 4.25),
        (xpnn.Huber(), Z, T, total(HUBER) / 4, total(HUBER)),
        (xpnn.LogCosh(), Z, T, total(LOG_COSH) / 4, total(LOG_COSH)),
        (xpnn.Quantile(quantiles=(0.1, 0.8)), *INTERVALS, total(PINBALL) / 8, total(PINBALL)),
        (xpnn.Poisson(eps=1e-30), *COUNTS, total(POISSON) / 4, total(POISSON)),
        (xpnn.Hinge(), Z, T, total(HINGE) / 4, total(HINGE)),
        (xpnn.BinaryCrossentropy(), Y_HAT, Y, total(BCE) / 4, total(BCE)),
        (xpnn.CategoricalCrossentropy(), P, [[1.0, 0, 0], [0, 1.0, 0]], sum(CCE) / 2, sum(CCE)),
        (xpnn.KullbackLeibler(), P, Q, sum(KL) / 2, sum(KL)),
    ],
)
def test_values_by_hand(loss, prediction, y, mean, sum_, lib, dtype):
    for reduction, expected in (("mean", mean), ("sum", sum_)):
        value, gradient = replace(loss, reduction=reduction).value_and_grad(lib(prediction, dtype), lib(y, dtype))
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


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("sigmoid", "binary_crossentropy"),
        ("sigmoid", "binary_crossentropy, smoothed"),
        ("softmax", "categorical_crossentropy"),
        ("softmax", "categorical_crossentropy, smoothed"),
        ("softmax", "kullback_leibler"),
        ("linear", "mse"),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fused_pair_equals_the_general_chain(activation, name, reduction, weighted, lib, rng):
    f, loss = activations.get(activation), replace(LOSSES[name][0], reduction=reduction)
    kind = "numbers" if name == "mse" else LOSSES[f"{activation} + {name}"][1]
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


@pytest.mark.parametrize("name", LOSSES)
def test_extremes_neither_overflow_nor_give_nan(name, lib, dtype):
    loss, kind = LOSSES[name]
    least, most = loss.domain
    low, high = (max(least, -1e4), min(most, 1e4))
    y_low, y_high = max(loss.targets[0], -1e4), min(loss.targets[1], 1e4)
    y = [[y_low, y_high], [y_high, y_low], [y_low, y_high], [y_high, y_low]]
    prediction = np.asarray([[low, high], [low, high], [low, low], [high, high]])
    if kind == "three numbers each":
        prediction = np.repeat(prediction, 3, axis=1)
    with np.errstate(over="raise", invalid="raise", divide="raise"):  # NumPy; warnings are errors everywhere
        value, gradient = loss.value_and_grad(lib(prediction, dtype), lib(y, dtype))
    assert np.isfinite(float(value))
    assert np.isfinite(lib.host(gradient)).all()


@pytest.mark.parametrize("cls", [xpnn.BinaryCrossentropy, xpnn.CategoricalCrossentropy, xpnn.KullbackLeibler])
def test_probabilities_of_exactly_zero_and_one_stay_finite(cls, lib, dtype):
    right = lib([[1.0, 0.0]], dtype)
    assert float(cls().value_and_grad(right, lib([[1.0, 0.0]], dtype))[0]) == pytest.approx(0.0, abs=1e-6)
    value, gradient = cls().value_and_grad(right, lib([[0.0, 1.0]], dtype))
    assert 80 < float(value) < 800
    assert np.isfinite(lib.host(gradient)).all()


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("mse", "MSELoss", {}),
        ("mae", "L1Loss", {}),
        ("huber", "HuberLoss", {"delta": 0.75}),
        ("poisson", "PoissonNLLLoss", {"log_input": False}),
        ("binary_crossentropy", "BCELoss", {}),
        ("sigmoid + binary_crossentropy", "BCEWithLogitsLoss", {}),
        ("softmax + categorical_crossentropy", "CrossEntropyLoss", {}),
        ("softmax + categorical_crossentropy, smoothed", "CrossEntropyLoss", {"label_smoothing": 0.1}),
        ("kullback_leibler", "KLDivLoss", {}),
    ],
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_definitions_are_those_of_torch(name, theirs, options, reduction, rng):
    torch = pytest.importorskip("torch")
    loss, kind = LOSSES[name]
    loss = replace(loss, reduction=reduction)
    prediction, y = map(torch.asarray, targets_for(kind, 7, 3, rng))
    prediction.requires_grad_()
    divergence = theirs == "KLDivLoss"  # it takes logarithms, and calls a mean over samples by a name of its own
    options = options | {"reduction": "batchmean" if divergence and reduction == "mean" else reduction}
    theirs = getattr(torch.nn, theirs)(**options)(torch.log(prediction) if divergence else prediction, y)
    theirs.backward()
    value, gradient = loss.value_and_grad(prediction.detach(), y)
    torch.testing.assert_close(value, theirs.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, prediction.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_values_of_log_cosh_keep_their_digits_near_zero_and_far_from_it(sign, lib):
    errors = [1e-3, 1.0, 500.0]
    expected = [math.log1p(2 * math.sinh(5e-4) ** 2), math.log(math.cosh(1.0)), math.log(math.cosh(500.0))]
    terms, _ = xpnn.LogCosh().terms(lib([[sign * e for e in errors]]), lib([[0.0] * 3]), xp=lib.xp)
    np.testing.assert_allclose(lib.host(terms), [expected], rtol=1e-12)


def test_where_error_is_zero_the_gradient_is_the_middle_one(lib):
    for loss, expected in (
        (xpnn.MeanAbsoluteError("sum"), 0.0),
        (xpnn.LogCosh("sum"), 0.0),
        (xpnn.Huber("sum"), 0.0),
        (xpnn.Quantile("sum", (0.2,)), 0.3),
    ):
        value, gradient = loss.value_and_grad(lib([[2.0]]), lib([[2.0]]))
        assert float(value) == 0.0
        assert float(gradient[0, 0]) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.8])
def test_one_quantile_is_the_pinball_loss_of_sklearn(quantile, lib, rng):
    metrics = pytest.importorskip("sklearn.metrics")
    prediction, y = targets_for("numbers", 20, 2, rng)
    ours = xpnn.Quantile(quantiles=(quantile,))(lib(prediction), lib(y))
    assert float(ours) == pytest.approx(metrics.mean_pinball_loss(y, prediction, alpha=quantile), rel=1e-13)


def test_the_hinge_loss_is_that_of_sklearn_for_either_way_of_writing_the_classes(lib, rng):
    metrics = pytest.importorskip("sklearn.metrics")
    z, y = targets_for("logits of labels", 20, 1, rng)
    expected = metrics.hinge_loss(y[:, 0], z[:, 0])
    for targets in (y, 2 * y - 1):
        assert float(xpnn.Hinge()(lib(z), lib(targets))) == pytest.approx(expected, rel=1e-13)


def test_the_constant_of_several_quantiles_is_each_quantile_of_the_targets(lib, rng):
    y = rng.normal(size=(501, 2)) * [1.0, 5.0]
    loss = xpnn.Quantile(quantiles=(0.1, 0.5, 0.9))
    best = np.quantile(y, loss.quantiles, axis=0).T.reshape(1, 6)  # target by target
    least = float(loss(lib(np.repeat(best, 501, axis=0)), lib(y)))
    for j in range(6):
        for change in (-0.05, 0.05):
            other = best + change * (np.arange(6) == j)
            assert float(loss(lib(np.repeat(other, 501, axis=0)), lib(y))) > least


def test_smoothed_labels_are_mixed_with_equal_shares(lib):
    p, y = lib(P), lib([[1.0, 0, 0], [0, 1.0, 0]])
    mixed = lib([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    for ours, expected in (
        (xpnn.CategoricalCrossentropy(label_smoothing=0.3), xpnn.CategoricalCrossentropy()(p, mixed)),
        (xpnn.BinaryCrossentropy(label_smoothing=0.3), xpnn.BinaryCrossentropy()(p, y * 0.7 + 0.15)),
    ):
        assert float(ours(p, y)) == pytest.approx(float(expected), rel=1e-14)


def test_smoothing_of_nothing_is_nothing(lib):
    y = lib(Y)
    assert xpnn.BinaryCrossentropy()._smoothed(y, 2) is y


@pytest.mark.parametrize("name", ["binary_crossentropy, smoothed", "categorical_crossentropy, smoothed"])
def test_a_fused_pair_keeps_the_smoothing(name):
    loss = replace(LOSSES[name][0], reduction="sum")
    f = activations.get("sigmoid" if name.startswith("binary") else "softmax")
    fused = losses.fused(f, loss)
    assert (fused.reduction, fused.label_smoothing) == ("sum", 0.1)


def test_calling_a_loss_gives_its_value(lib):
    value = xpnn.MeanSquaredError()(lib([[1.0], [2.0]]), lib([[0.0], [4.0]]))
    assert float(value) == 2.5


@pytest.mark.parametrize("name", LOSSES)
def test_a_wrong_shape_is_an_error_and_never_broadcast(name, lib, rng):
    loss, kind = LOSSES[name]
    prediction = lib(targets_for(kind, 4, 1, rng)[0])
    with pytest.raises(InputError, match=r"y must .*shape \(4, 1\).* got .*\(4,\)"):
        loss.value_and_grad(prediction, lib(np.ones(4)))
    with pytest.raises(InputError, match=r"y must .*shape \(4, 1\)"):
        loss.value_and_grad(prediction, lib(np.ones((1, 4))))
    with pytest.raises(InputError, match=r"sample_weight must have shape \(4,\), got \(4, 1\)"):
        loss.value_and_grad(prediction, lib(np.ones((4, 1))), lib(np.ones((4, 1))))


def test_outputs_that_are_not_one_per_quantile_and_target():
    loss = xpnn.Quantile(quantiles=(0.1, 0.9))
    with pytest.raises(
        InputError, match=r"0\.9\)\) needs 2 outputs for each target, .* 1 target 2, 2 targets 4, got 3"
    ):
        loss(np.ones((4, 3)), np.ones((4, 1)))
    with pytest.raises(InputError, match=r"y must have shape \(4, 1\), the prediction being \(4, 2\), got \(4, 2\)"):
        loss(np.ones((4, 2)), np.ones((4, 2)))


def test_the_estimate_among_quantiles_is_the_one_nearest_the_middle(lib):
    output = lib([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    estimate = xpnn.Quantile(quantiles=(0.1, 0.45, 0.9)).point(output)
    np.testing.assert_array_equal(lib.host(estimate), [[2.0, 5.0]])


@pytest.mark.parametrize("quantiles", [(), (0.0, 0.5), (0.5, 1.0), (0.9, 0.1), (0.5, 0.5), 0.5, "0.5", ("0.5",)])
def test_quantiles_are_between_zero_and_one_in_order(quantiles):
    with pytest.raises(
        InputError, match="Quantile: quantiles must be a tuple of numbers between 0 and 1 in increasi"
    ):
        xpnn.Quantile(quantiles=quantiles)


@pytest.mark.parametrize("value", ["one", 0.0, -1.0, float("nan"), float("inf")])
def test_huber_and_poisson_need_constants_above_zero(value):
    with pytest.raises(InputError, match="Huber: delta must be > 0, got"):
        xpnn.Huber(delta=value)
    with pytest.raises(InputError, match="Poisson: eps must be > 0, got"):
        xpnn.Poisson(eps=value)


@pytest.mark.parametrize("cls", [xpnn.BinaryCrossentropy, xpnn.CategoricalCrossentropy])
@pytest.mark.parametrize("value", ["some", -0.1, 1.1, float("nan")])
def test_label_smoothing_is_a_share(cls, value):
    with pytest.raises(InputError, match=f"{cls.__name__}: label_smoothing must be between 0 and 1, got"):
        cls(label_smoothing=value)


@pytest.mark.parametrize("cls", [xpnn.Huber, xpnn.Quantile, xpnn.Poisson, xpnn.BinaryCrossentropy])
def test_losses_with_hyperparameters_check_the_reduction_too(cls):
    with pytest.raises(InputError, match="unknown reduction 'avg'"):
        cls("avg")


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
    with pytest.raises(
        InputError, match=r"Poisson needs outputs from 0 to inf, .* Linear\(\) .*: use 'softplus' there"
    ):
        xpnn.value_and_grad(network, "poisson")


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
    whole = (y == y.astype(int)).all()
    for other in (lib(y, "float64"), *([lib(y.astype(int))] if whole else [])):
        value, gradient = loss.value_and_grad(lib(prediction, "float32"), other)
        lib.check(value, "float32")
        lib.check(gradient, "float32")
        assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_what_is_no_name_of_a_reduction_says_how_to_give_the_rest():
    with pytest.raises(InputError, match=r"Quantile: reduction must be .*, got 0.9: give other .* by name"):
        xpnn.Quantile(0.9)
