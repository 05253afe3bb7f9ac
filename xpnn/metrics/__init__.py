"""How good predictions are, computed where the arrays are; one file per kind.

A metric is called with the predictions Ŷ, (n, k), the targets and, if there are any, the sample weights w, (n,); it
gives an array of shape () and waits for no device. What the targets look like says what is predicted:

- ``y`` of shape (n,), integer labels, for k ≥ 2 columns of Ŷ: classes that exclude each other; the column with the
  largest ŷ is the class predicted.
- ``y`` of shape (n, k): each column for itself. For classes, 1 is predicted where ŷ ≥ 1/2. Of one column y may have
  shape (n,) as well. One-hot rows are k columns: ``xp.argmax(y, axis=1)`` makes labels of them.

A weight of 2 equals a repeated row; a mean over samples that all weigh 0 is NaN. The values are those of
scikit-learn's functions, and so are the conventions where a quotient is 0 / 0: each metric says what it gives.
"""

from xpnn.metrics.base import NAMES, Metric, asked, check_task, get, output_of, prepared, task
from xpnn.metrics.decisions import F1, Accuracy, BalancedAccuracy, Precision, Recall, TopK
from xpnn.metrics.distances import MAE, MSE, R2
from xpnn.metrics.probabilities import LogLoss, RocAuc

__all__ = [
    "F1",
    "MAE",
    "MSE",
    "NAMES",
    "R2",
    "Accuracy",
    "BalancedAccuracy",
    "LogLoss",
    "Metric",
    "Precision",
    "Recall",
    "RocAuc",
    "TopK",
    "asked",
    "check_task",
    "get",
    "output_of",
    "prepared",
    "task",
    "usual",
]


def usual(task: str) -> dict[str, Metric]:
    """The metrics that a task is always scored with, by name."""
    return {"r2": R2(), "mean_absolute_error": MAE()} if task == "regression" else {"accuracy": Accuracy()}
