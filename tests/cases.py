"""One row per part: the table that the contract tests run over. A test asserts that no public part lacks its row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import xpnn
from xpnn import losses

# name: (the part, its formula for one number or row worked out with `math`, the derivative likewise)


def _sigma(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _phi(z: float) -> float:
    return (1 + math.erf(z / math.sqrt(2))) / 2


def _mish(z: float) -> float:
    return z * math.tanh(math.log(1 + math.exp(z)))


def _gelu_by_tanh(z: float) -> float:
    return z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2


def _gelu_by_tanh_slope(z: float) -> float:
    t = math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))
    return (1 + t) / 2 + z * (1 - t * t) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z) / 2


LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # of SELU, arXiv:1706.02515


SCALAR_ACTIVATIONS = {
    "sigmoid": (xpnn.Sigmoid(), _sigma, lambda z: _sigma(z) * (1 - _sigma(z))),
    "tanh": (
        xpnn.Tanh(),
        lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z)),
        lambda z: 1 - math.tanh(z) ** 2,
    ),
    "relu": (xpnn.ReLU(), lambda z: max(0.0, z), lambda z: 1.0 if z > 0 else 0.0),
    "leaky_relu": (xpnn.LeakyReLU(0.1), lambda z: z if z > 0 else 0.1 * z, lambda z: 1.0 if z > 0 else 0.1),
    "linear": (xpnn.Linear(), lambda z: z, lambda z: 1.0),
    "swish": (
        xpnn.Swish(),
        lambda z: z * _sigma(z),
        lambda z: _sigma(z) + z * _sigma(z) * (1 - _sigma(z)),
    ),
    "elu": (
        xpnn.ELU(1.5),
        lambda z: z if z >= 0 else 1.5 * (math.exp(z) - 1),
        lambda z: 1.0 if z >= 0 else 1.5 * math.exp(z),
    ),
    "selu": (
        xpnn.SELU(),
        lambda z: LAMBDA * z if z >= 0 else LAMBDA * ALPHA * (math.exp(z) - 1),
        lambda z: LAMBDA if z >= 0 else LAMBDA * ALPHA * math.exp(z),
    ),
    "softplus": (xpnn.Softplus(), lambda z: math.log(1 + math.exp(z)), _sigma),
    "softsign": (xpnn.Softsign(), lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2),
    "hard_sigmoid": (
        xpnn.HardSigmoid(),
        lambda z: min(max(z / 6 + 0.5, 0.0), 1.0),
        lambda z: 1 / 6 if -3 < z < 3 else 0.0,
    ),
    "mish": (
        xpnn.Mish(),
        _mish,
        lambda z: _mish(z) / z + z * _sigma(z) * (1 - (_mish(z) / z) ** 2),
    ),
    "gelu": (
        xpnn.GELU(),
        lambda z: z * _phi(z),
        lambda z: _phi(z) + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu, tanh": (xpnn.GELU("tanh"), _gelu_by_tanh, _gelu_by_tanh_slope),
}
ACTIVATIONS = {name: row[0] for name, row in SCALAR_ACTIVATIONS.items()} | {"softmax": xpnn.Softmax()}

# name: (the part, what its predictions and targets look like)
LOSSES = {
    "mse": (xpnn.MeanSquaredError(), "numbers"),
    "mae": (xpnn.MeanAbsoluteError(), "numbers"),
    "huber": (xpnn.Huber(delta=0.75), "numbers"),
    "log_cosh": (xpnn.LogCosh(), "numbers"),
    "quantile": (xpnn.Quantile(quantiles=(0.8,)), "numbers"),
    "quantile, three": (xpnn.Quantile(quantiles=(0.1, 0.5, 0.75)), "three numbers each"),
    "poisson": (xpnn.Poisson(), "counts"),
    "hinge": (xpnn.Hinge(), "logits of labels"),
    "binary_crossentropy": (xpnn.BinaryCrossentropy(), "probabilities"),
    "binary_crossentropy, smoothed": (xpnn.BinaryCrossentropy(label_smoothing=0.1), "probabilities"),
    "categorical_crossentropy": (xpnn.CategoricalCrossentropy(), "distributions"),
    "categorical_crossentropy, smoothed": (xpnn.CategoricalCrossentropy(label_smoothing=0.1), "distributions"),
    "kullback_leibler": (xpnn.KullbackLeibler(), "distributions of distributions"),
    "sigmoid + binary_crossentropy": (losses.SigmoidBinaryCrossentropy(), "logits of labels"),
    "sigmoid + binary_crossentropy, smoothed": (
        losses.SigmoidBinaryCrossentropy(label_smoothing=0.1),
        "logits of labels",
    ),
    "softmax + categorical_crossentropy": (losses.SoftmaxCategoricalCrossentropy(), "logits of classes"),
    "softmax + categorical_crossentropy, smoothed": (
        losses.SoftmaxCategoricalCrossentropy(label_smoothing=0.1),
        "logits of classes",
    ),
    "softmax + kullback_leibler": (losses.SoftmaxKullbackLeibler(), "logits of distributions"),
}

# name: (the layer, the shape of one sample of its input)
LAYERS = {
    "dense": (xpnn.Dense(3, "tanh"), (4,)),
    "dense, softmax": (xpnn.Dense(3, "softmax"), (4,)),
    "dense, named initializer": (xpnn.Dense(2, xpnn.ELU(0.5), "lecun_normal"), (5,)),
}


@dataclass(frozen=True)
class Decaying(xpnn.Optimizer):
    """Not for use: momentum, and a rate that depends on the step, as later optimizers will have."""

    rule = staticmethod(lambda theta, g, m, rate: decaying(theta, g, m, rate))

    def init(self, params, *, xp):
        return (xp.zeros_like(params),)

    def constants(self, step):
        return (0.1 * math.sqrt(1 / (1 + step)),)


def decaying(theta, g, m, rate):
    m += (g - m) * 0.5
    theta -= rate * m
    return theta, m


OPTIMIZERS = {"sgd": xpnn.SGD(0.1), "adam": xpnn.Adam(0.1), "moments and a rate that changes": Decaying()}

# name: (the part, the variance of weights with n_in inputs and n_out outputs, uniform or not)
INITIALIZERS = {
    "zeros": (xpnn.Zeros(), lambda n_in, n_out: 0.0, False),
    "glorot_uniform": (xpnn.GlorotUniform(), lambda n_in, n_out: 2 / (n_in + n_out), True),
    "glorot_normal": (xpnn.GlorotNormal(), lambda n_in, n_out: 2 / (n_in + n_out), False),
    "he_uniform": (xpnn.HeUniform(), lambda n_in, n_out: 2 / n_in, True),
    "he_normal": (xpnn.HeNormal(), lambda n_in, n_out: 2 / n_in, False),
    "lecun_normal": (xpnn.LecunNormal(), lambda n_in, n_out: 1 / n_in, False),
}


def targets_for(kind: str, n: int, k: int, rng):
    """Predictions and targets (n, k) of a kind in `LOSSES`, as host arrays, away from every kink.

    The predictions are (n, k) too; (n, 3 k) of three numbers for each target.
    """
    numbers = rng.normal(size=(n, k))
    one_hot = np.eye(k)[rng.integers(0, k, n)]
    labels = rng.integers(0, 2, (n, k)).astype(float)
    return {
        "numbers": (numbers, rng.normal(size=(n, k))),
        "three numbers each": (rng.normal(size=(n, 3 * k)), numbers),
        "counts": (rng.uniform(0.2, 5.0, (n, k)), rng.poisson(2.0, (n, k)).astype(float)),
        "probabilities": (rng.uniform(0.05, 0.95, (n, k)), labels),
        "distributions": (rng.dirichlet(np.full(k, 5.0), n), one_hot),
        "distributions of distributions": (rng.dirichlet(np.full(k, 5.0), n), rng.dirichlet(np.full(k, 2.0), n)),
        "logits of labels": (numbers, labels),
        "logits of classes": (numbers, one_hot),
        "logits of distributions": (numbers, rng.dirichlet(np.full(k, 2.0), n)),
    }[kind]
