"""What the columns of a table mean to a network, and the way from one to the other and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnn.errors import InputError
from xpnn.losses import Quantile
from xpnn.registry import unknown
from xpnn.tables.cells import Floats, nan_as_empty, no_nulls, quoted, separator, standardised, strings, zero_one
from xpnn.text import count

if TYPE_CHECKING:
    import polars as pl

    from xpnn.model import Model

TASKS = ("binary", "multiclass", "multilabel", "regression")


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
    filled : bool
        Whether empty cells are let pass: of a number as the mean, of text as none of the values.
    quantiles : tuple of float, optional
        What the outputs for each target are quantiles of, as the model's loss has them.
    """

    numeric: Mapping[str, tuple[float, float]]
    text: Mapping[str, list[str]]
    targets: list[str]
    task: str
    classes: list[Any] | None = None
    scales: list[tuple[float, float]] | None = None
    ignored: Mapping[str, str] = field(default_factory=dict)
    filled: bool = False
    quantiles: tuple[float, ...] | None = None

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

    def with_positive(self, name: str) -> Schema:
        """The same with that one of two classes, as tables write it, as number 1.

        Raises
        ------
        InputError
            If there are not two classes, or none of them has the name.
        """
        if self.task != "binary":
            raise InputError(f"--positive is for two classes, but the task is {self.task}: leave it out.")
        classes = {class_name(value): value for value in self.classes or []}
        if name not in classes:
            raise InputError(f"--positive: {unknown('class', name, classes)}")
        return replace(self, classes=[*(value for known, value in classes.items() if known != name), classes[name]])

    def to_json(self) -> dict[str, Any]:
        """Describe the schema for a model file."""
        return {name: value for name, value in asdict(self).items() if name != "quantiles"}  # they are the loss's

    def features(self, table: pl.DataFrame) -> tuple[Floats, list[str]]:
        """X, (n, d), and notes about empty cells and values that were not there in training.

        Raises
        ------
        InputError
            If a column is missing, or a cell is not a number where one is needed, NaN, infinite, or empty, unless
            such are `filled`.
        """
        import polars as pl

        if not isinstance(table, pl.DataFrame):
            raise InputError(
                f"the table must be one of Polars, got a {type(table).__name__}: use polars.from_pandas."
            )
        missing = [name for name in (*self.numeric, *self.text) if name not in table.columns]
        if missing:
            raise InputError(
                f"the table lacks the column{'s' * (len(missing) > 1)} {quoted(missing)} that the model uses; "
                f"it has: {quoted(table.columns)}.{separator(table.columns)}"
            )
        if self.filled:
            table = nan_as_empty(table)
        else:
            no_nulls(*(table[name] for name in (*self.numeric, *self.text)))
        notes = self.gaps(table)
        columns: list[Floats] = []
        for name, (mean, scale) in self.numeric.items():
            columns.append(standardised(table[name], mean, scale, mean if self.filled else None)[:, None])
        for name, values in self.text.items():
            cells = strings(table[name])
            columns.append((cells[:, None] == np.asarray(values, dtype=object)[None, :]).astype(np.float32))
            strange = sorted(set(cells) - {*values, None})
            if strange:
                notes.append(
                    f"column {name!r} has values that were not there in training: {quoted(strange)}; "
                    "they count as none of the known ones"
                )
        return np.concatenate(columns, axis=1), notes

    def gaps(self, table: pl.DataFrame) -> list[str]:
        """What the empty cells of each column count as."""
        notes = []
        for name in (*self.numeric, *self.text):
            if n := table[name].null_count():
                as_what = f"the mean, {self.numeric[name][0]:.6g}" if name in self.numeric else "none of its values"
                notes.append(f"column {name!r} is empty in {count(n, 'row')}: taken for {as_what}")
        return notes

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
            columns = [standardised(table[name], *by) for name, by in zip(self.targets, scales, strict=True)]
            return np.stack(columns, axis=1)
        if self.task == "multilabel":
            return np.stack([zero_one(table[name]) for name in self.targets], axis=1).astype(np.float32)
        number = {value: i for i, value in enumerate(self.classes or [])}
        cells = table[self.targets[0]].to_list()
        for row, cell in enumerate(cells, 1):
            if cell not in number:
                no_nulls(table[self.targets[0]])
                raise InputError(
                    f"column {self.targets[0]!r}, row {row}: the class {cell!r} is not one that the model knows "
                    f"({quoted(number)})."
                )
        numbers = np.asarray([number[cell] for cell in cells])
        return numbers if self.task == "multiclass" else numbers[:, None].astype(np.float32)

    def predictions(self, output: NDArray[Any], *, probabilities: bool = False) -> pl.DataFrame:
        """The network's output Ŷ, (n, k), as columns named like the targets, in the targets' own values.

        Each quantile has a name of its own, such as ``price q0.05``; the median has that of the target besides.
        """
        import polars as pl

        columns: dict[str, Any] = {}
        if self.task == "regression":
            levels = self.quantiles or (0.5,)
            q, middle = len(levels), Quantile(quantiles=levels).median
            for j, (name, (mean, scale)) in enumerate(zip(self.targets, self.scales or [], strict=True)):
                values = output[:, j * q : (j + 1) * q].astype(np.float64) * scale + mean
                if middle is not None:
                    columns[name] = values[:, middle]
                ordered = np.sort(values, axis=1)  # no worse where they cross
                columns |= {f"{name} q{level:g}": ordered[:, i] for i, level in enumerate(self.quantiles or ())}
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
            chances = {class_name(value): p[:, j] for j, value in enumerate(classes)}
        if probabilities:
            columns |= {f"P({name})": chance for name, chance in chances.items()}
        return pl.DataFrame(columns)

    def in_units(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Standardised regression targets (n, k) in the units of the table."""
        mean, scale = np.asarray(self.scales or [(0.0, 1.0)], dtype=np.float64).T
        return values.astype(np.float64) * scale + mean


def class_name(value: Any) -> str:
    """A class as tables write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)  # true and false, as tables write them


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
            and isinstance(schema.filled, bool)
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


def schema_of(model: Model) -> Schema:
    """The schema in a model that ``xpnn train`` wrote.

    The network of such a model takes prepared columns: ``schema.features(table)`` gives them, and
    ``schema.predictions(model.predict(X))`` turns its output into the target's own values.

    Raises
    ------
    InputError
        If the model has none, because it was trained on arrays.
    """
    described = model.metadata.get("table")
    if described is None:
        raise InputError(
            "the model does not say which columns its features are (it was trained on arrays, not by 'xpnn train'): "
            "give Model.predict an array."
        )
    schema = from_json(described)
    if isinstance(model.loss, Quantile):
        schema = replace(schema, quantiles=model.loss.quantiles)
    outputs = schema.n_outputs * len(schema.quantiles or (0.5,))
    if (schema.n_features, outputs) != (model.network.input_shape[0], model.network.shapes[-1][0]):
        raise InputError("the model file is broken: its columns do not fit its network.")
    return schema


def no_column(name: str, columns: Sequence[str]) -> str:
    """The message for a column that a table does not have."""
    return unknown("column", name, columns) + separator(columns)


def names(given: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Names of columns, those with commas between as well; a column may have a comma in its own."""
    each = [[name] if name in columns else name.split(",") for name in given]
    return [part if part in columns else part.strip() for parts in each for part in parts if part.strip()]
