"""Using a model file: predict, evaluate, summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xpnn import tables, text
from xpnn.cli import config, scores
from xpnn.cli.scores import score
from xpnn.errors import InputError, ModelFileError
from xpnn.files import atomic
from xpnn.model import Model, load
from xpnn.tables import Schema

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray


def predict(
    model: Path,
    data: Path,
    out: Path | None,
    *,
    probabilities: bool,
    keep: Sequence[str] = (),
    trusted: Sequence[str] = (),
) -> None:
    """Predict each row of a table; print the predictions as CSV or write them to a table of the file's kind."""
    network, schema = load_with_schema(model, trusted)
    if probabilities and schema.task == "regression":
        raise InputError("--probabilities is for classes; this model predicts numbers (regression).")
    if out is not None:
        if str(out) == "-":
            raise InputError("--out - would be a file of that name: leave it out to have the predictions printed.")
        refuse_to_overwrite(out, data=data, model=model)
        tables.check_ending(out)
        try:
            atomic.check_writable(out)
        except OSError as error:
            raise ModelFileError(f"cannot write {out}: {error.strerror or error}.") from error
    contents = tables.raw(data)
    table = tables.read(data, text=schema.as_text, data=contents)
    kept = _kept(data, contents, table, keep)
    x, notes = schema.features(table)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    predictions = schema.predictions(_output(network, x), probabilities=probabilities)
    if kept is not None:
        if both := [name for name in kept.columns if name in predictions.columns]:
            raise InputError(f"--keep {both[0]}: predictions are called so: rename the column in {data} to keep it.")
        predictions = kept.hstack(predictions)
    if out is None:
        sys.stdout.write(predictions.write_csv())
        return
    try:
        atomic.write(out, tables.content(out, predictions))
    except OSError as error:
        raise ModelFileError(f"cannot write {out}: {error.strerror or error}.") from error
    print(f"wrote {len(x):,} predictions to {out}", file=sys.stderr)


def _kept(data: Path, contents: bytes, table: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame | None:
    """The columns of --keep as the file writes them, if there are any."""
    names = list(dict.fromkeys(tables.names(keep, table.columns)))
    if not names:
        return None
    for name in names:
        if name not in table.columns:
            raise InputError(f"--keep: {tables.no_column(name, table.columns)}")
    return tables.as_written(data, contents, table, names).select(names)


def evaluate(model: Path, data: Path, *, metrics: Sequence[str] | None = None, trusted: Sequence[str] = ()) -> None:
    """Print how well a model does on a table with its targets; by default with the metrics of its training."""
    network, schema = load_with_schema(model, trusted)
    table = tables.read(data, text=schema.as_text)
    if absent := [name for name in schema.targets if name not in table.columns]:
        raise InputError(
            f"{data} has no column {absent[0]!r}, the target: evaluate compares with it, predict does without."
        )
    if metrics is None:
        metrics = _metrics_of(network)
    else:
        scores.check(metrics, schema, network.loss)
    table, left = _usable(network, schema, table)
    y = schema.outputs(table)
    x, notes = schema.features(table)
    for note in (*left, *notes):
        print(f"note: {note}", file=sys.stderr)
    print(text.columns([("rows", f"{len(x):,}"), *score(network, schema, x, y, metrics)]))


def _usable(network: Model, schema: Schema, table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows that the training would have taken, by its --missing, and a note on the others."""
    options = network.metadata.get("options")
    missing = options.get("missing", "error") if isinstance(options, dict) else "error"
    if missing == "error":
        return table, []
    needed = [*schema.targets, *([*schema.numeric, *schema.text] if missing == "drop" else [])]
    there = [name for name in needed if name in table.columns]
    what = "a cell that is needed" if missing == "drop" else "a target"
    complete, left = tables.complete(tables.nan_as_empty(table), there, what)
    if not complete.height:
        raise InputError(f"no row of the table has all that is needed: {', '.join(map(repr, needed))}.")
    return complete, left


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


def _metrics_of(model: Model) -> list[str]:
    """The metrics that a model was trained with."""
    options = model.metadata.get("options")
    names = options.get("metrics") if isinstance(options, dict) else None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def _load(path: Path, trusted: Sequence[str]) -> Model:
    if trusted and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last: no file that lies here takes the place of a module that is installed
    return load(path, trusted=trusted)


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
