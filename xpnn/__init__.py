"""Neural networks in matrix form on any array library: NumPy, CuPy, PyTorch, JAX and others.

The library follows the arrays it is given; every formula is written once, against the Array API standard. "The
course text" in docstrings is the Vietnamese "Tóm tắt Neural Network", whose sections they name as their source.
"""

from xpnn.activations import (
    ELU,
    Activation,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    Softmax,
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
from xpnn.losses import BinaryCrossentropy, CategoricalCrossentropy, Loss, MeanSquaredError
from xpnn.metrics import (
    F1,
    MAE,
    MSE,
    R2,
    Accuracy,
    BalancedAccuracy,
    LogLoss,
    Metric,
    Precision,
    Recall,
    RocAuc,
    TopK,
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
    "F1",
    "MAE",
    "MSE",
    "R2",
    "SGD",
    "Accuracy",
    "Activation",
    "Adam",
    "Array",
    "ArrayError",
    "BackendError",
    "BalancedAccuracy",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Dense",
    "Device",
    "Epoch",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "InputError",
    "Layer",
    "LeakyReLU",
    "LecunNormal",
    "Linear",
    "LogLoss",
    "Loss",
    "MeanSquaredError",
    "Metric",
    "Model",
    "ModelFileError",
    "Optimizer",
    "Precision",
    "ReLU",
    "Recall",
    "RocAuc",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Swish",
    "Tanh",
    "TopK",
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
