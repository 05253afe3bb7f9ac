"""What else happens while a training runs: one protocol, `Callback`, and those that come with xpnn."""

from xpnn.training.callbacks.base import Callback, Function, Training
from xpnn.training.callbacks.logs import HistoryFile, LearningRateLogger, TensorBoard
from xpnn.training.callbacks.stopping import EarlyStopping, StopOnNaN, TimeLimit

__all__ = [
    "Callback",
    "EarlyStopping",
    "Function",
    "HistoryFile",
    "LearningRateLogger",
    "StopOnNaN",
    "TensorBoard",
    "TimeLimit",
    "Training",
]
