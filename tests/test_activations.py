"""Section 3 of the source, and what came after it: the activations, their values, derivatives, kinks and extremes."""

import math

import numpy as np
import pytest

import xpnn
from xpnn import activations, arrays
from xpnn.errors import InputError

from .cases import ACTIVATIONS, ALPHA, LAMBDA, SCALAR_ACTIVATIONS

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


@pytest.mark.parametrize("name", SCALAR_ACTIVATIONS)
def test_values_and_derivatives_are_those_of_the_formula(name, lib, dtype):
    f, value, derivative = SCALAR_ACTIVATIONS[name]
    points = [-3.0, -1.25, -0.5, 0.5, 1.25, 3.0]
    a, cache = f.forward(lib([points], dtype), xp=lib.xp)
    dz = f.backward(cache, lib([[2.0] * len(points)], dtype), xp=lib.xp)
    lib.check(a, dtype)
    lib.check(dz, dtype)
    np.testing.assert_allclose(lib.host(a)[0], [value(z) for z in points], rtol=TOLERANCE[dtype])
    # from a, so 1 - a² near a = ±1 has the digits of 1, not of the difference
    np.testing.assert_allclose(lib.host(dz)[0], [2 * derivative(z) for z in points], atol=TOLERANCE[dtype])


def test_softmax_values_and_full_jacobian(lib, dtype):
    z = np.array([[0.3, -1.2, 2.0], [1.0, 1.0, 1.0]])
    a, cache = xpnn.Softmax().forward(lib(z, dtype), xp=lib.xp)
    expected = np.array([[np.exp(v) / np.exp(row).sum() for v in row] for row in z])
    np.testing.assert_allclose(lib.host(a), expected, rtol=TOLERANCE[dtype])
    for row in range(2):
        jacobian = np.diag(expected[row]) - np.outer(expected[row], expected[row])
        for j in range(3):  # a gradient of 1 at output j alone gives row j of the Jacobian
            da = np.zeros((2, 3))
            da[row, j] = 1.0
            dz = lib.host(xpnn.Softmax().backward(cache, lib(da, dtype), xp=lib.xp))
            np.testing.assert_allclose(dz[row], jacobian[j], rtol=10 * TOLERANCE[dtype])
            np.testing.assert_array_equal(dz[1 - row], 0.0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extremes_neither_overflow_nor_give_nan(name, lib, dtype):
    f = ACTIVATIONS[name]
    z = lib([[1e4, -1e4, 88.8, -88.8, 0.0, -0.0, 710.0, -750.0]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):  # NumPy; warnings are errors everywhere
        a, cache = f.forward(z, xp=lib.xp)
        dz = f.backward(cache, lib(np.ones((1, 8)), dtype), xp=lib.xp)
    assert np.isfinite(lib.host(a)).all()
    assert np.isfinite(lib.host(dz)).all()
    low, high = f.bounds
    assert (lib.host(a) >= low).all()
    assert (lib.host(a) <= high).all()


@pytest.mark.parametrize(
    ("name", "high", "low", "slope_high", "slope_low"),
    [
        ("sigmoid", 1, 0, 0, 0),
        ("tanh", 1, -1, 0, 0),
        ("relu", 1e4, 0, 1, 0),
        ("leaky_relu", 1e4, -1e3, 1, 0.1),
        ("linear", 1e4, -1e4, 1, 1),
        ("swish", 1e4, 0, 1, 0),
        ("elu", 1e4, -1.5, 1, 0),
        ("selu", LAMBDA * 1e4, -LAMBDA * ALPHA, LAMBDA, 0),
        ("softplus", 1e4, 0, 1, 0),
        ("softsign", 1e4 / 10001, -1e4 / 10001, 0, 0),
        ("hard_sigmoid", 1, 0, 0, 0),
        ("mish", 1e4, 0, 1, 0),
        ("gelu", 1e4, 0, 1, 0),
        ("gelu, tanh", 1e4, 0, 1, 0),
    ],
)
def test_limits(name, high, low, slope_high, slope_low, lib):
    f = ACTIVATIONS[name]
    a, cache = f.forward(lib([[1e4, -1e4]], "float32"), xp=lib.xp)
    dz = f.backward(cache, lib([[1.0, 1.0]], "float32"), xp=lib.xp)
    np.testing.assert_allclose(lib.host(a), [[high, low]], rtol=1e-6)
    np.testing.assert_allclose(lib.host(dz), [[slope_high, slope_low]], rtol=1e-6, atol=2e-8)


@pytest.mark.parametrize(
    ("f", "slope"),
    [(xpnn.ReLU(), 0.0), (xpnn.LeakyReLU(0.25), 0.25), (xpnn.ELU(2.0), 1.0), (xpnn.SELU(), LAMBDA)],
)
def test_convention_at_the_kink(f, slope, lib):
    a, cache = f.forward(lib([[0.0, -0.0]]), xp=lib.xp)
    dz = f.backward(cache, lib([[1.0, 1.0]]), xp=lib.xp)
    np.testing.assert_array_equal(lib.host(a), 0.0)
    np.testing.assert_array_equal(lib.host(dz), slope)


def test_hard_sigmoid_is_flat_from_its_corners_on(lib):
    a, cache = xpnn.HardSigmoid().forward(lib([[-3.0, 3.0, -2.999, 2.999]]), xp=lib.xp)
    dz = xpnn.HardSigmoid().backward(cache, lib([[6.0] * 4]), xp=lib.xp)
    np.testing.assert_array_equal(lib.host(a)[0, :2], [0.0, 1.0])
    np.testing.assert_array_equal(lib.host(dz), [[0.0, 0.0, 1.0, 1.0]])


@pytest.mark.parametrize(("name", "error", "relative"), [("float32", 2e-7, 2e-6), ("float64", 3e-16, 2e-14)])
def test_the_normal_distribution_has_the_error_that_it_states(name, error, relative, lib):
    z = np.linspace(-12.0, 12.0, 24001).astype(name)
    p, density = (lib.host(each).astype(float) for each in activations.normal(lib(z, name), lib.xp))
    exact = np.asarray([math.erfc(-x / math.sqrt(2)) / 2 for x in z.tolist()])
    assert abs(p - exact).max() <= error
    near = abs(z) <= 7
    assert abs(p[near] / exact[near] - 1).max() <= relative
    exact = np.exp(-0.5 * z.astype(float) ** 2) / math.sqrt(2 * math.pi)
    assert abs(density - exact).max() <= error
    by_erf = np.asarray([(1 + math.erf(x / math.sqrt(2))) / 2 for x in z.tolist()])
    assert abs(p - by_erf).max() <= error


def test_the_form_of_gelu_with_tanh_is_near_the_exact_one(rng):
    z = np.linspace(-6.0, 6.0, 2001)[None, :]
    exact, by_tanh = (xpnn.GELU(kind).forward(z, xp=np)[0] for kind in ("none", "tanh"))
    assert 4e-4 < abs(exact - by_tanh).max() < 5e-4


@pytest.mark.parametrize("name", ["swish", "mish", "gelu", "gelu, tanh"])
def test_the_least_value_is_the_bound(name):
    f = ACTIVATIONS[name]
    least = f.forward(np.linspace(-3.0, 0.0, 1_000_001)[None, :], xp=np)[0].min()
    assert -1e-16 <= least - f.bounds[0] < (1e-4 if name == "gelu" else 1e-11)


@pytest.mark.parametrize(
    ("name", "theirs", "options"),
    [
        ("selu", "selu", {}),
        ("softplus", "softplus", {}),
        ("softsign", "softsign", {}),
        ("hard_sigmoid", "hardsigmoid", {}),
        ("mish", "mish", {}),
        ("gelu", "gelu", {}),
        ("gelu, tanh", "gelu", {"approximate": "tanh"}),
    ],
)
def test_the_definitions_are_those_of_torch(name, theirs, options, rng):
    torch = pytest.importorskip("torch")
    z, da = torch.asarray(3 * rng.normal(size=(50, 4))), torch.asarray(rng.normal(size=(50, 4)))
    leaf = z.clone().requires_grad_()
    expected = getattr(torch.nn.functional, theirs)(leaf, **options)
    expected.backward(da)
    xp = arrays.namespace(z=z)
    a, cache = ACTIVATIONS[name].forward(z, xp=xp)
    torch.testing.assert_close(a, expected.detach(), rtol=1e-12, atol=1e-14)
    rtol = 1e-7 if name == "hard_sigmoid" else 1e-12  # torch 2.13 has its 1/6 in float32
    torch.testing.assert_close(ACTIVATIONS[name].backward(cache, da, xp=xp), leaf.grad, rtol=rtol, atol=1e-13)


def test_sigmoid_keeps_its_digits_far_below_zero():
    a, _ = xpnn.Sigmoid().forward(np.array([[-80.0]], dtype=np.float32), xp=np)
    np.testing.assert_allclose(a, np.exp(-80.0), rtol=1e-5)


@pytest.mark.parametrize("name", activations.NAMES)
def test_every_name_gives_its_class(name):
    also = {"logistic": "sigmoid", "identity": "linear", "silu": "swish"}
    assert type(activations.get(name)) is type(ACTIVATIONS[also.get(name, name)])


def test_first_there_are_the_eight_of_the_source():
    classes = list(dict.fromkeys(activations.NAMES.values()))
    assert classes[:8] == [
        xpnn.Sigmoid,
        xpnn.Tanh,
        xpnn.ReLU,
        xpnn.LeakyReLU,
        xpnn.Softmax,
        xpnn.Linear,
        xpnn.Swish,
        xpnn.ELU,
    ]


def test_an_unknown_name_lists_the_valid_ones_and_suggests_the_nearest():
    with pytest.raises(
        InputError, match=r"unknown activation 'sigmod'. Did you mean 'sigmoid'\? Valid: sigmoid, logistic, tanh"
    ):
        xpnn.Dense(1, "sigmod")
    with pytest.raises(InputError, match=r"unknown activation 'xyzzy'. Valid: sigmoid"):
        xpnn.Dense(1, "xyzzy")


def test_a_class_or_something_else_is_not_an_activation():
    with pytest.raises(InputError, match=r"activation must be a name .* write ReLU\(\)"):
        xpnn.Dense(1, xpnn.ReLU)
    with pytest.raises(InputError, match="activation must be a name or Activation object, got 3"):
        xpnn.Dense(1, 3)


@pytest.mark.parametrize("alpha", ["one", 0.0, -1.0, float("nan"), float("inf")])
def test_elu_needs_alpha_above_zero(alpha):
    with pytest.raises(InputError, match="ELU: alpha must be > 0"):
        xpnn.ELU(alpha)


@pytest.mark.parametrize("slope", ["small", -0.1, float("nan"), float("inf")])
def test_leaky_relu_needs_a_slope_of_zero_or_more(slope):
    with pytest.raises(InputError, match="LeakyReLU: negative_slope must be >= 0"):
        xpnn.LeakyReLU(slope)


def test_gelu_comes_in_two_forms():
    with pytest.raises(InputError, match="unknown approximate of GELU 'tan'. Did you mean 'tanh'. Valid: none, tanh"):
        xpnn.GELU("tan")
