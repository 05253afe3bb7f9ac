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
    "exp": (xpnn.Exp(), lambda z: math.exp(min(z, 700.0)), lambda z: math.exp(min(z, 700.0))),
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
    "dropout": (xpnn.Dropout(0.4), (5,)),
    "dropout of nothing": (xpnn.Dropout(0.0), (5,)),
    "layer normalization": (xpnn.LayerNormalization(), (5,)),
    "batch normalization": (xpnn.BatchNormalization(momentum=0.3), (5,)),
}


@dataclass(frozen=True)
class Decaying(xpnn.Optimizer):
    """Not for use: momentum, and a rate that depends on the step, as later optimizers will have."""

    rule = staticmethod(lambda theta, g, m, rate: decaying(theta, g, m, rate))

    def init(self, params, *, xp):
        return (xp.zeros_like(params),)

    def constants(self, step, rate):
        return (0.1 * math.sqrt(1 / (1 + step)),)


def decaying(theta, g, m, rate):
    m += (g - m) * 0.5
    theta -= rate * m
    return theta, m


def _falling(rate, factor=0.99):
    """Rules whose steps do not become smaller by themselves come to rest at the bottom of a parabola only so."""
    return xpnn.Exponential(rate, factor, unit="step")


OPTIMIZERS = {
    "sgd": xpnn.SGD(0.1),
    "sgd, momentum": xpnn.SGD(0.05, momentum=0.9),
    "sgd, dampening": xpnn.SGD(0.2, momentum=0.8, dampening=0.5),
    "sgd, nesterov": xpnn.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": xpnn.Adam(0.1),
    "adamw": xpnn.AdamW(0.1, weight_decay=1e-9),
    "nadam": xpnn.NAdam(0.1),
    "rmsprop": xpnn.RMSprop(_falling(0.2), epsilon=1e-2),
    "rmsprop, momentum": xpnn.RMSprop(_falling(0.05), momentum=0.8),
    "rmsprop, centered": xpnn.RMSprop(_falling(0.2), rho=0.9, centered=True, epsilon=1e-2),
    "rmsprop, centered, momentum": xpnn.RMSprop(_falling(0.05), momentum=0.8, centered=True, epsilon=1e-2),
    "adagrad": xpnn.Adagrad(1.0),
    "adadelta": xpnn.Adadelta(1.0, epsilon=1e-2),
    "lion": xpnn.Lion(_falling(0.1, 0.993), beta_2=0.9),
    "moments and a rate that changes": Decaying(),
}

SEARCHES = {"lbfgs": xpnn.LBFGS(memory=5)}  # optimizers without a rule for one step

PENALTIES = {"l1": xpnn.L1(0.1), "l2": xpnn.L2(0.2, biases=True)}

# name: (the schedule, torch's: a function of torch.optim.lr_scheduler and the optimizer; None if it has none)
SCHEDULES = {
    "constant": (xpnn.Constant(0.1), None),
    "step_decay": (xpnn.StepDecay(0.1, every=7, factor=0.5), lambda s, o: s.StepLR(o, 7, 0.5)),
    "multi_step": (xpnn.MultiStep(0.1, (3, 10, 40), 0.3), lambda s, o: s.MultiStepLR(o, [3, 10, 40], 0.3)),
    "exponential": (xpnn.Exponential(0.1, 0.97), lambda s, o: s.ExponentialLR(o, 0.97)),
    "inverse_scaling": (xpnn.InverseScaling(0.1, 0.7), lambda s, o: s.LambdaLR(o, lambda t: (t + 1) ** -0.7)),
    "cosine": (xpnn.Cosine(0.1, over=60, minimum=0.01), lambda s, o: s.CosineAnnealingLR(o, 60, 0.01)),
    "cosine_restarts": (
        xpnn.CosineRestarts(0.1, first=7, longer=2, minimum=0.001),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 7, 2, 0.001),
    ),
    "cosine_restarts, equal": (
        xpnn.CosineRestarts(0.1, first=9),
        lambda s, o: s.CosineAnnealingWarmRestarts(o, 9),
    ),
    "one_cycle": (xpnn.OneCycle(0.1, over=60), lambda s, o: s.OneCycleLR(o, 0.1, 60)),
    "warmup": (xpnn.Warmup(0.1, over=9, start=0.25), lambda s, o: s.LinearLR(o, 0.25, total_iters=9)),
    "warmup, cosine": (
        xpnn.Warmup(xpnn.Cosine(0.1, over=50), over=10, start=0.1),
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=10), s.CosineAnnealingLR(o, 50)], [10]),
    ),
    "reduce_on_plateau": (xpnn.ReduceOnPlateau(0.1, patience=2), None),
}

# name: (the part, the variance of weights with n_in inputs and n_out outputs, uniform or not)
INITIALIZERS = {
    "zeros": (xpnn.Zeros(), lambda n_in, n_out: 0.0, False),
    "glorot_uniform": (xpnn.GlorotUniform(), lambda n_in, n_out: 2 / (n_in + n_out), True),
    "glorot_normal": (xpnn.GlorotNormal(), lambda n_in, n_out: 2 / (n_in + n_out), False),
    "he_uniform": (xpnn.HeUniform(), lambda n_in, n_out: 2 / n_in, True),
    "he_normal": (xpnn.HeNormal(), lambda n_in, n_out: 2 / n_in, False),
    "lecun_normal": (xpnn.LecunNormal(), lambda n_in, n_out: 1 / n_in, False),
}


def _averaged(cls, function: str):
    """Rows of a metric that is averaged over classes; scikit-learn's function takes y and the decisions d."""

    def oracle(average):
        return lambda sk, y, p, d, w: getattr(sk, function)(y, d, average=average, sample_weight=w, zero_division=0)

    return {
        average: (
            cls(average),
            {"binary": oracle("binary"), "multiclass": oracle(average), "multilabel": oracle(average)},
        )
        for average in ("macro", "micro", "weighted")
    }


def _each_label(function: str, sk, y, p, w):
    """A function of scikit-learn's for one label as the mean over the columns."""
    return np.mean([getattr(sk, function)(*c, labels=[0, 1], sample_weight=w) for c in zip(y.T, p.T, strict=True)])


_errors = {  # of numbers, one label or several, all alike
    function: dict.fromkeys(
        ("regression", "binary", "multilabel"),
        lambda sk, y, p, d, w, function=function: getattr(sk, function)(y, p, sample_weight=w),
    )
    for function in ("mean_squared_error", "mean_absolute_error")
}

# name: (the part, by task scikit-learn's value, from its module, y, the predictions, the decisions and the weights)
METRICS = {
    "accuracy": (
        xpnn.Accuracy(),
        {
            "binary": lambda sk, y, p, d, w: sk.accuracy_score(y, d, sample_weight=w),
            "multiclass": lambda sk, y, p, d, w: sk.accuracy_score(y, d, sample_weight=w),
            "multilabel": lambda sk, y, p, d, w: 1 - sk.hamming_loss(y, d, sample_weight=w),
        },
    ),
    "balanced_accuracy": (
        xpnn.BalancedAccuracy(),
        dict.fromkeys(
            ("binary", "multiclass"), lambda sk, y, p, d, w: sk.balanced_accuracy_score(y, d, sample_weight=w)
        ),
    ),
    **{f"precision, {average}": row for average, row in _averaged(xpnn.Precision, "precision_score").items()},
    **{f"recall, {average}": row for average, row in _averaged(xpnn.Recall, "recall_score").items()},
    **{f"f1, {average}": row for average, row in _averaged(xpnn.F1, "f1_score").items()},
    "roc_auc": (
        xpnn.RocAuc(),
        {
            "binary": lambda sk, y, p, d, w: sk.roc_auc_score(y, p, sample_weight=w),
            "multiclass": lambda sk, y, p, d, w: sk.roc_auc_score(
                y, p, sample_weight=w, multi_class="ovr", labels=np.arange(p.shape[1])
            ),
            "multilabel": lambda sk, y, p, d, w: sk.roc_auc_score(y, p, sample_weight=w),
        },
    ),
    "log_loss": (
        xpnn.LogLoss(),
        {
            "binary": lambda sk, y, p, d, w: sk.log_loss(y, p, sample_weight=w, labels=[0, 1]),
            "multiclass": lambda sk, y, p, d, w: sk.log_loss(y, p, sample_weight=w, labels=np.arange(p.shape[1])),
            "multilabel": lambda sk, y, p, d, w: _each_label("log_loss", sk, y, p, w),
        },
    ),
    "mse": (xpnn.MSE(), _errors["mean_squared_error"]),
    "mae": (xpnn.MAE(), _errors["mean_absolute_error"]),
    "r2": (xpnn.R2(), {"regression": lambda sk, y, p, d, w: sk.r2_score(y, p, sample_weight=w)}),
    **{
        f"top_k, {k}": (
            xpnn.TopK(k),
            {
                "multiclass": lambda sk, y, p, d, w, k=k: sk.top_k_accuracy_score(
                    y, p, k=k, sample_weight=w, labels=np.arange(p.shape[1])
                )
            },
        )
        for k in (1, 2, 5)
    },
}


def scored(task: str, how: str, n: int, rng):
    """Predictions (n, k) of a task and targets, labels (n,) or (n, k), as host arrays.

    `how` is ``"plain"``, ``"ties"`` (many equal predictions, probabilities of 0 and 1 among them) or ``"absent"``
    (classes, labels or variance missing from the targets, the decisions or both).
    """
    k = {"regression": 3, "binary": 1, "multilabel": 4, "multiclass": 5}[task]
    p = rng.normal(size=(n, k)) if task == "regression" else rng.uniform(size=(n, k))
    if task == "multiclass":
        p = rng.dirichlet(np.ones(k), n)
        if how == "ties":
            p = rng.multinomial(6, np.full(k, 1 / k), n) / 6
        if how == "absent":  # 2 never decided on, 3 not true, 4 neither
            p[:, [2, 4]] /= 10
            p[:, [2, 4]] = np.minimum(p[:, [2, 4]], p[:, :2].max(axis=1, keepdims=True) / 2)
            p /= p.sum(axis=1, keepdims=True)
        return p, rng.integers(0, 3 if how == "absent" else k, n)
    if how == "ties":
        p = np.round(p * 4) / 4
    y = p + rng.normal(size=(n, k)) if task == "regression" else (p + rng.normal(size=(n, k)) > 0.5).astype(float)
    if how == "absent":
        y[:, 0] = 1.0
        p[:, -1] = np.minimum(p[:, -1], 0.4)
    return p, y


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
