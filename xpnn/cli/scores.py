"""How good a model is on a table, in words: what train, tune and evaluate say of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn import metrics as scoring
from xpnn.errors import InputError
from xpnn.losses import CategoricalCrossentropy, Loss, Quantile
from xpnn.metrics import MAE, R2, Accuracy, Metric, TopK
from xpnn.metrics.decisions import Averaged
from xpnn.model import Model
from xpnn.tables import Schema, class_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rows = list[tuple[str, str]]


def targets(y: NDArray[Any], loss: Loss, schema: Schema) -> NDArray[Any]:
    """Class numbers as they are for categorical cross-entropy, as one-hot rows for any other loss."""
    if schema.task != "multiclass" or isinstance(loss, CategoricalCrossentropy):
        return y
    return np.eye(schema.n_outputs, dtype=np.float32)[y]


def check(metrics: Sequence[str], schema: Schema, loss: Loss, option: str = "--metrics") -> None:
    """Raise `InputError` if a metric says nothing about the predictions of such a model."""
    if metrics and isinstance(loss, Quantile) and loss.median is None:
        raise InputError(
            f"{option} {','.join(metrics)}: there is no one prediction to score among the quantiles "
            f"{', '.join(f'{level:g}' for level in loss.quantiles)}: train with 0.5 among them, or leave it out."
        )
    if "top_k" in metrics and schema.task == "multiclass" and schema.n_outputs <= TopK.k:
        raise InputError(
            f"{option} top_k is how often the class is among the {TopK.k} likeliest: of {schema.n_outputs} classes "
            "it always is; leave it out."
        )


def score(model: Model, schema: Schema, x: NDArray[np.float32], y: NDArray[Any], metrics: Sequence[str] = ()) -> Rows:
    """The usual figures and the metrics asked for, as rows of name and value; errors are in the units of the table.

    Parameters
    ----------
    model : Model
        On NumPy.
    schema : Schema
    x : array, shape (n, d)
    y : array
        As `Schema.outputs` gives it.
    metrics : sequence of str
        Those that are among the usual figures are not given twice.

    Raises
    ------
    InputError
        If a metric is unknown or does not fit the task.
    """
    output = scoring.output_of(model.network.output_activation, model.loss)
    asked = scoring.asked(metrics, output, schema.n_outputs)
    if schema.task == "regression":
        return _of_numbers(model, schema, x, y, asked)
    scores = model.evaluate(x, targets(y, model.loss, schema), metrics=metrics)
    rows = [("accuracy", f"{scores['accuracy']:.2%}"), ("loss", f"{scores['loss']:.4g}")]
    for name, metric in asked.items():
        if not isinstance(metric, Accuracy):
            rows.append((name + _class_of(metric, schema), f"{scores[name]:.4g}"))
    return rows


def _of_numbers(
    model: Model, schema: Schema, x: NDArray[np.float32], y: NDArray[Any], asked: dict[str, Metric]
) -> Rows:
    output: NDArray[np.float32] = np.asarray(model.predict(x))
    outputs = output.shape[1] // len(schema.targets)  # for each target
    levels = model.loss.quantiles if isinstance(model.loss, Quantile) else ()
    middle = model.loss.median if isinstance(model.loss, Quantile) else 0
    truths = schema.in_units(y)
    rows = []
    for j, target in enumerate(schema.targets):
        own = output[:, j * outputs : (j + 1) * outputs]
        truth, figures = truths[:, j : j + 1], []
        if middle is not None:
            guess = schema.in_units(output[:, middle::outputs])[:, j : j + 1]
            error = guess - truth
            figures = [
                ("R²", f"{float(R2()(guess, truth)):.4f}"),
                ("root mean squared error", f"{float(np.sqrt(np.mean(error**2))):.6g}"),
                ("mean absolute error", f"{float(np.mean(np.abs(error))):.6g}"),
            ]
            figures += [
                (name, f"{float(metric(guess, truth)):.6g}")
                for name, metric in asked.items()
                if not isinstance(metric, R2 | MAE)
            ]
        if len(levels) > 1:
            inside = (own.min(axis=1) <= y[:, j]) & (y[:, j] <= own.max(axis=1))
            figures.append((f"within q{levels[0]:g} and q{levels[-1]:g}", f"{float(np.mean(inside)):.2%}"))
        elif levels and middle is None:
            figures.append((f"up to q{levels[0]:g}", f"{float(np.mean(y[:, j] <= own[:, 0])):.2%}"))
        of = f" of {target}" if len(schema.targets) > 1 else ""
        rows += [(figure + of, value) for figure, value in figures]
    return rows


def _class_of(metric: Metric, schema: Schema) -> str:
    """Which of two classes a metric is about, where it is about one alone."""
    one = isinstance(metric, Averaged) and schema.task == "binary" and schema.classes
    return f" of {class_name(one[1])}" if one else ""
