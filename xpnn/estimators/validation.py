"""Data to validate on, given to `fit` or held out, what is recorded of them, and what early stopping judges by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils.multiclass import type_of_target, unique_labels

from xpnn import arrays, backends, metrics
from xpnn.checks import Data
from xpnn.errors import InputError
from xpnn.estimators import inputs, sparse
from xpnn.metrics import Metric, output_of
from xpnn.network import Sequential
from xpnn.registry import nearest, unknown
from xpnn.training.callbacks import Callback, Training
from xpnn.training.step import predictor
from xpnn.typing import Array, HostArray

if TYPE_CHECKING:
    from xpnn.estimators.base import Perceptron

SCORE = "validation_score"
"""What the estimator's score on these data is called in the history."""


@dataclass(frozen=True)
class Given:
    """Data to validate on as the user gave them, and what to call them in a message."""

    name: str
    X: Any
    y: Any


def given(validation_data: Any, X_val: Any, y_val: Any) -> Given | None:
    """What `fit` was given to validate on: a pair, or its parts by themselves, which a Pipeline can transform."""
    if X_val is None and y_val is None:
        if validation_data is None:
            return None
        if not isinstance(validation_data, tuple | list) or len(validation_data) != 2:
            raise InputError(
                f"validation_data must be a pair (X, y), got {_told(validation_data)}; to hold out a part of X, say "
                "early_stopping=True."
            )
        return Given("validation_data", *validation_data)
    if validation_data is not None:
        raise InputError("validation_data and X_val, y_val are both given, and say the same: give one of them.")
    if X_val is None or y_val is None:
        there, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise InputError(f"{there} is given without {missing}: give both, or neither.")
    return Given("X_val, y_val", X_val, y_val)


def _told(value: Any) -> str:
    many = isinstance(value, tuple | list)
    return f"a {type(value).__name__} of {len(value)}" if many else f"one of type {type(value).__name__}"


def split(estimator: Perceptron, y: HostArray, w: HostArray | None) -> tuple[HostArray | None, HostArray | None]:
    """The rows to train on, None for all, and those that early stopping holds out."""
    e: Any = estimator
    if not e.early_stopping or e._searching:
        return None, None
    rows, held = train_test_split(
        np.arange(len(y)),
        random_state=e._random_state,
        test_size=e.validation_fraction,
        stratify=y if is_classifier(e) and e.n_outputs_ == 1 else None,
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )
    if w is not None and not w[held].any():
        raise ValueError(
            "early_stopping: the samples held out all weigh 0, so none can be judged by: increase "
            "'validation_fraction', or pass validation_data."
        )
    return rows, held


def placed(estimator: Perceptron, data: Given, X: Array) -> Data:
    """Data that were given, checked, where the training's X is; errors name them."""
    e: Any = estimator
    try:
        return _placed(e, data, X)
    except (TypeError, ValueError) as error:
        raise InputError(f"{data.name}: {error}") from error


def _placed(e: Any, data: Given, X: Array) -> Data:
    X_val, y_val = inputs.both(e, data.X, data.y, reset=False, numeric=not is_classifier(e))
    if inputs.elsewhere(X_val, X, placed=e.device is not None):
        raise ValueError(
            f"X is {inputs.place_of(X_val)}, but the X to train on is {inputs.place_of(X)}: give both in one "
            "library, on one device."
        )
    X_val, _ = sparse.placed(X_val, partial(inputs.placed_like, like=X), whole=True)
    if X_val.dtype != X.dtype:
        X_val = arrays.namespace(X=X_val).astype(X_val, X.dtype)
    if is_classifier(e):
        kind = type_of_target(y_val)
        if kind.startswith("multilabel") != e._labels.several:
            raise ValueError(f"y is {kind}, but the y to train on is {e._labels.kind}.")
        strange = np.setdiff1d(unique_labels(y_val), e._labels.classes)
        if len(strange):
            raise ValueError(f"y has classes that the y to train on has not: {strange}.")
    encoded = e._encoded(y_val[:, 0] if y_val.ndim == 2 and y_val.shape[1] == 1 else y_val)
    if encoded.ndim == 2 and encoded.shape[1] != e.n_outputs_:
        raise ValueError(f"y has {encoded.shape[1]} columns, but the y to train on has {e.n_outputs_}.")
    encoded = encoded if encoded.ndim == 1 else encoded.astype(inputs.dtype_name(X))
    return X_val, inputs.there(encoded, X=X), None


@dataclass(frozen=True)
class Validation:
    """What is done with the data to validate on.

    Attributes
    ----------
    data : tuple of arrays, optional
        To compute the loss and `metrics` on after each epoch.
    monitor : str, optional
        What is judged by, its name in the history.
    metrics : dict of str to Metric
        By their names there.
    callbacks : list of Callback
        What adds the score to it.
    """

    data: Data | None
    monitor: str | None
    metrics: dict[str, Metric]
    callbacks: list[Callback]


def planned(estimator: Perceptron, network: Sequential, data: Data | None, *, held: bool) -> Validation:
    """What `monitor` and `early_stopping` ask for, of data that were given or held out."""
    e: Any = estimator
    early = e.early_stopping and not e._searching
    if e.monitor is None and not (early and data is not None):
        return Validation(data, None, {}, [])
    name = "score" if e.monitor is None else _monitored(e, network, data)
    if name == "score":
        assert data is not None
        return Validation(None if held else data, SCORE, {}, [Score(_scorer(e, network, *data))])
    if name == "loss":
        return Validation(data, "validation_loss", {}, [])
    found = metrics.asked([name], _output(e, network), e.n_outputs_)
    asked = {f"validation_{each}": metric for each, metric in found.items()}
    return Validation(data, f"validation_{name}", asked, [])


def _output(e: Any, network: Sequential) -> Any:
    return output_of(network.output_activation, e._output()[2])


def _monitored(e: Any, network: Sequential, data: Data | None) -> str:
    """`monitor` by its short name: ``"score"``, ``"loss"``, or that of a metric that fits the targets."""
    monitor, name = e.monitor, e.monitor.removeprefix("validation_")
    if e._searching and e.early_stopping:
        raise ValueError(f"monitor={monitor!r}: L-BFGS does not stop early; leave out monitor or use adam or sgd.")
    task = metrics.task(_output(e, network), e.n_outputs_)
    fitting = ["score", "loss", *(each for each, cls in metrics.NAMES.items() if task in cls.tasks)]
    if name not in fitting:
        valid = [f"validation_{each}" for each in fitting]
        if name in metrics.NAMES:
            raise InputError(
                f"monitor={monitor!r} is for {', '.join(metrics.NAMES[name].tasks)}, but this is {task}: choose "
                f"among {', '.join(valid)}."
            )
        close = nearest(name.removeprefix("val_"), fitting)
        raise InputError(unknown("monitor", monitor, valid, meant=close and f"validation_{close}"))
    if data is None:
        raise ValueError(
            f"monitor={monitor!r} needs early_stopping=True or validation_data in fit; partial_fit has neither: "
            "leave it out there."
        )
    return str(name)


class Score(Callback):
    """Adds the estimator's score on the data to validate on to the history.

    Parameters
    ----------
    score : callable
        ``score(params)``; the larger the better.
    """

    adds: ClassVar[tuple[str, ...]] = (SCORE,)

    def __init__(self, score: Callable[[Array], float]) -> None:
        self._score = score

    def figures(self, training: Training) -> dict[str, float]:
        """Of the parameters that the epoch has reached."""
        return {SCORE: self._score(training.params)}


def _scorer(e: Any, network: Sequential, X: Array, y: Array, w: Array | None) -> Callable[[Array], float]:
    """A function of the parameters: the score; NaN if outputs are not finite."""
    backend = backends.of(X)
    predict = predictor(network, backend, arrays.namespace(X=X))
    host_y, host_w = backend.to_host(y), None if w is None else backend.to_host(w)

    def score(params: Array) -> float:
        output = backend.to_host(predict((params, None), X))
        return float(e._score_of(output, host_y, host_w)) if np.isfinite(output).all() else np.nan

    return score
