"""Columns of cells as arrays, and the errors of cells that cannot be used: by column and row, counted from 1."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xpnn.errors import InputError
from xpnn.text import count

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float32]


def nan_as_empty(table: pl.DataFrame) -> pl.DataFrame:
    """The same with empty cells where there was NaN, which is how some write them into binary files."""
    import polars as pl

    return table.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))


def complete(table: pl.DataFrame, needed: Sequence[str], what: str) -> tuple[pl.DataFrame, list[str]]:
    """The rows without an empty cell in the columns needed, and a note if others, without `what`, are left out."""
    rows = table.drop_nulls(needed)
    left = table.height - rows.height
    return rows, [f"{count(left, 'row')} of {table.height:,} left out, without {what}"] * bool(left)


def is_number(column: pl.Series) -> bool:
    """Whether a column holds numbers or true/false."""
    import polars as pl

    return column.dtype.is_numeric() or column.dtype == pl.Boolean


def is_text(column: pl.Series) -> bool:
    """Whether the cells of a column that holds no numbers can be written as text."""
    import polars as pl

    return not column.dtype.is_nested() and column.dtype not in (pl.Binary, pl.Duration, pl.Object)


def is_zero_one(column: pl.Series) -> bool:
    """Whether a column holds 0 and 1, or true and false, alone."""
    return is_number(column) and bool(column.drop_nulls().cast(float).is_in([0.0, 1.0]).all())


def zero_one(column: pl.Series, empty: float | None = None) -> NDArray[np.float64]:
    """The cells as 0 and 1, shape (n,), as `numbers`; other values are an `InputError`."""
    if not is_zero_one(column):
        raise InputError(f"multilabel needs targets of 0/1 or true/false; column {column.name!r} holds other values.")
    return numbers(column, empty)


def numbers(column: pl.Series, empty: float | None = None) -> NDArray[np.float64]:
    """The cells as finite numbers, shape (n,); one that is none is an `InputError` that names its row.

    So is an empty one, but if it is said what it counts as.
    """
    if empty is None:
        no_nulls(column)
    elif column.null_count() == len(column):  # of whatever type
        return np.full(len(column), empty)
    if not is_number(column):
        row = not_a_number(column)
        raise InputError(
            f"column {column.name!r}, row {row + 1}: {column[row]!r} is not a number, "
            "but this column must hold numbers."
        )
    column = column.cast(float)
    values: NDArray[np.float64] = (column if empty is None else column.fill_null(empty)).to_numpy()
    strange = np.flatnonzero(~np.isfinite(values))
    if strange.size:
        raise InputError(
            f"column {column.name!r}, row {strange[0] + 1} holds {values[strange[0]]}: fill it in or remove the row."
        )
    return values


def weights(column: pl.Series) -> Floats:
    """The cells as weights of the rows, shape (n,): numbers ≥ 0, not all 0; others are an `InputError`."""
    values = numbers(column)
    negative = np.flatnonzero(values < 0)
    if negative.size:
        raise InputError(
            f"column {column.name!r}, row {negative[0] + 1} holds {values[negative[0]]:g}: a weight must be >= 0."
        )
    if not values.any():
        raise InputError(f"column {column.name!r} holds weights that are all 0: no row would count.")
    return values.astype(np.float32)


def standardised(column: pl.Series, mean: float, scale: float, empty: float | None = None) -> Floats:
    """``(value - mean) / scale`` of `numbers`, shape (n,); a cell too large for float32 is an `InputError`."""
    values = numbers(column, empty)
    with np.errstate(over="ignore"):
        standardised = ((values - mean) / scale).astype(np.float32)
    far = np.flatnonzero(~np.isfinite(standardised))
    if far.size:
        raise InputError(
            f"column {column.name!r}, row {far[0] + 1} holds {values[far[0]]:g}: too far from the values in "
            f"training, whose mean is {mean:g} and standard deviation {scale:g}."
        )
    return standardised


def not_a_number(column: pl.Series) -> int:
    """The position of the first cell that is neither empty nor a number; 0 if there is none."""
    return (column.cast(str).cast(float, strict=False).is_null() & column.is_not_null()).arg_max() or 0


def no_stray_text(column: pl.Series, also: str = "") -> None:
    """Raise `InputError` if most cells of a text column are numbers, and many: the others are taken for mistakes.

    Few different numbers may be codes, some of them with letters.
    """
    if is_number(column) or column.dtype.is_temporal():
        return
    amounts = column.cast(str).cast(float, strict=False).drop_nulls()
    if len(amounts) > column.count() / 2 and amounts.n_unique() > MOST_CODES:
        row = not_a_number(column)
        raise InputError(
            f"column {column.name!r}, row {row + 1}: {column[row]!r} is not a number, but most of the column is: "
            f"correct it or remove the row{also}."
        )


MOST_CODES = 20
"""Numbers, whole or disguised as text, with more different values than this are taken for amounts."""


def are_disguised(values: Sequence[str]) -> bool:
    """Whether these texts, if many, are mostly numbers, but with a decimal comma, a currency, a unit or the like."""
    return len(values) > MOST_CODES and sum(bool(_DISGUISED.fullmatch(each.strip())) for each in values) > 0.9 * len(
        values
    )


_DISGUISED = re.compile(r"[-+]?[$€£¥₫]?\s?[-+]?\d[\d.,'\s]*\s?([%‰$€£¥₫°]|[a-zA-Zµ]{1,3}[²³]?(/[a-z]{1,2})?)?")


def strings(column: pl.Series) -> NDArray[Any]:
    """The cells as text, shape (n,); an empty one is None."""
    return np.asarray(column.cast(str).to_list(), dtype=object)


def no_nulls(*columns: pl.Series, also: str = "") -> None:
    """Raise `InputError` if a cell is empty, naming each column and its first such row."""
    empty = [column for column in columns if column.null_count()]
    if not empty:
        return
    where = "; ".join(map(_emptiness, empty))
    raise InputError(f"{where}: fill such cells in or remove the rows (counted from 1 below the header){also}.")


def _emptiness(column: pl.Series) -> str:
    row, n = (column.is_null().arg_max() or 0) + 1, column.null_count()
    return f"column {column.name!r} is empty in row {row}" + (f" (and {n - 1} more)" if n > 1 else "")


def mean_and_scale(column: pl.Series) -> tuple[float, float]:
    """Mean and standard deviation of the cells that are not empty; the latter counts as 1 where all are equal."""
    values = numbers(column.drop_nulls())
    if values.min() == values.max():  # rounding may give a constant a tiny deviation
        return float(values[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not math.isfinite(scale):
        raise InputError(f"column {column.name!r} holds numbers too large to compute with, up to {values.max():g}.")
    return mean, scale or 1.0


def separator(columns: Sequence[str]) -> str:
    """A hint for a table that is not separated as its name says, and so came out as one column."""
    found = [sep for sep in ("\t", ";", "|", ",") if len(columns) == 1 and sep in columns[0]]
    return f" Its cells look separated by {found[0]!r}: save it with commas (.csv) or tabs (.tsv)." if found else ""


def quoted(names: Any, most: int = 12) -> str:
    """Names for a message: the first few in quotes, and how many more there are."""
    names = [repr(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
