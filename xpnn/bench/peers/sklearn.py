"""scikit-learn: ``MLPClassifier``."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from xpnn.bench.contenders import EAGER, Contender, Run
from xpnn.bench.workload import Workload, no_such_optimizer
from xpnn.errors import InputError
from xpnn.optimizers import SGD, Adam

_NEVER = 2**31 - 1  # epochs


def contenders(device: str, predict: bool) -> list[Contender]:
    """``MLPClassifier``, on the CPU."""
    return [Contender("sklearn", "", "numpy", device, EAGER, _predicting if predict else _training)]


def _training(workload: Workload) -> Run:
    """``MLPClassifier.fit`` with one step per epoch, as many epochs as steps: faster than as many ``partial_fit``.

    ``warm_start`` lets it start from given parameters and go on from those it has reached; its optimizer starts
    anew at each call, which costs the same time. Its ε is added before the bias correction, PyTorch's after.
    """
    x, y = workload.data()
    model = _model(workload)

    def run(steps: int) -> float:
        model.set_params(max_iter=steps)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            model.fit(x, y)
        if any("interrupted by user" in str(each.message) for each in told):  # it takes Ctrl-C for itself
            raise KeyboardInterrupt
        return float(model.loss_)

    return run


def _predicting(workload: Workload) -> Run:
    """``MLPClassifier.predict_proba``."""
    model, (x, _) = _model(workload), workload.data()

    def run(steps: int) -> Any:
        for _ in range(steps):
            prediction = model.predict_proba(x)
        return prediction

    return run


def _model(workload: Workload) -> Any:
    """A classifier with the workload's parameters, everything optional off.

    Of two classes it makes one sigmoid output: the same predictions and the same loss from the same parameters, with
    a little less to do, though a step changes them otherwise.
    """
    from sklearn.neural_network import MLPClassifier

    rule, classes = workload.rule, workload.sizes[-1]
    options: dict[str, Any] = {"learning_rate_init": getattr(rule, "learning_rate", math.nan)}
    if type(rule) is Adam:
        options |= {"beta_1": rule.beta_1, "beta_2": rule.beta_2, "epsilon": rule.epsilon}
    elif type(rule) is SGD:
        options |= {"momentum": 0.0, "nesterovs_momentum": False}
    else:
        raise no_such_optimizer("scikit-learn", workload)
    if not workload.predict and workload.batch < classes:
        raise InputError(
            f"scikit-learn finds its classes in the labels: a batch of {classes} or more has all of them."
        )
    model = MLPClassifier(
        workload.sizes[1:-1],
        solver=workload.optimizer,
        alpha=0.0,
        batch_size=workload.batch,
        shuffle=False,
        tol=0.0,
        n_iter_no_change=_NEVER,
        warm_start=True,
        random_state=0,
        **options,
    )
    # a first call makes its arrays, of the dtype of X, and finds the classes; one row of each will do
    model.set_params(batch_size=classes)
    each = np.arange(classes)
    model.partial_fit(np.zeros((classes, workload.sizes[0]), workload.dtype), each, classes=each)
    model.set_params(batch_size=workload.batch)
    *hidden, (W, b) = workload.parameters()
    if classes == 2:  # its one sigmoid output is the softmax of two whose logits differ by as much
        W, b = W[:, 1:] - W[:, :1], b[1:] - b[:1]
    for own, first in zip([*model.coefs_, *model.intercepts_], _weights_then_biases([*hidden, (W, b)]), strict=True):
        own[...] = first
    return model


def _weights_then_biases(layers: list[tuple[Any, Any]]) -> list[Any]:
    return [W for W, _ in layers] + [b for _, b in layers]
