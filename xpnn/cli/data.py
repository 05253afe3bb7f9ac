"""From a table to the arrays of a training, and from the trained model to its file: what train and tune share."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn import arrays, backends, losses, random, tables, text
from xpnn.cli.scores import score, targets
from xpnn.errors import InputError
from xpnn.losses import CategoricalCrossentropy, Hinge, KullbackLeibler, Loss, Poisson, Quantile
from xpnn.model import Model
from xpnn.tables import Schema
from xpnn.training.fastest import Choice
from xpnn.typing import Array

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

OUTPUT = {"binary": "sigmoid", "multilabel": "sigmoid", "multiclass": "softmax", "regression": "linear"}


@dataclass(frozen=True)
class Data:
    """The rows to train on, and those to score on, as host arrays."""

    x: NDArray[np.float32]
    y: NDArray[Any]
    x_check: NDArray[np.float32]
    y_check: NDArray[Any]
    schema: Schema
    row_numbers: list[str]
    weights: NDArray[np.float32] | None = None

    def placed(self, choice: Choice, loss: Loss) -> tuple[Array, Array, Array | None, tuple[Array, Array] | None]:
        """X, y, the weights, and X and y to score on, if there are any, in the library and on the device chosen."""
        backend = backends.get(choice.backend, choice.device)
        xp, device = backend.namespace(), backend.device(choice.device)

        def there(host: NDArray[Any]) -> Array:
            return arrays.from_host(host, xp, device=device)

        weights = None if self.weights is None else there(self.weights)
        check = None
        if len(self.x_check):
            check = there(self.x_check), there(targets(self.y_check, loss, self.schema))
        return there(self.x), there(targets(self.y, loss, self.schema)), weights, check

    def rows(self, *, inferred: bool) -> list[tuple[str, str]]:
        """What there is to say about the data, as rows of name and value."""
        schema = self.schema
        what = (
            text.count(len(schema.classes), "class") if schema.classes else text.count(len(schema.targets), "target")
        )
        rows = f"{text.count(len(self.x), 'row')} to train on, {len(self.x_check):,} to validate"
        return [
            ("data", f"{rows}; {text.count(schema.n_features, 'feature')}"),
            ("task", f"{schema.task}, {what}{' (--task to change)' if inferred else ''}"),
        ]

    def notes(self) -> list[tuple[str, str]]:
        """What may be wrong with the data, likewise."""
        note = "is a different whole number in every row: --ignore it if it only names them"
        return [
            *(("not used", f"column {name!r}: {why}") for name, why in self.schema.ignored.items()),
            *(("note", f"column {name!r} {note}") for name in self.row_numbers),
        ]


def read(
    path: Path,
    targets: Sequence[str],
    *,
    task: str,
    validation: float,
    ignore: Sequence[str],
    seed: int,
    positive: str | None = None,
    sample_weight: str | None = None,
) -> Data:
    """Read a table, find out what its columns mean, and hold rows out.

    Raises
    ------
    InputError
        If an option does not go with the table, or a cell cannot be used.
    """
    if not 0 <= validation < 1:
        raise InputError(f"--validation must be at least 0 and under 1, got {validation}.")
    table = tables.read(path)
    for name in targets:
        if name not in table.columns:
            parts = [part.strip() for part in name.split(",")]
            several = len(parts) > 1 and all(part in table.columns for part in parts)
            hint = f" For several give --target {' --target '.join(parts)}." if several else ""
            raise InputError(f"{path}: {tables.no_column(name, table.columns)}{hint}")
    if len(set(targets)) < len(targets):
        raise InputError(f"--target names a column twice: {', '.join(targets)}.")
    if table.height < 2:
        raise InputError(f"{path} has 1 row: at least 2 are needed to learn from a table.")
    targets = list(targets)
    task = tables.infer_task(table, targets) if task == "auto" else task
    if task in ("binary", "multiclass"):
        table = tables.as_written(path, table, targets)
    ignore = _split(ignore, table)
    weights = None if sample_weight is None else _weights(sample_weight, table, targets, ignore)
    if sample_weight is not None:
        ignore = [*ignore, sample_weight]
    whole = tables.make_schema(table, table, targets, task, ignore)
    y = whole.outputs(table)
    rows, held = random.split(
        y.reshape(len(y), -1)[:, 0],
        validation,
        random.generator(seed, "split"),
        classes=task in ("binary", "multiclass"),
    )
    if validation and not len(held):
        raise InputError(f"--validation {validation} of {table.height} rows is no row: use more, or 0.")
    if not len(rows):
        raise InputError(f"--validation {validation} of {table.height} rows leaves none to train on: use less.")
    part, check = table[rows], table[held]
    schema = tables.make_schema(table, part, targets, task, ignore)
    if positive is not None:
        schema = schema.with_positive(positive)
    x = schema.features(part)[0]
    x_check = schema.features(check)[0] if len(held) else x[:0]
    y_check = schema.outputs(check) if len(held) else y[:0]
    row_numbers = tables.row_numbers(table, schema)
    if sample_weight is not None:
        why = {sample_weight: "the weights of the rows"}
        schema = dataclasses.replace(schema, ignored={**schema.ignored, **why})
    weights = None if weights is None else weights[rows]
    return Data(x, schema.outputs(part), x_check, y_check, schema, row_numbers, weights)


def _split(names: Sequence[str], table: pl.DataFrame) -> list[str]:
    """Names of columns, those with commas between as well; a column may have a comma in its own."""
    each = [[name] if name in table.columns else name.split(",") for name in names]
    return [part if part in table.columns else part.strip() for parts in each for part in parts if part.strip()]


def _weights(name: str, table: pl.DataFrame, targets: Sequence[str], ignore: Sequence[str]) -> NDArray[np.float32]:
    """The weight of each row, from the column of --sample-weight."""
    if name not in table.columns:
        raise InputError(f"--sample-weight: {tables.no_column(name, table.columns)}")
    if name in (*targets, *ignore):
        other = "--target" if name in targets else "--ignore"
        raise InputError(f"--sample-weight and {other} name the same column {name!r}: leave one of them out.")
    return tables.weights(table[name])


def loss_of(name: str | None, schema: Schema) -> Loss:
    """The loss of that name, or the usual one of the task.

    Raises
    ------
    InputError
        If it does not go with the task.
    """
    usual = {"multiclass": "categorical_crossentropy", "regression": "mse"}.get(schema.task, "binary_crossentropy")
    loss = losses.get(name or usual)
    if isinstance(loss, Hinge | Poisson):
        raise InputError(
            f"--loss {name} does not go with tables, which are learned with one probability per class or one "
            f"standardised number per target: use {usual}, or xpnn.fit in Python."
        )
    if isinstance(loss, CategoricalCrossentropy | KullbackLeibler) and schema.task != "multiclass":
        raise InputError(f"--loss {name} needs several classes, but the task is {schema.task}: use {usual}.")
    if isinstance(loss, Quantile) and schema.task != "regression":
        raise InputError(f"--loss {name} is for numbers, but the task is {schema.task}: use {usual}.")
    if schema.task == "regression" and loss.domain != Loss.domain:
        raise InputError(f"--loss {name} is for classes, but the task is regression: use {usual}.")
    return loss


def outputs_of(loss: Loss, schema: Schema) -> int:
    """The nodes of the output layer."""
    return schema.n_outputs * (len(loss.quantiles) if isinstance(loss, Quantile) else 1)


def save(model: Model, out: Path, data: Data, options: Mapping[str, Any], *, metrics: Sequence[str] = ()) -> Model:
    """Write the model, on the host, with its schema, its options, its validation score and what metrics say."""
    model = model.to("numpy")
    metadata = {**model.metadata, "table": data.schema.to_json(), "options": options}
    with contextlib.suppress(KeyboardInterrupt):  # the score may be lost, the model not
        if len(data.x_check):
            scores = score(model, data.schema, data.x_check, data.y_check, metrics)
            figures = ", ".join(f"{name} {value}" for name, value in scores)
            metadata["validation"] = f"{figures} ({text.count(len(data.x_check), 'row')})"
    model = dataclasses.replace(model, metadata=metadata)
    model.save(out)
    return model
