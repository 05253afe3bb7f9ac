"""Neural networks in matrix form on any array library: NumPy, CuPy, PyTorch, JAX and others.

The library follows the arrays it is given; every formula is written once, against the Array API standard. "The
course text" in docstrings is the Vietnamese "Tóm tắt Neural Network", whose sections they name as their source.
"""

from xpnn.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    HardSigmoid,
    LeakyReLU,
    Linear,
    Mish,
    ReLU,
    Sigmoid,
    Softmax,
    Softplus,
    Softsign,
    Swish,
    Tanh,
)
from xpnn.backends import Device, devices
from xpnn.errors import (
    ArrayError,
    BackendError,
    InputError,
    ModelFileError,
    TrainingDiverged,
    TrainingInterrupted,
    XpnnError,
)
from xpnn.initializers import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    Zeros,
)
from xpnn.layers import Dense, Layer
from xpnn.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Hinge,
    Huber,
    KullbackLeibler,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Poisson,
    Quantile,
)
from xpnn.model import Model, load
from xpnn.network import Sequential, mlp
from xpnn.optimizers import SGD, Adam, Optimizer
from xpnn.training.callbacks import Epoch
from xpnn.training.fit import fit
from xpnn.training.step import value_and_grad
from xpnn.typing import Array

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "SGD",
    "Activation",
    "Adam",
    "Array",
    "ArrayError",
    "BackendError",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Dense",
    "Device",
    "Epoch",
    "GlorotNormal",
    "GlorotUniform",
    "HardSigmoid",
    "HeNormal",
    "HeUniform",
    "Hinge",
    "Huber",
    "Initializer",
    "InputError",
    "KullbackLeibler",
    "Layer",
    "LeakyReLU",
    "LecunNormal",
    "Linear",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Mish",
    "Model",
    "ModelFileError",
    "Optimizer",
    "Poisson",
    "Quantile",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Swish",
    "Tanh",
    "TrainingDiverged",
    "TrainingInterrupted",
    "XpnnError",
    "Zeros",
    "devices",
    "fit",
    "load",
    "mlp",
    "value_and_grad",
]
