"""Using a model file: predict, evaluate, summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from xpnn import tables, text
from xpnn.cli import config
from xpnn.errors import InputError, ModelFileError
from xpnn.files import atomic
from xpnn.losses import CategoricalCrossentropy, Loss, Quantile
from xpnn.metrics import R2
from xpnn.model import Model, load
from xpnn.tables import Schema

if TYPE_CHECKING:
    from numpy.typing import NDArray


def predict(model: Path, data: Path, out: Path | None, *, probabilities: bool, trusted: Sequence[str] = ()) -> None:
    """Predict each row of a table; print the predictions as CSV or write them to a file."""
    network, schema = load_with_schema(model, trusted)
    if probabilities and schema.task == "regression":
        raise InputError("--probabilities is for classes; this model predicts numbers (regression).")
    if out is not None:
        refuse_to_overwrite(out, data=data, model=model)
        try:
            atomic.check_writable(out)
        except OSError as error:
            raise ModelFileError(f"cannot write {out}: {error.strerror or error}.") from error
    x, notes = schema.features(tables.read(data, text=schema.as_text))
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    csv = schema.predictions(_output(network, x), probabilities=probabilities).write_csv()
    if out is None:
        sys.stdout.write(csv)
        return
    try:
        atomic.write(out, csv.encode())
    except OSError as error:
        raise ModelFileError(f"cannot write {out}: {error.strerror or error}.") from error
    print(f"wrote {len(x):,} predictions to {out}", file=sys.stderr)


def evaluate(model: Path, data: Path, *, trusted: Sequence[str] = ()) -> None:
    """Print how well a model does on a table that has the target columns."""
    network, schema = load_with_schema(model, trusted)
    table = tables.read(data, text=schema.as_text)
    if absent := [name for name in schema.targets if name not in table.columns]:
        raise InputError(
            f"{data} has no column {absent[0]!r}, the target: evaluate compares with it, predict does without. "
            + tables.no_column(absent[0], table.columns)
        )
    y = schema.outputs(table)
    x, notes = schema.features(table)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(text.columns([("rows", f"{len(x):,}"), *score(network, schema, x, y)]))


def summary(model: Path, *, options: bool = False, trusted: Sequence[str] = ()) -> None:
    """Print what is in a model file, or the options that it was trained with, as a file for --config."""
    loaded = _load(model, trusted)
    used = loaded.metadata.get("options")
    if options:
        if not isinstance(used, dict):
            raise InputError(f"{model} holds no options: it was not trained by 'xpnn train'.")
        print(config.to_toml(used), end="")
        return
    print(loaded)
    schema = tables.schema_of(loaded) if "table" in loaded.metadata else None
    rows = [("loss", type(loaded.loss).__name__)]
    if losses := loaded.history.get("loss"):
        early = "" if loaded.stopped == "epochs" else f", stopped: {loaded.stopped}"
        epochs = text.count(len(losses), "epoch")
        rows.append(("trained", f"{epochs}, loss from {losses[0]:.4g} to {losses[-1]:.4g}{early}"))
    if validation := loaded.metadata.get("validation"):
        rows.append(("validation", str(validation)))
    if schema is not None:
        rows.append(("task", schema.task + (f": {_joined(schema.classes)}" if schema.classes else "")))
        rows.append(("target" + "s" * (len(schema.targets) > 1), _joined(schema.targets)))
        rows += [(kind, _joined(names)) for kind, names in _columns(schema) if names]
    if isinstance(used, dict):
        rows += [("options" if i == 0 else "", line) for i, line in enumerate(config.changed(used))]
    print(text.columns(rows))


def load_with_schema(path: Path, trusted: Sequence[str] = ()) -> tuple[Model, Schema]:
    """A model that ``xpnn train`` wrote, on NumPy, and what its columns mean."""
    if path.suffix.lower() in (".csv", ".tsv", ".parquet", ".pq"):
        raise InputError(f"{path} looks like a table: give the MODEL first, then the DATA.")
    model = _load(path, trusted)
    try:
        return model, tables.schema_of(model)
    except InputError as error:
        raise ModelFileError(f"{path}: {error}") from error


def _load(path: Path, trusted: Sequence[str]) -> Model:
    if trusted and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last: no file that lies here takes the place of a module that is installed
    return load(path, trusted=trusted)


def targets(y: NDArray[Any], loss: Loss, schema: Schema) -> NDArray[Any]:
    """Class numbers as they are for categorical cross-entropy, as one-hot rows for any other loss."""
    if schema.task != "multiclass" or isinstance(loss, CategoricalCrossentropy):
        return y
    return np.eye(schema.n_outputs, dtype=np.float32)[y]


def score(model: Model, schema: Schema, x: NDArray[np.float32], y: NDArray[Any]) -> list[tuple[str, str]]:
    """What `evaluate` prints, as rows of name and value; errors are in the units of the table.

    y is as `Schema.outputs` gives it.
    """
    scores = model.evaluate(x, targets(y, model.loss, schema))
    if schema.task != "regression":
        return [("accuracy", f"{scores['accuracy']:.2%}"), ("loss", f"{scores['loss']:.4g}")]
    output = _output(model, x)
    truth, guess = schema.in_units(y), schema.in_units(np.asarray(model.loss.point(cast(Any, output))))
    rows = []
    for j, name in enumerate(schema.targets):
        error = guess[:, j : j + 1] - truth[:, j : j + 1]
        figures = [
            ("R²", f"{float(R2()(guess[:, j : j + 1], truth[:, j : j + 1])):.4f}"),
            ("root mean squared error", f"{float(np.sqrt(np.mean(error**2))):.6g}"),
            ("mean absolute error", f"{float(np.mean(np.abs(error))):.6g}"),
        ]
        of = f" of {name}" if len(schema.targets) > 1 else ""
        if isinstance(model.loss, Quantile) and len(levels := model.loss.quantiles) > 1:
            interval = output[:, j * len(levels) : (j + 1) * len(levels)]
            inside = (interval.min(axis=1) <= y[:, j]) & (y[:, j] <= interval.max(axis=1))
            figures.append((f"within q{levels[0]:g} and q{levels[-1]:g}", f"{float(np.mean(inside)):.2%}"))
        rows += [(figure + of, value) for figure, value in figures]
    return rows


def refuse_to_overwrite(out: Path, **inputs: Path) -> None:
    """Raise `InputError` if the output would replace one of the inputs."""
    for name, path in inputs.items():
        if path.exists() and out.exists() and path.samefile(out):
            raise InputError(f"--out {out} is the {name} file itself: choose another name.")


def _output(model: Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(model.predict(x))


def _columns(schema: Schema) -> list[tuple[str, list[str]]]:
    return [
        ("numeric columns", list(schema.numeric)),
        ("text columns", [f"{name} ({len(values)} values)" for name, values in schema.text.items()]),
        ("columns not used", [f"{name} ({why})" for name, why in schema.ignored.items()]),
    ]


def _joined(names: object, most: int = 10) -> str:
    names = list(map(str, names))  # type: ignore[call-overload]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
