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
    gaps: list[str]
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
            *(("note", gap) for gap in self.gaps),
            *(("note", each) for each in self._unscored()),
        ]

    def _unscored(self) -> list[str]:
        """That classes are missing among the rows to score on, if there are such rows."""
        classes, there = self.schema.classes or [], set(self.y_check.reshape(-1).tolist())
        absent = [tables.class_name(each) for i, each in enumerate(classes) if i not in there]
        if not absent or not len(self.y_check):
            return []
        named = f"class {absent[0]}" if len(absent) == 1 else f"{text.count(len(absent), 'class')}, {absent[0]} first"
        return [f"no row to validate on is of {named}: the scores do not tell how well it is found"]


def read(
    path: Path,
    targets: Sequence[str],
    *,
    task: str,
    validation: float,
    ignore: Sequence[str],
    seed: int,
    missing: str,
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
    table, task = _table(path, targets, task, missing)
    targets, ignore = list(targets), tables.names(ignore, table.columns)
    weighted = [] if sample_weight is None else [_weight_column(sample_weight, table, targets, ignore)]
    table, unused, gaps = _without_gaps(table, targets, task, [*ignore, *weighted], missing, weighted)
    unused |= dict.fromkeys(weighted, "the weights of the rows")
    ignore, filled = [*ignore, *unused], missing == "fill"
    y = tables.make_schema(table, table, targets, task, ignore, filled=filled).outputs(table)
    rows, held = _held_out(y, validation, seed, classes=task in ("binary", "multiclass"))
    part, check = table[rows], table[held]
    schema = tables.make_schema(table, part, targets, task, ignore, filled=filled)
    if positive is not None:
        schema = schema.with_positive(positive)
    x = schema.features(part)[0]
    x_check = schema.features(check)[0] if len(held) else x[:0]
    y_check = schema.outputs(check) if len(held) else y[:0]
    row_numbers = tables.row_numbers(table, schema)
    schema = dataclasses.replace(schema, ignored={**schema.ignored, **unused})
    gaps += schema.gaps(table)
    weights = tables.weights(table[sample_weight])[rows] if sample_weight is not None else None
    return Data(x, schema.outputs(part), x_check, y_check, schema, row_numbers, gaps, weights)


def _table(path: Path, targets: Sequence[str], task: str, missing: str) -> tuple[pl.DataFrame, str]:
    """The table, if it has the targets, and the task."""
    contents = tables.raw(path)
    table = tables.read(path, data=contents)
    if missing != "error":
        table = tables.nan_as_empty(table)
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
    task = tables.infer_task(table, targets) if task == "auto" else task
    return tables.as_written(path, contents, table, targets) if task in ("binary", "multiclass") else table, task


def _held_out(y: NDArray[Any], validation: float, seed: int, *, classes: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """The numbers of the rows to train on, and of those to validate on."""
    rows, held = random.split(
        y.reshape(len(y), -1)[:, 0], validation, random.generator(seed, "split"), classes=classes
    )
    if validation and not len(held):
        raise InputError(f"--validation {validation} of {len(y)} rows is no row: use more, or 0.")
    if not len(rows):
        raise InputError(f"--validation {validation} of {len(y)} rows leaves none to train on: use less.")
    return rows, held


def _without_gaps(
    table: pl.DataFrame,
    targets: Sequence[str],
    task: str,
    ignore: Sequence[str],
    missing: str,
    weighted: Sequence[str],
) -> tuple[pl.DataFrame, dict[str, str], list[str]]:
    """The rows without empty cells, but for those to fill; what is not used, and why; a note on the others."""
    if missing == "error":
        return table, {}, []
    # of the whole table: what cannot be used in it is named with its row there
    used = tables.make_schema(table, table, targets, task, ignore, filled=True)
    needed, what = [*targets, *weighted], "a target or weight" if weighted else "a target"
    if missing == "drop":
        needed, what = [*used.numeric, *used.text, *needed], "a cell that is needed"
    complete, left = tables.complete(table, needed, what)
    if complete.height < 2:
        raise InputError(
            f"without rows that lack {what} {text.count(complete.height, 'row')} of {table.height} would be left: at "
            f"least 2 are needed{', use --missing fill' * (missing == 'drop')}."
        )
    # they have holes still, and might be used in fewer rows
    unused = dict(used.ignored) if missing == "drop" else {}
    return complete, unused, left


def _weight_column(name: str, table: pl.DataFrame, targets: Sequence[str], ignore: Sequence[str]) -> str:
    """The column of --sample-weight, if it can be one."""
    if name not in table.columns:
        raise InputError(f"--sample-weight: {tables.no_column(name, table.columns)}")
    if name in (*targets, *ignore):
        other = "--target" if name in targets else "--ignore"
        raise InputError(f"--sample-weight and {other} name the same column {name!r}: leave one of them out.")
    return name


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
