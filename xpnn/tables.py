"""From the columns of a table to the matrices of a network, and back.

Numeric columns are standardised, text columns one-hot encoded, classes numbered. A `Schema` holds all of that as
numbers and names, so a model file can keep it and a later table can be treated in the same way, whatever the order
of its columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnn.errors import InputError
from xpnn.registry import unknown

if TYPE_CHECKING:
    import polars as pl

TASKS = ("binary", "multiclass", "multilabel", "regression")

_MISSING = ["", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "?"]
_MOST_CLASSES = 20  # whole numbers with more different values than this are taken as amounts
Floats = NDArray[np.float32]


def read(path: str | Path, *, text: Sequence[str] = ()) -> pl.DataFrame:
    """Read a CSV (``.tsv``: tab-separated) or Parquet file.

    Parameters
    ----------
    path : path
    text : sequence of str
        Columns of a CSV to read as text even if these rows hold only numbers, such as 01234.

    Raises
    ------
    InputError
        If the file is missing, cannot be parsed, names a column twice, or has no rows.
    """
    import polars as pl

    suffix = Path(path).suffix.lower()
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (polars would take a path for a pattern or an address)
            if suffix in (".parquet", ".pq"):
                table = pl.read_parquet(file)
            else:
                table = pl.read_csv(
                    file.read(),
                    separator="\t" if suffix == ".tsv" else ",",
                    null_values=_MISSING,
                    infer_schema_length=None,
                    schema_overrides=dict.fromkeys(text, pl.String),
                )
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or _line(error)).rstrip('.')}.") from error
    except pl.exceptions.PolarsError as error:
        why = "a row has more cells than the header" if "more fields" in str(error) else _line(error).rstrip(".")
        raise InputError(f"cannot read {path} as a table: {why}.") from error
    for name in table.columns:
        if "\ufffd" in name:
            raise InputError(f"cannot read {path} as a table: column {name!r} is not UTF-8; save the file as UTF-8.")
        original, renamed, number = name.rpartition("_duplicated_")  # as polars names the second one
        if renamed and number.isdecimal() and original in table.columns:
            raise InputError(f"{path} has two columns named {original!r}: rename one.")
    if table.height == 0:
        raise InputError(f"{path} has no rows.")
    return table


@dataclass(frozen=True)
class Schema:
    """What the columns of a table mean to a network.

    Attributes
    ----------
    numeric : mapping of str to (mean, scale)
        Columns used as (value - mean) / scale.
    text : mapping of str to list
        Columns used as one 0/1 feature per value listed.
    targets : list of str
        The columns to predict.
    task : str
        ``"binary"``, ``"multiclass"``, ``"multilabel"`` or ``"regression"``.
    classes : list, optional
        The values of the target in the order of their numbers, for binary and multiclass.
    scales : list of (mean, scale), optional
        How each target is standardised, for regression.
    ignored : mapping of str to str
        Columns that are not used, and why.
    """

    numeric: Mapping[str, tuple[float, float]]
    text: Mapping[str, list[str]]
    targets: list[str]
    task: str
    classes: list[Any] | None = None
    scales: list[tuple[float, float]] | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)

    @property
    def as_text(self) -> list[str]:
        """The columns that must be read as text, whatever a later table holds in them."""
        labels = [name for name in self.targets if any(isinstance(value, str) for value in self.classes or [])]
        return [*self.text, *labels]

    @property
    def n_features(self) -> int:
        """The number of columns of X."""
        return len(self.numeric) + sum(map(len, self.text.values()))

    @property
    def n_outputs(self) -> int:
        """The number of columns of Y: the classes for multiclass, else one per target."""
        return len(self.classes) if self.task == "multiclass" and self.classes else len(self.targets)

    def to_json(self) -> dict[str, Any]:
        """Describe the schema for a model file."""
        return asdict(self)

    def features(self, table: pl.DataFrame) -> tuple[Floats, list[str]]:
        """X, (n, d), and notes about values that were not there in training.

        Raises
        ------
        InputError
            If a column is missing, or a cell is empty, not a number where one is needed, NaN or infinite.
        """
        missing = [name for name in (*self.numeric, *self.text) if name not in table.columns]
        if missing:
            raise InputError(
                f"the table lacks the column{'s' * (len(missing) > 1)} {_quoted(missing)} that the model uses; "
                f"it has: {_quoted(table.columns)}.{_separator(table.columns)}"
            )
        columns: list[Floats] = []
        notes = []
        for name, (mean, scale) in self.numeric.items():
            columns.append(_standardised(table[name], mean, scale)[:, None])
        for name, values in self.text.items():
            cells = _strings(table[name])
            columns.append((cells[:, None] == np.asarray(values, dtype=object)[None, :]).astype(np.float32))
            strange = sorted(set(cells) - set(values))
            if strange:
                notes.append(
                    f"column {name!r} has values that were not there in training: {_quoted(strange)}; "
                    "they count as none of the known ones"
                )
        return np.concatenate(columns, axis=1), notes

    def outputs(self, table: pl.DataFrame) -> NDArray[Any]:
        """Y: class numbers (n,) for multiclass, else (n, k) of 0 and 1 or standardised numbers.

        Raises
        ------
        InputError
            If a target column is missing, a cell is empty, or a class was not there in training.
        """
        absent = [name for name in self.targets if name not in table.columns]
        if absent:
            raise InputError(no_column(absent[0], table.columns))
        if self.task == "regression":
            scales = self.scales or [(0.0, 1.0)] * len(self.targets)
            columns = [_standardised(table[name], *by) for name, by in zip(self.targets, scales, strict=True)]
            return np.stack(columns, axis=1)
        if self.task == "multilabel":
            return np.stack([_zero_one(table[name]) for name in self.targets], axis=1).astype(np.float32)
        number = {value: i for i, value in enumerate(self.classes or [])}
        cells = table[self.targets[0]].to_list()
        for row, cell in enumerate(cells, 1):
            if cell not in number:
                _no_nulls(table[self.targets[0]])
                raise InputError(
                    f"column {self.targets[0]!r}, row {row}: the class {cell!r} is not one that the model knows "
                    f"({_quoted(number)})."
                )
        numbers = np.asarray([number[cell] for cell in cells])
        return numbers if self.task == "multiclass" else numbers[:, None].astype(np.float32)

    def predictions(self, output: NDArray[Any], *, probabilities: bool = False) -> pl.DataFrame:
        """The network's output Ŷ, (n, k), as columns named like the targets, in the targets' own values."""
        import polars as pl

        columns: dict[str, Any] = {}
        if self.task == "regression":
            for j, (name, (mean, scale)) in enumerate(zip(self.targets, self.scales or [], strict=True)):
                columns[name] = output[:, j].astype(np.float64) * scale + mean
            return pl.DataFrame(columns)
        if self.task == "multilabel":
            for j, name in enumerate(self.targets):
                columns[name] = (output[:, j] >= 0.5).astype(np.int64)
            chances = {name: output[:, j] for j, name in enumerate(self.targets)}
        else:
            classes = self.classes or []
            p = output if self.task == "multiclass" else np.concatenate([1 - output, output], axis=1)
            # at a probability of exactly 1/2 the second class counts, as in Model.predict_labels
            chosen = p.argmax(axis=1) if self.task == "multiclass" else (output[:, 0] >= 0.5).astype(np.int64)
            columns[self.targets[0]] = [classes[i] for i in chosen]
            chances = {str(value): p[:, j] for j, value in enumerate(classes)}
        if probabilities:
            columns |= {f"P({name})": chance for name, chance in chances.items()}
        return pl.DataFrame(columns)

    def in_units(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Standardised regression targets (n, k) in the units of the table."""
        mean, scale = np.asarray(self.scales or [(0.0, 1.0)], dtype=np.float64).T
        return values.astype(np.float64) * scale + mean


def infer_task(table: pl.DataFrame, targets: Sequence[str]) -> str:
    """The task that the target columns suggest.

    One target: two values are binary; text, and whole numbers with 3 to 20 values that each occur five times on
    average, are multiclass; other numbers are regression. Several: all 0/1 or true/false is multilabel, all numbers
    regression.

    Raises
    ------
    InputError
        If several targets are neither.
    """
    columns = [table[name] for name in targets]
    if len(columns) > 1:
        if all(_is_zero_one(column) for column in columns):
            return "multilabel"
        if all(column.dtype.is_numeric() for column in columns):
            return "regression"
        raise InputError(
            f"several targets must be all 0/1 (multilabel) or all numbers (regression); {_quoted(targets)} are not."
        )
    column = columns[0].drop_nulls()
    different = column.n_unique()
    if different == 2:
        return "binary"
    if not column.dtype.is_numeric():
        return "multiclass"
    whole = column.dtype.is_integer() or bool((column == column.round()).all())
    return "multiclass" if whole and different <= min(_MOST_CLASSES, len(column) // 5) else "regression"


def make_schema(
    table: pl.DataFrame,
    train: pl.DataFrame,
    targets: Sequence[str],
    task: str,
    ignore: Sequence[str] = (),
) -> Schema:
    """The schema of a table for a task.

    Parameters
    ----------
    table : polars.DataFrame
        All rows: the classes are taken from them.
    train : polars.DataFrame
        The rows to train on: means, scales and text values are taken from them alone.
    targets, ignore : sequence of str
        The columns to predict, and columns to leave out.
    task : str
        One of `TASKS`.

    Raises
    ------
    InputError
        If a column is not there, no column is left to learn from, or the target does not fit the task.
    """
    for name in (*targets, *ignore):
        if name not in table.columns:
            raise InputError(no_column(name, table.columns))
    for name in targets:
        if name in ignore:
            raise InputError(f"column {name!r} is the target: it cannot be left out as well.")
    numeric: dict[str, tuple[float, float]] = {}
    text: dict[str, list[str]] = {}
    ignored = dict.fromkeys(ignore, "left out as asked")
    for name in table.columns:
        if name in targets or name in ignored:
            continue
        column = train[name]
        if table[name].null_count() == table.height:
            ignored[name] = "empty"
        elif _is_number(column):
            _numbers(table[name])  # a cell that cannot be used says so with its row in the whole table
            numeric[name] = _mean_and_scale(column)
        elif not _is_text(column):
            ignored[name] = f"holds {column.dtype}, not numbers or text"
        else:
            _no_nulls(table[name])
            values = sorted(set(_strings(column)))
            if len(values) > max(20, train.height // 10):
                _no_stray_text(table[name], ", or leave the column out with --ignore")
                ignored[name] = f"text with {len(values)} different values"
            else:
                text[name] = values
    if not numeric and not text:
        raise InputError(
            f"no column is left to learn from besides the target {_quoted(targets)}"
            + "".join(f"; column {name!r}: {why}" for name, why in ignored.items())
            + "."
        )
    classes = scales = None
    if task == "regression":
        for name in targets:
            if not _is_number(table[name]):
                row = _not_a_number(table[name])
                raise InputError(
                    f"regression needs numbers, but the target {name!r} holds {table[name][row]!r} in row {row + 1}: "
                    "correct it, or choose --task binary or multiclass."
                )
            _numbers(table[name])
        scales = [_mean_and_scale(train[name]) for name in targets]
    elif task == "multilabel":
        for name in targets:
            _zero_one(table[name])
    else:
        classes = _classes(table, targets, task)
    return Schema(numeric, text, list(targets), task, classes, scales, ignored)


def from_json(description: Mapping[str, Any]) -> Schema:
    """The schema that `Schema.to_json` described.

    Raises
    ------
    InputError
        If it does not describe one.
    """
    try:
        schema = Schema(**description)
        amounts = [*schema.numeric.values(), *(schema.scales or [])]
        names = [*schema.numeric, *schema.text, *schema.targets, *schema.ignored]
        values = [value for known in schema.text.values() for value in known]
        sound = (
            schema.task in TASKS
            and all(isinstance(name, str) for name in [*names, *values, *schema.ignored.values()])
            and all(math.isfinite(mean) and 0 < scale < math.inf for mean, scale in amounts)
            and all(isinstance(value, str | int | float) for value in schema.classes or [])
            and {"binary": 2, "multiclass": schema.n_outputs}.get(schema.task, 0) == len(schema.classes or [])
            and (schema.task != "regression" or len(schema.scales or []) == len(schema.targets))
            and (len(schema.targets) == 1 if schema.classes else len(schema.targets) >= 1)
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the model file's description of its columns is broken: {error}.") from error
    if not sound:
        raise InputError("the model file's description of its columns is broken: its parts do not fit.")
    return schema


def split(y: NDArray[Any], fraction: float, rng: np.random.Generator, *, classes: bool) -> tuple[Any, Any]:
    """Row numbers to train on and to hold out: at random, and of each class the same share.

    Parameters
    ----------
    y : array, shape (n,)
        The class numbers; with ``classes=False`` only their count matters.
    fraction : float
        The share to hold out, 0 ≤ fraction < 1.
    """
    groups = [np.flatnonzero(y == value) for value in np.unique(y)] if classes else [np.arange(len(y))]
    held = [rng.permutation(rows)[: round(fraction * len(rows))] for rows in groups]
    test = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(y)), test), test


def no_column(name: str, columns: Sequence[str]) -> str:
    """The message for a column that a table does not have."""
    return unknown("column", name, columns) + _separator(columns)


def _classes(table: pl.DataFrame, targets: Sequence[str], task: str) -> list[Any]:
    if len(targets) > 1:
        raise InputError(f"{task} takes one target, got {len(targets)}: {_quoted(targets)}.")
    column = table[targets[0]]
    _no_nulls(column)
    if not (_is_number(column) or _is_text(column)) or column.dtype.is_decimal() or column.dtype.is_temporal():
        raise InputError(f"the target {column.name!r} holds {column.dtype}, not classes.")
    if column.dtype.is_float():
        _numbers(column)  # NaN and infinity are no classes
    classes = column.unique().sort().to_list()
    few = f"the target {column.name!r} has {len(classes)} different value{'s' * (len(classes) != 1)}"
    if task == "binary" and len(classes) != 2:
        raise InputError(f"binary needs two classes, but {few}.")
    if len(classes) < 2:
        raise InputError(f"{few} ({_quoted(classes)}): there is nothing to tell apart.")
    if len(classes) > max(2, table.height // 2):
        _no_stray_text(column)
        raise InputError(
            f"{few} in {table.height} rows: too many to be classes. For numbers choose --task regression."
        )
    return classes


def _is_number(column: pl.Series) -> bool:
    import polars as pl

    return column.dtype.is_numeric() or column.dtype == pl.Boolean


def _is_text(column: pl.Series) -> bool:
    """Whether the cells of a column that holds no numbers can be written as text."""
    import polars as pl

    return not column.dtype.is_nested() and column.dtype not in (pl.Binary, pl.Duration, pl.Object)


def _is_zero_one(column: pl.Series) -> bool:
    return _is_number(column) and bool(column.drop_nulls().cast(float).is_in([0.0, 1.0]).all())


def _zero_one(column: pl.Series) -> NDArray[np.float64]:
    if not _is_zero_one(column):
        raise InputError(f"multilabel needs targets of 0/1 or true/false; column {column.name!r} holds other values.")
    return _numbers(column)


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    _no_nulls(column)
    if not _is_number(column):
        row = _not_a_number(column)
        raise InputError(
            f"column {column.name!r}, row {row + 1}: {column[row]!r} is not a number, "
            "but this column must hold numbers."
        )
    values: NDArray[np.float64] = column.cast(float).to_numpy()
    strange = np.flatnonzero(~np.isfinite(values))
    if strange.size:
        raise InputError(
            f"column {column.name!r}, row {strange[0] + 1} holds {values[strange[0]]}: fill it in or remove the row."
        )
    return values


def _standardised(column: pl.Series, mean: float, scale: float) -> Floats:
    values = _numbers(column)
    with np.errstate(over="ignore"):
        standardised = ((values - mean) / scale).astype(np.float32)
    far = np.flatnonzero(~np.isfinite(standardised))
    if far.size:
        raise InputError(
            f"column {column.name!r}, row {far[0] + 1} holds {values[far[0]]:g}: too far from the values in "
            f"training, whose mean is {mean:g} and standard deviation {scale:g}."
        )
    return standardised


def _not_a_number(column: pl.Series) -> int:
    """The position of the first cell that is neither empty nor a number; 0 if there is none."""
    return (column.cast(str).cast(float, strict=False).is_null() & column.is_not_null()).arg_max() or 0


def _no_stray_text(column: pl.Series, also: str = "") -> None:
    """Raise `InputError` if most cells of a text column are numbers: the others are then taken for mistakes."""
    if _is_number(column) or column.dtype.is_temporal():
        return
    if column.cast(str).cast(float, strict=False).count() > column.count() / 2:
        row = _not_a_number(column)
        raise InputError(
            f"column {column.name!r}, row {row + 1}: {column[row]!r} is not a number, but most of the column is: "
            f"correct it or remove the row{also}."
        )


def _strings(column: pl.Series) -> NDArray[Any]:
    _no_nulls(column)
    return np.asarray(column.cast(str).to_list(), dtype=object)


def _no_nulls(column: pl.Series) -> None:
    if column.null_count():
        row = column.is_null().arg_max()
        raise InputError(
            f"column {column.name!r} is empty in row {(row or 0) + 1} (of {column.null_count()} such rows; the first "
            "row below the header is 1): fill it in or remove the row."
        )


def _mean_and_scale(column: pl.Series) -> tuple[float, float]:
    values = _numbers(column)
    if values.min() == values.max():  # rounding may give a constant a tiny deviation
        return float(values[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not math.isfinite(scale):
        raise InputError(f"column {column.name!r} holds numbers too large to compute with, up to {values.max():g}.")
    return mean, scale or 1.0


def _separator(columns: Sequence[str]) -> str:
    """A hint for a table that is not separated as its name says, and so came out as one column."""
    found = [sep for sep in ("\t", ";", "|", ",") if len(columns) == 1 and sep in columns[0]]
    return f" Its cells look separated by {found[0]!r}: .csv takes commas, .tsv tabs." if found else ""


def _quoted(names: Any, most: int = 12) -> str:
    names = [repr(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
