"""Initial weights: their distributions, and which activation gets which."""

import math

import numpy as np
import pytest

import xpnn
from xpnn import activations, initializers
from xpnn.errors import InputError

from .cases import INITIALIZERS


@pytest.mark.parametrize("name", INITIALIZERS)
def test_mean_variance_and_limits(name):
    part, variance, uniform = INITIALIZERS[name]
    assert initializers.get(name) == part
    n_in, n_out = 300, 200
    W = part.sample((n_in, n_out), np.random.default_rng(0))
    expected = variance(n_in, n_out)
    assert W.shape == (n_in, n_out)
    assert W.dtype == np.float64
    # six standard errors of the mean and of the variance of 60,000 draws
    assert abs(W.mean()) <= 6 * math.sqrt(expected / W.size)
    assert W.var() == pytest.approx(expected, rel=6 * math.sqrt(2 / W.size))
    if uniform:
        assert abs(W).max() <= math.sqrt(3 * expected)
        assert abs(W).max() > 0.999 * math.sqrt(3 * expected)


@pytest.mark.parametrize(
    ("activation", "cls"),
    [
        ("relu", xpnn.HeNormal),
        ("leaky_relu", xpnn.HeNormal),
        ("elu", xpnn.HeNormal),
        ("swish", xpnn.HeNormal),
        ("gelu", xpnn.HeNormal),
        ("mish", xpnn.HeNormal),
        ("softplus", xpnn.HeNormal),
        ("selu", xpnn.LecunNormal),
        ("sigmoid", xpnn.GlorotUniform),
        ("tanh", xpnn.GlorotUniform),
        ("softmax", xpnn.GlorotUniform),
        ("linear", xpnn.GlorotUniform),
        ("softsign", xpnn.GlorotUniform),
        ("hard_sigmoid", xpnn.GlorotUniform),
    ],
)
def test_he_for_the_relu_family_lecun_for_selu_and_glorot_otherwise(activation, cls):
    layer = xpnn.Dense(3, activations.get(activation))
    assert layer.weight_initializer == cls()
    assert layer.bias_initializer == xpnn.Zeros()


def test_one_can_be_chosen_by_name_or_object():
    assert xpnn.Dense(3, "relu", "lecun_normal").weight_initializer == xpnn.LecunNormal()
    assert xpnn.Dense(3, "relu", xpnn.GlorotNormal()).weight_initializer == xpnn.GlorotNormal()


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(InputError, match=r"unknown initializer 'he_norm'. Did you mean 'he_normal'\? Valid: zeros,"):
        xpnn.Dense(3, "relu", "he_norm")
