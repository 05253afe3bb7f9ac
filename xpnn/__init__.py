"""Neural networks in matrix form on any array library: NumPy, CuPy, PyTorch, JAX and others.

The library follows the arrays it is given; every formula is written once, against the Array API standard. "The
course text" in docstrings is the Vietnamese "Tóm tắt Neural Network", whose sections they name as their source.
"""

from typing import TYPE_CHECKING, Any

from xpnn.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Exp,
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
    TuningInterrupted,
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
from xpnn.optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, Optimizer, RMSprop
from xpnn.penalties import L1, L2, Penalty
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
from xpnn.training.callbacks import (
    Callback,
    EarlyStopping,
    HistoryFile,
    LearningRateLogger,
    StopOnNaN,
    TensorBoard,
    TimeLimit,
    Training,
)
from xpnn.training.fit import fit
from xpnn.training.step import value_and_grad
from xpnn.tuning.result import Trial, Tuning
from xpnn.tuning.search import tune
from xpnn.tuning.space import SearchSpace
from xpnn.typing import Array

if TYPE_CHECKING:
    from xpnn.estimators import MLPClassifier as MLPClassifier
    from xpnn.estimators import MLPRegressor as MLPRegressor

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "F1",
    "GELU",
    "L1",
    "L2",
    "LBFGS",
    "MAE",
    "MSE",
    "R2",
    "SELU",
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
    "Callback",
    "CategoricalCrossentropy",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Dense",
    "Device",
    "Dropout",
    "EarlyStopping",
    "Exp",
    "Exponential",
    "GlorotNormal",
    "GlorotUniform",
    "HardSigmoid",
    "HeNormal",
    "HeUniform",
    "Hinge",
    "HistoryFile",
    "Huber",
    "Initializer",
    "InputError",
    "InverseScaling",
    "KullbackLeibler",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "LearningRateLogger",
    "LecunNormal",
    "Linear",
    "Lion",
    "LogCosh",
    "LogLoss",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Mish",
    "Model",
    "ModelFileError",
    "MultiStep",
    "NAdam",
    "OneCycle",
    "Optimizer",
    "Penalty",
    "Poisson",
    "Precision",
    "Quantile",
    "RMSprop",
    "ReLU",
    "Recall",
    "ReduceOnPlateau",
    "RocAuc",
    "Schedule",
    "SearchSpace",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "StepDecay",
    "StopOnNaN",
    "Swish",
    "Tanh",
    "TensorBoard",
    "TimeLimit",
    "TopK",
    "Training",
    "TrainingDiverged",
    "TrainingInterrupted",
    "Trial",
    "Tuning",
    "TuningInterrupted",
    "Warmup",
    "XpnnError",
    "Zeros",
    "devices",
    "fit",
    "load",
    "mlp",
    "tune",
    "value_and_grad",
]


def __getattr__(name: str) -> Any:
    """The estimators, loaded when they are asked for: they need scikit-learn."""
    if name not in ("MLPClassifier", "MLPRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from xpnn import estimators
    except ImportError as error:
        raise ImportError(f"xpnn.{name} needs scikit-learn: pip install 'xpnn[sklearn]' ({error})") from error
    return getattr(estimators, name)


def __dir__() -> list[str]:
    return [*globals(), "MLPClassifier", "MLPRegressor"]
