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
from xpnn.layers import BatchNormalization, Dense, Dropout, Layer, LayerNormalization
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
from xpnn.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from xpnn.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseScaling,
    MultiStep,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    Warmup,
)
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
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Array",
    "ArrayError",
    "BackendError",
    "BalancedAccuracy",
    "BatchNormalization",
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Dense",
    "Device",
    "Dropout",
    "Epoch",
    "Exponential",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "InputError",
    "InverseScaling",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "LecunNormal",
    "Linear",
    "Lion",
    "LogLoss",
    "Loss",
    "MeanSquaredError",
    "Metric",
    "Model",
    "ModelFileError",
    "MultiStep",
    "NAdam",
    "OneCycle",
    "Optimizer",
    "Precision",
    "RMSprop",
    "ReLU",
    "Recall",
    "ReduceOnPlateau",
    "RocAuc",
    "Schedule",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "StepDecay",
    "Swish",
    "Tanh",
    "TopK",
    "TrainingDiverged",
    "TrainingInterrupted",
    "Warmup",
    "XpnnError",
    "Zeros",
    "devices",
    "fit",
    "load",
    "mlp",
    "value_and_grad",
]
